#!/usr/bin/perl

# What is relayed: many bytes both ways at once, small ones without delay, and
# for how long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

use constant { BULK => 10_000_000, ECHO => 200_000, MESSAGE => 16_384,
               TURNS => 200 };

my @way = transports();

plan tests => @way * (2 + 2 + 1) + 9 + 8 + 1;

# Writing debug lines would take longer than relaying.
my $t = XMPP::Nginx->new(log => 'info');

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

my $servers = servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;');

my $conf = <<"END";
mail {
$servers
    server {
        listen 127.0.0.1:%{short_port};
        protocol xmpp;
        proxy_timeout %{1s};
    }
}
END

$t->start($conf);

my $connection = 0;


# Each side sends all it has while it reads what the other one sends.

my $noise = noise(BULK);
my $digest = digest($noise);

for (@way) {
    my ($name, %way) = @$_;

    $backend->script([ 'login' ], [ exchange => BULK, BULK ], [ drain => 8 ]);
    $connection++;

    my $c = enter($t, %way);
    $c->send($noise);
    my $got = receive($c, BULK);

    my $moved = $backend->moved($connection);

    is($moved->{got_digest}, $digest, "$name: all to the backend");
    is(digest($got), $moved->{sent_digest}, "$name: all to the client");
    $c->close;
}


# Messages that are larger than nginx's buffers, one at a time: a piece that
# waits for the ACK of the piece before it waits for 40 ms.  Where everything is
# slow, the turns that nothing else has held up have to tell.

my ($middle, $most) = map { TURNS * $_ } $t->scale > 1 ? (0.25, 0.25)
                                                       : (0.5, 0.9);

for (@way) {
    my ($name, %way) = @$_;

    $backend->script([ 'login' ], [ reply => MESSAGE, MESSAGE ]);
    $connection++;

    my $c = enter($t, %way);
    my $message = 'x' x MESSAGE;
    my @second = sort { $a <=> $b } map { turn($c, $message, MESSAGE) }
                                        1 .. TURNS;

    # The machine may be slow, but not as regularly as that.
    cmp_ok($second[$middle], '<', 0.02, "$name: the median turn");
    cmp_ok($second[$most], '<', 0.035, "$name: nine of ten turns");
    note(sprintf '%s: median %.2f ms, longest %.2f ms', $name,
         map { $_ * 1000 } @second[TURNS / 2, -1]);
    $c->close;
}

# The same with messages of a few bytes.

for (@way) {
    my ($name, %way) = @$_;

    my $c = enter($t, %way);
    my @second = sort { $a <=> $b } map { turn($c, "<r n='$_'/>",
                                               length "<r n='$_'/>") }
                                        1 .. TURNS;

    cmp_ok($second[$most], '<', 0.035, "$name: nine of ten small turns");
    $connection++;
    $c->close;
}


# proxy_timeout, of the client's silence and the backend's.

{
    my $c = enter($t, port => 'short');
    $connection++;

    for (1 .. 4) {
        sleep 0.5 * $t->scale;
        $c->send("<r n='$_'/>");
        $c->expect("<r n='$_'/>", "within proxy_timeout ($_)");
    }

    my $begun = time;
    $c->expect_end('', 'proxy_timeout ends the session');
    my $seconds = time - $begun;
    cmp_ok($seconds, '>', 0.9 * $t->scale, 'not earlier');
    cmp_ok($seconds, '<', 3 * $t->scale, 'nor much later');
    ok($backend->wait_event($connection, 'eof'), 'for the backend, too');
    ok($t->wait_log(qr/client timed out.*alice\@example\.test/), 'logged');
}


# A new configuration is for new sessions.

{
    my @c = map { my ($name, %way) = @$_; enter($t, %way) } @way;

    $t->reconfigure($conf =~ s/(protocol xmpp;)/$1 xmpp_auth login;/gr);
    ok($t->wait_log(qr/gracefully shutting down/), 'an old worker retires');

    for (@way) {
        my ($name) = @$_;
        my $c = shift @c;

        $c->send(substr $noise, 0, ECHO);
        ok(receive($c, ECHO) eq substr($noise, 0, ECHO),
           "$name: its sessions go on");
        $connection++;
        $c->close;
    }

    ok($t->wait_log(qr/worker process \d+ exited with code 0/),
       'the old worker ends with its last session');
    unlike($t->log, qr/shutdown timeout/, 'and not before');

    my $c = XMPP::Client->new($t->port('short'));
    $c->send(open_stream());
    $c->expect(header() . features(mechanisms => [ 'LOGIN' ]),
               'the new worker has the new configuration');
}

$t->finish;
