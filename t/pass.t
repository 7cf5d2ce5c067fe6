#!/usr/bin/perl

# "xmpp_auth none": what the auth service is asked, and that the bytes of the
# client and of the backend get through as they are.

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

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    . " xmlns:stream='http://etherx.jabber.org/streams' id='backend'"
    . " from='example.test' version='1.0'>";
my $features = '<stream:features><mechanisms'
    . " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    . '<mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>';

# What a client begins with: sent, and what of it the backend gets.
my $stream = "xmlns:stream='http://etherx.jabber.org/streams'";
my @opening = (
    [ 'a header', open_stream() ],
    [ 'no declaration', open_stream() =~ s/<\?.*?\?>//r ],
    [ 'double quotes', qq{<?xml version="1.0" encoding="utf-8" ?>\n}
      . qq{<stream:stream\n  to = "example.test" version="1.0"\n\t}
      . q{xmlns="jabber:client" xml:lang="de" }
      . q{xmlns:stream="http://etherx.jabber.org/streams">} ],
    [ 'another prefix', "<s:stream xmlns='jabber:client' version='1.0'"
      . " xmlns:s='http://etherx.jabber.org/streams' to='example.test'>" ],
    [ 'references', open_stream(from => 'al&#x69;ce@example.test',
                                to => 'ex&#97;mple.test', 'xml:lang' => '&lt;') ],
    [ 'a bad address', open_stream(from => 'a b@example.test/c') ],
    [ 'more behind it', open_stream()
      . "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>\n<x>" ],
    [ 'not XML behind it', open_stream() . "<!-- \0\xff <<<" ],
    [ 'two headers', open_stream() . open_stream(to => 'blue.test') ],
    [ 'its own end', open_stream() . CLOSE ],
    [ 'a header that is empty', open_stream() =~ s/>\z/\/>/r ],
    [ 'a large header', open_stream('xml:lang' => 'x' x 3800) ],
    [ 'white space', " \r\n\t" . open_stream() . "\n ", open_stream() . "\n " ],
);

my @way = (
    [ 'plain TCP' ],
    map({ my $v = $_;
          [ "STARTTLS $v", port => 'only', starttls => { version => $v } ] }
        '1.2', '1.3'),
    map({ my $v = $_;
          [ "direct TLS $v", port => 'direct', tls => { version => $v } ] }
        '1.2', '1.3'),
);

my %wrong = (
    'none and plain' => [ 'xmpp_auth none plain;',
        qr/"none" can not be combined with other methods in "xmpp_auth"/ ],
    'none twice' => [ 'xmpp_auth none none;', undef ],
    'none in mail, plain in the server' => [ 'xmpp_auth plain;', undef ],
    'another stream' => [ 'xmpp_auth none; xmpp_stream both;',
                          qr/invalid value "both"/ ],
    'two streams' => [ 'xmpp_stream client server;',
                       qr/invalid number of arguments/ ],
);

plan tests => @opening * 2 * 3 * @way + 6 * @way + 4 * 2 * 3 + 5 + 2 + 2 * 2
              + keys(%wrong) + 1;

my $t = XMPP::Nginx->new;
my ($crt, $key) = $t->certs->server;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $conf = <<"END";
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_auth none;
    xmpp_client_buffer 4k;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{proxy_port};
        protocol xmpp;
        proxy_protocol on;
        proxy_buffer 16;
        xmpp_relay_buffer 16;
    }

    server {
        listen 127.0.0.1:%{some_port};
        protocol xmpp;
        xmpp_domain example.test;
    }
}
END

$t->start($conf);


# A client as far as its own header.
sub connect_client {
    my (%way) = @_;

    my $c = XMPP::Client->new($t->port($way{port} || 'client'),
                              $way{tls} ? (tls => $way{tls}) : ());

    if ($way{starttls}) {
        $c->send(open_stream(to => 'first.test'));
        $c->read_until(qr/<\/stream:features>/) or die "no features\n";
        $c->send(STARTTLS);
        $c->read_until(qr/<proceed[^>]*>/) or die "no <proceed/>\n";
        $c->starttls(%{ $way{starttls} }) or die $c->error;
    }

    return $c;
}


for my $way (@way) {
    my ($name, %way) = @$way;

    for my $case (@opening) {
        my ($what, $sent, $want) = @$case;

        $want //= $sent;

        twice {
            my $n = $backend->count + 1;

            $backend->script([ expect => '<(?:s|stream):stream[^>]*>' ],
                             [ send => "$header$features" ],
                             [ expect => 'more' ], [ send => 'and more' ],
                             [ drain => 9 ]);

            my $c = connect_client(%way);

            $c->send($sent);
            $c->expect("$header$features", "$what, $name: answered");
            $c->send('more');
            is($c->read_until(qr/and more/), 'and more',
               "$what, $name: relayed");
            is($backend->bytes($n), "${want}more", "$what, $name: sent on");
        };
    }

    my $n = $auth->count + 1;
    my $c = connect_client(%way);

    $backend->script([ expect => '<stream:stream[^>]*>' ], [ send => $header ],
                     [ drain => 9 ]);

    $c->send(open_stream(from => 'alice@example.test/phone',
                         to => 'EXAMPLE.test.'));
    $c->expect($header, "$name: passed on");

    my $request = $auth->request($n);

    is($request->{header}{'auth-method'}, 'none', "$name: method");
    is($request->{header}{'auth-user'}, '', "$name: no user");
    is($request->{header}{'auth-pass'}, '', "$name: no password");
    is(join(' ', map { "$_=$request->{header}{lc $_}" }
                 grep { /^Auth-(?:XMPP|SMTP|Protocol|Login)/ }
                 @{ $request->{names} }),
       'Auth-Protocol=xmpp Auth-Login-Attempt=1 Auth-XMPP-Domain=example.test'
       . ' Auth-XMPP-From=alice@example.test Auth-XMPP-Stream=c2s',
       "$name: domain, address and kind of the stream");
    is($request->{header}{'auth-ssl'}, $way{tls} || $way{starttls} ? 'on'
                                                                   : undef,
       "$name: Auth-SSL");
}

# Users and passwords of the auth service are nothing to a stream.
for my $more ([ 'a user', 'Auth-User' => 'bob' ],
              [ 'a bad user', 'Auth-User' => "\xff<a b>" ],
              [ 'a password', 'Auth-Pass' => 'secret' ],
              [ 'a location', 'Auth-XMPP-Location' => 'elsewhere.test' ])
{
    my ($what, @header) = @$more;

    twice {
        my $n = $backend->count + 1;

        $auth->accept(@header);

        my $c = connect_client();

        $backend->script([ expect => 'example' ], [ send => $header ],
                         [ echo => ]);

        $c->send(open_stream());
        $c->expect($header, "$what in the answer: passed on");
        ok($backend->wait_bytes($n, qr/>\z/), "$what in the answer: all");
        is($backend->bytes($n), open_stream(), "$what in the answer: not told");
    };
}

# The auth service wants to be asked again.
{
    my $n = $auth->count + 1;

    $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 1,
                  'Auth-User' => 'someone', 'Auth-Pass' => 'secret');

    my $c = connect_client();

    $backend->script([ expect => 'example' ], [ send => $header ], [ 'echo' ]);
    $c->send(open_stream());
    $c->expect($header, 'asked again');
    is($auth->count, $n + 1, 'asked again: two requests');
    is(join(' ', map { "$_." } @{ $auth->request($_)->{header} }
                              { map { "auth-$_" } qw(method user pass) }),
       'none. . .', "asked again: no user, request $_") for $n, $n + 1;
    is($auth->request($n)->{header}{'auth-xmpp-domain'}, 'example.test',
       'asked again: domain');
}

# PROXY; and a buffer that is smaller than anything.
{
    my $n = $backend->count + 1;

    $backend->script([ 'proxy' ], [ expect => 'end' ],
                     [ send => "$header$features" ], [ 'echo' ]);

    my $c = connect_client(port => 'proxy');

    $c->send(open_stream() . 'end');
    $c->expect("$header$features", 'PROXY: answered');
    like($backend->bytes($n),
         qr/\APROXY TCP4 127.0.0.1 127.0.0.1 \d+ \d+\r\n\Q${\ open_stream()}\Eend\z/,
         'PROXY: before the header');
}

# A domain that is not served.
for my $case ([ 'EXAMPLE.test', $header ],
              [ 'blue.test', header(from => undef)
                             . stream_error('host-unknown') ])
{
    my ($to, $want) = @$case;

    $backend->script([ expect => 'EXAMPLE' ], [ send => $header ],
                     [ drain => 9 ]) if $want eq $header;

    my $n = $auth->count;
    my $c = connect_client(port => 'some');

    $c->send(open_stream(to => $to));
    $c->expect($want, "xmpp_domain, $to");
    is($auth->count - $n, $want eq $header ? 1 : 0,
       "xmpp_domain, $to: auth requests");
}

for my $what (sort keys %wrong) {
    my ($directives, $error) = @{ $wrong{$what} };

    my $said = $t->conf_error($conf =~ s/(?=listen)/$directives /r);

    if ($error) { like($said, $error, "configuration: $what") }
    else        { is($said, undef, "configuration: $what") }
}

$t->finish;
