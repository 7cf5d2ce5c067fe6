#!/usr/bin/perl

# SASL LOGIN.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 134;

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
    max_errors 100;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        xmpp_auth login;
    }
}
END

my $port = $t->port('client');

my $ready = header() . features(mechanisms => [ 'LOGIN' ]);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my ($user, $password) = map { challenge($_) } 'Username:', 'Password:';


# Logins.

my @login = (
    'alice', 'wonder', 'alice@example.test', 'wonder', 'alice',
    'alice@example.test', 'wonder', 'alice@example.test', 'wonder', 'alice',
    'żółć', 'пароль %', 'żółć@example.test', 'пароль%20%25', 'żółć',
);

while (my ($name, $secret, @want) = splice @login, 0, 5) {
    twice {
        my $n = $auth->count + 1;
        my $c = XMPP::Client->new($port);

        $c->send(open_stream() . auth('LOGIN'));
        $c->expect($ready . $user, "$name: asked for the name");
        $c->send(response($name));
        $c->expect($password, "$name: asked for the password");
        $c->send(response($secret));
        $c->expect(SUCCESS, "$name: success");
        $c->send('<iq/>');
        $c->expect('<iq/>', "$name: relayed");

        my $header = $auth->request($n)->{header};
        my $login = $backend->login($n);

        # A password is a password to the auth service.
        is_deeply([ @$header{qw(auth-method auth-user auth-pass)},
                    @$login{qw(user password)} ],
                  [ 'plain', @want, $secret ], "$name: credentials");
    };
}

talk($port, 'name in the initial response', open_stream() => $ready,
     auth('LOGIN', 'alice') => $password, response('wonder') => SUCCESS);

talk($port, 'all in one packet',
     open_stream() . auth('LOGIN') . response('alice') . response('wonder')
     => $ready . $user . $password . SUCCESS);


# Failures.

my $asked = $auth->count;

my @name = (
    '' => 'malformed-request',
    'a b' => 'malformed-request',
    "a\0b" => 'malformed-request',
    "caf\xe9" => 'malformed-request',
    '@example.test' => 'malformed-request',
    'alice@other.test' => 'not-authorized',
);

# The name may be judged when it comes or with the password.

while (my ($name, $condition) = splice @name, 0, 2) {
    my $shown = $name =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;

    twice {
        my $c = XMPP::Client->new($port);

        $c->send(open_stream() . auth('LOGIN') . response($name));
        $c->expect($ready . $user, "name \"$shown\"");
        my $got = $c->read_until(qr{</(?:challenge|failure)>});
        if ($got eq $password) {
            $c->send(response('wonder'));
            $got = $c->read_until(qr{</failure>});
        }
        is($got, failure($condition), "name \"$shown\": $condition");
    };
}

for my $secret ('', "a\0b", "caf\xe9") {
    my $shown = $secret =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;

    talk($port, "password \"$shown\"", open_stream() => $ready,
         auth('LOGIN') => $user, response('alice') => $password,
         response($secret) => failure('malformed-request'));
}

talk($port, 'name that is not base64', open_stream() => $ready,
     auth('LOGIN') => $user,
     "<response $sasl>a</response>" => failure('incorrect-encoding'));

talk($port, 'password that is not base64', open_stream() => $ready,
     auth('LOGIN') => $user, response('alice') => $password,
     "<response $sasl>*</response>" => failure('incorrect-encoding'),
     response('wonder') => failure('malformed-request'));

talk($port, 'abort', open_stream() => $ready, auth('LOGIN') => $user,
     response('alice') => $password, ABORT() => failure('aborted'));

talk($port, '<auth/> in an exchange', open_stream() => $ready,
     auth('LOGIN') => $user, auth('LOGIN') => failure('malformed-request'));

talk($port, 'PLAIN is not offered', open_stream() => $ready,
     auth('PLAIN', plain('alice', 'wonder')) => failure('invalid-mechanism'));

is($auth->count, $asked, 'nobody was asked about any of these');

talk($port, 'a login after a failure', open_stream() => $ready,
     auth('LOGIN') => $user, ABORT() => failure('aborted'),
     auth('LOGIN') => $user, response('alice') => $password,
     response('wonder') => SUCCESS);

$t->finish;
