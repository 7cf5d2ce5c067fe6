#!/usr/bin/perl

# SASL PLAIN, and what holds for any mechanism.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 259;

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
    }
}
END

my $port = $t->port('client');

my $ready = header() . features(mechanisms => [ 'PLAIN' ]);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";


# Logins: what the client says, what the auth service is asked (as it stands in
# the header), what the backend is told.

my @login = (
    'user and password', plain('alice', 'wonder'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'authzid: the bare JID', plain('alice', 'wonder', 'alice@example.test'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'authzid: the name', plain('alice', 'wonder', 'alice'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'authzid: the domain in capitals',
        plain('alice', 'wonder', 'alice@EXAMPLE.test'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'user: the bare JID', plain('alice@example.test', 'wonder'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'user and authzid: the bare JID',
        plain('alice@example.test', 'wonder', 'alice@example.test'),
        'alice@example.test', 'wonder', 'alice', 'wonder',
    'other letters', plain('żółć日', 'пароль🦊'),
        'żółć日@example.test', 'пароль🦊', 'żółć日', 'пароль🦊',
    'signs in the name', plain('a!#$%*+,-.;=?[\\]^_`{|}~z', 'b'),
        'a!#$%25*+,-.;=?[\\]^_`{|}~z@example.test', 'b',
        'a!#$%*+,-.;=?[\\]^_`{|}~z', 'b',
    'signs in the password', plain('alice', " <&>'\"\@:/%\t\r\n\x7f"),
        'alice@example.test', "%20<&>'\"\@:/%25%09%0D%0A\x7f",
        'alice', " <&>'\"\@:/%\t\r\n\x7f",
    'a name of 1023 bytes', plain('a' x 1023, 'b'),
        'a' x 1023 . '@example.test', 'b', 'a' x 1023, 'b',
    'a password of 1000 bytes', plain('alice', 'ab' x 500),
        'alice@example.test', 'ab' x 500, 'alice', 'ab' x 500,
);

while (my ($name, $message, @want) = splice @login, 0, 6) {
    twice {
        my $n = $auth->count + 1;
        my $c = XMPP::Client->new($port);

        $c->send(open_stream() . auth('PLAIN', $message));
        $c->expect($ready . SUCCESS, $name);
        $c->send('<iq/>');
        $c->expect('<iq/>', "$name: relayed");

        my $header = $auth->request($n)->{header};
        my $login = $backend->login($n);

        is_deeply([ @$header{qw(auth-method auth-user auth-pass)},
                    @$login{qw(authzid user password domain)} ],
                  [ 'plain', @want[0, 1], '', @want[2, 3], 'example.test' ],
                  "$name: credentials");
    };
}


# The initial response may come later.

twice {
    my $n = $auth->count + 1;
    my $c = XMPP::Client->new($port);

    $c->send(open_stream() . auth('PLAIN'));
    $c->expect($ready . challenge(''), 'no initial response');
    $c->send(response(plain('alice', 'wonder')));
    $c->expect(SUCCESS, 'response');
    is($auth->request($n)->{header}{'auth-pass'}, 'wonder', 'Auth-Pass');
};

twice {
    my $c = XMPP::Client->new($port);

    $c->send(open_stream());
    $c->expect($ready, 'header');
    $c->send("<auth $sasl mechanism='PLAIN'></auth>");
    $c->expect(challenge(''), 'empty initial response in two tags');
    $c->send("<response $sasl mechanism='PLAIN'>AGEAYg==</response>\n");
    $c->expect(SUCCESS, 'response with an attribute, a newline behind it');
};


# As clients write it.

for my $auth (
    '<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">'
        . 'AGEAYg==</auth>',
    "<auth mechanism='PLAIN' $sasl ga:client-uses-full-bind-result='true'"
        . " xmlns:ga='http://www.google.com/talk/protocol/auth' id='1'>"
        . 'AGEAYg==</auth>',
    "<auth $sasl mechanism='PLAIN'>AGEAYg==</auth>\n",
    "<x:auth xmlns:x='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"
        . 'AGEAYg==</x:auth>',
) {
    talk($port, "shape $auth", open_stream() => $ready, $auth => SUCCESS);
}


# Failures.  The stream goes on, nobody is asked.

my $asked = $auth->count;

my @failure = (
    'invalid-mechanism' => [
        'unknown' => auth('X-UNKNOWN', 'a'),
        'not offered' => auth('CRAM-MD5'),
        'EXTERNAL' => auth('EXTERNAL', ''),
        'LOGIN' => auth('LOGIN'),
        'SCRAM' => auth('SCRAM-SHA-1', 'n,,n=alice,r=abc'),
        'small letters' => auth('plain', plain('a', 'b')),
        'a space behind it' => auth('PLAIN ', plain('a', 'b')),
        'a longer name' => auth('PLAIN-PLUS', plain('a', 'b')),
        'empty' => auth('', plain('a', 'b')),
        'absent' => "<auth $sasl>AGEAYg==</auth>",
        'a very long one' => auth('P' x 300, plain('a', 'b')),
    ],

    'incorrect-encoding' => [
        map { ($_ => "<auth $sasl mechanism='PLAIN'>$_</auth>") }
            'A', 'AG', 'AGEAYg', 'AGEAYg=', 'AGEA=g==', 'AGEAYg===',
            '====', '==', ' AGEAYg==', 'AGEA Yg==', "AGEA\nYg==", 'AGEAYg==.',
            'AGEA-_==', '@@@@', 'żżżż',
    ],

    'malformed-request' => [
        'empty' => auth('PLAIN', ''),
        'no NUL' => auth('PLAIN', 'alice'),
        'one NUL' => auth('PLAIN', "alice\0wonder"),
        'three NULs' => auth('PLAIN', "\0alice\0won\0der"),
        'a NUL at the end' => auth('PLAIN', "\0alice\0wonder\0"),
        'only NULs' => auth('PLAIN', "\0\0"),
        'empty user' => auth('PLAIN', plain('', 'wonder')),
        'empty password' => auth('PLAIN', plain('alice', '')),
        'user in Latin-1' => auth('PLAIN', plain("caf\xe9", 'b')),
        'password in Latin-1' => auth('PLAIN', plain('alice', "caf\xe9")),
        'a user of 1024 bytes' => auth('PLAIN', plain('a' x 1024, 'b')),
        'only a domain' => auth('PLAIN', plain('@example.test', 'b')),
        (map { ("user \"$_\"" => auth('PLAIN', plain($_, 'b'))) }
             'a b', ' ', 'a/b', 'a:b', 'a<b', 'a>b', 'a&b', "a'b", 'a"b',
             "a\tb", "a\x7fb", "a\xe2\x80\x8bb", "a\xc2\xa0b"),
        'a response without <auth/>' => response('a'),
        'a child' => "<auth $sasl mechanism='PLAIN'><a/></auth>",
    ],

    'invalid-authzid' => [
        'another user' => auth('PLAIN', plain('alice', 'b', 'bob')),
        'another user, as JID' =>
            auth('PLAIN', plain('alice', 'b', 'bob@example.test')),
        'another domain' =>
            auth('PLAIN', plain('alice', 'b', 'alice@other.test')),
        'the domain' => auth('PLAIN', plain('alice', 'b', 'example.test')),
        'a full JID' =>
            auth('PLAIN', plain('alice', 'b', 'alice@example.test/home')),
        'other case' => auth('PLAIN', plain('alice', 'b', 'Alice')),
        'no JID' => auth('PLAIN', plain('alice', 'b', '@')),
    ],

    'not-authorized' => [
        'a user of another domain' =>
            auth('PLAIN', plain('alice@other.test', 'b')),
        'a user of a domain below' =>
            auth('PLAIN', plain('alice@a.example.test', 'b')),
        'a user of a domain with more behind it' =>
            auth('PLAIN', plain('alice@example.test.com', 'b')),
    ],

    'aborted' => [
        'nothing to abort' => ABORT,
    ],
);

while (my ($condition, $case) = splice @failure, 0, 2) {
    while (my ($name, $bytes) = splice @$case, 0, 2) {
        $name =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
        talk($port, "$condition: $name", open_stream() . $bytes
             => $ready . failure($condition));
    }
}

talk($port, 'abort in an exchange', open_stream() => $ready,
     auth('PLAIN') => challenge(''), ABORT() => failure('aborted'),
     response(plain('alice', 'wonder')) => failure('malformed-request'));

talk($port, '<auth/> in an exchange', open_stream() => $ready,
     auth('PLAIN') => challenge(''),
     auth('PLAIN', plain('alice', 'wonder')) => failure('malformed-request'));

talk($port, 'empty response', open_stream() => $ready,
     auth('PLAIN') => challenge(''),
     response('') => failure('malformed-request'));

is($auth->count, $asked, 'nobody was asked about any of these');

talk($port, 'a login after failures', open_stream() => $ready,
     auth('SCRAM-SHA-1', 'n,,n=alice,r=abc') => failure('invalid-mechanism'),
     auth('PLAIN', 'alice') => failure('malformed-request'),
     auth('PLAIN') => challenge(''), ABORT() => failure('aborted'),
     auth('PLAIN', plain('alice', 'wonder')) => SUCCESS,
     '<message/>' => '<message/>');

is((grep { /wonder/ } split /\n/, $t->log)[0], undef,
   'no password in the log');

$t->finish;
