#!/usr/bin/perl

# Connections and descriptors that run out, while hundreds of clients come and
# go: each of them gets a service, a standard error or a close, and afterwards
# all is as before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 39;

use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Wire;

use constant { CONNECTIONS => 64, FILES => 48 };

my $open = 'send:' . open_stream();
my $features = 'want:</stream:features>';
my $login = auth('PLAIN', plain('alice', 'secret'));
my $busy = refused('temporary-auth-failure');

# What a client may be told that is not served: nothing at all, or one of
# these, behind a header if it has none yet.
my $header = join '|', map { quotemeta } header(), header(from => undef);
my $error = join '|', map { quotemeta } $busy,
                      map { stream_error($_) } 'connection-timeout',
                                               'internal-server-error';
my $fair = qr/^(?:closed|reset) \d+(?: (?:$header)?(?:$error))?$/;


# Connections.

{
    my $t = nginx(connections => CONNECTIONS);
    my $pressure = services($t);
    my ($worker, $files) = begin($t);

    $t->allow(qr/\d+ worker_connections are not enough/);

    # valgrind keeps what was freed for a while.
    my $kept = amount($t, plain => 500_000, sanitize => 2_000_000,
                      valgrind => 100_000_000);
    my @memory;

    for my $round (1, 2) {
        churn($pressure, $t, "connections, round $round");
        after($pressure, $worker, $files);
        push @memory, memory($worker);
    }

    ok($t->log =~ /@{[ CONNECTIONS ]} worker_connections are not enough/,
       'connections have run out');
    cmp_ok($memory[1], '<', $memory[0] + $kept,
           'the second round takes no more memory');

    # None is left for the auth service.  It gives its own back before one for
    # the backend is needed.

    my $c = greet($t, port => 'patient');
    my $clients = $pressure->clients(
        port => 'patient', count => CONNECTIONS,
        steps => [ $open, $features, 'deaf:' , "send:$login", 'hold' ]);

    my $state = $clients->wait_state(
        sub { $_[0]{at}[2] + $_[0]{finished} == CONNECTIONS });

    cmp_ok($state->{finished}, '>', 0, 'not all of them find a place');
    my $waiting = $state->{at}[2];

    $c->send($login);
    $c->expect_end($busy, 'no connection for the auth service');

    # All at once: who fails leaves a place for the next one.

    $clients->stop;
    $clients->wait_state(sub {
        $_[0]{open} == 0
        || $pressure->served('backend')->{open} == $_[0]{open} });
    $clients->leave;

    my $result = $clients->results;
    my $failed = delete $result->{"closed 4 $busy"} || 0;
    my $served = delete $result->{done} || 0;

    is($failed + $served, $waiting, 'each is told, or served');
    cmp_ok($failed, '>', 0, 'some are told');
    is_deeply([ grep { $_ !~ $fair } keys %$result ], [],
              'the others had no place');

    after($pressure, $worker, $files);
    $t->finish;
}


# Descriptors.

{
    my $t = nginx(connections => 512);
    my $pressure = services($t);
    my ($worker, $files) = begin($t);

    limit($worker, FILES);

    $t->allow(qr/(?:accept4?|socket)\(\) failed \(24: /);

    churn($pressure, $t, 'descriptors');
    after($pressure, $worker, $files);
    ok($t->log =~ /\(24: Too many open files\)/, 'descriptors have run out');

    # From now on at a certain moment.

    my $refused = qr/accept4?\(\) failed/;
    my $before = () = $t->log =~ /$refused/g;

    my $c = limited($worker, sub {
        my $c = XMPP::Client->new($t->port('patient'));
        settled(sub { (() = $t->log =~ /$refused/g) > $before }, 1);
        return $c;
    });

    $c->send(open_stream());
    $c->expect(header() . features(mechanisms => [ 'PLAIN' ]),
               'none for the client: it is accepted later');
    cmp_ok(scalar(() = $t->log =~ /$refused/g), '>', $before, 'not at once');

    limited($worker, sub {
        $c->send($login);
        $c->expect_end($busy, 'none for the auth service');
    });

    $c = greet($t, port => 'patient');
    my $asked = $pressure->served('auth')->{total};

    delay($pressure, 4000);
    $c->send($login);
    settled(sub { $pressure->served('auth')->{total} }, $asked + 1);

    limited($worker, sub {
        $c->expect_end($busy, 'none for the backend');
    });

    delay($pressure, 0);
    after($pressure, $worker, $files);

    my @error = grep { /\[(?:alert|crit)\]/ } split /\n/, $t->log;
    is(grep({ /socket\(\) failed .* while connecting to upstream/ }
            @error[-2, -1]), 1, 'the log tells what failed');

    $t->finish;
}


sub nginx { XMPP::Nginx->new(log => 'info', @_) }


sub services {
    my ($t) = @_;

    # A sanitizer would keep what is freed.
    $ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0'
                          . ':thread_local_quarantine_size_kb=0';

    my $pressure = XMPP::Pressure->new($t);

    $pressure->auth;
    $pressure->backend;

    $t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        timeout 2s;
    }

    server {
        listen 127.0.0.1:%{patient_port};
        protocol xmpp;
    }
}
END

    return $pressure;
}


# A worker that has served somebody, and its open files.
sub begin {
    my ($t) = @_;

    enter($t)->close;

    my ($worker) = workers($t);

    return ($worker, idle($worker));
}


sub churn {
    my ($pressure, $t, $name) = @_;

    # Where accept() fails nginx waits for half a second.
    my $n = $name eq 'descriptors' ? 150 : 400;
    $n = amount($t, plain => $n, sanitize => $n, valgrind => $n / 5);
    my @login = login_steps(echo => 3);

    my @group = (
        'log in' => $n * 2, 60, [ @login ],
        'leave without logging out' => $n, 40,
            [ @login, 'reset' ],
        'leave while they log in' => $n, 40,
            [ $open, $features, "send:$login", 'close' ],
        'leave early' => $n, 40,
            [ 'send:' . substr(open_stream(), 0, 60), 'reset' ],
        'say nothing' => $n / 10, 20, [ 'hold' ],
    );

    my @running;

    while (my ($what, $count, $at_once, $steps) = splice @group, 0, 4) {
        push @running, [ $what, $count, $pressure->clients(
            count => $count, at_once => $at_once, steps => $steps) ];
    }

    my ($total, $want, $served, @unfair);

    for (@running) {
        my ($what, $count, $clients) = @$_;
        my $result = $clients->results;

        $want += $count;
        $served //= $result->{done} || 0;

        for (keys %$result) {
            $total += $result->{$_};
            push @unfair, "$what: $_" if $_ ne 'done' && $_ !~ $fair;
        }
    }

    is_deeply(\@unfair, [], "$name: a service, a standard error or a close");
    is($total, $want, 'for everyone');
    cmp_ok($served, '>', 0, 'somebody is served');
    note("$name: $served of " . $running[0][1] . ' logins, ' . $want
         . ' clients');
}


sub after {
    my ($pressure, $worker, $files) = @_;

    is(settled(sub { descriptors($worker) }, $files), $files,
       'no descriptor is left');
    is(settled(sub { $pressure->served('backend')->{open} }, 0), 0,
       'nor a session');

    is_deeply($pressure->clients(count => 20, at_once => 2,
                                 steps => [ login_steps() ])->results,
              { done => 20 }, 'logins work again');
}


sub delay {
    my ($pressure, $ms) = @_;

    $pressure->{auth}->say("delay $ms");
    $pressure->{auth}->wait_said(qr/^delay is $ms$/m);
}


# While $code runs the worker can open nothing.
sub limited {
    my ($worker, $code) = @_;

    limit($worker, 3);
    my $result = $code->();
    limit($worker, FILES);

    return $result;
}


sub limit {
    my ($worker, $files) = @_;

    system('prlimit', '--pid', $worker, "--nofile=$files:") == 0
        or die "prlimit failed\n";
}
