#!/usr/bin/perl

# Direct TLS, ALPN, and the header that comes along with the end of the
# handshake, for which the kernel reports no further event.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 59;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

# Debug lines of thousands of handshakes would be most of the time.
my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command NumTickets 1;
    ssl_session_cache shared:ssl:1m;

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{starttls_port};
        protocol xmpp;
        starttls only;
    }
}
END

my ($direct, $starttls) = map { $t->port($_) } qw(direct starttls);
my %tls = (ca => $certs->ca, name => 'example.test');

my $ready = header() . features(mechanisms => [ 'PLAIN' ]);


for my $version ('1.2', '1.3') {
    my %tls = (%tls, version => $version);

    twice {
        my $c = XMPP::Client->new($direct, tls => \%tls);
        is($c->tls->version, "TLSv$version", "version $version");
        $c->send(open_stream());
        $c->expect($ready, "$version: nothing to start any more");
        $c->send(auth('PLAIN', plain('alice', 'wonder')));
        $c->expect(SUCCESS, "$version: login");
        $c->send('<iq/>');
        $c->expect('<iq/>', "$version: relayed");
    };

    talk_to_end({ tls => \%tls }, $direct, "$version: <starttls/>",
                open_stream() => $ready, STARTTLS() => TLS_FAILURE);

    talk_to_end({ tls => \%tls }, $direct, "$version: end of the stream",
                open_stream() => $ready, CLOSE() => CLOSE);

    talk_to_end({ tls => \%tls }, $direct, "$version: fault of the header",
                open_stream(to => undef)
                => header(from => undef)
                   . stream_error('improper-addressing'));
}

# The handshake one byte at a time.

{
    my $c = XMPP::Client->new($direct, tls_later => { %tls });
    $c->tls->handshake;
    $c->raw($_) for split //, $c->tls->out;
    $c->handshake or diag $c->error;
    $c->send(open_stream());
    $c->expect($ready, 'ClientHello one byte at a time');
}


# ALPN.

for my $offer ([ 'xmpp-client' ], [ 'h2', 'xmpp-client' ]) {
    my $c = XMPP::Client->new($direct, tls => { %tls, alpn => $offer });
    is($c->tls->selected, 'xmpp-client', "ALPN @$offer");
    $c->send(open_stream());
    $c->expect($ready, "ALPN @$offer: stream");
}

for my $offer ([ 'h2' ], [ 'xmpp-server' ], [ 'imap', 'http/1.1' ]) {
    my $c = XMPP::Client->new($direct, tls => { %tls, alpn => $offer });
    like($c->error, qr/no application protocol/, "ALPN @$offer is refused");
}

{
    my $c = XMPP::Client->new($direct, tls => { %tls });
    is($c->tls->selected, undef, 'no ALPN');
    $c->send(open_stream());
    $c->expect($ready, 'no ALPN: stream');
}


# What is no TLS.

for my $bytes (open_stream(), "\0", "\x16\x03\x01\xff\xff" . "\0" x 100) {
    my $c = XMPP::Client->new($direct);
    $c->send($bytes);
    $c->finish_writing;
    $c->read_to_end;
    ok($c->ended, 'no TLS');
}


$t->allow(qr/(?:packet|data) length too long/);


# Many times: the header in one write with the last flight of the handshake,
# or right behind it.  Resumed sessions of 1.2 end with a flight of the client,
# full ones with one of the server.

sub handshakes {
    my ($name, $times, %option) = @_;

    my $resume = delete $option{resume};
    my $via = delete $option{starttls};
    my ($failed, $session, $resumed) = (0, undef, 0);

    for (1 .. $times) {
        my $c = XMPP::Client->new($via ? $starttls : $direct,
                                  timeout => 2 * $t->scale);

        if ($via) {
            $c->send(open_stream() . STARTTLS);
            $c->read_until(qr/proceed[^>]*>/);
        }

        $c->tls_later(%tls, %option, session => $session);
        $c->handshake(then => open_stream());

        my $got = $c->read_until(qr{</stream:features>});

        $failed++ if !defined $got || $got !~ /<mechanism>PLAIN/;
        $resumed++ if $c->tls->reused;
        $session = $c->tls->session if $resume && !$session;

        $c->close;
        last if $failed > 3;
    }

    is($failed, 0, "$times handshakes, $name");
    is($resumed, $times - 1, "$name: sessions resumed") if $resume;
}

handshakes('TLS 1.3', 1000, version => '1.3');
handshakes('TLS 1.3 resumed', 500, version => '1.3', resume => 1);
handshakes('TLS 1.2', 500, version => '1.2');
handshakes('TLS 1.2 resumed', 1000, version => '1.2', resume => 1);
handshakes('STARTTLS and TLS 1.3', 500, version => '1.3', starttls => 1);
handshakes('STARTTLS and TLS 1.2 resumed', 500, version => '1.2', resume => 1,
           starttls => 1);

$t->finish;
