package XMPP::Hostile;

# What the hostile tests share: attacks as texts, and what these cost.
#
#   between(), in_values(), in_tags(), as_names()   attacks on a parser: what
#                               stands between tags, in the value of an
#                               attribute, in a tag behind its name, as its
#                               name.  Each is [ NAME, BYTES, CONDITION ], the
#                               condition of the stream error, undef if the
#                               bytes are good.  Where it depends on the place,
#                               it is a hash by places; others are not tried:
#                               prolog (before the header), declared (between
#                               the declaration and the header), stream (a
#                               child of it), element (deeper); the last three
#                               for tags as well, and "root" for a header
#   my $pid = worker($t)        the one worker of an XMPP::Nginx
#   private($pid)               bytes of memory that it shares with nobody
#   cpu($pid)                   seconds of processor time that it has used
#   quiet($pid)                 wait till it has no more work, returns cpu()
#   instrumented($t)            built with a sanitizer, or under valgrind: what
#                               memory it takes says nothing
#   feed($c, $bytes, $seconds)  send to a peer that may close, or may not read,
#                               and take what it says; true if all was sent
#   since($t)                   what was logged since the last call
#   well_formed($stream)        '', or what is wrong with a whole answer

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use Exporter 'import';
use Time::HiRes qw(sleep time);
use XML::LibXML;

use XMPP::Files;

our @EXPORT = qw(between in_values in_tags as_names worker private cpu quiet
                 instrumented feed since well_formed);

my %read;


my $malformed = 'not-well-formed';
my $policy = 'policy-violation';

# A stream has no text of its own, whatever is in it.
my %restricted = map { $_ => 'restricted-xml' }
                     qw(prolog declared stream element);
my %encoding = map { $_ => 'unsupported-encoding' } keys %restricted;
my %markup = map { $_ => $malformed } keys %restricted;
my %text = (%markup, stream => 'bad-format');
my %good = (%text, element => undef);
my %entity = (%text, element => 'restricted-xml');
my %large = (element => $policy);

my %invalid = (
    'a lone continuation'       => "\x80",
    'continuations'             => "\xbf\xbf\xbf",
    'two bytes for NUL'         => "\xc0\x80",
    'two bytes for less-than'   => "\xc0\xbc",
    'two bytes for DEL'         => "\xc1\xbf",
    'three bytes for a slash'   => "\xe0\x80\xaf",
    'three bytes for U+07FF'    => "\xe0\x9f\xbf",
    'four bytes for less-than'  => "\xf0\x80\x80\xbc",
    'four bytes for U+FFFF'     => "\xf0\x8f\xbf\xbf",
    'five bytes'                => "\xf8\x88\x80\x80\x80",
    'six bytes'                 => "\xfc\x84\x80\x80\x80\x80",
    'the first surrogate'       => "\xed\xa0\x80",
    'the last surrogate'        => "\xed\xbf\xbf",
    'a pair of surrogates'      => "\xed\xa0\xbd\xed\xb8\x80",
    'U+110000'                  => "\xf4\x90\x80\x80",
    'above all of Unicode'      => "\xf7\xbf\xbf\xbf",
    'the byte FE'               => "\xfe",
    'the byte FF'               => "\xff",
    'the mark of UTF-16'        => "\xfe\xff",
    'the mark of UTF-16, little endian' => "\xff\xfe",
    'Latin-1'                   => "\xe9t\xe9",
    'one byte of two'           => "\xc3'",
    'two bytes of three'        => "\xe2\x82<",
    'three bytes of four'       => "\xf0\x9f\xa6<a/>",
);

my %control = map { sprintf('the control character %02X', $_) => chr }
                  0x01, 0x08, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f;

# What is no Char of XML.
my %nonchar = ('U+FFFE' => "\xef\xbf\xbe", 'U+FFFF' => "\xef\xbf\xbf");

my %reference = map { $_ => $_ } (
    '&#0;', '&#x0;', '&#00000;', '&#1;', '&#8;', '&#xB;', '&#12;', '&#x1F;',
    '&#xD800;', '&#xDBFF;', '&#xDFFF;', '&#55296;', '&#xFFFE;', '&#xffff;',
    '&#x110000;', '&#1114112;', '&#xFFFFFFFF;', '&#x100000041;',
    '&#4294967361;', '&#x10000000000000041;', '&#18446744073709551681;',
    '&#-65;', '&#+65;', '&# 65;', '&#65 ;', '&#x 41;', '&#x;', '&#;', '&#',
    '&;', '& ', '&&amp;', '&#6A;', '&#x4G;', '&#X41;', '&#0x41;', '&amp ',
    '&#65', '&1;', '&-a;',
);

%reference = (%reference,
    'a reference with hundreds of digits' => '&#' . '9' x 300 . ';',
    'a reference with hundreds of F' => '&#x' . 'F' x 300 . ';',
    'zeros, and a character that is none' => '&#' . '0' x 300 . '11;',
);

# Entities that nobody has declared, or that are not written so.
my %unknown = map { $_ => $_ } qw(&x; &nbsp; &lol9; &LT; &Amp; &ltx; &l; &_:;
                                  &xml;);
$unknown{'an entity with a long name'} = '&' . 'x' x 300 . ';';

my @laughs = map { my $n = $_;
                   "<!ENTITY lol$n \"" . ('&lol' . ($n - 1) . ';') x 10 . '">'
                 } 1 .. 9;

my %external = (
    'a DTD' => '<!DOCTYPE a>',
    'a DTD elsewhere' => "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/a.dtd'>",
    'a public DTD' => "<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0//EN'"
        . " 'http://127.0.0.1:9/a.dtd'>",
    'billion laughs' => "<!DOCTYPE lolz [<!ENTITY lol0 'lol'>@laughs]>",
    'a quadratic entity' =>
        "<!DOCTYPE a [<!ENTITY a '" . 'a' x 2000 . "'>]>",
    'an entity in itself' =>
        "<!DOCTYPE a [<!ENTITY a '&b;'><!ENTITY b '&a;'>]>",
    'an external entity' =>
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
    'a public entity' =>
        "<!DOCTYPE a [<!ENTITY x PUBLIC 'x' 'http://127.0.0.1:9/'>]>",
    'a parameter entity' =>
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;]>",
    'defaults of attributes' => "<!DOCTYPE a [<!ATTLIST a b CDATA 'c'>]>",
    'a DTD that never ends' => '<!DOCTYPE a [' . ' ' x 300,
    'a comment' => '<!-- x -->',
    'an empty comment' => '<!---->',
    'a comment that is none' => '<!-->',
    'half the start of a comment' => '<!-',
    'a comment with markup' => '<!--<a/>&x;]]>-->',
    'a comment that never ends' => '<!--' . '-' x 300,
    'a processing instruction' => '<?x y?>',
    'PHP' => '<?php system("id") ?>',
    'a style sheet' => "<?xml-stylesheet href='http://127.0.0.1:9/'?>",
    'an instruction without a name' => '<? x?>',
    'an instruction without anything' => '<??>',
    'a declaration in capitals' => "<?XML version='1.0'?>",
    'an instruction of the name xmlx' => "<?xmlx version='1.0'?>",
    'an instruction that never ends' => '<?x' . '?' x 300,
);


sub _all {
    my ($set, $condition) = @_;

    return map { [ $_, $set->{$_}, $condition ] } sort keys %$set;
}


sub between {
    return (
        _all(\%external, \%restricted),
        _all(\%invalid, \%encoding),
        _all({ %control, %nonchar, %reference }, \%text),
        _all(\%unknown, \%entity),

        [ 'a second declaration', "<?xml version='1.0'?>",
          { map { $_ => 'restricted-xml' } qw(declared stream element) } ],

        (map { [ "<!$_", "<!$_ a '&#37;'>", \%markup ] }
             qw(ENTITY ELEMENT ATTLIST NOTATION doctype x)),
        [ '<!>', '<!>', \%markup ],
        [ '< ', '< a>', \%markup ],
        [ '<>', '<>', \%markup ],
        [ '<<', '<<a>', \%markup ],
        [ '<=', '<=a>', \%markup ],
        [ 'an end tag without a name', '</>', \%markup ],
        [ 'an end tag of nobody', '</x:y>', \%markup ],

        [ 'a CDATA section', '<![CDATA[<&>]]]]>', \%good ],
        [ 'an empty CDATA section', '<![CDATA[]]>', \%good ],
        [ 'two CDATA sections', '<![CDATA[]]]]><![CDATA[>]]>', \%good ],
        [ 'a DTD in a CDATA section', '<![CDATA[<!DOCTYPE a>&x;<!---->]]>',
          \%good ],
        [ 'CDATA in CDATA', '<![CDATA[<![CDATA[]]>]]>', \%text ],
        [ 'CDATA in small letters', '<![cdata[x]]>', \%text ],
        [ 'CDATA with a space', '<![CDATA [x]]>', \%text ],
        [ 'CDATA without its second bracket', '<![CDATA]]>', \%text ],
        [ 'a NUL in CDATA', "<![CDATA[\0]]>", \%text ],
        [ 'a control character in CDATA', "<![CDATA[\x1f]]>", \%text ],
        [ 'a surrogate in CDATA', "<![CDATA[\xed\xa0\x80]]>",
          { element => 'unsupported-encoding' } ],
        [ 'U+FFFE in CDATA', "<![CDATA[\xef\xbf\xbe]]>", \%text ],
        [ '<![INCLUDE[', '<![INCLUDE[<a/>]]>', \%text ],
        [ '<![IGNORE[', '<![IGNORE[<a/>]]>', \%text ],
        [ 'CDATA that never ends', '<![CDATA[' . ']' x 8000, \%large ],

        [ 'text', 'x', \%good ],
        [ 'a character reference', '&#65;', \%good ],
        [ 'the highest character', '&#x10FFFF;', \%good ],
        [ 'zeros', '&#' . '0' x 300 . '65;&#x' . '0' x 300 . '41;', \%good ],
        [ 'an entity', '&lt;', \%good ],
        [ 'UTF-16 for less-than, and back', '+ADw-script+AD4-', \%good ],
        [ 'the mark of UTF-8', "\xef\xbb\xbf", \%good ],
        [ 'DEL and U+0080', "\x7f\xc2\x80", \%good ],
        [ 'brackets', ']]]', \%good ],
        [ 'the end of CDATA, written otherwise', ']]&gt;]]&#62;', \%good ],
        [ 'the end of CDATA', ']]>', \%text ],
        [ 'the end of CDATA, and one more', 'x]]]]>', \%text ],
        [ 'a NUL', "\0",
          { %text, prolog => 'unsupported-encoding' } ],
        [ 'a NUL behind text', "x\0", \%text ],
        [ 'UTF-16 inside', "\0<\0a\0/\0>", { %text,
          prolog => 'unsupported-encoding' } ],
        [ 'UTF-16 inside, little endian', "<\0a\0/\0>\0", { %markup,
          prolog => 'unsupported-encoding' } ],

        [ '10,000 levels', '<a>' x 10_000, \%large ],
        [ '10,000 children', '<a/>' x 10_000, \%large ],
        [ '10,000 references', '&#65;' x 10_000, \%large ],
        [ 'namespaces on each level',
          join('', map { "<a xmlns:a$_='u' xmlns:b$_='v'>" } 1 .. 31),
          \%large ],
        [ '100,000 bytes of text', 'A' x 100_000, \%large ],
    );
}


sub in_values {
    return (
        _all(\%invalid, 'unsupported-encoding'),
        _all({ %control, %nonchar, %reference }, $malformed),
        _all(\%unknown, 'restricted-xml'),

        [ 'a NUL', "\0", $malformed ],
        [ 'less-than', 'a<b', $malformed ],
        [ 'a tag', '<a/>', $malformed ],
        [ 'CDATA', '<![CDATA[x]]>', $malformed ],
        [ 'a comment', '<!-- -->', $malformed ],
        [ 'a quote, and text behind it', "'x", $malformed ],
        [ '100,000 bytes', 'A' x 100_000, $policy ],
        [ '10,000 references', '&lt;' x 10_000, $policy ],

        [ 'the end of CDATA', ']]>', undef ],
        [ 'the mark of UTF-8', "\xef\xbb\xbf", undef ],
        [ 'greater-than', '/>', undef ],
        [ 'zeros', '&#' . '0' x 300 . '65;', undef ],
        [ 'references', '&lt;!DOCTYPE a&#62;&amp;x;', undef ],
        [ 'white space', "\t\r\n ", undef ],
    );
}


my %prefix = (
    'a prefix that is not bound' => "a:b='c'",
    'a prefix in capitals' => "XML:b='c'",
    'xml bound to something else' => "xmlns:xml='urn:x'",
    'xml bound to nothing' => "xmlns:xml=''",
    'the namespace of xml, by another prefix' =>
        "xmlns:x='http://www.w3.org/XML/1998/namespace'",
    'the namespace of xml, by a reference' =>
        "xmlns:x='http://www.w3.org/XML/1998/n&#97;mespace'",
    'xmlns bound' => "xmlns:xmlns='urn:x'",
    'xmlns bound to its own namespace' =>
        "xmlns:xmlns='http://www.w3.org/2000/xmlns/'",
    'the namespace of xmlns, by another prefix' =>
        "xmlns:x='http://www.w3.org/2000/xmlns/'",
    'a prefix bound to nothing' => "xmlns:x=''",
);

my %tag = (
    'an attribute twice' => "x='1' x='1'",
    'an attribute twice, the quotes differ' => "x='1' x=\"2\"",
    'an attribute twice, far away' =>
        join(' ', map { "x$_=''" } 1 .. 20) . " x1=''",
    'a prefix bound twice' => "xmlns:x='urn:x' xmlns:x='urn:y'",
    'twice by two prefixes' => "xmlns:x='urn:x' xmlns:y='urn:x' x:a='' y:a=''",
    'twice, the prefixes come later' =>
        "x:a='' y:a='' xmlns:x='urn:x' xmlns:y='urn:x'",
    'twice by two prefixes, one by reference' =>
        "xmlns:x='urn:x' xmlns:y='urn:&#120;' x:a='' y:a=''",
    'twice, the last one of many' => join(' ', map { "xmlns:p$_='urn:p'" }
                                                   1 .. 8)
        . ' ' . join(' ', map { "p$_:a$_=''" } 1 .. 8) . " p2:a1=''",
    'no value' => 'x',
    'no quotes' => 'x=1',
    'no name' => "='1'",
    'a quoted name' => "'x'='1'",
    'no space between two' => "x='1'y='2'",
    'two equal signs' => "x=='1'",
    'a name with two colons' => "xmlns:x='u' x:y:z='1'",
    'a name that ends with a colon' => "xmlns:='u'",
    'a name that starts with a colon' => ":x='1'",
    'a name that starts with a digit' => "1='1'",
    'a name that starts with a hyphen' => "-x='1'",
    'a name with a digit behind the colon' => "xml:1='1'",
    'a name with a character that is none' => "x\xc3\x97='1'",
    'a name that starts with a combining character' => "\xcc\x80='1'",
    'a NUL in a name' => "x\0='1'",
    'a NUL between names' => "\0",
    'a control character between names' => "\x0b",
    'a space that is none of XML' => "\xc2\xa0x='1'",
    'a comment in the tag' => '<!-- -->',
    'a tag in the tag' => '<a>',
    'a slash' => "/ x='1'",
    'a question mark' => '?',
    'an ampersand' => '&amp;',
);


sub in_tags {
    return (
        _all(\%prefix, 'bad-namespace-prefix'),
        _all(\%tag, $malformed),

        [ 'Latin-1 in a name', "\xe9='1'", 'unsupported-encoding' ],
        [ 'overlong UTF-8 in a name', "x\xc1\x81='1'",
          'unsupported-encoding' ],
        [ '10,000 attributes', join(' ', map { "a$_=''" } 1 .. 10_000),
          $policy ],
        [ '10,000 prefixes', join(' ', map { "xmlns:a$_='u'" } 1 .. 10_000),
          $policy ],
        [ 'a name of 100,000 bytes', 'x' x 100_000, $policy ],
        [ 'a prefix of 100,000 bytes', "xmlns:" . 'x' x 100_000, $policy ],
        [ 'a namespace of 100,000 bytes', "xmlns:x='" . 'x' x 100_000,
          $policy ],
        [ 'white space for ever', ' ' x 100_000, $policy ],

        [ 'xml bound to its own namespace',
          "xmlns:xml='http://www.w3.org/XML/1998/namespace'", undef ],
        [ 'the same name in two namespaces',
          "xmlns:x='urn:x' xmlns:y='urn:y' x:a='' y:a='' a=''", undef ],
        [ 'a name in letters of all sizes', "\xc3\xa9\xe2\x82\xacx"
          . "\xf0\x90\x80\x80='1'", undef ],
    );
}


# Elements: what they are the root of, and what is one of their children.

sub as_names {
    return (
        (map { [ "$_->[0]", $_->[1], $malformed ] }
             [ 'a digit first', '1x' ], [ 'a hyphen first', '-x' ],
             [ 'a dot first', '.x' ], [ 'a colon first', ':x' ],
             [ 'a colon last', 'stream:' ], [ 'two colons', 'stream:a:b' ],
             [ 'a digit behind the colon', 'stream:1' ],
             [ 'a NUL inside', "x\0" ], [ 'a control character', "x\x01" ],
             [ 'a multiplication sign', "x\xc3\x97" ],
             [ 'a combining character first', "\xcc\x80x" ],
             [ 'a quote', 'x"' ], [ 'an equal sign', 'x=' ]),

        [ 'Latin-1', "caf\xe9 ", 'unsupported-encoding' ],
        [ 'a surrogate', "x\xed\xa0\x80", 'unsupported-encoding' ],
        [ 'a prefix that is not bound', 'y:x', 'bad-namespace-prefix' ],
        [ 'the prefix xmlns', 'xmlns:x', 'bad-namespace-prefix' ],
        [ 'a name of 100,000 bytes', 'x' x 100_000, $policy ],
        [ 'a prefix of 100,000 bytes', 'x' x 100_000 . ':x', $policy ],

        [ 'another name', 'x', { root => 'invalid-namespace',
          stream => 'unsupported-stanza-type', element => undef } ],
        [ 'the prefix xml', 'xml:stream', { root => 'invalid-namespace',
          stream => 'unsupported-stanza-type', element => undef } ],
        [ 'another name of streams', 'stream:x', { root => 'bad-format',
          stream => 'unsupported-stanza-type', element => undef } ],
    );
}


sub worker {
    my ($t) = @_;

    my $master = $t->pid;
    my $end = time + $t->timeout;

    do {
        my ($pid) = split ' ',
                    read_file("/proc/$master/task/$master/children");
        return $pid if defined $pid;
        sleep 0.01;
    } while time < $end;

    die "no worker\n";
}


sub private {
    my ($pid) = @_;

    # What was swapped out is held as well.
    my $map = read_file("/proc/$pid/smaps_rollup");
    my $bytes = 0;

    $bytes += 1024 * $1
        while $map =~ /^(?:Private_Dirty|SwapPss): +(\d+) kB/mg;

    return $bytes;
}


sub cpu {
    my ($pid) = @_;

    my ($ns) = split ' ', read_file("/proc/$pid/schedstat");

    return $ns / 1e9;
}


sub quiet {
    my ($pid) = @_;

    my $end = time + XMPP::Nginx->timeout;
    my ($before, $still) = (-1, 0);

    until ($still == 3 || time > $end) {
        my $now = cpu($pid);

        # On a busy machine, one that has work may get no time for it.
        my $sleeps = read_file("/proc/$pid/stat") =~ /\) S /;

        $still = $sleeps && $now == $before ? $still + 1 : 0;
        $before = $now;
        sleep 0.005;
    }

    return $before;
}


sub instrumented {
    my ($t) = @_;

    return $ENV{TEST_NGINX_VALGRIND}
           || $t->{built} =~ /-fsanitize=|NGX_DEBUG_PALLOC/;
}


sub feed {
    my ($c, $bytes, $seconds) = @_;

    my $end = time + ($seconds // $c->{timeout});
    my $select = IO::Select->new($c->{socket});

    if ($c->{tls}) {
        $c->{tls}->write($bytes);
        $bytes = $c->{tls}->out;
    }

    until ($bytes eq '') {
        my $n = syswrite $c->{socket}, $bytes;

        if (defined $n) {
            substr($bytes, 0, $n) = '';
            next;
        }

        next if $! == EINTR;
        return 0 if $! != EAGAIN || $c->ended || time > $end;

        my ($r) = IO::Select->select($select, $select, undef, 0.1);
        $c->_fill(0) if $r && @$r;
    }

    return 1;
}


sub since {
    my ($t) = @_;

    my $log = $t->log;
    my $new = substr $log, $read{$t} || 0;

    $read{$t} = length $log;

    return $new;
}


sub well_formed {
    my ($stream) = @_;

    eval { XML::LibXML->load_xml(string => $stream, no_network => 1) }
        or return "$@";

    return '';
}

1;
