#!/usr/bin/perl

# worker_shutdown_timeout with hundreds of streams in all states: each of them
# is ended, who has no session yet is told, and the old worker is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 19;

use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Wire;

my $t = XMPP::Nginx->new(log => 'info',
                         main => 'worker_shutdown_timeout 2s;');
my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

my $conf = "mail {\n" . servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;')
           . "}\n";

$t->start($conf);

my $each = amount($t, plain => 40, sanitize => 40, valgrind => 8);
my $patience = amount($t, plain => 20, sanitize => 30, valgrind => 90);
my $silence = amount($t, plain => 30, sanitize => 45, valgrind => 180);

my ($old) = workers($t);
my @open = ('send:' . open_stream(), 'want:</stream:features>');
my @auth = (@open, 'send:' . auth('PLAIN', plain('alice', 'secret')));
my $error = stream_error('system-shutdown');
my $header = header(from => undef);
my $half = substr open_stream(), 0, 60;
my $half_auth = substr auth('PLAIN', plain('alice', 'secret')), 0, 80;

# Steps, and what comes when the worker ends.
my @case = (
    'connected only' => [] => "$header$error",
    'half a header' => [ "send:$half" ] => "$header$error",
    'header answered' => [ @open ] => $error,
    'half an <auth/>' => [ @open, "send:$half_auth" ] => $error,
    'in an exchange' => [ @open, 'send:' . auth('PLAIN'),
                          'want:' . challenge('') ] => $error,
    'STARTTLS, half a header' => [
        @open, 'send:' . STARTTLS, 'want:' . PROCEED, 'tls', "send:$half"
    ] => "$header$error",
    'STARTTLS, header answered' => [
        @open, 'send:' . STARTTLS, 'want:' . PROCEED, 'tls', @open
    ] => $error,
    'direct TLS, half a header' => [ 'tls', "send:$half" ] => "$header$error",
    'direct TLS, header answered' => [ 'tls', @open ] => $error,

    # There is nobody yet who could be told.
    'no handshake behind <proceed/>' => [
        @open, 'send:' . STARTTLS, 'want:' . PROCEED ] => '',
);

my @waiting;

while (my ($name, $steps, $want) = splice @case, 0, 3) {
    my $port = $steps->[0] && $steps->[0] eq 'tls' ? 'direct' : 'client';
    my $last = @$steps;

    my $clients = $pressure->clients(port => $port, count => $each,
                                     steps => [ @$steps, 'hold' ]);

    $clients->wait_state(sub { $_[0]{at}[$last] == $each });
    push @waiting, [ $name, $clients, "closed $last" . ($want && " $want") ];
}

my @session = $pressure->sessions($each);

# A session at the backend, which does not answer, and at the auth service.

push @waiting, [ 'waiting for the backend', delayed('backend'),
                 'closed ' . @auth . ' ' . refused('temporary-auth-failure') ];
push @waiting, [ 'waiting for the auth service', delayed('auth'),
                 'closed ' . @auth . ' ' . refused('temporary-auth-failure') ];

$t->reconfigure($conf);

ok($t->wait_log(qr/\] $old#.*gracefully shutting down/, $patience),
   'the old worker retires');
ok(settled(sub { grep({ $_ != $old } workers($t)) ? 1 : 0 }, 1, $patience),
   'there is a new one');

for (@waiting) {
    my ($name, $clients, $want) = @$_;
    my $result = $clients->results($patience);

    # There is no time left for a close_notify.
    my %end = map { s/^cut/closed/r => $result->{$_} } keys %$result;

    is_deeply(\%end, { $want => $each }, $name);
}

{
    my %end;

    for my $clients (@session) {
        my $result = $clients->results($patience);

        # What they go on to send meets a closed socket.
        $end{/^(?:closed|cut|reset) / ? 'closed' : $_} += $result->{$_}
            for keys %$result;
    }

    is_deeply(\%end, { closed => @session * $each },
              'relayed sessions are closed');
}

ok($t->wait_log(qr/worker process $old exited with code 0/, $patience),
   'the old worker ends');

# What the services have in store is not for the new one.
$pressure->kill($_) for qw(auth backend);
$pressure->auth;
$pressure->backend;

my ($new) = workers($t);
my $files = idle($new);

is_deeply($pressure->clients(count => 50, at_once => 5,
                             steps => [ login_steps() ])->results,
          { done => 50 }, 'the new one serves');
is(settled(sub { descriptors($new) }, $files), $files,
   'and has no descriptor left');

$t->finish;


# Clients whose login this service does not answer.
sub delayed {
    my ($role) = @_;

    my $asked = $pressure->served($role)->{total};

    # longer than all of this takes
    $pressure->{$role}->say('delay ' . 1000 * $silence);
    $pressure->{$role}->wait_said(qr/^delay is/m);

    my $clients = $pressure->clients(count => $each,
                                     steps => [ @auth, 'hold' ]);

    settled(sub { $pressure->served($role)->{total} }, $asked + $each);

    return $clients;
}
