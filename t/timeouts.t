#!/usr/bin/perl

# The ends of patience: timeout, max_errors, worker_shutdown_timeout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 73;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new(main => 'worker_shutdown_timeout %{1s};');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $conf = <<'END';
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;

    server {
        listen 127.0.0.1:%{quick_port};
        protocol xmpp;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{starttls_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{three_port};
        protocol xmpp;
        max_errors 3;
    }

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{tls_port} ssl;
        protocol xmpp;
    }
}
END

$t->start($conf);

my ($quick, $direct, $starttls, $three, $client, $tls)
    = map { $t->port($_) } qw(quick direct starttls three client tls);

my $ready = header() . features(mechanisms => [ 'PLAIN' ]);
my $login = auth('PLAIN', plain('alice', 'wonder'));
my $unknown = auth('X-UNKNOWN');
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";


# timeout.  All these clients wait at the same time.

my @silent = (
    'nothing sent' => '', header(from => undef),
    'half a header' => substr(open_stream(), 0, 60), header(from => undef),
    'a declaration' => "<?xml version='1.0'?>", header(from => undef),
    'a header' => open_stream(), $ready,
    'half an element' => open_stream() . '<au', $ready,
    'in an exchange' => open_stream() . auth('PLAIN'), $ready . challenge(''),
    'after a failure' => open_stream() . $unknown,
        $ready . failure('invalid-mechanism'),
);

twice {
    my @waiting;

    for (my $i = 0; $i < @silent; $i += 3) {
        my ($name, $bytes, $want) = @silent[$i .. $i + 2];

        my $c = XMPP::Client->new($quick);
        $c->send($bytes);
        push @waiting, [ $name, $want, $c ];

        $c = XMPP::Client->new($direct, tls => {});
        $c->send($bytes);
        push @waiting, [ "TLS, $name", $want, $c ];
    }

    for (@waiting) {
        my ($name, $want, $c) = @$_;
        $c->expect_end($want . stream_error('connection-timeout'),
                       "timeout: $name");
    }
};

# A TLS connection without a handshake has nobody to tell.

{
    my $c = XMPP::Client->new($direct);
    $c->expect_end('', 'timeout: no handshake');
}

# Slow is not silent.

{
    my $c = XMPP::Client->new($quick);

    for (unpack '(a20)*', open_stream()) {
        $c->send($_);
        sleep 0.3 * $t->scale;
    }

    my $got = $c->read_until(qr{</stream:(?:features|error)>});
    ok(defined $got, 'a slow client gets an answer');
}


# max_errors.

talk_to_end($three, 'max_errors', open_stream() => $ready,
            $unknown => failure('invalid-mechanism'),
            "<auth $sasl mechanism='PLAIN'>a</auth>"
                => failure('incorrect-encoding'),
            ABORT() => failure('aborted') . stream_error('policy-violation'));

talk_to_end($three, 'max_errors in one packet', open_stream() . $unknown x 5
            => $ready . failure('invalid-mechanism') x 3
               . stream_error('policy-violation'));

talk($three, 'fewer than max_errors', open_stream() => $ready,
     $unknown x 2 => failure('invalid-mechanism') x 2, $login => SUCCESS);

talk_to_end($client, 'max_errors is 5', open_stream() => $ready,
            $unknown x 5 => failure('invalid-mechanism') x 5
                            . stream_error('policy-violation'));


# worker_shutdown_timeout.  A new configuration ends the old worker.

my @open;

for my $case ([ 'nothing sent', '', '', header(from => undef) ],
              [ 'half a header', substr(open_stream(), 0, 60), '',
                header(from => undef) ],
              [ 'a header', open_stream(), $ready, '' ],
              [ 'in an exchange', open_stream() . auth('PLAIN'),
                $ready . challenge(''), '' ])
{
    my ($name, $bytes, $now, $then) = @$case;

    for my $port ($client, $tls) {
        my $c = XMPP::Client->new($port, $port == $tls ? (tls => {}) : ());
        my $name = $port == $tls ? "TLS, $name" : $name;

        $c->send($bytes);
        $c->expect($now, "before the shutdown: $name");
        push @open, [ $name, $then . stream_error('system-shutdown'), $c ];
    }
}

{
    my $c = XMPP::Client->new($starttls);
    $c->send(open_stream() . STARTTLS);
    $c->expect(header() . features(starttls => 'required') . PROCEED,
               'before the shutdown: <proceed/>');
    push @open, [ '<proceed/>', '', $c ];
}

my $relayed = XMPP::Client->new($client);
$relayed->send(open_stream() . $login);
$relayed->expect($ready . SUCCESS, 'before the shutdown: relayed');

$t->reconfigure($conf);

for (@open) {
    my ($name, $want, $c) = @$_;
    $c->expect_end($want, "shutdown: $name");
}

$relayed->expect_end('', 'shutdown: relayed');

talk($client, 'the new worker', open_stream() => $ready);

$t->finish;
