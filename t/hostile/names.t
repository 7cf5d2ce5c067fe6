#!/usr/bin/perl

# Names, references and namespaces at the edge of what XML allows: those that it
# has are taken, the others have the standard error.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $streams = 'http://etherx.jabber.org/streams';
my $names = "xmlns='jabber:client' xmlns:stream='$streams'";
my $rest = "to='example.test' version='1.0'";
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $xml = 'http://www.w3.org/XML/1998/namespace';
my $xmlns = 'http://www.w3.org/2000/xmlns/';

my $malformed = 'not-well-formed';
my $prefix = 'bad-namespace-prefix';
my $restricted = 'restricted-xml';

# In the place of the header.
my @header = (
    [ 'a declaration that ends as a tag', "<?xml version='1.0'>", $malformed ],
    [ 'a declaration that ends as an empty element', "<?xml version='1.0'/>",
      $malformed ],
    [ 'a declaration that does not end', "<?xml version='1.0'?x>",
      $malformed ],
    [ 'a target outside of ASCII', "<?\xc3\xa9 version='1.0'?>", $restricted ],
    [ 'a target that goes on outside of ASCII', "<?xml\xc3\xa9?>",
      $restricted ],
    [ 'a multiplication sign first', "<\xc3\x97", $malformed ],
    [ 'a name of Chinese characters', "<\xe4\xb8\xad $names $rest>",
      'invalid-namespace' ],
    [ 'an emoji', "<\xf0\x9f\x98\x80 $names $rest>", 'invalid-namespace' ],
);

# Attributes, in the header and elsewhere; undef: taken.
my @attribute = (
    [ 'a multiplication sign first', "\xc3\x97='1'", $malformed ],
    [ 'a multiplication sign behind a colon', "xml:\xc3\x97='1'", $malformed ],
    [ 'a name outside of ASCII', "\xc3\xa9='1'", undef ],
    [ 'it goes on outside of ASCII', "a\xcc\x80='1'", undef ],
    [ 'the same twice', "\xc3\xa9='1' \xc3\xa9='2'", $malformed ],
    [ 'a reference outside of ASCII', "a='&\xc3\xa9;'", $restricted ],
    [ 'it goes on outside of ASCII', "a='&l\xc3\xa9;'", $restricted ],
    [ 'a number outside of ASCII', "a='&#\xd9\xa1;'", $malformed ],
    [ 'a hexadecimal number outside of ASCII', "a='&#x\xd9\xa1;'",
      $malformed ],
    [ 'a NUL in a reference', "a='&\0;'", $malformed ],

    [ 'a name that begins with "xmlns"', "xmlnsx='1'", undef ],
    [ 'a prefix that begins with "xmlns"',
      "xmlns:xmlnsx='urn:x' xmlnsx:a='1'", undef ],
    [ 'one that is not bound', "xmlnsx:a='1'", $prefix ],
    [ '"xmlns" with a prefix', "xml:xmlns='1'", undef ],
    [ 'the namespace of "xml"', "xmlns:xml='$xml'", undef ],
    [ 'the same, with a reference',
      "xmlns:xml='" . $xml =~ s/e\z/&#101;/r . "'", undef ],
    [ 'the same, with a tab', "xmlns:xml='$xml\t'", $prefix ],
    [ 'another one of "xml"', "xmlns:xml='urn:x'", $prefix ],
    [ 'none of "xml"', "xmlns:xml=''", $prefix ],
    [ 'that of "xml" for another prefix', "xmlns:a='$xml'", $prefix ],
    [ 'that of "xmlns"', "xmlns:a='$xmlns'", $prefix ],
    [ 'that of "xmlns", with a reference',
      "xmlns:a='" . $xmlns =~ s{/\z}{&#47;}r . "'", $prefix ],
    [ '"xmlns" declared', "xmlns:xmlns='$xmlns'", $prefix ],

    # Values are compared as XML reads them: white space is a space.
    (map { [ "the same namespace: $_->[0]", "xmlns:a='x$_->[1]y'"
             . " xmlns:b='x$_->[2]y' a:z='1' b:z='2'", $malformed ] }
         [ 'a tab', "\t", ' ' ], [ 'a newline', "\n", ' ' ],
         [ 'a carriage return', "\r", ' ' ], [ 'both', "\r\n", ' ' ],
         [ 'both, the other way round', "\n\r", '  ' ],
         [ 'two lines', "\r\n\r\n", "\n\n" ],
         [ 'a tab by reference', '&#9;', '&#x9;' ],
         [ 'a space by reference', '&#32;', "\t" ],
         [ 'outside of ASCII', "\xc3\xa9", '&#233;' ]),
    (map { [ "another namespace: $_->[0]", "xmlns:a='x$_->[1]y'"
             . " xmlns:b='x$_->[2]y' a:z='1' b:z='2'", undef ] }
         [ 'a tab by reference', '&#9;', "\t" ],
         [ 'a newline by reference', '&#10;', ' ' ],
         [ 'both by reference', '&#13;&#10;', "\r\n" ],
         [ 'one space more', "\t\t", ' ' ],
         # The sums of these are the same: 31 * 'A' + 'a' = 31 * 'B' + 'B'.
         [ 'that looks alike', 'Aa', 'BB' ],
         [ 'that looks alike, with a reference', 'A&#97;', 'BB' ]),
);

# In the place of the content of an element.
my @content = (
    [ 'a reference outside of ASCII', "&\xc3\xa9;", $restricted ],
    [ 'a number outside of ASCII', "&#\xc3\xa9;", $malformed ],
    [ 'a multiplication sign first', "<\xc3\x97/>", $malformed ],
    [ 'an end tag outside of ASCII', "<\xc3\xa9></\xc3\xa9>", undef ],
    [ 'another end tag', "<\xc3\xa9></\xc3\xa8>", $malformed ],
    [ 'an end tag with a multiplication sign', "<a></a\xc3\x97>",
      $malformed ],
    [ 'it begins with one', "<a></\xc3\x97>", $malformed ],
    [ 'CDATA outside of ASCII', "<![CDATA[\xc3\xa9]]>", undef ],
    [ 'a noncharacter in CDATA', "<![CDATA[\xef\xbf\xbf]]>", $malformed ],
    [ 'a noncharacter', "\xef\xbf\xbf", $malformed ],
    [ 'CDATA that begins outside of ASCII', "<![\xc3\xa9", $malformed ],
);

plan tests => 2 * (@header + 2 * @attribute + @content) + @attribute + 1 + 1;

my $t = XMPP::Nginx->new(log => 'info');
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

my $port = $t->port('client');
my $header = "<stream:stream $names $rest>";
my $ready = header() . features(mechanisms => [ 'PLAIN' ]);
my $failed = failure('invalid-mechanism');
my $start = header(from => undef);

for (@header) {
    my ($name, $bytes, $condition) = @$_;

    talk_to_end($port, "header: $name", $bytes
                => $start . stream_error($condition));
}

for (@attribute) {
    my ($name, $bytes, $condition) = @$_;

    said("in the header: $name", "<stream:stream $names $bytes $rest>",
         $ready, $condition && $start . stream_error($condition));

    said("in an element: $name", "$header<auth $sasl mechanism='NO' $bytes/>",
         "$ready$failed", $condition && $ready . stream_error($condition));

    # The backend is read by the same rules.
    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     [ send => "<stream:stream $names id='1' $bytes"
                               . " version='1.0'><stream:features/>" ],
                     [ 'drain' ]);

    my $c = XMPP::Client->new($port);

    $c->send($header . auth('PLAIN', plain('alice', 'wonder')));
    $c->expect_end($ready . refused('temporary-auth-failure'),
                   "of the backend: $name");
}

for (@content) {
    my ($name, $bytes, $condition) = @$_;

    said("content: $name", "$header<auth $sasl mechanism='NO'>$bytes</auth>",
         "$ready$failed", $condition && $ready . stream_error($condition));
}

{
    my $invalid = () = $t->log =~ /upstream sent invalid XML/g;

    is($invalid, scalar(grep { $_->[2] } @attribute),
       'and these are what the backend may not send');
}

$t->finish;


sub said {
    my ($name, $bytes, $taken, $refused) = @_;

    $refused ? talk_to_end($port, $name, $bytes => $refused)
             : talk($port, $name, $bytes => $taken);
}
