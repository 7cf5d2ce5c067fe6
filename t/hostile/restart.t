#!/usr/bin/perl

# The auth service and the backend are killed and come back, several times,
# while clients log in all the time: each login works or is refused with the
# standard error, sessions of a backend that was killed are closed, the log
# says who was not there, and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 1 + 3 * (5 + 4) + 5;

use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Wire;

my $t = XMPP::Nginx->new(log => 'info');
# A sanitizer would keep what is freed.
$ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0'
                      . ':thread_local_quarantine_size_kb=0';

my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

$t->start("mail {\n" . servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;')
          . "}\n");

my ($worker) = workers($t);

# What a worker loads and keeps with its first sessions.
$pressure->ended('the first sessions', 6, $pressure->sessions(2));

my $files = idle($worker);
my $each = amount($t, plain => 10, sanitize => 10, valgrind => 3);
my $patience = amount($t, plain => 20, sanitize => 30, valgrind => 90);
my $many = amount($t, plain => 50, sanitize => 30, valgrind => 6);

my $busy = refused('temporary-auth-failure');
my $upstream = '127.0.0.1:' . $t->port('backend');
my $nobody = qr/failed \(111: Connection refused\)/;
my @login = $pressure->new_logins;
my @memory;

for my $round (1 .. 3) {
    my @session = $pressure->sessions($each);
    my $seen = goes('auth');

    logged($seen, qr/$nobody while in http auth state/);
    $pressure->goes_on('sessions do without it', \@session, [],
                       messages => 300, logins => 0, seconds => $patience);
    comes('auth');
    $pressure->ended('sessions have each message once', 3 * $each, @session);

    @session = $pressure->sessions($each);
    $seen = goes('backend');

    logged($seen, qr/$nobody while .*upstream: $upstream/);

    my %end;

    for my $clients (@session) {
        my $result = $clients->results($patience);

        # What they go on to send may meet a closed socket.
        $end{/^(?:closed|reset|cut) \d+$/ ? 'closed' : $_} += $result->{$_}
            for keys %$result;
    }

    is_deeply(\%end, { closed => 3 * $each }, 'its sessions are closed');
    comes('backend');
    push @memory, memory($worker);
}

$_->stop for @login;

my ($good, $bad, @unfair) = (0, 0);

for my $clients (@login) {
    my $result = $clients->results;

    # The echo is a session, as the others.
    my $last = $clients->last;

    for (keys %$result) {
        if ($_ eq 'done')                  { $good += $result->{$_} }
        elsif (/^closed \d+ \Q$busy\E$/)   { $bad += $result->{$_} }
        elsif (!/^(?:closed|reset|cut) $last$/) { push @unfair, $_ }
    }
}

is_deeply(\@unfair, [], 'a login works or is refused with the standard error');
note("$good logins, $bad refused");

is(settled(sub { descriptors($worker) }, $files, $patience), $files,
   'no descriptor is left');
is($pressure->served('backend')->{open}, 0, 'nor a session');

# valgrind keeps what was freed for a while.
my $kept = amount($t, plain => 1_000_000, sanitize => 2_000_000,
                  valgrind => 100_000_000);

push @memory, memory($worker);
cmp_ok($memory[-1], '<', $memory[0] + $kept, 'no memory is lost');
note(sprintf 'the worker has %d, %d, %d, at last %d kB',
     map { $_ / 1024 } @memory);

$t->finish;


# A service is killed while logins wait for it, and is away till many have
# failed.  Returns what was logged till then, in bytes.
sub goes {
    my ($service) = @_;

    $pressure->{$service}->say('delay 200');
    $pressure->{$service}->wait_said(qr/^delay is/m);

    my $asked = $pressure->served($service)->{total};
    settled(sub { $pressure->served($service)->{total} > $asked ? 1 : 0 }, 1,
            $patience);

    my $seen = length $t->log;
    $pressure->kill($service);

    my $failed = failed();
    is(settled(sub { failed() >= $failed + $many ? 1 : 0 }, 1, $patience), 1,
       "the $service is killed, logins fail");

    return $seen;
}


# The first that fail may be those that were there when it was killed.
sub logged {
    my ($seen, $regex) = @_;

    my $found = sub {
        scalar(grep { /\[error\] .*$regex/ }
               split /\n/, substr $t->log, $seen) ? 1 : 0;
    };

    is(settled($found, 1, $patience), 1, 'the log tells who is not there');
}


sub comes {
    my ($service) = @_;

    $pressure->$service;
    $pressure->goes_on("the $service is back, logins work", [], \@login,
                       messages => 0, logins => $many, seconds => $patience);
}


sub failed { sum('finished', @login) - sum('done', @login) }
