#!/usr/bin/perl

# An auth service that has somebody wait (Auth-Wait): what it sends with that is
# no answer, and a worker may have to go before it is over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use MIME::Base64;
use Test::More tests => 6 + 2 + 3 + 5 * 3 + 1;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new(main => 'worker_shutdown_timeout %{1s};',
                         log => 'info');
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $conf = <<'END';
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth plain cram-md5;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{pass_port};
        protocol xmpp;
        xmpp_auth none;
    }

    server {
        listen 127.0.0.1:%{server_port};
        protocol xmpp;
        xmpp_stream server;
    }
}
END

$t->start($conf);

my $ready = header() . features(mechanisms => [ 'CRAM-MD5', 'PLAIN' ]);
my $login = auth('PLAIN', plain('alice', 'wonder'));


# What it says of the user before it has made up its mind is not for the next
# request: that has the digest of the client again.

{
    $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 1,
                  'Auth-Pass' => 'early');
    $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 1,
                  'Auth-User' => 'mallory', 'Auth-Pass' => 'x' x 100);
    $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => 'wonder');

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream() . auth('CRAM-MD5'));
    my ($salt) = $c->read_until(qr{</challenge>}) =~ m{>([^<]*)</challenge>\z};
    my $digest = 'a1' x 16;

    $c->send(response("alice $digest"));
    $c->expect(SUCCESS, 'it waits twice, and is let in');

    for my $request (1 .. 3) {
        my $header = $auth->request($request)->{header};

        is_deeply([ @$header{qw(auth-method auth-salt auth-pass)} ],
                  [ 'cram-md5', decode_base64($salt), $digest ],
                  "the digest in request $request");
    }

    my $got = $backend->login(1);

    is_deeply([ @$got{qw(user password)} ], [ 'alice', 'wonder' ],
              'what it says in the end is for the backend');
    is($auth->count, 3, 'nothing else was asked');
}


# Without a time it is asked again at once, and what it says then counts.

{
    my $n = $auth->count;

    $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 0);
    $auth->answer('Auth-Status' => 'WAIT');
    $auth->accept;

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream() . $login);
    $c->expect($ready . SUCCESS, 'asked again at once');
    is($auth->count, $n + 3, 'three times');
    $c->close;
}


# What can not be a password is not taken for one.
{
    my $n = $backend->count;

    $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => "won\0der");

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream() . $login);
    $c->expect_end($ready . refused('temporary-auth-failure'),
                   'a NUL in a password');
    ok($t->wait_log(qr/sent invalid header in response/), 'logged');
    is($backend->count, $n, 'and not for the backend');
}


# A worker that has to go.  Who is in a login can try it again elsewhere.

my @open;

for (
    [ 'a login', 'client', open_stream() . $login, 'WAIT', $ready,
      refused('temporary-auth-failure') ],
    [ 'a login that was refused', 'client', open_stream() . $login, 'no',
      $ready, stream_error('system-shutdown') ],
    [ 'a client that is passed on', 'pass', open_stream(), 'WAIT', '',
      header() . stream_error('system-shutdown') ],
    [ 'one that was refused', 'pass', open_stream(), 'no', '',
      header() . stream_error('system-shutdown') ],
    [ 'a server', 'server', open_server(), 'WAIT', '',
      server_header(to => 'peer.test') . stream_error('system-shutdown') ],
) {
    my ($name, $port, $bytes, $status, $now, $then) = @$_;

    my $n = $auth->count + 1;
    $auth->answer('Auth-Status' => $status, 'Auth-Wait' => 3600);

    my $c = XMPP::Client->new($t->port($port));

    $c->send($bytes);
    $c->expect($now, "$name: waits");
    ok($auth->wait_event($n, 'eof'), "$name: the service has answered");
    push @open, [ $name, $then, $c ];
}

$t->reconfigure($conf);

for (@open) {
    my ($name, $want, $c) = @$_;

    $c->expect_end($want, "$name: told");
}

$t->finish;
