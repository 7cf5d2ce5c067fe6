#!/usr/bin/perl

# SASL CRAM-MD5.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::MD5 qw(md5 md5_hex);
use MIME::Base64;
use Test::More tests => 118;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    server_name mail.example.test;
    max_errors 100;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        xmpp_auth cram-md5 plain;
    }
}
END

my $port = $t->port('client');

my $ready = header() . features(mechanisms => [ 'CRAM-MD5', 'PLAIN' ]);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my %seen;


# RFC 2104.
sub digest {
    my ($key, $text) = @_;

    $key = md5($key) if length $key > 64;
    $key .= "\0" x (64 - length $key);

    return md5_hex(($key ^ "\x5c" x 64), md5(($key ^ "\x36" x 64), $text));
}


sub begin {
    my ($name) = @_;

    my $c = XMPP::Client->new($port);

    $c->send(open_stream());
    $c->expect($ready, "$name: features");
    $c->send(auth('CRAM-MD5'));

    my ($data) = $c->read_until(qr{</challenge>})
                 =~ m{^<challenge $sasl>(.*)</challenge>$};

    return ($c, decode_base64($data));
}


is(digest('tanstaaftanstaaf', '<1896.697170952@postoffice.reston.mci.net>'),
   'b913a602c7eda7a495b4e6e7334d3890', 'the example of RFC 2195');


# Logins.  The auth service knows the password, and tells it for the backend.

for my $user ('alice', 'żółć', 'alice@example.test') {
    twice {
        my $n = $auth->count + 1;
        $auth->accept('Auth-Pass' => 'wonder');

        my ($c, $salt) = begin($user);
        like($salt, qr/^<[^<>@\s]{32,}\@mail\.example\.test>$/, 'challenge');
        ok(!$seen{$salt}++, 'challenge is new');

        $c->send(response("$user " . digest('wonder', $salt)));
        $c->expect(SUCCESS, 'success');
        $c->send('<iq/>');
        $c->expect('<iq/>', 'relayed');

        my $header = $auth->request($n)->{header};
        my $login = $backend->login($n);
        my $name = $user =~ s/@.*//r;

        is_deeply([ @$header{qw(auth-method auth-user auth-salt auth-pass)},
                    @$login{qw(user password)} ],
                  [ 'cram-md5', "$name\@example.test", $salt,
                    digest('wonder', $salt), $name, 'wonder' ], 'credentials');
    };
}


# An answer without a password is of no use here.

twice {
    my $connections = $backend->count;
    my ($c, $salt) = begin('no Auth-Pass');

    $c->send(response('alice ' . digest('wonder', $salt)));
    $c->expect_end(refused('temporary-auth-failure'), 'no Auth-Pass');
    is($backend->count, $connections, 'no login at the backend');
};

like($t->log, qr/did not send password/, 'logged');

twice {
    $auth->answer('Auth-Status' => 'wrong password');
    my ($c, $salt) = begin('refused');

    $c->send(response('alice ' . digest('wander', $salt)));
    $c->expect_end(refused('not-authorized', 'wrong password'), 'refused');
};


# Failures.

my $asked = $auth->count;

my @response = (
    'empty' => '',
    'no digest' => 'alice',
    'a short digest' => 'alice ' . 'a' x 31,
    'a long digest' => 'alice ' . 'a' x 33,
    'no hexadecimal digits' => 'alice ' . 'x' x 32,
    'no user' => ' ' . 'a' x 32,
    'no space' => 'alice' . 'a' x 32,
    'a space in the name' => 'al ice ' . 'a' x 32,
    'a NUL in the name' => "al\0ice " . 'a' x 32,
    'name in Latin-1' => "caf\xe9 " . 'a' x 32,
);

while (my ($name, $message) = splice @response, 0, 2) {
    twice {
        my ($c) = begin($name);
        $c->send(response($message));
        $c->expect(failure('malformed-request'), $name);
    };
}

twice {
    my ($c) = begin('another domain');
    $c->send(response('alice@other.test ' . 'a' x 32));
    $c->expect(failure('not-authorized'), 'another domain');
};

twice {
    my ($c) = begin('not base64');
    $c->send("<response $sasl>a</response>");
    $c->expect(failure('incorrect-encoding'), 'not base64');
    $c->send(response('alice ' . 'a' x 32));
    $c->expect(failure('malformed-request'), 'not base64: it is over');
};

twice {
    my ($c) = begin('abort');
    $c->send(ABORT);
    $c->expect(failure('aborted'), 'abort');
};

talk($port, 'an initial response, which CRAM-MD5 has not',
     open_stream() => $ready, auth('CRAM-MD5', 'alice ' . 'a' x 32)
     => failure('malformed-request'));

is($auth->count, $asked, 'nobody was asked about any of these');

talk($port, 'PLAIN beside it', open_stream() => $ready,
     auth('PLAIN', plain('alice', 'wonder')) => SUCCESS);

# A salt of an exchange that failed must not get into the next one.

twice {
    my $n = $auth->count + 1;
    my ($c) = begin('PLAIN after CRAM-MD5');
    $c->send(ABORT . auth('PLAIN', plain('alice', 'wonder')));
    $c->expect(failure('aborted') . SUCCESS, 'PLAIN after CRAM-MD5');

    my $header = $auth->request($n)->{header};
    is_deeply([ @$header{qw(auth-method auth-salt auth-pass)} ],
              [ 'plain', undef, 'wonder' ], 'no salt any more');
};

$t->finish;
