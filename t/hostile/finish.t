#!/usr/bin/perl

# One side has closed its connection, and the other one never does, or can not
# be reached any more: "timeout" and worker_shutdown_timeout end it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Errno qw(EAGAIN EINTR);
use IO::Select;
use Test::More;
use Time::HiRes qw(time);

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Login;
use XMPP::Nginx;

my @way = transports();

plan tests => @way * (5 + 6) + 2 + 1 + @way * 4 + 1;

my $t = XMPP::Nginx->new(log => 'info',
                         main => 'worker_shutdown_timeout %{1s};');

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

# The last ones have to outlive it.
my $servers = servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;');
my $conf = "mail {\n    timeout %{2s};\n$servers}\n";
my $patient = "mail {\n    timeout 600s;\n$servers}\n";

$t->start($conf);

my $timeout = 2 * $t->scale;
my $connection = 0;
my $late = qr/connection was not closed in time/;
my %seen;


for (@way) {
    my ($name, %way) = @$_;

    # The backend is told that there is no more, and takes no notice.
    my $c = session([ expect => 'the end' ], [ 'await' ], %way);
    my $begun = time;

    $c->send('the end');
    half_close($c);
    ok($backend->wait_bytes($connection, qr/the end/),
       "$name: the client has closed, the backend gets what it has sent");
    is($c->read_to_end, '', "$name: nobody has more to say");
    cmp_ok(time - $begun, '>', 0.9 * $timeout, "$name: not before its time");
    ok($t->wait_log(logged($late)), "$name: the backend is late");
    $backend->go($connection);
    $c->close;
    ok($backend->wait_event($connection, 'eof'), "$name: it is left");

    # The client is told, and takes no notice, not of close_notify either.
    $c = session([ expect => 'bye' ], [ 'half' ], %way);
    $begun = time;

    ok(drained($c), "$name: the backend has closed, the client is told");
    $c->send('late');
    ok($backend->wait_event($connection, 'eof'),
       "$name: the backend is left in the end");
    cmp_ok(time - $begun, '>', 0.9 * $timeout, "$name: not before its time");
    ok($t->wait_log(logged($late)), "$name: the client is late");
    unlike($backend->bytes($connection), qr/late/,
           "$name: what it still says is for nobody");
    is(gone($c), 1, "$name: it is closed");
    $c->close;
}


# What it has sent fills all buffers, so that its reset is found out by writing.
{
    my $c = session([ 'await' ], [ send => 'x' ], [ 'half' ], [ sleep => 0.5 ],
                    [ sip => 65536, 0, 0 ]);

    ok(fill($c) > 0, 'the backend does not read, the client does not stop');
    $c->reset;
    $backend->go($connection);
    ok($backend->moved($connection)->{got}, 'its reset ends it');
}


# Those who wait when the worker has to go.
$t->reconfigure($patient);
ok($t->wait_log(qr/exited with code 0/), 'with more patience');

my @open;

for (@way) {
    my ($name, %way) = @$_;

    my $c = session([ expect => 'the end' ], [ 'await' ], %way);
    $c->send('the end');
    half_close($c);
    ok($backend->wait_bytes($connection, qr/the end/),
       "$name: one that waits for the backend");
    push @open, [ $name, $c, $connection ];

    $c = session([ expect => 'bye' ], [ 'half' ], %way);
    ok(drained($c), "$name: one that waits for the client");
    push @open, [ $name, $c, $connection ];
}

$t->reconfigure($conf);

for (@open) {
    my ($name, $c, $n) = @$_;

    $backend->go($n);
    ok($backend->wait_event($n, 'eof'), "$name: the shutdown ends it");
    $c->close;
}

$t->finish;


sub session {
    my (@step) = (shift);

    push @step, shift while ref $_[0];

    $backend->script([ 'login' ], @step, [ 'drain' ]);
    $connection++;

    return enter($t, @_);
}


# The client's side of TLS ends, and its connection for writing.
sub half_close {
    my ($c) = @_;

    if ($c->tls) {
        $c->tls->close;
        $c->raw($c->tls->out);
    }

    $c->finish_writing;
}


# Lets the backend close, and does not answer that.
sub drained {
    my ($c) = @_;

    $c->{answered} = 1;
    $c->send('bye');

    return $c->read_to_end eq '' && $c->ended;
}


# Whether nginx has closed: what is sent to a closed socket is answered by RST.
sub gone {
    my ($c) = @_;

    my $end = time + $c->{timeout};

    while (time < $end) {
        $c->raw('x');
        return 1 if $c->{broken};
        select undef, undef, undef, 0.01;
    }

    return 0;
}


# Writes till nobody has taken anything for a while.
sub fill {
    my ($c) = @_;

    my $sent = 0;
    my $select = IO::Select->new($c->{socket});
    my $bytes = 'x' x 65536;

    while ($select->can_write(0.5 * $t->scale)) {
        my $n = syswrite $c->{socket}, $bytes;

        last if !defined $n && $! != EAGAIN && $! != EINTR;
        $sent += $n // 0;
    }

    return $sent;
}


# One line more than there were.
sub logged {
    my ($regex) = @_;

    my $n = ++$seen{$regex};

    return qr/\A(?:.*?$regex){$n}/s;
}
