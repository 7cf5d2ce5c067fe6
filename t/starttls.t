#!/usr/bin/perl

# STARTTLS: when it is offered, what may stand behind it, what is forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 130 + 4;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;

    server {
        listen 127.0.0.1:%{on_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        starttls only;
        xmpp_domain example.test other.test;
    }

    server {
        listen 127.0.0.1:%{off_port};
        protocol xmpp;
        starttls off;
    }

    server {
        listen 127.0.0.1:%{quick_port};
        protocol xmpp;
        starttls only;
        timeout %{1s};
    }
}
END

my ($on, $only, $off, $quick) = map { $t->port($_) } qw(on only off quick);
my %tls = (ca => $certs->ca, name => 'example.test');

my $optional = features(starttls => 'optional', mechanisms => [ 'PLAIN' ]);
my $required = features(starttls => 'required');
my $secure = features(mechanisms => [ 'PLAIN' ]);

my $tls_ns = 'urn:ietf:params:xml:ns:xmpp-tls';


# What is offered.

talk($on, 'on', open_stream() => header() . $optional);
talk($only, 'only', open_stream() => header() . $required);
talk($off, 'off', open_stream() => header() . $secure);

talk_to_end($off, 'not offered', open_stream() => header() . $secure,
            STARTTLS() => TLS_FAILURE);


# All the way to a login, in each way to write it.

my @starttls = (
    STARTTLS,
    "<starttls xmlns=\"$tls_ns\" />",
    "<starttls xmlns='$tls_ns' id='1'></starttls>",
    "<x:starttls xmlns:x='$tls_ns'/>",
    "<starttls xmlns='$tls_ns'><required/></starttls>",
    STARTTLS . "\n",
    STARTTLS . " \r\n\t" x 100,
);

for my $port ($on, $only) {
    for my $n (0 .. $#starttls) {
        twice {
            my $name = ($port == $on ? 'on' : 'only') . ", form $n";

            my $c = XMPP::Client->new($port);
            $c->send(open_stream());
            $c->read_until(qr{</stream:features>});
            $c->send($starttls[$n]);
            $c->expect(PROCEED, "$name: proceed");

            $c->starttls(%tls, version => $n % 2 ? '1.2' : '1.3')
                or diag $c->error;

            $c->send(open_stream());
            $c->expect(header() . $secure, "$name: inside");
        };
    }
}

# White space that comes later, one packet a character.

twice {
    my $c = XMPP::Client->new($only);
    $c->send(open_stream() . STARTTLS);
    $c->expect(header() . $required . PROCEED, 'both in one packet');

    for (split //, " \r\n\t\n") {
        $c->raw($_);
        select undef, undef, undef, 0.02;
    }

    $c->starttls(%tls) or diag $c->error;
    $c->send(open_stream());
    $c->expect(header() . $secure, 'white space after <proceed/>');
};

# Again and again: what is read here and what is left to OpenSSL is a matter of
# when it arrives.

{
    my $failed = 0;

    for (1 .. 50) {
        my $c = XMPP::Client->new($on, one => 1);
        $c->send(open_stream() . STARTTLS . "\n" x 20);
        $c->read_until(qr/proceed[^>]*>/);
        $c->starttls(%tls) or $failed++;
        $c->close;
    }

    is($failed, 0, 'white space in packets of its own, many times');
}

# White space and the ClientHello in one packet.

twice {
    my $c = XMPP::Client->new($only);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);

    $c->tls_later(%tls);
    $c->tls->handshake;
    $c->raw("\n " . $c->tls->out);

    $c->handshake or diag $c->error;
    $c->send(open_stream());
    $c->expect(header() . $secure, 'white space before the ClientHello');
};


# Plaintext behind <starttls/> is an attack.

for my $bytes ('<', open_stream(), auth('PLAIN', plain('a', 'b')), "\0", 'x',
               "\x17\x03\x03\x00\x01x")
{
    my $shown = substr $bytes, 0, 10;
    $shown =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;

    twice {
        my $c = XMPP::Client->new($on);
        $c->send(open_stream());
        $c->read_until(qr{</stream:features>});
        $c->send(STARTTLS . " \n$bytes");
        $c->read_to_end =~ /stream|success|failure/
            and diag 'more than <proceed/> was sent';
        ok($c->ended, "\"$shown\" in the packet of <starttls/>");
    };

    my $c = XMPP::Client->new($on);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->send($bytes);
    $c->expect_end('', "\"$shown\" after <proceed/>");
}

# In one packet with <starttls/>, not even <proceed/> is answered.

{
    my $c = XMPP::Client->new($on);
    $c->send(open_stream());
    $c->read_until(qr{</stream:features>});
    $c->send(STARTTLS . open_stream());
    $c->expect_end('', 'a header in the packet of <starttls/>');
}

like($t->log, qr/client sent plaintext after <starttls\/>/, 'logged');
is($auth->count, 0, 'nobody was asked about a login in plaintext');


# Before TLS with "only".

talk($only, 'mechanism before TLS', open_stream() => header() . $required,
     auth('PLAIN', plain('alice', 'wonder')) => failure('encryption-required'),
     auth('PLAIN') => failure('encryption-required'));

talk($only, 'then TLS', open_stream() => header() . $required,
     auth('PLAIN', plain('alice', 'wonder')) => failure('encryption-required'),
     STARTTLS() => PROCEED);

is($auth->count, 0, 'nobody was asked about it');


# After TLS.

twice {
    my $c = XMPP::Client->new($only);
    $c->send(open_stream(to => 'other.test', from => 'bob@other.test'));
    $c->expect(header(from => 'other.test', to => 'bob@other.test')
               . $required, 'before TLS');
    $c->send(STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->starttls(%tls) or diag $c->error;

    $c->send(open_stream());
    $c->expect(header() . $secure, 'another domain, and no "to" any more');

    $c->send(STARTTLS);
    $c->expect_end(TLS_FAILURE, 'a second <starttls/>');
};

twice {
    my $c = XMPP::Client->new($only);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->starttls(%tls) or diag $c->error;

    $c->send(auth('PLAIN', plain('alice', 'wonder')));
    $c->expect_end(header(from => undef)
                   . stream_error('invalid-namespace'),
                   'the header before TLS does not count');
};

# An exchange that was begun before TLS.

talk_to_end($on, '<starttls/> in an exchange',
            open_stream() => header() . $optional,
            auth('PLAIN') => challenge(''), STARTTLS() => TLS_FAILURE);


# A login over TLS, told to the auth service as such.

twice {
    my $n = $auth->count + 1;

    my $c = XMPP::Client->new($only);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->starttls(%tls, version => '1.3') or diag $c->error;

    $c->send(open_stream() . auth('PLAIN', plain('alice', 'wonder')));
    $c->expect(header() . $secure . SUCCESS, 'login');

    my $header = $auth->request($n)->{header};
    is($header->{'auth-ssl'}, 'on', 'Auth-SSL');
    is($header->{'auth-ssl-protocol'}, 'TLSv1.3', 'Auth-SSL-Protocol');
};


# White space without end: it is bounded, and others do not have to wait.

for my $port ($only, $quick) {
    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . ($port == $only ? STARTTLS : ''));
    $c->read_until($port == $only ? qr/proceed[^>]*>/ : qr/<\/stream:features>/);

    if (fork == 0) {
        $SIG{PIPE} = 'DEFAULT';
        alarm 4;
        syswrite $c->{socket}, ' ' x 65536 or select undef, undef, undef, 0.001
            for 1 .. 1e9;
    }

    my $other = XMPP::Client->new($only);
    $other->send(open_stream());
    $other->expect(header() . features(starttls => 'required'),
                   'white space without end: another client');

    $port == $only
        ? ok($t->wait_log(qr/too much white space after <starttls\/>/),
             'white space without end after <proceed/>')
        : $c->expect_end(stream_error('connection-timeout'),
                         'white space without end in the stream');

    wait;
}


# A client that never starts its handshake, or breaks it off.

{
    my $c = XMPP::Client->new($quick);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->expect_end('', 'no handshake within the timeout');

    $c = XMPP::Client->new($quick);
    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->tls_later(%tls);
    $c->tls->handshake;
    $c->raw(substr $c->tls->out, 0, 50);
    $c->read_to_end;
    ok($c->ended, 'half a handshake within the timeout');

    for my $end (qw(close reset)) {
        $c = XMPP::Client->new($on);
        $c->send(open_stream() . STARTTLS);
        $c->read_until(qr/proceed[^>]*>/);
        $c->$end;
    }
}

$t->finish;
