#!/usr/bin/perl

# Clients that never read, behind windows of a few bytes: they are closed in
# time, cost no more than their buffers, and nobody has to wait for them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 3 * 9 + 4;
use Time::HiRes qw(time);

use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Wire;

use constant { BUFFER => 4096 };

my $t = XMPP::Nginx->new(log => 'info');

my $count = amount($t, plain => 200, sanitize => 200, valgrind => 60);
my $timeout = amount($t, plain => 8, sanitize => 10, valgrind => 30);

# From the first byte of a login to the echo behind it.
my $prompt = amount($t, plain => 5, sanitize => 5, valgrind => 20);

# nginx's part of two connections, and what they need to log in all at once.
# valgrind keeps what was freed for a while.
my $more = amount($t, plain => 12_000, sanitize => 24_000,
                  valgrind => 400_000);

$ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0'
                      . ':thread_local_quarantine_size_kb=0';

my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

my ($crt, $key) = $t->certs->server;

# The other end of a window of a few bytes.
$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    xmpp_client_buffer @{[ BUFFER ]};
    proxy_buffer @{[ BUFFER ]};
    xmpp_relay_buffer @{[ BUFFER ]};
    timeout ${timeout}s;
    proxy_timeout ${timeout}s;
    max_errors 1000000;

    server {
        listen 127.0.0.1:%{client_port} sndbuf=4k;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{direct_port} sndbuf=4k ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{other_port};
        protocol xmpp;
    }
}
END

my ($worker) = workers($t);

for my $port (qw(client direct other)) {
    enter($t, port => $port, $port eq 'direct' ? (tls => {}) : ())->close
        for 1 .. 20;
}

my $files = idle($worker);
my $open = 'send:' . open_stream();
my $failures = auth('X-UNKNOWN') x 1000;
my $seen = length $t->log;

# What of the descriptors is a session's own: two, or one before the login.

slow('before the login', 1, port => 'client',
     steps => [ $open, 'want:</stream:features>', "deaf:$failures", 'hold' ]);

slow('relayed', 2, port => 'client',
     steps => [ login_steps(), 'deaf:<flood/>', 'hold' ]);

slow('relayed over TLS', 2, port => 'direct', tls => 1,
     steps => [ login_steps(tls => 1), 'deaf:<flood/>', 'hold' ]);

is(scalar(() = $t->log =~ /client timed out/g), 3 * $count, 'logged');
is(settled(sub { descriptors($worker) }, $files), $files,
   'no descriptor is left');
is_deeply(others(), { done => 20 }, 'logins work');

$t->finish;


sub slow {
    my ($name, $each, %option) = @_;

    my $tls = delete $option{tls};
    my $before = memory($worker);
    my $clients = $pressure->clients(%option, count => $count,
                                     at_once => $count, rcvbuf => 1024);
    my $deaf = @{ $option{steps} } - 2;

    my $state = $clients->wait_state(sub { $_[0]{at}[$deaf] == $count });
    is($state && $state->{at}[$deaf], $count, "$name: $count clients");

    is(descriptors($worker), $files + $each * $count, 'all of them are there');

    # No answer of nginx is taken any more.
    my $begun = time;

    my $slowest;
    is_deeply(others(\$slowest), { done => 20 }, 'others log in meanwhile');
    cmp_ok($slowest, '<', $prompt, "each within $prompt s");
    note(sprintf 'the slowest of 20 took %.3f s', $slowest);

    # OpenSSL has buffers of its own.
    my $most = ($each * BUFFER + $more + ($tls ? 80_000 : 0)) * $count;
    my $memory = memory($worker) - $before;
    cmp_ok($memory, '<', $most, 'the buffers and a constant for each');
    note(sprintf '%.0f bytes for each', $memory / $count);

    is(settled(sub { descriptors($worker) }, $files, 4 * $timeout), $files,
       'they are closed');
    note(sprintf 'after %.1f s', time - $begun);
    is(settled(sub { $pressure->served('backend')->{open} }, 0), 0,
       'and so are the sessions of the backend');

    # Now they read.
    $clients->stop;
    my $result = $clients->results;
    my ($ended, $other) = (0, 0);

    for (keys %$result) {
        $ended += $result->{$_} if /^(?:closed|reset|cut) \d+/;
        $other += $result->{$_} if /<stream:error/;
    }

    is($ended, $count, 'the clients see the end');
    is($other, 0, 'which is not told to who does not listen');
}


sub others {
    my ($slowest) = @_;

    my $clients = $pressure->clients(port => 'other', count => 20,
                                     at_once => 2, steps => [ login_steps() ]);
    my $result = $clients->results;

    $$slowest = $clients->slowest if $slowest;

    return $result;
}
