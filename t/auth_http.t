#!/usr/bin/perl

# The exchange with the auth service: what it is told, what its answers become.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 172;
use Time::HiRes qw(time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);
my $http = $t->answer_http(simple => [
    'Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
    'Auth-Port' => $t->port('backend') ]);

$t->start($http . <<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/path?query;
    auth_http_timeout %{1s};
    auth_http_header X-Key "secret key";

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{nobody_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{down_port}/auth;
    }

    server {
        listen 127.0.0.1:%{http_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{simple_port}/auth;
    }
}
END

my $port = $t->port('client');

my $ready = header() . features(mechanisms => [ 'PLAIN' ]);
my $login = auth('PLAIN', plain('alice', 'wonder'));
my $broken = refused('temporary-auth-failure');


# The request, to the letter.

twice {
    my $n = $auth->count + 1;
    my $c = XMPP::Client->new($port);

    $c->send(open_stream() . auth('PLAIN', plain('alice', 'won der%')));
    $c->expect($ready . SUCCESS, 'login');
    is($auth->request($n)->{raw}, join("\r\n",
       'GET /path?query HTTP/1.0',
       'Host: 127.0.0.1',
       'Auth-Method: plain',
       'Auth-User: alice@example.test',
       'Auth-Pass: won%20der%25',
       'Auth-Protocol: xmpp',
       'Auth-Login-Attempt: 1',
       'Client-IP: 127.0.0.1',
       'Auth-XMPP-Domain: example.test',
       'Auth-XMPP-Stream: c2s',
       'X-Key: secret key', '', ''), 'request');
};

# Who the client says it is.

my @from = (
    { from => 'alice@example.test/a' }, 'example.test', 'alice@example.test',
    { from => 'bob@other.test' }, 'example.test', 'bob@other.test',
    { from => 'localhost' }, 'example.test', 'localhost',
    { from => 'al ice@example.test' }, 'example.test', undef,
    { from => 'a%20b@example.test' }, 'example.test', 'a%2520b@example.test',
    { from => "x&#10;Auth-User: bob\@example.test" }, 'example.test', undef,
    { to => 'EXAMPLE.test.' }, 'example.test', undef,
    { to => 'münchen.example' }, 'münchen.example', undef,
);

while (my ($attribute, $domain, $from) = splice @from, 0, 3) {
    my $n = $auth->count + 1;
    my $c = XMPP::Client->new($port);

    $c->send(open_stream(%$attribute) . $login);
    $c->read_until(qr/<success/);

    my $header = $auth->request($n)->{header};
    is_deeply([ @$header{qw(auth-xmpp-domain auth-xmpp-from auth-user)} ],
              [ $domain, $from, "alice\@$domain" ],
              'headers for ' . join ' ', %$attribute);
    $c->close;
}


# Attempts are counted as they are told to the service.

twice {
    my $n = $auth->count + 1;
    $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1);

    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . auth('PLAIN', plain('', '')) . $login);
    my $begun = time;
    $c->expect($ready . failure('malformed-request')
               . failure('not-authorized', 'no'), 'refused');
    cmp_ok(time - $begun, '>', 0.9, 'after Auth-Wait');
    $c->send($login);
    $c->expect(SUCCESS, 'the next attempt');

    is($auth->request($n)->{header}{'auth-login-attempt'}, 1, 'attempt 1');
    is($auth->request($n + 1)->{header}{'auth-login-attempt'}, 2, 'attempt 2');
};

# The next attempt is here already when the wait begins.

twice {
    my $n = $auth->count + 1;
    $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1);

    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . $login
             . auth('PLAIN', plain('alice', 'other')) . '<iq/>');
    $c->expect($ready . failure('not-authorized', 'no') . SUCCESS . '<iq/>',
               'pipelined attempts');
    is($auth->request($n + 1)->{header}{'auth-pass'}, 'other', 'in order');
};

# It comes while nginx waits.

twice {
    $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1);

    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . $login);
    $c->expect($ready, 'features');
    select undef, undef, undef, 0.4;
    $c->send($login);
    $c->expect(failure('not-authorized', 'no') . SUCCESS,
               'an attempt during the wait');
};

# The service asks for patience.

twice {
    my $n = $auth->count + 1;
    $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 1);

    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . $login . '<iq/>');
    my $begun = time;
    $c->expect($ready . SUCCESS . '<iq/>', 'WAIT');
    cmp_ok(time - $begun, '>', 0.9, 'after Auth-Wait');
    my $header = $auth->request($n + 1)->{header};
    is_deeply([ @$header{qw(auth-user auth-pass)} ],
              [ 'alice@example.test', 'wonder' ], 'asked again');
};


# Refusals.

my @refusal = (
    [ 'Auth-Status' => 'Invalid login or password' ],
        'not-authorized', 'Invalid login or password',
    [ 'Auth-Status' => 'a < b & c > "d" \'e\'' ],
        'not-authorized', 'a &lt; b &amp; c &gt; &quot;d&quot; &apos;e&apos;',
    [ 'Auth-Status' => ']]>' ], 'not-authorized', ']]&gt;',
    [ 'Auth-Status' => 'Zażółć 🦊' ], 'not-authorized', 'Zażółć 🦊',
    [ 'Auth-Status' => "caf\xe9" ], 'not-authorized', "caf\xef\xbf\xbd",
    [ 'Auth-Status' => "a\xef\xbf\xbeb" ], 'not-authorized', "a\xef\xbf\xbdb",
    [ 'Auth-Status' => "a\x01b" ], 'temporary-auth-failure', undef,
    [ 'Auth-Status' => "a\x7fb" ], 'temporary-auth-failure', undef,
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => 'account-disabled' ],
        'account-disabled', 'no',
    [ 'Auth-Error-Code' => 'credentials-expired', 'Auth-Status' => 'old' ],
        'credentials-expired', 'old',
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => 'temporary-auth-failure' ],
        'temporary-auth-failure', 'no',
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => 'aborted' ],
        'aborted', 'no',
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => '535 5.7.8' ],
        'not-authorized', 'no',
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => 'account-disabled/><x' ],
        'not-authorized', 'no',
    [ 'Auth-Status' => 'no', 'Auth-Error-Code' => '' ],
        'not-authorized', 'no',
    [ 'Auth-Status' => 'ok' ], 'not-authorized', 'ok',
    [ 'Auth-Status' => 'no', 'Auth-Wait' => 0 ], 'not-authorized', 'no',
    [ 'Auth-Status' => 'no', 'Auth-Wait' => 'soon' ], 'not-authorized', 'no',
    [ 'Auth-Status' => 'x' x 700 ], 'not-authorized', 'x' x 700,
);

while (my ($answer, $condition, $text) = splice @refusal, 0, 3) {
    my $name = join ' ', map { s/([^ -~])/sprintf '\x%02x', ord $1/ger }
                             @$answer;

    twice {
        $auth->answer(@$answer);

        my $c = XMPP::Client->new($port);
        $c->send(open_stream() . $login);
        $c->expect_end($ready . refused($condition, $text),
                       length $name > 60 ? substr($name, 0, 60) : $name);
    };
}


# Another user, another domain, another password.

my @other = (
    [ 'Auth-User' => 'bob' ], [ 'example.test', 'bob', 'wonder' ],
    [ 'Auth-User' => 'bob@other.test' ], [ 'other.test', 'bob', 'wonder' ],
    [ 'Auth-User' => 'alice@OTHER.test', 'Auth-Pass' => 'master' ],
        [ 'other.test', 'alice', 'master' ],
    [ 'Auth-Pass' => 'mas%20ter' ], [ 'example.test', 'alice', 'mas%20ter' ],
    [ 'Auth-User' => 'żółć@münchen.example' ],
        [ 'münchen.example', 'żółć', 'wonder' ],
);

while (my ($more, $want) = splice @other, 0, 2) {
    twice {
        my $n = $backend->count + 1;
        $auth->accept(@$more);

        my $c = XMPP::Client->new($port);
        $c->send(open_stream() . $login);
        $c->expect($ready . SUCCESS, "@$more");

        my $told = $backend->login($n);
        is_deeply([ @$told{qw(domain user password)} ], $want,
                  "@$more: the backend");
    };
}


# Answers in another form.

my $ok = XMPP::Auth::http('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                          'Auth-Port' => $t->port('backend'));

my @form = (
    'one byte at a time' => [ [ pieces => $ok, 1, 0.001 ] ],
    'late, but not too late' => [ [ 'sleep', 0.6 ], [ send => $ok ] ],
    'names in small letters' => [ [ send => $ok =~ s/(Auth-\w+)/\L$1/gr ] ],
    'no CR' => [ [ send => $ok =~ s/\r//gr ] ],
    'a body behind it' => [ [ send => "$ok<html>no</html>" ] ],
    'unknown headers' =>
        [ [ send => $ok =~ s/\n/\nX-A: b\r\nDate: now\r\n/r ] ],
);

while (my ($name, $step) = splice @form, 0, 2) {
    twice {
        $auth->script([ 'request' ], @$step, [ drain => 3 ]);

        my $c = XMPP::Client->new($port);
        $c->send(open_stream() . $login);
        $c->expect($ready . SUCCESS, "answer: $name");
    };
}


# No answer that would do.

my @other_server = ('Auth-Status' => 'OK', 'Auth-Server');

my @bad = (
    'closed at once' => [ [ 'close' ] ],
    'reset' => [ [ 'request' ], [ 'reset' ] ],
    'closed after the request' => [ [ 'request' ], [ 'close' ] ],
    'closed in the headers' => [ [ 'request' ],
        [ send => "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Ser" ],
        [ 'close' ] ],
    'silent' => [ [ 'request' ], [ drain => 10 ] ],
    'silent in the headers' => [ [ 'request' ],
        [ send => "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n" ],
        [ drain => 10 ] ],
    'garbage' => [ [ 'request' ], [ send => "\0\1\2\3\r\n\r\n" ],
        [ 'close' ] ],
    'a header without a name' => [ [ 'request' ],
        [ send => "HTTP/1.0 200 OK\r\n: OK\r\n\r\n" ], [ drain => 3 ] ],
    'a header that is none' => [ [ 'request' ],
        [ send => "HTTP/1.0 200 OK\r\nAuth/Status: OK\r\n\r\n" ],
        [ drain => 3 ] ],
    'headers larger than its buffer' => [ [ 'request' ],
        [ send => "HTTP/1.0 200 OK\r\nX: " . 'x' x 5000 . "\r\n\r\n" ],
        [ drain => 3 ] ],
    'no headers' => [ [ 'request' ], [ send => "HTTP/1.0 200 OK\r\n\r\n" ],
        [ drain => 3 ] ],
    (map {
        my ($name, @header) = @$_;
        ($name => [ [ 'request' ], [ send => XMPP::Auth::http(@header) ],
                    [ drain => 3 ] ])
     } [ 'no server', 'Auth-Status' => 'OK', 'Auth-Port' => 5222 ],
       [ 'no port', @other_server => '127.0.0.1' ],
       [ 'a name for a server', @other_server => 'localhost',
         'Auth-Port' => 5222 ],
       [ 'no address', @other_server => '1.2.3', 'Auth-Port' => 5222 ],
       [ 'port 0', @other_server => '127.0.0.1', 'Auth-Port' => 0 ],
       [ 'port 65536', @other_server => '127.0.0.1', 'Auth-Port' => 65536 ],
       [ 'a port in words', @other_server => '127.0.0.1',
         'Auth-Port' => 'xmpp' ]),
    (map {
        my ($name, @header) = @$_;
        ($name => [ [ 'request' ],
                    [ send => XMPP::Auth::http('Auth-Status' => 'OK',
                          'Auth-Server' => '127.0.0.1',
                          'Auth-Port' => $t->port('backend'), @header) ],
                    [ drain => 3 ] ])
     } [ 'a user that is none', 'Auth-User' => 'a b' ],
       [ 'a user with markup', 'Auth-User' => "a'/><b" ],
       [ 'a user with a resource', 'Auth-User' => 'bob@example.test/home' ],
       [ 'a user without a name', 'Auth-User' => '@example.test' ],
       [ 'a domain that is none', 'Auth-User' => "bob\@'/><b" ],
       [ 'an empty user', 'Auth-User' => '' ],
       [ 'an empty password', 'Auth-Pass' => '' ]),
);

my $reached = $backend->count;

while (my ($name, $script) = splice @bad, 0, 2) {
    twice {
        $auth->script(@$script);

        my $c = XMPP::Client->new($port);
        $c->send(open_stream() . $login);
        $c->expect_end($ready . $broken, "answer: $name");
    };
}

talk_to_end($t->port('nobody'), 'nobody listens there', open_stream() . $login
            => $ready . $broken);

is($backend->count, $reached, 'the backend saw nothing of these');

like($t->log, qr/auth http server 127\.0\.0\.1:\d+ timed out/,
     'logged: timeout');
like($t->log, qr/sent invalid header/, 'logged: header');
like($t->log, qr/did not send server or port/, 'logged: no server');


# A client that does not wait for the answer.

for my $end (qw(close reset)) {
    my $n = $auth->count + 1;
    $auth->script([ 'request' ], [ 'sleep', 0.2 ], [ send => $ok ],
                  [ drain => 3 ]);

    my $c = XMPP::Client->new($port);
    $c->send(open_stream() . $login);
    $auth->request($n);
    $c->$end;
    ok($auth->wait_event($n, 'done'), "the client went away with $end");
}


is((grep { /wonder/ } split /\n/, $t->log)[0], undef,
   'no password in the log');


# The auth service in the same nginx, which has a debug line for each header.

talk($t->port('http'), 'http server in the same nginx',
     open_stream() => $ready, $login => SUCCESS, '<iq/>' => '<iq/>');

$t->finish;
