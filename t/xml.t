#!/usr/bin/perl

# What the XML parser takes and what it refuses, seen from the wire.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 311;

use XMPP::Auth;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $auth = XMPP::Auth->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    max_errors 100;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

my $port = $t->port('client');

my $ready = header() . features(mechanisms => [ 'PLAIN' ]);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

my $names = "xmlns='jabber:client'"
            . " xmlns:stream='http://etherx.jabber.org/streams'";
my $rest = "to='example.test' version='1.0'";
my $header = "<stream:stream $names $rest>";


# In place of a header, or at some place in it.

my @header = (
    'restricted-xml' => [
        'DTD', "<!DOCTYPE stream:stream SYSTEM 'a.dtd'>$header",
        'DTD behind the declaration', "<?xml version='1.0'?><!DOCTYPE a []>",
        'comment', "<!-- hello -->$header",
        'processing instruction', "<?php echo ?>$header",
        'processing instruction behind the declaration',
            "<?xml version='1.0'?>\n<?xml-stylesheet href='a'?>$header",
        'two declarations',
            "<?xml version='1.0'?><?xml version='1.0'?>$header",
        'entity in an attribute', "<stream:stream $names a='&eacute;' $rest>",
        'entity named like one of the five',
            "<stream:stream $names a='&ampx;' $rest>",
        'entity named in capitals', "<stream:stream $names a='&LT;' $rest>",
    ],

    'unsupported-encoding' => [
        'ISO-8859-1', "<?xml version='1.0' encoding='ISO-8859-1'?>$header",
        'UTF-16 declared', "<?xml version='1.0' encoding='UTF-16'?>$header",
        'empty encoding', "<?xml version='1.0' encoding=''?>$header",
        'UTF-16', "\0" . join("\0", split //, $header),
        'UTF-16, little endian', join("\0", split //, $header),
        'UTF-16 with its mark', "\xfe\xff\0" . join("\0", split //, $header),
        'a byte that is never in UTF-8',
            "<stream:stream $names a='\xff' $rest>",
        'a byte of Latin-1', "<stream:stream $names a='caf\xe9' $rest>",
        'a lone continuation', "<stream:stream $names a='\x80' $rest>",
        'two bytes for one', "<stream:stream $names a='\xc0\xaf' $rest>",
        'three bytes for one', "<stream:stream $names a='\xe0\x80\xaf' $rest>",
        'a surrogate', "<stream:stream $names a='\xed\xa0\x80' $rest>",
        'above U+10FFFF', "<stream:stream $names a='\xf4\x90\x80\x80' $rest>",
        'sequence broken off', "<stream:stream $names a='\xe2\x82' $rest>",
    ],

    'not-well-formed' => [
        'plain text', 'hello',
        'an HTTP request', "GET / HTTP/1.0\r\n\r\n",
        'a TLS record', "\x16\x03\x01\x02\x00\x01",
        'a NUL', "<stream:stream $names a='\0' $rest>",
        'a control character', "<stream:stream $names a='\x01' $rest>",
        'U+FFFE', "<stream:stream $names a='\xef\xbf\xbe' $rest>",
        'end tag first', '</stream:stream>',
        'declaration without version', "<?xml encoding='UTF-8'?>$header",
        'declaration of version 1.1', "<?xml version='1.1'?>$header",
        'declaration out of order',
            "<?xml encoding='UTF-8' version='1.0'?>$header",
        'white space before the name', "< stream:stream $names $rest>",
        'name that starts with a digit', "<1stream $names $rest>",
        'name that starts with a colon', "<:stream $names $rest>",
        'name that ends with a colon', "<stream: $names $rest>",
        'name with two colons', "<stream:a:stream $names $rest>",
        'duplicate attribute', "<stream:stream $names $rest to='a.test'>",
        'duplicate xmlns',
            "<stream:stream $names xmlns='jabber:client' $rest>",
        'duplicate through two prefixes', "<stream:stream $names $rest"
            . " xmlns:a='urn:x' xmlns:b='urn:x' a:c='1' b:c='2'>",
        'attribute without value', "<stream:stream $names a $rest>",
        'attribute without quotes', "<stream:stream $names a=1 $rest>",
        'attributes without space', "<stream:stream $names a='1'b='2' $rest>",
        'less-than in a value', "<stream:stream $names a='<' $rest>",
        'ampersand alone', "<stream:stream $names a='a & b' $rest>",
        'reference without semicolon', "<stream:stream $names a='&amp' $rest>",
        'empty reference', "<stream:stream $names a='&;' $rest>",
        'reference to character 0', "<stream:stream $names a='&#0;' $rest>",
        'reference to a control character',
            "<stream:stream $names a='&#x8;' $rest>",
        'reference to a surrogate',
            "<stream:stream $names a='&#xD800;' $rest>",
        'reference above U+10FFFF',
            "<stream:stream $names a='&#x110000;' $rest>",
        'reference with wrong digits',
            "<stream:stream $names a='&#12a;' $rest>",
        'reference with a capital X',
            "<stream:stream $names a='&#X41;' $rest>",
        'slash in the tag', "<stream:stream / $names $rest>",
        'CDATA before the header', "<![CDATA[ ]]>$header",
    ],

    'bad-namespace-prefix' => [
        'prefix of the root not bound',
            "<stream:stream xmlns='jabber:client' $rest>",
        'prefix of an attribute not bound',
            "<stream:stream $names a:b='c' $rest>",
    ],

    'policy-violation' => [
        '33 attributes', "<stream:stream $names $rest "
            . join(' ', map { "a$_='1'" } 1 .. 29) . '>',
    ],
);

while (my ($condition, $case) = splice @header, 0, 2) {
    while (my ($name, $bytes) = splice @$case, 0, 2) {
        talk_to_end($port, "$condition: $name", $bytes
                    => header(from => undef) . stream_error($condition));
    }
}


# In the stream.

my @stream = (
    'restricted-xml' => [
        'comment', '<!-- hello -->',
        'processing instruction', '<?php echo ?>',
        'DTD', '<!DOCTYPE a>',
        'entity in text', "<auth $sasl mechanism='PLAIN'>&nbsp;</auth>",
        'comment in an element', "<auth $sasl mechanism='PLAIN'><!-- -->",
        'processing instruction in an element', "<auth $sasl><?a?></auth>",
    ],

    'unsupported-encoding' => [
        'text in Latin-1', "<auth $sasl mechanism='PLAIN'>\xe9</auth>",
        'name in Latin-1', "<caf\xe9/>",
    ],

    'not-well-formed' => [
        'tags crossed', "<auth $sasl><a><b></a></b></auth>",
        'wrong end tag', "<auth $sasl mechanism='PLAIN'></response>",
        'end tag with another prefix',
            "<s:auth xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl'></auth>",
        'end tag with an attribute', "<auth $sasl></auth a='b'>",
        'end tag with a prefix of its beginning', "<auth $sasl></aut>",
        'control character in text', "<auth $sasl>\x08</auth>",
        'DEL is one of XML, NUL is not', "<auth $sasl>\x7f\0</auth>",
        'end of CDATA in text', "<auth $sasl>]]></auth>",
        'reference to a control character', "<auth $sasl>&#1;</auth>",
        'wrong end of the stream', '</stream>',
    ],

    'bad-namespace-prefix' => [
        'element', '<a:b/>',
        'attribute', "<auth $sasl a:b='c'/>",
        'prefix of an element that has ended',
            "<auth $sasl mechanism='NO' xmlns:a='urn:x'><a:b/></auth><a:b/>",
    ],

    'bad-format' => [
        'text', 'hello',
        'a character reference', '&#65;',
        'an entity', '&amp;',
        'CDATA', '<![CDATA[x]]>',
    ],

    'policy-violation' => [
        'elements 33 deep',
            "<auth $sasl mechanism='NO'>" . '<a>' x 32,
        '33 attributes', "<auth $sasl "
            . join(' ', map { "a$_='1'" } 1 .. 32) . '/>',
    ],
);

while (my ($condition, $case) = splice @stream, 0, 2) {
    while (my ($name, $bytes) = splice @$case, 0, 2) {
        my $before = $bytes =~ m{</auth><a:b/>$}
                     ? failure('invalid-mechanism') : '';

        talk_to_end($port, "$condition in the stream: $name",
                    $header => $ready, $bytes
                    => $before . stream_error($condition));
    }
}


# What is good XML.  An unknown mechanism tells that it was understood.

my @good = (
    'empty element' => "<auth $sasl mechanism='NO'/>",
    'space in the tags' => "<auth\n$sasl\tmechanism = \"NO\" ></auth\r\n >",
    'references in a value' =>
        "<auth $sasl mechanism='&#78;&#x4f;&#x1F600;'/>",
    'the five entities' =>
        "<auth $sasl mechanism='&lt;&gt;&amp;&apos;&quot;'/>",
    'greater-than in a value' => "<auth $sasl mechanism='>'/>",
    'quotes in each other' => "<auth $sasl mechanism='\"' a=\"'\"/>",
    'names with all letters' => "<auth $sasl ładny_x-1.2='1' mechanism='NO'/>",
    'UTF-8 of each length' => "<auth $sasl mechanism='aż日🦊'>ż日🦊</auth>",
    'CDATA' => "<auth $sasl mechanism='NO'><![CDATA[<&]>]]]]></auth>",
    'children' => "<auth $sasl mechanism='NO'><a b='c'>d<e/>f</a> <g/></auth>",
    'a prefix' => "<s:auth xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl'"
                  . " mechanism='NO'></s:auth>",
    'a prefix used before it is declared' =>
        "<auth $sasl ga:b='c' xmlns:ga='urn:x' mechanism='NO'/>",
    'a prefix declared again' => "<auth $sasl xmlns:a='urn:x' mechanism='NO'>"
        . "<a:b xmlns:a='urn:y' a:c=''/></auth>",
    'a prefix in no ASCII' => "<auth $sasl xmlns:ż='urn:x' ż:ł='1'"
        . " mechanism='NO'><ż:ł/></auth>",
    'the prefix xml' => "<auth $sasl xml:lang='de' mechanism='NO'/>",
    'a reference in the namespace' =>
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-&#115;asl' mechanism='NO'/>",
    'elements 32 deep' => "<auth $sasl mechanism='NO'>" . '<a>' x 30
                          . '</a>' x 30 . '</auth>',
    '32 attributes' => "<auth $sasl mechanism='NO' "
                       . join(' ', map { "a$_='1'" } 1 .. 30) . '/>',
);

while (my ($name, $bytes) = splice @good, 0, 2) {
    talk($port, "good XML: $name", $header => $ready,
         $bytes => failure('invalid-mechanism'));
}

talk($port, 'references in base64 and in the name of the mechanism',
     $header => $ready,
     "<auth $sasl mechanism='PL&#65;IN'>&#x3D;&#61;</auth>"
     => failure('incorrect-encoding'),
     "<auth $sasl mechanism='PLAIN'><![CDATA[AGE=]]></auth>"
     => failure('malformed-request'));

# White space gives its place in the buffer to what is behind it.
talk($port, 'a prefix in an element that is moved', $header => $ready,
     "<auth $sasl mechanism='NO'/>\n"
         . "<auth $sasl xmlns:a='urn:x' a:b='c' mechanism='NO'><a:d>"
     => failure('invalid-mechanism'),
     "<e a:f='g'/></a:d></auth>" => failure('invalid-mechanism'));

$t->finish;
