#!/usr/bin/perl

# The XML parser, the writer and the JID checks alone, without nginx: compiled
# with AddressSanitizer and UBSan, and with stubs of what they need of nginx.
#
# t/parse/driver.c hands each input to the parser whole, byte by byte, in every
# split into two, in random pieces, with the buffer compacted and not, and any
# length of it at the end of a page with an unreadable one behind.  All that
# has to make the same events, and the same error at the same byte.
#
# t/parse/streams/ has what real clients and a server sent: before TLS (plain),
# up to the login, and in the session.  XML::LibXML says what is in it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 435;

use MIME::Base64 qw(decode_base64);
use XML::LibXML;

use XMPP::Files;
use XMPP::Parser qw(escape octets tree unescape);

my $parser = XMPP::Parser->new;

is($parser->said, '', 'compiled without a warning');


# What real clients and a real server send.

my @files = sort glob "$FindBin::Bin/parse/streams/*";

is(@files, 51, 'recorded streams');

my @streams = map { read_file($_) } @files;
my @parsed = $parser->drive(map { [ parse => $_ ] } @streams);

for my $file (@files) {
    my $name = $file =~ s{.*/}{}r;
    my $stream = shift @streams;
    my $got = shift @parsed;

    my $open = $got =~ /^again 1\n\z/m;
    my $all = tree($stream . ($open ? '</stream:stream>' : ''));

    $all =~ s/^close .*\n(?:.*\n)\z//m if $open;
    $got =~ s/^again 1\n//m if $open;

    is($got, $all, "recorded: $name");
}


# What is refused: why, and at which byte.  A case is its name, the bytes that
# are all right, and the rest, which is empty if the tag as a whole is wrong.

my @bad = (
    'restricted-xml' => [
        'DTD', '<!', "DOCTYPE s SYSTEM 'a'><s>",
        'DTD behind the declaration', "<?xml version='1.0'?><!", 'DOCTYPE s>',
        'comment', '<!', '-- a --><s>',
        'processing instruction', '<?', 'php ?><s>',
        'processing instruction xml-stylesheet', '<?xml', '-stylesheet ?>',
        'processing instruction XML', '<?', "XML version='1.0'?>",
        'two declarations', "<?xml version='1.0'?><", "?xml version='1.0'?>",
        'declaration in the stream', '<s><', "?xml version='1.0'?>",
        'declaration in an element', '<s><a><', "?xml version='1.0'?>",
        'DTD in the stream', '<s><!', 'DOCTYPE s>',
        'comment in the stream', '<s><!', '-- -->',
        'comment in an element', '<s><a>b<!', '-- -->',
        'processing instruction in an element', '<s><a>b<', '?b?>',
        'entity in a text', '<s><a>&nbsp', ';</a>',
        'entity in a value', "<s a='&eacute", ";'>",
        'entity in capitals', "<s a='&LT", ";'>",
        'entity with more letters', '<s><a>&ampx', ';</a>',
        'entity with fewer letters', '<s><a>&am', ';</a>',
    ],

    'unsupported-encoding' => [
        'UTF-16, big endian', '', "\0<\0s\0>",
        'UTF-16, big endian, with its mark', '', "\xfe\xff\0<\0s\0>",
        'UTF-16, little endian, with its mark', '', "\xff\xfe<\0s\0>\0",
        'UTF-16, little endian', '<', "\0s\0>\0",
        'UTF-32, big endian', '', "\0\0\0<\0\0\0s",
        'UTF-32, little endian', '<', "\0\0\0s\0\0\0",
        'EBCDIC', '', "\xa7\x94\x93",
        'ISO-8859-1 declared', "<?xml version='1.0' encoding='ISO-8859-1'?",
            '><s>',
        'UTF-16 declared', "<?xml version='1.0' encoding='UTF-16'?", '><s>',
        'UTF-80 declared', "<?xml version='1.0' encoding='UTF-80'?", '><s>',
        'nothing declared', "<?xml version='1.0' encoding=''?", '><s>',
        'space in the name', "<?xml version='1.0' encoding=' UTF-8'?", '><s>',

        # bytes that are not UTF-8, at each place

        (map {
            my ($name, $good, $rest) = @$_;

            ("$name in a value", "<s a='$good", "$rest'>",
             "$name in a text", "<s><a>b$good", "$rest</a>",
             "$name in CDATA", "<s><a><![CDATA[$good", "$rest]]></a>",
             "$name between elements", "<s>$good", "$rest",
             "$name in a name", "<s><a$good", "$rest/>");
        } (
            [ 'lone continuation', '', "\x80" ],
            [ 'two continuations', "", "\xbf\xbf" ],
            [ 'overlong, two bytes', '', "\xc0\xaf" ],
            [ 'overlong, two bytes, highest', '', "\xc1\xbf" ],
            [ 'overlong, three bytes', "\xe0", "\x9f\xbf" ],
            [ 'overlong, four bytes', "\xf0", "\x8f\xbf\xbf" ],
            [ 'five bytes', '', "\xf8\x88\x80\x80\x80" ],
            [ 'surrogate, lowest', "\xed", "\xa0\x80" ],
            [ 'surrogate, highest', "\xed", "\xbf\xbf" ],
            [ 'above U+10FFFF', "\xf4", "\x90\x80\x80" ],
            [ 'far above U+10FFFF', '', "\xf5\x80\x80\x80" ],
            [ 'byte FE', '', "\xfe" ],
            [ 'byte FF', '', "\xff" ],
            [ 'two bytes broken off', "\xc5", 'b' ],
            [ 'three bytes broken off', "\xe6\x97", '<' ],
            [ 'four bytes broken off', "\xf0\x9f\xa6", "\xf0\x9f\xa6\x8a" ],
        )),
    ],

    'not-well-formed' => [
        'text first', '', 'hello<s>',
        'a zero-width no-break space first', "\xef\xbb", "\xbf<s>",
        'a NUL behind the name', '<s', "\0>",
        'an end tag first', '<', '/s>',
        'CDATA first', '<!', '[CDATA[a]]><s>',
        'reference first', '', '&#60;s>',

        'declaration without version', "<?xml encoding='UTF-8'?", '><s>',
        'declaration with nothing', '<?xml ?', '><s>',
        'declaration of version 1.1', "<?xml version='1.1'?", '><s>',
        'declaration of version 1', "<?xml version='1'?", '><s>',
        'declaration with a reference', "<?xml version='&#49", ";.0'?><s>",
        'declaration with an entity', "<?xml version='&lt", ";1.0'?><s>",
        'declaration out of order',
            "<?xml encoding='UTF-8' version='1.0'?", '><s>',
        'declaration with more', "<?xml version='1.0' a='b'?", '><s>',
        'declaration with standalone first',
            "<?xml version='1.0' standalone='no' encoding='UTF-8'?", '><s>',
        'declaration with standalone maybe',
            "<?xml version='1.0' standalone='maybe'?", '><s>',
        'declaration with a version twice',
            "<?xml version='1.0' version", "='1.0'?><s>",
        'declaration without space',
            "<?xml version='1.0'", "encoding='UTF-8'?><s>",
        'declaration with a space at its end',
            "<?xml version='1.0'?", ' ><s>',
        'declaration that ends as a tag', "<?xml version='1.0'", '><s>',
        'declaration with a slash', "<?xml version='1.0'", '/><s>',

        'space before the name', '<', ' s>',
        'digit first', '<', '1s>',
        'hyphen first', '<', '-s>',
        'dot first', '<', '.s>',
        'middle dot first', "<\xc2", "\xb7s>",
        'combining character first', "<\xcc", "\x80s>",
        'multiplication sign in a name', "<s\xc3", "\x97>",
        'colon first', '<', ':s>',
        'colon last', '<s:', '>',
        'colon last before an attribute', '<s:', " a='b'>",
        'two colons', '<a:b', ':s>',
        'two colons together', '<a:', ':s>',
        'digit behind the colon', '<a:', '1>',
        'middle dot behind the colon', "<a:\xc2", "\xb7>",
        'exclamation mark in a name', '<s', '!>',
        'nothing as a name', '<', '>',

        'colon last in an attribute', '<s a:', "='b'>",
        'two colons in an attribute', '<s a:b', ":c='d'>",
        'colon first in an attribute', '<s ', ":a='b'>",
        'digit first in an attribute', '<s ', "1='b'>",
        'digit behind the colon in an attribute', '<s a:', "1='b'>",
        'attribute without a value', '<s a', '>',
        'attribute without an equals sign', '<s a ', "'b'>",
        'attribute without quotes', '<s a=', 'b>',
        'attribute with wrong quotes', '<s a=', '`b`>',
        'attributes without space', "<s a='b'", "c='d'>",
        'less-than in a value', "<s a='b", "<c'>",
        'duplicate attribute', "<s a='b' a", "='c'>",
        'duplicate attribute with a prefix',
            "<s xmlns:a='urn:a' a:b='c' a:b", "='d'>",
        'duplicate xmlns', "<s xmlns='urn:a' xmlns", "='urn:b'>",
        'duplicate declaration of a prefix',
            "<s xmlns:a='urn:a' xmlns:a", "='urn:b'>",
        'duplicate through two prefixes',
            "<s xmlns:a='urn:x' xmlns:b='urn:x' a:c='1' b:c='2'>", '',
        'duplicate through two prefixes, declared later',
            "<s a:c='1' b:c='2' xmlns:a='urn:x' xmlns:b='urn:x'>", '',
        'duplicate through an outer prefix',
            "<s xmlns:a='urn:x'><t xmlns:b='urn:x' a:c='' b:c=''/>", '',
        'duplicate through a namespace with references',
            "<s xmlns:a='urn:x&amp;' xmlns:b='urn:&#x78;&#38;' a:c='' b:c=''>",
            '',
        'duplicate through namespaces that differ in white space',
            "<s xmlns:a='urn:x\t' xmlns:b='urn:x ' a:c='' b:c=''>", '',
        'duplicate through namespaces that differ in line ends',
            "<s xmlns:a='urn:x\r\n' xmlns:b='urn:x\n' a:c='' b:c=''>", '',
        'duplicate through xml', "<s xml:lang='a' xml:lang", "='b'>",
        'slash in a tag', '<s /', " a='b'>",
        'two slashes', '<s/', '/>',
        'less-than in a tag', '<s ', '<t>',
        'equals sign in a tag', '<s ', "='a'>",

        'end tag of another element', '<s><a></b', '></s>',
        'end tag of the outer element', '<s><a><b></a', '></b>',
        'end tag of the stream in an element', '<s><a></s', '>',
        'end tag with fewer letters', '<s><ab></a', '></ab>',
        'end tag with more letters', '<s><a></ab', '></a>',
        'end tag in capitals', '<s><a></A', '>',
        'end tag with another prefix',
            "<s><a:b xmlns:a='urn:x' xmlns:c='urn:x'></c:b", '>',
        'end tag without the prefix', "<s><a:b xmlns:a='urn:x'></b", '>',
        'end tag with an attribute', '<s><a></a ', "b='c'>",
        'end tag with a slash', '<s><a></a', '/>',
        'end tag with a space first', '<s><a></', ' a>',
        'end tag without a name', '<s><a></', '>',

        'ampersand alone', '<s><a>b &', ' c</a>',
        'reference without semicolon', "<s a='&amp", "'>",
        'empty reference', '<s><a>&', ';</a>',
        'reference without digits', '<s><a>&#', ';</a>',
        'reference without hexadecimal digits', '<s><a>&#x', ';</a>',
        'reference with a capital X', '<s><a>&#', 'X41;</a>',
        'reference with a letter', '<s><a>&#12', 'a;</a>',
        'reference with a wrong letter', '<s><a>&#x4', 'g;</a>',
        'reference with a sign', '<s><a>&#', '+65;</a>',
        (map { ("reference $_", "<s><a>&#$_", ';</a>',
                "reference $_ in a value", "<s a='&#$_", ";'>") }
            qw(0 1 8 11 31 xB x1F xD800 xDFFF 55296 xFFFE xFFFF 65535)),
        'reference above U+10FFFF', '<s><a>&#x11000', '0;</a>',
        'reference far above U+10FFFF', '<s><a>&#111411', '2;</a>',
        'reference of 2 ** 32 + 65', '<s><a>&#429496', '7361;</a>',

        (map { my $name = sprintf 'control %02X', $_;
               ("$name in a value", "<s a='b", chr() . "'>",
                "$name in a text", '<s><a>b', chr() . '</a>',
                "$name in CDATA", '<s><a><![CDATA[', chr() . ']]></a>',
                "$name in a tag", '<s', chr() . '>') }
            0, 1, 8, 11, 12, 14, 31),
        (map { ("$_->[0] in a value", "<s a='\xef\xbf", "$_->[1]'>",
                "$_->[0] in a text", "<s><a>\xef\xbf", "$_->[1]</a>",
                "$_->[0] in CDATA", "<s><a><![CDATA[\xef\xbf", $_->[1]) }
            [ 'U+FFFE', "\xbe" ], [ 'U+FFFF', "\xbf" ]),

        'end of CDATA in a text', '<s><a>]]', '></a>',
        'end of CDATA behind more brackets', '<s><a>]]]]', '></a>',
        'end of CDATA behind CDATA', '<s><a><![CDATA[]]>]]', '></a>',
        'CDATA in lower case', '<s><a><![', 'cdata[]]></a>',
        'CDATA without bracket', '<s><a><![CDATA', ' []]></a>',
        'element declaration', '<s><a><!', 'ELEMENT a></a>',
    ],

    'bad-namespace-prefix' => [
        'header with an unbound prefix', '<a:s>', '',
        'element with an unbound prefix', '<s><a:b>', '',
        'empty element with an unbound prefix', '<s><a:b/>', '',
        'attribute with an unbound prefix', "<s a:b='c'>", '',
        'attribute with a prefix that only starts so',
            "<s xmlns:ab='urn:x' a:b='c'>", '',
        'prefix of an element that has ended',
            "<s><a:b xmlns:a='urn:x'/><a:b>", '',
        'prefix of a sibling', "<s><a xmlns:b='urn:x'></a><b:c>", '',
        'prefix bound to nothing', "<s xmlns:a=''>", '',
        'prefix bound anew to nothing',
            "<s xmlns:a='urn:x'><b xmlns:a=''>", '',
        'prefix xml bound to another', "<s xmlns:xml='urn:x'>", '',
        'another prefix bound to that of xml',
            "<s xmlns:a='http://www.w3.org/XML/1998/namespace'>", '',
        'no prefix bound to that of xml',
            "<s xmlns='http://www.w3.org/XML/1998/namespace'>", '',
        'prefix xmlns bound',
            "<s xmlns:xmlns='http://www.w3.org/2000/xmlns/'>", '',
        'prefix xmlns bound to another', "<s xmlns:xmlns='urn:x'>", '',
        'another prefix bound to that of xmlns',
            "<s xmlns:a='http://www.w3.org/2000/xmlns/'>", '',
        'no prefix bound to that of xmlns',
            "<s xmlns='http://www.w3.org/2000/xmlns/'>", '',
        'that of xmlns with a reference',
            "<s xmlns='http://www.w3.org/2000/xmln&#115;/'>", '',
        'that of xmlns with long references',
            "<s xmlns:a='" . long('http://www.w3.org/2000/xmlns/') . "'>", '',
        'element with the prefix xmlns', '<xmlns:s>', '',
    ],

    'bad-format' => [
        'text between elements', '<s> ', 'a<b/>',
        'reference between elements', '<s>', '&#65;',
        'entity between elements', '<s>', '&amp;',
        'CDATA between elements', '<s><!', '[CDATA[]]>',
        'greater-than between elements', '<s>', '>',
        'letter of two bytes between elements', "<s>\xc3", "\xa9",
        'bracket between elements', '<s><a></a>', ']',
    ],

    'policy-violation' => [
        '33 elements', '<s>' . '<a>' x 31 . '<a', '>',
        '33 elements, the last empty', '<s>' . '<a>' x 31 . '<a', '/>',
        '33 attributes', '<s ' . join(' ', map { "a$_='1'" } 1 .. 32) . ' a',
            "=''>",
        '33 namespaces', "<s xmlns='urn:x' "
            . join(' ', map { "xmlns:a$_='urn:x'" } 1 .. 16) . '><a '
            . join(' ', map { "xmlns:b$_='urn:x'" } 1 .. 16) . '>', '',
    ],
);

while (my ($condition, $cases) = splice @bad, 0, 2) {
    my (@name, @wanted, @case);

    while (my ($name, $good, $rest) = splice @$cases, 0, 3) {
        push @name, "$condition: $name";
        push @wanted, "error $condition " . length($good) . "\n";
        push @case, [ parse => $good . $rest ];
    }

    for my $got ($parser->drive(@case)) {
        my $ending = join '', grep { !/^(?:header|start|end) / }
                                   $got =~ /.*\n/g;

        is($ending, shift @wanted, shift @name);
    }
}


# What is taken.

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

my @good = (
    'least' => '<s/>',
    'least with an end tag' => '<s></s>',
    'space in the tags' => "<s\n\ta\r=\n'b' \n>\n<t \n/>\r\n\t</s \t\n>",
    'declaration' => "<?xml version='1.0'?><s/>",
    'declaration with double quotes' => '<?xml version="1.0" ?>' . "\r\n<s/>",
    'declaration with all' => "<?xml  version = '1.0'\tencoding=\"utf-8\"\n"
                              . "standalone='yes' ?><s/>",
    'declaration with standalone' => "<?xml version='1.0' standalone='no'?>"
                                     . '<s/>',
    'space first' => " \n<s/>",
    'quotes in each other' => qq{<s a='"' b="'"/>},
    'greater-than in a value' => "<s a='>' b='/>' c=']]>'/>",
    'slash behind a value' => "<s a='b'/>",
    'letters in names' => "<s a-1.b_c='' _a='' \xc5\x82='' xa\xc2\xb7\xcc\x80="
        . "''><_/><a.-1/><\xe6\x97\xa5\xe6\x9c\xac/><\xf0\x90\x80\x80/></s>",
    'letters in names with a prefix' =>
        "<\xc5\x82:\xc5\xbc xmlns:\xc5\x82='urn:x' \xc5\x82:_='1'/>",
    'names that start with xmlns' => "<s xmlnsa='b'><xmlnsa/></s>",
    'five entities' => "<s a='&lt;&gt;&amp;&apos;&quot;'>"
                       . '<a>&lt;&gt;&amp;&apos;&quot;</a></s>',
    'references' => "<s a='&#65;&#x41;&#x4a;&#x4A;&#0000065;'>"
        . '<a>&#9;&#x20;&#xD7FF;&#xE000;&#xFFFD;&#x10000;&#x10FFFF;'
        . '&#127;&#128;&#x7FF;&#x800;</a></s>',
    'a reference is not read again' => '<s><a>&#38;lt;&#38;#60;</a></s>',
    'UTF-8, lowest and highest' => "<s a='\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"
        . "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xf0\x90\x80\x80"
        . "\xf4\x8f\xbf\xbd'><a>\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf"
        . "\xee\x80\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbd"
        . "<![CDATA[\xdf\xbf\xe0\xa0\x80]]></a></s>",
    'CDATA' => '<s><a><![CDATA[<b>&lt;&#65;</b>]]></a></s>',
    'CDATA, empty' => '<s><a><![CDATA[]]></a></s>',
    'CDATA with brackets' => '<s><a><![CDATA[]]]]><![CDATA[>]]>]]</a></s>',
    'CDATA with end in pieces' => '<s><a><![CDATA[] ]> ]>]]]></a></s>',
    'CDATA in a text' => '<s><a>b<![CDATA[&]]>&amp;<![CDATA[c]]>d</a></s>',
    'CDATA beside a child' => '<s><a><![CDATA[<]]><b/><![CDATA[<]]></a></s>',
    'brackets in a text' => '<s><a>]] >]>] ]>]]</a></s>',
    'brackets around a child' => '<s><a>]]<b/>></a></s>',
    'brackets around a reference' => '<s><a>]]&#93;></a></s>',
    'children' => "<s><a b='c'>d<e>f</e>g<e h='i'/> </a><a/>\n<a></a></s>",
    'no namespace' => "<s xmlns=''><a xmlns='urn:x'><b xmlns=''/></a></s>",
    'namespaces' => "<s:s xmlns:s='http://etherx.jabber.org/streams'"
        . " xmlns='jabber:client'><auth $sasl><s:a/><a/><b"
        . " xmlns='jabber:server'/></auth><a xmlns='urn:ietf:params:xml:ns:"
        . "xmlns'/><a xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></s:s>",
    'namespaces with the default in a prefix' =>
        "<stream xmlns='http://etherx.jabber.org/streams'"
        . " xmlns:c='jabber:client'><c:message><c:body>a</c:body>"
        . "</c:message></stream>",
    'namespace with a reference' => "<s xmlns='jabber:&#99;lient'/>",
    'namespace with long references' =>
        "<s xmlns='" . long('http://etherx.jabber.org/streams') . "'/>",
    'namespace with an entity' => "<s xmlns='jabber:client&amp;'/>",
    'namespace nearly known' => "<s xmlns='jabber:clien'><a"
        . " xmlns='jabber:clients'/><a xmlns='JABBER:client'/></s>",
    'prefix used before its declaration' =>
        "<s><a:b a:c='d' xmlns:a='jabber:client'/></s>",
    'prefix declared again' => "<s xmlns:a='jabber:client'><a:b"
        . " xmlns:a='jabber:server'><a:c/></a:b><a:d/></s>",
    'prefix declared again with itself' => "<s xmlns:a='jabber:client'><a:b"
        . " xmlns:a='jabber:client'><a:c/></a:b><a:d/></s>",
    'same name with and without a prefix' =>
        "<s xmlns='urn:x' xmlns:a='urn:x' b='c' a:b='d'/>",
    'same name with two prefixes' =>
        "<s xmlns:a='urn:a' xmlns:b='urn:b' a:c='' b:c=''/>",
    'same name with two prefixes, namespaces nearly the same' =>
        "<s xmlns:a='urn:x' xmlns:b='urn:x&amp;' a:c='' b:c=''/>",
    'prefix xml' => "<s xml:lang='de' xml:space='preserve'><xml:a/></s>",
    'prefix xml declared' =>
        "<s xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:id='a'/>",
    '32 elements' => '<s>' . '<a>' x 30 . '<a/>' . '</a>' x 30 . '</s>',
    '32 elements, twice' => '<s>' . ('<a>' x 31 . '</a>' x 31) x 2 . '</s>',
    '32 attributes' => '<s ' . join(' ', map { "a$_='$_'" } 1 .. 32) . '><a '
                       . join(' ', map { "a$_='$_'" } 1 .. 32) . '/></s>',
    '32 namespaces' => "<s xmlns='urn:x' "
        . join(' ', map { "xmlns:a$_='urn:x'" } 1 .. 15) . '>' . ('<a '
        . join(' ', map { "xmlns:b$_='urn:x'" } 1 .. 16) . '/>') x 2 . '</s>',
    'long' => "<s a='" . 'b' x 300 . "'><" . 'a' x 300 . '>' . 'c' x 300
              . '</' . 'a' x 300 . '></s>',
);

my (@name, @document);

while (my ($name, $document) = splice @good, 0, 2) {
    push @name, $name;
    push @document, $document;
}

for my $got ($parser->drive(map { [ parse => $_ ] } @document)) {
    # LibXML does not tell of this declaration.
    $got =~ s/ xmlns:xml=\S+//;

    is($got, tree(shift @document), 'taken: ' . shift @name);
}


# Each character of ASCII at each place, and in XML gone wrong at random: what
# is taken has to be XML, and the same one, what is refused must not be XML.

srand 1;

my @odd = ((map { chr } 0x20 .. 0x2f, 0x3a .. 0x40, 0x5b .. 0x5d),
           'a', 's', 'xml', 'xmlns', "xmlns:a=''", "a='b'", ']]>',
           '<![CDATA[', '</a>', '<b>', '<b/>', '&lt;', '&#65;', '&#x', '1',
           "\xc3\xa9", "\xc3", "\0", "\x1f", "\xef\xbf\xbf");

my @origin = (
    "<s a='b' c=\"d\"><a>b<c/></a> <a b='&lt;'>&#x41;</a></s>",
    "<s xmlns:a='urn:x'><a:b c='d' a:c='e'><a>]]<![CDATA[<]]></a></a:b></s>",
    "<s><a xmlns:a='urn:x' xmlns='urn:y'><a:b/><b>\xc3\xa9</b></a><a/></s>",
    "<?xml version='1.0'?><a><b c='&amp;' d='>'>&gt;</b><\xc3\xa9/></a>",
);

compare('characters', map {
    ("<s $_='a'/>", "<s a$_='a'/>", "<s a='$_'/>", "<s><$_/></s>",
     "<s><a$_/></s>", "<s><a>$_</a></s>", "<s><a><![CDATA[$_]]></a></s>",
     "<s><a>&$_;</a></s>", "<s><a>&#$_;</a></s>", "<s><a>&#x$_;</a></s>",
     "<s><$_", "<s></$_", "<s a=$_", "<s xmlns:b='c' b:$_='a'/>")
} map { chr } 0 .. 8, 11, 12, 14 .. 127);

compare('XML gone wrong', map {
    my $document = $origin[rand @origin];

    for (0 .. rand 2) {
        my $at = rand length $document;
        my $length = rand() < 0.5 ? 0 : rand() < 0.7 ? 1 : rand 8;
        my $new = rand() < 0.7 ? $odd[rand @odd]
                               : substr $document, rand length $document,
                                        rand 8;

        substr $document, $at, $length, $new;
    }

    $document;
} 1 .. 1500);


# Extensible Markup Language 1.0, productions 2, 4 and 4a, outside of ASCII.

my $start = '370-37d 37f-1fff 200c-200d 2070-218f 2c00-2fef 3001-d7ff'
            . ' f900-fdcf fdf0-fffd 10000-effff';

is(($parser->drive([ chars => '' ]))[0],
   "Char 80-d7ff e000-fffd 10000-10ffff\n"
   . "NameStartChar c0-d6 d8-f6 f8-2ff $start\n"
   . "NameChar b7-b7 c0-d6 d8-f6 f8-37d 37f-1fff 200c-200d 203f-2040"
   . ' ' . $start =~ s/^370-37d 37f-1fff 200c-200d //r . "\n",
   'characters of XML');


# Decoding, in place and not.

my @decode = (
    '' => '',
    'plain' => 'plain',
    '&lt;&gt;&amp;&apos;&quot;' => q{<>&'"},
    '&amp;lt;' => '&lt;',
    '&#9;&#10;&#13;' => "\t\n\r",
    '&#x7f;&#x80;&#x7ff;&#x800;' => "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80",
    '&#xFFFD;&#x10000;&#x10FFFF;'
        => "\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
    'a<![CDATA[<&amp;>]]>b' => 'a<&amp;>b',
    '<![CDATA[]]>' => '',
    '<![CDATA[]]]]><![CDATA[>]]>' => ']]>',
    "\xf0\x9f\xa6\x8a&#x1F98A;" => "\xf0\x9f\xa6\x8a" x 2,
    ']]&gt;' => ']]>',
);

my %decoded = @decode;
my @raw = sort keys %decoded;
my @decoded = $parser->drive(map { [ decode => $_ ] } @raw);

is(shift @decoded, escape($decoded{$_}) . "\n", 'decoded: ' . escape($_))
    for @raw;


# The writer: what comes in comes out, whatever it is.

my $bad = "\xef\xbf\xbd";

my @written = (
    'plain' => 'hello', 'hello',
    'empty' => '', '',
    'markup' => q{<a b='c'>&amp;"]]>}, q{<a b='c'>&amp;"]]>},
    'white space' => "\t a \r\n b\r\t", "\t a \r\n b\r\t",
    'UTF-8' => "\xc3\xa9\xe6\x97\xa5\xf0\x9f\xa6\x8a",
        "\xc3\xa9\xe6\x97\xa5\xf0\x9f\xa6\x8a",
    'controls' => "a\0b\x01\x08\x0b\x1f\x7f", "a${bad}b$bad$bad$bad$bad\x7f",
    'Latin-1' => "caf\xe9!", "caf$bad!",
    'Latin-1 at the end' => "caf\xe9", "caf$bad",
    'surrogate' => "a\xed\xa0\x80b", "a${bad}b",
    'overlong' => "a\xc0\xafb\xe0\x80\xafc", "a${bad}b${bad}c",
    'above U+10FFFF' => "a\xf4\x90\x80\x80b", "a${bad}b",
    'U+FFFE' => "a\xef\xbf\xbeb\xef\xbf\xbf", "a${bad}b$bad",
    'broken off' => "\xe6\x97", $bad,
    'continuations' => "\x80\xbf", "$bad$bad",
    'bytes FE and FF' => "\xfe\xff", "$bad$bad",
    'long' => q{<&'>"} x 1000, q{<&'>"} x 1000,
);

my (@text, @wanted);
@name = ();

while (my ($name, $text, $wanted) = splice @written, 0, 3) {
    push @name, $name;
    push @text, $text;
    push @wanted, $wanted;
}

my @out = $parser->drive(map { [ write => $_ ] } @text);

for my $name (@name) {
    is(written(shift @out, shift @text), written_wanted(shift @wanted),
       "written: $name");
}

@out = $parser->drive([ write => 'a' ],
                      map { [ memory => $_ ] } 'a', 'b' x 3000);

my $streams = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
my $tls = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'";
my $head = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
           . " xmlns:stream='http://etherx.jabber.org/streams' id='a'";
my $server = $head
    =~ s/'jabber:client'/'jabber:server' xmlns:db='jabber:server:dialback'/r;

is(unescape(shift @out), <<"END" =~ s/\n +//gr, 'written: to the letter');
header $head from='a' to='a' version='1.0' xml:lang='en'>
header-without $head version='1.0' xml:lang='en'>
header-server $server from='a' version='1.0' xml:lang='en'>
stream-error <stream:error><bad-format $streams/>
    <text $streams xml:lang='en'>a</text></stream:error></stream:stream>
stream-error-without <stream:error><bad-format $streams/>
    </stream:error></stream:stream>
location <stream:error><see-other-host $streams>a</see-other-host>
    </stream:error></stream:stream>
failure <failure $sasl><aborted/><text xml:lang='en'>a</text></failure>
failure-without <failure $sasl><aborted/></failure>
features <stream:features><starttls $tls><required/></starttls>
    <mechanisms $sasl><mechanism>a</mechanism><mechanism>PLAIN</mechanism>
    </mechanisms></stream:features>
features-without <stream:features><starttls $tls/></stream:features>
challenge <challenge $sasl>YQ==</challenge>
auth <auth $sasl mechanism='PLAIN'>AGEAYQ==</auth>
proceed <proceed $tls/>
tls-failure <failure $tls/>
success <success $sasl/>
END

like($_, qr/^failed (?:failed )+ok (?:ok )+ok\n\z/,
     'written: a lack of memory') for @out;


# JIDs.

my $inverted = "\xe2\x80\xae";

my @jids = (
    local => [
        (map { ($_, $_) } 'alice', 'Alice', 'a', '0', 'a.b-c_d', '-', '.',
            q{a!#$%()*+,;=?[\\]^_`{|}~}, 'a\40b', "za\xc5\xbc\xc3\xb3",
            "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\xa6\x8a", 'a' x 1023),
        (map { ($_, undef) } '', 'a b', ' a', 'a ', "a\tb", "a\nb", "a\0b",
            "\x7f", "\x01", 'a@b', 'a/b', 'a:b', 'a"b', "a'b", 'a&b', 'a<b',
            'a>b', 'a' x 1024, "\xe9", "a\xc5", "\xc0\xaf", "\xed\xa0\x80",
            "\xf4\x90\x80\x80", "\x80", "a\xc2\xa0b", "a\xe2\x80\x8bb",
            "a${inverted}b", "\xe3\x80\x80", "\xee\x80\x80", "\xef\xb7\x90",
            "\xef\xbb\xbf", "\xef\xbf\xbd", "\xef\xbf\xbe", "\xf0\x9f\xbf\xbf",
            "\xf3\xa0\x80\x81", "\xe2\x80\xa8", "\xc2\x85"),
    ],

    domain => [
        (map { ($_, $_) } 'example.test', 'localhost', 'a', '1', 'a-b', 'a--b',
            'xn--bcher-kva.test', '127.0.0.1', 'a.b.c.d.e',
            "b\xc3\xbccher.test", "\xe6\x97\xa5\xe6\x9c\xac.test",
            "\xf0\x9f\xa6\x8a", "\xc3\xbc" x 40, 'a' x 63 . '.test',
            '[::1]', '[2001:db8::1]',
            '[::ffff:127.0.0.1]', substr('a.' x 512, 0, 1023)),
        'Example.TEST' => 'example.test',
        'example.test.' => 'example.test',
        'a' x 63 . '.TEST.' => 'a' x 63 . '.test',
        "B\xc3\xbcCHER.test" => "b\xc3\xbccher.test",
        '[2001:DB8::A]' => '[2001:db8::a]',
        'a.' x 511 . 'a.' => 'a.' x 511 . 'a',
        (map { ($_, undef) } '', '.', '..', 'example..test', '.example.test',
            'example.test..', '-a', 'a-', 'a.-b', 'a-.b', 'a_b', 'a b', ' a',
            'a ', 'a@b', 'a/b', 'a:5222', "a\0", "a\n", 'a*', '*.test',
            'a' x 64, 'a.' . 'b' x 64 . '.c', 'a.' x 511 . 'aa',
            "\xe9.test", "a\xc2\xa0b", "a${inverted}b", "\xef\xbf\xbf",
            "a\xc5.test", '[', ']', '[]', '[::1', '::1', '[::1]a', '[::1]:1',
            '[127.0.0.1]', '[::1%lo]', '[1:2:3]', '[:::]', "a\xe2\x80\x8bb",
            "a'b", 'a<b', 'a&b', 'a%b'),
    ],

    jid => [
        'example.test' => [ '', 'example.test' ],
        'alice@example.test' => [ 'alice', 'example.test' ],
        'Alice@Example.Test.' => [ 'Alice', 'example.test' ],
        'alice@example.test/phone' => [ 'alice', 'example.test' ],
        'alice@example.test/' => [ 'alice', 'example.test' ],
        'alice@example.test/a@b/c' => [ 'alice', 'example.test' ],
        'example.test/a@b' => [ '', 'example.test' ],
        'alice@[::1]/a' => [ 'alice', '[::1]' ],
        "\xc5\xbc\@b\xc3\xbccher.test" => [ "\xc5\xbc", "b\xc3\xbccher.test" ],
        (map { ($_, undef) } '', '@', '/', '@example.test', 'alice@',
            'alice@/a', '/a', 'a@b@c', 'a b@c', 'a@b c', 'a@b_c', '@/',
            "a\xe9\@b", "a\@\xe9"),
    ],
);

while (my ($kind, $cases) = splice @jids, 0, 2) {
    my (@case, @wanted);

    while (my ($jid, $result) = splice @$cases, 0, 2) {
        my ($local, $domain) = $kind eq 'jid'
            ? @{$result || []} : $kind eq 'local' ? ($result, '')
                                                  : ('', $result);

        push @case, [ $kind => $jid ];
        push @wanted, escape($jid) . ': ' . (defined $result
            ? 'ok ' . escape($local) . ' ' . escape($domain) : 'declined');
    }

    my @got = $parser->drive(@case);

    is(join("\n", map { escape($case[$_][1]) . ": $got[$_]" } 0 .. $#case),
       join("\n", map { "$_\n" } @wanted), "JIDs: $kind");
}


# A text in references, each of which takes a lot of room.

sub long { $_[0] =~ s/(.)/sprintf '&#%012d;', ord $1/ger }


# Compares the verdicts on documents; few of these are any good.

sub compare {
    my ($name, @documents) = @_;

    my ($taken, @differ) = (0);
    my @results = $parser->drive(map { [ parse => $_ ] } @documents);

    for my $document (@documents) {
        my $got = shift @results;
        my $all = $document;

        if ($got =~ /^closed (\d+)$/m) {
            $taken++;
            $all = substr $document, 0, $1;

        } elsif ($got =~ /^error (?:restricted-xml|bad-format|policy)/m
                 && $got !~ /^!/m) {
            next;
        }

        my $tree = tree($all);

        next if defined $tree ? $got eq $tree
                              : $got =~ /^(?:again|error) /m && $got !~ /^!/m;

        # LibXML wants namespaces to be URIs, and knows more instructions.
        next if $got !~ /^!/m
                && ($@ =~ /not a valid URI/ || $document =~ /<\?(?!xml )/);

        push @differ, escape($document) . "\n$got" . ($tree // "not XML\n");
    }

    is(join("\n", @differ), '', "the same verdicts: $name");
    cmp_ok($taken, '>', @documents / 20, "some were taken: $name");
    cmp_ok($taken, '<', @documents, "some were refused: $name");
}


# What a text became in all that was written.

sub written {
    my ($result, $text) = @_;

    my %found;

    for my $line ($result =~ /.*\n/g) {
        my ($what, $bytes) = $line =~ /^(\S+) (.*)\n/ or next;

        $found{broken} .= $line if $what eq '!';
        $bytes = unescape($bytes);

        $bytes .= '</stream:stream>' if $what =~ /^header/;
        $bytes =~ s{</stream:stream>$}{} unless $what =~ /^header/;
        $bytes = "<x xmlns:stream='s'>$bytes</x>" unless $what =~ /^header/;

        my $element = eval {
            XML::LibXML->new->parse_string($bytes)->documentElement;
        };

        if (!$element) {
            $found{$what} = "not XML: $bytes";

        } elsif ($what eq 'header') {
            $found{"header $_"} = $element->getAttribute($_) // ''
                for qw(id from to);

        } elsif ($what =~ /^(?:stream-error|location|failure|features)$/) {
            my ($node) = $element->findnodes('//*[local-name()="text"'
                . ' or local-name()="mechanism"'
                . ' or local-name()="see-other-host"]');
            $found{$what} = $node ? $node->textContent : '';

        } elsif ($what =~ /^(?:challenge|auth)$/) {
            my $message = decode_base64($element->textContent);
            $found{$what} = $message eq ($what eq 'auth' ? "\0$text\0$text"
                                                         : $text);
        }
    }

    return join '', map { "$_: " . octets($found{$_}) . "\n" }
                        sort keys %found;
}


sub written_wanted {
    my ($wanted) = @_;

    my $escaped = escape($wanted);

    my %found = (auth => 1, challenge => 1,
                 map { $_ => $escaped } 'failure', 'features', 'stream-error',
                                        'location',
                                        'header id', 'header from',
                                        'header to');

    return join '', map { "$_: $found{$_}\n" } sort keys %found;
}
