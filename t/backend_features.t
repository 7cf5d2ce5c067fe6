#!/usr/bin/perl

# All forms of a stream that a backend may use for its side of the login.  The
# client always gets our <success/>, and from then on what the backend sends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $sasl = 'urn:ietf:params:xml:ns:xmpp-sasl';
my $streams = 'http://etherx.jabber.org/streams';

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    . " xmlns:stream='$streams' id='1' from='example.test' version='1.0'>";
my $list = "<mechanisms xmlns='$sasl'><mechanism>PLAIN</mechanism></mechanisms>";
my $features = "<stream:features>$list</stream:features>";
my $success = "<success xmlns='$sasl'/>";

# A name, the header, the features, <success/> and, if any, what follows it.
my @case = (
    [ 'usual', $header, $features, $success ],
    [ 'with data behind <success/>', $header, $features, $success,
      "\n<?xml version='1.0'?><stream:stream>\0\xff\xfe not for nginx" ],
    [ 'with another prefix',
      "<s:stream xmlns:s='$streams' xmlns='jabber:client' version='1.0'>",
      "<s:features>$list</s:features>", $success ],
    [ 'with the streams as the default namespace',
      "<stream xmlns='$streams' version='1.0'>", "<features>$list</features>",
      $success ],
    [ 'with the namespace at the features',
      "<stream:stream xmlns:stream='$streams' version='1.0'>",
      "<a:features xmlns:a='$streams'>$list</a:features>", $success ],
    [ 'with SASL bound in the header',
      "<stream:stream xmlns:stream='$streams' xmlns:sasl='$sasl'"
      . " version='1.0'>",
      '<stream:features><sasl:mechanisms><sasl:mechanism>PLAIN'
      . '</sasl:mechanism></sasl:mechanisms></stream:features>',
      '<sasl:success/>', '<sasl:more/>' ],
    [ 'with SASL as the default namespace',
      "<stream:stream xmlns:stream='$streams' xmlns='$sasl' version='1.0'>",
      '<stream:features><mechanisms><mechanism>PLAIN</mechanism></mechanisms>'
      . '</stream:features>', '<success></success>' ],
    [ 'with double quotes',
      qq(<?xml version="1.0" encoding="utf-8" standalone='no' ?>\n)
      . qq(<stream:stream version="1.0" from="example.test" id="&quot;'&apos;")
      . qq( xmlns:stream="$streams" xmlns="jabber:client">),
      qq(<stream:features><mechanisms xmlns="$sasl"><mechanism>PLAIN)
      . '</mechanism></mechanisms></stream:features>',
      qq(<success xmlns="$sasl"></success>) ],
    [ 'with the namespace behind its use', "<stream:stream a:b='c'"
      . " xmlns:stream='$streams' xmlns:a='urn:a' version='01.00'>", $features, $success ],
    [ 'with white space everywhere',
      "\r\n\t <?xml  version = '1.0' ?> \n<stream:stream\n xmlns:stream = '$streams'\n"
      . " xml:lang\t=\t'en' \nversion='1.0'>\n ", " <stream:features  >\n <mechanisms\nxmlns='$sasl' >"
      . "\n<mechanism\t>PLAIN</mechanism >\n</mechanisms\r\n> </stream:features\n>\n",
      "\n \n<success\nxmlns='$sasl'\n/>" ],
    [ 'without id and from', "<stream:stream xmlns:stream='$streams' version='1.0'>",
      $features, $success ],
    [ 'of a later version', $header =~ s/version='1.0'>/version='2.1'>/r,
      $features, $success ],
    [ 'with ">" in an attribute',
      "<stream:stream xmlns:stream='$streams' id='->>&gt;'"
      . " version='1.0'>", $features, $success ],
    [ 'with references in PLAIN', $header,
      $features =~ s/PLAIN/&#80;LA&#x49;N/r, $success ],
    [ 'with CDATA in PLAIN', $header, $features =~ s/PLAIN/PL<![CDATA[AIN]]>/r,
      $success ],
    [ 'with references in the namespaces',
      $header =~ s/etherx/&#x65;therx/r, $features =~ s/ietf/&#105;etf/r,
      $success ],
    [ 'with PLAIN the last of many', $header,
      $features =~ s/<mechanism>/'<mechanism>SCRAM-SHA-1<\/mechanism>' x 40
                                 . '<mechanism>'/er, $success ],
    [ 'with PLAIN the first of many', $header,
      $features =~ s/(<\/mechanism>)/$1 . '<mechanism>LOGIN<\/mechanism>' x 40/er,
      $success ],
    [ 'with a mechanism of many letters', $header,
      $features =~ s/<mechanism>/'<mechanism>' . 'X' x 1000
                                 . '<\/mechanism><mechanism>'/er, $success ],
    [ 'with unknown features', $header,
      '<stream:features>'
      . join('', map { "<f$_ xmlns='urn:x:$_'><a b='c'/>text</f$_>" } 1 .. 40)
      . $list
      . join('', map { "<g$_ xmlns='urn:x:$_'/>" } 1 .. 40)
      . '</stream:features>', $success ],
    [ 'with unknown features of the same names', $header,
      "<stream:features><mechanisms xmlns='urn:x'><mechanism>LOGIN</mechanism>"
      . "</mechanisms>$list<success xmlns='urn:x'/></stream:features>", $success ],
    [ 'with deep features', $header,
      '<stream:features>' . '<a>' x 30 . '</a>' x 30 . "$list</stream:features>",
      $success ],
    [ 'with unknown elements before the features', $header,
      "<hello xmlns='urn:x' a='b'><c>text</c></hello>" x 300 . $features,
      $success ],
    [ 'with unknown elements before <success/>', $header, $features,
      "<hello xmlns='urn:x' a='b'><c>text</c></hello>" x 300 . $success ],
    [ 'with elements of other namespaces before <success/>', $header, $features,
      "<success/><failure xmlns='urn:x'/><features/>$success" ],
    [ 'with much white space', $header, "\n" x 20_000 . $features,
      ' ' x 20_000 . $success ],
    [ 'with data in <success/>', $header, $features,
      "<success xmlns='$sasl'>dj1tc0hHYytLdz0=</success>", 'behind' ],
    [ 'with elements in <success/>', $header, $features,
      "<success xmlns='$sasl'><a><b/></a></success>", 'behind' ],
    [ 'with characters outside of ASCII',
      $header =~ s/id='1'/id='\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'/r,
      "<\xc3\xa4 \xc3\xb6='\xc3\xbc'>\xf0\x9f\x98\x80</\xc3\xa4>$features",
      $success ],
    [ 'with nearly as much as the buffer takes', $header,
      $features =~ s/(<mechanisms)/'<a>' . 'x' x 3_700 . "<\/a>$1"/er, $success ],
    [ 'with a header nearly as large as the buffer',
      $header =~ s/ id/" a='" . 'x' x 3_500 . "' id"/er, $features, $success ],
);

# How the bytes of the backend come.
my @way = (
    [ '',                    sub { return [ send => $_[0] ] } ],
    [ ', in pieces of 7',    sub { return [ pieces => $_[0], 7, 0 ] } ],
    [ ', byte by byte',      sub { return [ pieces => $_[0], 1, 0 ] } ],
);

plan tests => @case * (2 * 2 + 2) + 4 * 2 + 1;

my $t = XMPP::Nginx->new;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    proxy_buffer 4k;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

sub ask {
    my ($name, $way, $header, $features, $success, $more) = @_;

    $more //= '';

    $backend->script([ expect => '<stream:stream\b[^>]*>' ],
                     $way->($header), $way->($features),
                     [ expect => '</auth>' ], $way->($success . $more), [ 'echo' ]);

    my $c = login($t);

    is($c->read_until(qr/<success[^>]*>\Q$more\E/), SUCCESS . $more,
       $name . ($XMPP::Client::one_at_a_time ? ', one byte at a time' : ''));

    return $c;
}

for my $case (@case) {
    my ($name, @bytes) = @$case;

    twice {
        my $c = ask($name, $way[0][1], @bytes);
        my $ping = "<ping a='\0\xff'/>";

        $c->send($ping);
        is($c->read_until(qr/\Q$ping\E/), $ping, "$name: relayed");
    };

    # What is large takes no time when it comes in larger pieces.
    for (@way[1, 2]) {
        my ($how, $way) = @$_;

        $way = sub { return [ pieces => $_[0], 1009, 0 ] }
            if length "@bytes" > 10_000;

        ask("$name$how", $way, @bytes);
    }
}

# The whole of the backend's stream does not need a packet for each step.

for ([ 'header and features at once', '' ],
     [ 'before it is asked', undef ],
     [ 'before it is asked, byte by byte', undef, 1 ],
     [ 'before it is asked, with white space behind', undef, 0, "\n\n" ])
{
    my ($name, $expect, $pieces, $more) = @$_;
    my $bytes = $header . $features . ($more // '');

    twice {
        $backend->script(defined $expect ? [ expect => '>' ] : (),
                         $pieces ? [ pieces => $bytes, 1, 0 ] : [ send => $bytes ],
                         [ expect => '</auth>' ], [ send => $success ], [ 'echo' ]);

        my $c = login($t);

        $c->expect(SUCCESS, $name);
    };
}

$t->finish;
