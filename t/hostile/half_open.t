#!/usr/bin/perl

# 15,000 streams that never become sessions, against one worker: others log in
# meanwhile, each of them has a bounded price, "timeout" ends them all with a
# stream error, and nothing is left of them.
#
# There are fewer with a sanitizer and under valgrind, where all takes much
# longer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 24;
use Time::HiRes qw(time);

use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Wire;

use constant { BUFFER => 4096, LOGINS => 20 };

my $t = XMPP::Nginx->new(log => 'info', connections => 16_384);

my $count = amount($t, plain => 15_000, sanitize => 6_000, valgrind => 600);

# A descriptor for each, and some more.
my ($files_most) = `sh -c 'ulimit -Hn'` =~ /^(\d+)/;

if ($files_most && $files_most < $count + 500) {
    $count = 4 * int(($files_most - 500) / 4);
    diag("no more than $count streams: ulimit -Hn is $files_most");
}

# valgrind does not allow to change it.
$t->{main} = 'worker_rlimit_nofile ' . ($count + 500) . ';' if $count > 900;

# From the first byte of a login to the echo behind it.
my $prompt = amount($t, plain => 5, sanitize => 5, valgrind => 20);

# The buffer, two small pools, the parser and nginx's own part.  A sanitizer
# and valgrind put red zones about each piece.
my $more = amount($t, plain => 6500, sanitize => 14_000, valgrind => 40_000);

# What malloc() may keep for later in one round more.  valgrind keeps what was
# freed for a while, to see whether it is used again.
my $kept = amount($t, plain => 1_500_000, sanitize => 3_000_000,
                  valgrind => 100_000_000);

# A sanitizer would do the same.
$ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0'
                      . ':thread_local_quarantine_size_kb=0';

my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

my $conf = <<'END';
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_client_buffer 4096;

    server {
        listen 127.0.0.1:%{client_port} backlog=4096;
        protocol xmpp;
        timeout TIMEOUT;
    }

    server {
        listen 127.0.0.1:%{other_port};
        protocol xmpp;
    }
}
END

# All of them have to be there before the first one is closed.
$t->start($conf =~ s/TIMEOUT/60s/r);

my ($old) = workers($t);
seconds_for(5);
my $timeout = 8 + int 15 * seconds_for($count / 10);

note("timeout ${timeout}s");
$t->reconfigure($conf =~ s/TIMEOUT/${timeout}s/r);
settled(sub { my @worker = workers($t); @worker == 1 && $worker[0] != $old },
        1);

my ($worker) = workers($t);
my $files = idle($worker);

# What a worker loads and keeps with its first sessions.
login('logins into an empty worker');
is(settled(sub { descriptors($worker) }, $files), $files,
   'no descriptor is left');

my $before = memory($worker);
my $auth = auth('PLAIN', plain('alice', 'secret'));

my @stage = (
    [ 'connected only' ],
    [ 'half a header', 'send:' . substr open_stream(), 0, 60 ],
    [ 'header answered', 'send:' . open_stream(), 'want:</stream:features>' ],
    [ 'half an <auth/>', 'send:' . open_stream(), 'want:</stream:features>',
      'send:' . substr $auth, 0, length($auth) - 12 ],
);

my (%full, %empty);

for my $round (1, 2) {
    my (@clients, $open);

    for (@stage) {
        my ($name, @step) = @$_;

        push @clients, [ $name, 0 + @step, $pressure->clients(
            count => $count / @stage, from => '127.0.0.' . (2 + @clients),
            timeout => 4 * $timeout, steps => [ @step, 'hold' ]) ];
    }

    for (@clients) {
        my ($name, $step, $clients) = @$_;
        my $state = $clients->wait_state(sub { $_[0]{at}[$step]
                                               == $count / @stage });
        $open += $state->{at}[$step] if $state;
    }

    is($open, $count, "round $round: $count half-open streams");
    is(settled(sub { descriptors($worker) }, $files + $count),
       $files + $count, 'one descriptor for each');

    $full{$round} = memory($worker);

    cmp_ok(login('others log in meanwhile'), '<', $prompt,
           "each within $prompt s");

    for (@clients) {
        my ($name, $step, $clients) = @$_;
        my $header = $step && $step != 1 ? '' : header(from => undef);

        is_deeply($clients->results(90 + $timeout),
                  { "closed $step $header"
                    . stream_error('connection-timeout') => $count / @stage },
                  "$name: closed with a stream error");
    }

    is(settled(sub { descriptors($worker) }, $files), $files,
       'no descriptor is left');

    $empty{$round} = memory($worker);
}

my $stream = ($full{1} - $before) / $count;

note(sprintf 'a stream takes %.0f bytes; the worker has %.0f kB at first, '
     . '%.0f and %.0f in the rounds, %.0f and %.0f after them', $stream,
     map { $_ / 1024 } $before, @full{1, 2}, @empty{1, 2});

cmp_ok($stream, '<', BUFFER + $more, 'the buffer and a constant for each');

# malloc() may keep pages, but only once: other streams take their place.
cmp_ok($full{2}, '<', $full{1} + $kept, 'no more in the second round');
cmp_ok($empty{2}, '<', $empty{1} + $kept, 'nor after it');

$t->finish;


# How long it takes to open so many.
sub seconds_for {
    my ($count) = @_;

    my $begun = time;

    $pressure->clients(count => $count, steps => [
        'send:' . open_stream(), 'want:</stream:features>', 'reset'
    ])->results;

    return time - $begun;
}


# Seconds of the slowest one.
sub login {
    my ($name) = @_;

    my $clients = $pressure->clients(port => 'other', count => LOGINS,
                                     at_once => 2, steps => [ login_steps() ]);

    is_deeply($clients->results, { done => LOGINS }, $name);
    note(sprintf 'the slowest of %d took %.3f s', LOGINS, $clients->slowest);

    return $clients->slowest;
}
