#!/usr/bin/perl

# Connections to the auth service that are kept for the next login: when they
# are, when they may not be, and what happens when one is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 87;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $dir = $t->dir;
my $auth = XMPP::Auth->new($t);
my $other = XMPP::Auth->new($t, name => 'other');
my $backend = XMPP::Backend->new($t);

$t->start(<<"END");
http {
    log_format requests '\$connection_requests \$server_protocol';
    access_log %{dir}/requests.log requests;

    server {
        listen 127.0.0.1:%{http_port};

        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port %{backend_port};
            return 204;
        }

        location /200 {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port %{backend_port};
            return 200 "OK";
        }
    }
}

mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    auth_http_keepalive 1;
    auth_http_timeout %{1s};

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{second_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{third_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{other_port}/auth;
    }

    server {
        listen 127.0.0.1:%{short_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{other_port}/auth;
        auth_http_keepalive_timeout %{0.5s};
    }

    server {
        listen 127.0.0.1:%{off_port};
        protocol xmpp;
        auth_http_keepalive 0;
    }

    server {
        listen 127.0.0.1:%{real_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{http_port}/;
    }

    server {
        listen 127.0.0.1:%{body_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{http_port}/200;
    }
}
END

my @ok = ('Auth-Status: OK', 'Auth-Server: 127.0.0.1',
          'Auth-Port: ' . $t->port('backend'));
my $request = [ 'request' ];
my $good = [ send => http('200 OK', 'Content-Length: 0', @ok) ];
my $drain = [ drain => 5 ];
my %over;


# One connection for all, also through another server of the configuration.

$auth->script($request, $good, $request, $good, $request, $good, $request,
              $good);
ok(success($t), 'first login');
ok(success($t), 'second login');
ok(success($t, port => 'second', user => 'bob'), 'through another server');
is($auth->count, 1, 'one connection');

my @asked = split /\r\n\r\n/, $auth->bytes(1);
is(scalar @asked, 3, 'three requests on it');
is(scalar(grep { /^GET \/auth HTTP\/1\.1\r\nHost: 127\.0\.0\.1\r\n/ } @asked),
   3, 'of HTTP/1.1');
like($asked[2], qr/^Auth-User: bob\@example\.test\r$/m, 'the third is the third');

# Without it nothing has changed.
ok(success($t, port => 'off'), 'not asked for');
is($auth->count, 2, 'a connection of its own');
like($auth->bytes(2), qr/^GET \/auth HTTP\/1\.0\r\n/, 'of HTTP/1.0');

# Another service has its own connections.
$other->script($request, $good, $request, $good);
ok(success($t, port => 'third'), 'another service');
is($other->count, 1, 'is asked');
is($auth->count, 2, 'and not the first');
ok(success($t), 'the first');
is($auth->count, 2, 'has still got its connection');


# What makes a connection unusable for another request.

my %not = (
    'HTTP/1.0' => "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection:"
                  . ' keep-alive' . rest(@ok),
    'HTTP/2.0' => "HTTP/2.0 200 OK\r\nContent-Length: 0" . rest(@ok),
    'no status line' => "Content-Length: 0" . rest(@ok),
    'to be closed' => http('200 OK', 'Content-Length: 0', @ok,
                           'Connection: Close'),
    'one of many options' => http('200 OK', 'connection: x, close',
                                  'Content-Length: 0', @ok),
    'chunked' => http('200 OK', 'Transfer-Encoding: chunked', @ok)
                 . "0\r\n\r\n",
    'chunked, with a length' => http('200 OK', 'Content-Length: 5',
                                     'Transfer-Encoding: chunked', @ok)
                                . "0\r\n\r\n",
    'no length' => http('200 OK', @ok),
    'an invalid length' => http('200 OK', 'Content-Length: 0x', @ok),
    'a negative length' => http('200 OK', 'Content-Length: -0', @ok),
    'two lengths' => http('200 OK', 'Content-Length: 0', 'Content-Length: 2',
                          @ok) . 'OK',
    'less than the length' => http('200 OK', 'Content-Length: 3', @ok) . 'OK',
    'more than the length' => http('200 OK', 'Content-Length: 1', @ok) . 'OK',
    'more than nothing' => http('204 No Content', @ok) . 'OK',
    'an interim response' => http('103 Early Hints', 'Content-Length: 0',
                                  @ok),
);

for my $name (sort keys %not) {
    my $n = fresh($auth);

    $auth->script($request, [ send => $not{$name} ], $drain);
    ok(success($t), $name);
    ok($auth->wait_event($n, 'eof'), "$name: closed");
}


# And what does not.

my %kept = (
    'a body' => http('200 OK', 'Content-Length: 2', @ok) . 'OK',
    'the same length twice' => http('200 OK', 'Content-Length: 2',
                                    'Content-Length: 2', @ok) . 'OK',
    'a status of 204' => http('204 No Content', @ok),
    'a status of 204 with a length' => http('204 No Content', 'Content-Length: 0', @ok),
    'a refusal' => http('200 OK', 'Content-Length: 0',
                        'Auth-Status: no', 'Auth-Wait: 1'),
);

for my $name (sort keys %kept) {
    my $n = fresh($auth);

    $auth->script($request, [ send => $kept{$name} ], $request, $good);

    if ($name eq 'a refusal') {
        my $c = login($t);
        ok($c->read_until(qr/<\/failure>/), $name);
        $c->send(auth('PLAIN', plain('alice', 'secret')));
        ok($c->read_until(qr/<success[^>]*>/), "$name: asked again");

    } else {
        ok(success($t), $name);
        ok(success($t), "$name: asked again");
    }

    is($auth->count, $n, "$name: one connection");
}


# Gone in the meantime.

my $n = fresh($auth);

$auth->script($request, $good, $request);
ok(success($t), 'first login, then the end for an answer');
ok(success($t), 'asked again on another connection');
is($auth->count, $n + 1, 'one more');
unlike($t->log, qr/\[error\]/, 'that is no error');

# Only once.
$n = fresh($auth);
$auth->script($request, $good, $request);
$auth->script($request);
ok(success($t), 'first login');
ok(!success($t), 'no answer on a new connection, too');
is($auth->count, $n + 1, 'not asked a third time');

# An answer that has begun is not asked for again.
$n = fresh($auth);
$auth->script($request, $good, $request, [ send => "HTTP/1.1 200 OK\r\n" ]);
ok(success($t), 'first login');
ok(!success($t), 'half an answer');
is($auth->count, $n, 'not asked again');

# An answer that nobody has asked for is nobody's.
$n = fresh($auth);
$auth->script($request, $good, [ sleep => 0.2 ],
              [ send => http('200 OK', 'Content-Length: 0', @ok) ], $drain);
ok(success($t), 'first login');
ok($auth->wait_event($n, 'done'), 'bytes while it is idle: closed');
$auth->answer('Auth-Status' => 'no');
ok(!success($t), 'who logs in next gets his own answer');


# How many, and for how long.

$n = fresh($auth);
my @two = map { login($t) } 1, 2;
is(scalar(grep { $_->read_until(qr/<success[^>]*>/) } @two), 2,
   'two logins at once');

$n = fresh($other);
$other->script($request, $good, $drain);
ok(success($t, port => 'short'), 'a short time');
ok($other->wait_event($n, 'eof'), 'is over');


# A reset, as the last one, since it is no end of a script.
$n = fresh($auth);
$auth->script($request, $good, $request, [ 'reset' ]);
ok(success($t), 'first login, then a reset for an answer');
ok(success($t), 'asked again on another connection');
is($auth->count, $n + 1, 'one more');


# nginx is an auth service, too.

for my $port ('real', 'body') {
    ok(success($t, port => $port), "nginx: $port") for 1 .. 3;
}

my $requests = "$dir/requests.log";
open my $file, '<', $requests or die "$requests: $!\n";
is(join('', <$file>), join('', map { "$_ HTTP/1.1\n" } (1 .. 3) x 2),
   'on a connection each');

# Idle connections are no reason to stay.
success($t, port => 'third');
$t->finish;


# The number of the next connection, when the last script was played and has
# closed its own.

sub fresh {
    my ($service) = @_;

    my $n = $service->count;

    $service->wait_event($n, 'done') if $n && !$over{$service}{$n}++;

    return $n + 1;
}


sub http { my ($status, @line) = @_; "HTTP/1.1 $status" . rest(@line) }
sub rest { join "\r\n", '', @_, '', '' }


sub success {
    my $c = login(@_);

    return $c->read_until(qr/<success[^>]*>/) ? 1 : 0;
}
