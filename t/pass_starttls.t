#!/usr/bin/perl

# STARTTLS that may be used, on streams that are passed on: nginx puts it into
# the features of the backend, and the peer chooses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(sleep);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $head = "<?xml version='1.0'?><stream:stream xmlns='jabber:server'"
    . " xmlns:stream='http://etherx.jabber.org/streams'"
    . " xmlns:db='jabber:server:dialback' id='abc' from='example.test'";
my $header = "$head version='1.0'>";
my $dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>";
my $result = "<db:result from='peer.test' to='example.test'>a1</db:result>";
my $valid = "<db:result from='example.test' to='peer.test' type='valid'/>";
my $tls = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'";

# What the backend says in answer to the header, and what the peer gets of it;
# without the second nothing is added.
my @offer = (
    [ 'features', "<stream:features>$dialback</stream:features>",
      "<stream:features>${\ STARTTLS }$dialback</stream:features>" ],
    [ 'an empty element', '<stream:features/>',
      "<stream:features>${\ STARTTLS }</stream:features>" ],
    [ 'an empty element, spaced', "<stream:features \n/>",
      "<stream:features \n>${\ STARTTLS }</stream:features>" ],
    [ 'no features in them', '<stream:features></stream:features>',
      "<stream:features>${\ STARTTLS }</stream:features>" ],
    [ 'attributes', qq{<stream:features a="/>" b='c' >$dialback}
      . '</stream:features >', qq{<stream:features a="/>" b='c' >}
      . STARTTLS . "$dialback</stream:features >" ],
    [ 'nested features', "<stream:features><stream:features/>"
      . '</stream:features>', "<stream:features>${\ STARTTLS }"
      . '<stream:features/></stream:features>' ],
    [ 'the declaration of the prefix', "<f:features"
      . " xmlns:f='http://etherx.jabber.org/streams'/>", "<f:features"
      . " xmlns:f='http://etherx.jabber.org/streams'>${\ STARTTLS }"
      . '</f:features>' ],
    [ 'STARTTLS of its own',
      "<stream:features><starttls $tls><required/></starttls>$dialback"
      . '</stream:features>', 0 ],
    [ 'STARTTLS of another kind',
      "<stream:features><starttls xmlns='urn:x'/></stream:features>",
      "<stream:features>${\ STARTTLS }<starttls xmlns='urn:x'/>"
      . '</stream:features>' ],
    [ 'more behind them', "<stream:features/> <x xmlns='y'>",
      "<stream:features>${\ STARTTLS }</stream:features> <x xmlns='y'>" ],
);

# What it says otherwise, it gets through.
my @other = (
    [ 'a stream error', "<stream:error><host-unknown"
      . " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
      . '</stream:stream>' ],
    [ 'an end', '</stream:stream>' ],
    [ 'another element', "$valid<stream:features/>" ],
    [ 'features of another namespace', "<features xmlns='x'/>" ],
    [ 'no XML', "<\0\xff" ],
    [ 'a comment', '<!-- x --><stream:features/>' ],
    [ 'features that are too large', '<stream:features><x>' . 'y' x 5000 ],
);

# What the peer may do then: bytes, and whether these are for the backend.
my @choice = (
    [ 'dialback', $result, 1 ],
    [ 'SASL', auth('EXTERNAL', ''), 1 ],
    [ 'an end', CLOSE, 1 ],
    [ 'no XML', "\0\xff<", 1 ],
    [ 'another STARTTLS', "<starttls xmlns='urn:x'/>", 1 ],
    [ 'an element that never ends', '<x>' . 'y' x 5000, 1 ],
    [ 'a tag that never ends', '<' . 'y' x 5000, 1 ],
    [ 'a dialback in which it stands', "<db:result><starttls $tls/>"
      . '</db:result>', 1 ],
);

my @starttls = (
    [ 'empty', STARTTLS ],
    [ 'with an end', "<starttls $tls></starttls>" ],
    [ 'with a prefix', "<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'/>" ],
    [ 'with something in it', "<starttls $tls><required/>x</starttls>" ],
    [ 'after white space', " \n\n" . STARTTLS ],
    [ 'before white space', STARTTLS . "\n " ],
);

plan tests => @offer * 2 * 2 + @other * 2 + @choice * 2 * 2
              + @starttls * 2 * 6 + 2 * 2 + 3 + 2 + 3 + 2 + 3 + 2 + 3 + 2
              + 8 + 2 + 1 + 1;

my $t = XMPP::Nginx->new;
my ($crt, $key) = $t->certs->server;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<"END");
worker_shutdown_timeout %{1s};

mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    starttls on;
    proxy_buffer 4k;
    xmpp_client_buffer 4k;

    server {
        listen 127.0.0.1:%{server_port};
        protocol xmpp;
        xmpp_stream server;
    }

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        xmpp_auth none;
    }

    server {
        listen 127.0.0.1:%{short_port};
        protocol xmpp;
        xmpp_stream server;
        timeout %{1s};
        proxy_protocol on;
    }
}
END


# Bytes that the backend says in answer to the header; what comes then.
sub says {
    my ($bytes, @more) = @_;

    return ([ expect => '<stream:stream[^>]*>' ], [ send => $bytes ], @more);
}

my @offered = says("$header<stream:features/>", [ drain => 9 ]);
my $offered = "$header<stream:features>${\ STARTTLS }</stream:features>";


for my $case (@offer) {
    my ($name, $features, $want) = @$case;

    for my $size (4096, 1) {
        $backend->script([ expect => '<stream:stream[^>]*>' ],
                         [ pieces => "$header$features", $size, 0.0005 ],
                         [ expect => '</db:result>' ], [ send => $valid ],
                         [ drain => 9 ]);

        my $c = XMPP::Client->new($t->port('server'));
        my $bytes = $header . ($want || $features);

        # What comes in pieces may be answered before its end.
        $bytes =~ s/ <x.*//s if $size == 1;

        $c->send(open_server());
        is($c->read_until(qr/\Q$bytes\E/), $bytes,
           "$name: offered, $size bytes at a time");

        $c->send($result);
        ok($c->read_until(qr/<db:result[^>]*type='valid'\/>/),
           "$name: dialback, $size bytes at a time");
    }
}

for my $case (@other) {
    my ($name, $bytes) = @$case;

    for my $size (8192, 1) {
        $backend->script([ expect => '<stream:stream[^>]*>' ],
                         [ pieces => "$header$bytes", $size ]);

        my $c = XMPP::Client->new($t->port('server'));

        $c->send(open_server());
        is($c->read_to_end, "$header$bytes",
           "the backend says $name, $size bytes at a time");
    }
}

for my $case (@choice) {
    my ($name, $bytes) = @$case;

    twice {
        my $n = $backend->count + 1;

        $backend->script(says("$header<stream:features/>",
                              [ expect => "\Q$bytes\E" ], [ send => 'end' ],
                              [ drain => 9 ]));

        my $c = XMPP::Client->new($t->port('server'));

        $c->send(open_server());
        is($c->read_until(qr/<\/stream:features>/), $offered,
           "the peer sends $name: offered");
        $c->send($bytes);
        is($c->read_until(qr/end/), 'end', "the peer sends $name: passed on");
    };
}

for my $case (@starttls) {
    my ($name, $bytes) = @$case;

    twice {
        my ($n, $m) = ($backend->count + 1, $auth->count + 1);

        $backend->script(@offered);
        $backend->script(says("$header<stream:features/>", [ 'echo' ]));

        my $c = XMPP::Client->new($t->port('server'));

        $c->send(open_server());
        is($c->read_until(qr/<\/stream:features>/), $offered,
           "STARTTLS $name: offered");
        $c->send($bytes);
        is($c->read_until(qr/<proceed[^>]*>/), PROCEED,
           "STARTTLS $name: proceed");
        ok($backend->wait_event($n, 'eof'),
           "STARTTLS $name: the backend is left");
        $c->starttls;
        $c->send(open_server(from => 'other.test') . 'x');
        is($c->read_until(qr/\/>x/), "$header<stream:features/>x",
           "STARTTLS $name: passed on");
        is($backend->bytes($n), open_server(),
           "STARTTLS $name: first backend");
        is(join(' ', map { my $h = $auth->request($_)->{header};
                           ($h->{'auth-ssl'} || 'off', $h->{'auth-xmpp-from'},
                            $h->{'auth-login-attempt'}) } $m, $m + 1),
           'off peer.test 1 on other.test 1', "STARTTLS $name: asked twice");
    };
}

# All in one: it is not waited for the offer.
twice {
    $backend->script(@offered);

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server() . STARTTLS);
    is($c->read_until(qr/<proceed[^>]*>/), $offered . PROCEED,
       'STARTTLS behind the header');
};

twice {
    $backend->script(says("$header<stream:features/>",
                          [ expect => '</db:result>' ], [ send => $valid ],
                          [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server() . $result);
    is($c->read_until(qr/<db:result[^>]*>/), $offered . $valid,
       'dialback behind the header');
};

# Plaintext behind STARTTLS.
{
    $backend->script(@offered);

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    $c->read_until(qr/<\/stream:features>/);
    $c->send(STARTTLS . $result);
    is($c->read_to_end, '', 'plaintext behind STARTTLS: closed');
    ok($t->wait_log(qr/client sent plaintext after <starttls\/>/),
       'plaintext behind STARTTLS: logged');

    my $n = $backend->count;
    ok($backend->wait_event($n, 'eof'),
       'plaintext behind STARTTLS: the backend is left');
}

# No STARTTLS without a version.
{
    $backend->script(says("$head>", [ expect => '</db:result>' ],
                          [ send => $valid ], [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server(version => undef));
    $c->expect("$head>", 'no version: header');
    $c->send($result);
    $c->expect($valid, 'no version: dialback');
}

# A backend from before XMPP 1.0 has no features to wait for.
{
    $backend->script(says("$head>", [ expect => '</db:result>' ],
                          [ send => $valid ], [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    $c->expect("$head>", 'no version of the backend: header');
    $c->send($result);
    $c->expect($valid, 'no version of the backend: dialback');
}

# The backend goes on before the peer has chosen; the peer still can.
for my $more (' ', "\n" x 3000, "<x xmlns='y'/>") {
    my $name = 'the backend sends ' . length($more) . ' bytes more';

    $backend->script(says("$header<stream:features/>", [ sleep => 0.1 ],
                          [ send => $more ], [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    is($c->read_until(qr/<\/stream:features>\Q$more\E/), $offered . $more,
       "$name: passed on");
    $c->send(STARTTLS);
    is($c->read_until(qr/<proceed[^>]*>/), PROCEED, "$name: proceed");
}

# What is no element is for the backend too, in any number of packets.
{
    my $n = $backend->count + 1;
    my $c = XMPP::Client->new($t->port('server'));

    $backend->script(says("$header<stream:features/>",
                          [ expect => '</db:result>' ], [ send => $valid ],
                          [ drain => 9 ]));

    $c->send(open_server());
    $c->read_until(qr/<\/stream:features>/);

    for my $byte ("\n", " ", "\xc3", "\xa9") {
        $c->send($byte);
        sleep 0.05;
    }

    $c->send($result);
    ok($backend->wait_bytes($n, qr/<\/db:result>/), 'no element: passed on');
    is($backend->bytes($n), open_server() . "\n \xc3\xa9$result",
       'no element: nothing is lost');
}

# Errors of nginx have the prefix "stream", so it does not get in where the
# backend has another one.
{
    my $foreign = $header =~ s/stream:stream/s:stream/r
                          =~ s/xmlns:stream/xmlns:s/r;

    $backend->script(says("$foreign<s:features/>", [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    is($c->read_until(qr/<s:features.*>/), "$foreign<s:features/>",
       'another prefix: not offered');
}

# A client.
{
    my $n = $backend->count + 1;
    my $scram = '<mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl">'
        . '<mechanism>SCRAM-SHA-1</mechanism></mechanisms>';
    my $hello = $header =~ s/'jabber:server'/'jabber:client'/r;
    my $auth = auth('SCRAM-SHA-1', 'n,,n=u,r=x');

    $backend->script(says("$hello<stream:features>$scram</stream:features>",
                          [ expect => '</auth>' ],
                          [ send => challenge('r=y') ], [ drain => 9 ]));

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream());
    $c->expect("$hello<stream:features>${\ STARTTLS }$scram"
               . '</stream:features>', 'a client: offered');
    $c->send($auth);
    $c->expect(challenge('r=y'), 'a client: SCRAM');
    is($backend->bytes($n), open_stream() . $auth, 'a client: as it came');
}

# It does not come to a choice: the peer, or the backend, ends it.
{
    $backend->script(@offered);

    my $n = $backend->count + 1;
    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    $c->read_until(qr/<\/stream:features>/);
    $c->close;
    ok($backend->wait_event($n, 'eof'), 'the peer closes');

    $backend->script(@offered);
    $n = $backend->count + 1;
    $c = XMPP::Client->new($t->port('server'));
    $c->send(open_server());
    $c->read_until(qr/<\/stream:features>/);
    $c->reset;
    ok($backend->wait_event($n, 'eof'), 'the peer resets');
}

for my $end ([ 'closes', [ 'close' ], '' ],
             [ 'sends an end', [ send => CLOSE ], CLOSE ],
             [ 'resets', [ 'reset' ], '' ])
{
    my ($name, $step, $want) = @$end;

    $backend->script(says("$header<stream:features/>", [ sleep => 0.2 ],
                          $step));

    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    is($c->read_to_end, "$offered$want", "the backend $name");
}

# Time-outs: the peer, then the backend.
{
    my $timed_out = $offered . stream_error('connection-timeout');

    $backend->script([ 'proxy' ], @offered);

    my $n = $backend->count + 1;
    my $c = XMPP::Client->new($t->port('short'));

    $c->send(open_server());
    is($c->read_to_end, $timed_out, 'the peer is silent');
    ok($backend->wait_event($n, 'eof'), 'the peer is silent: backend is left');

    for my $bytes ('', "$header<stream:features>") {
        $backend->script([ 'proxy' ], says($bytes, [ drain => 9 ]));
        $c = XMPP::Client->new($t->port('short'));
        $c->send(open_server());
        $c->expect_end(server_header(to => 'peer.test')
                       . stream_error('remote-connection-failed'),
                       'the backend is silent after ' . length($bytes)
                       . ' bytes');
    }
}

# A worker that has to go.
{
    $backend->script(@offered);

    my $n = $backend->count + 1;
    my $c = XMPP::Client->new($t->port('server'));

    $c->send(open_server());
    is($c->read_until(qr/<\/stream:features>/), $offered, 'a reload: offered');
    $t->signal('HUP');
    is($c->read_to_end, stream_error('system-shutdown'), 'a reload: told');
    ok($backend->wait_event($n, 'eof'), 'a reload: the backend is left');
}

$t->finish;
