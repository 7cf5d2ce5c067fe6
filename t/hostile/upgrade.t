#!/usr/bin/perl

# A new binary under load (USR2, then WINCH and QUIT for the old one), and one
# that is given up: no session is dropped, no byte is lost or comes twice, and
# every new login works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 27;

use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;

# The old one may be told to let its workers go only if it is a daemon.
my $t = XMPP::Pressure::Daemon->new(log => 'info');
my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

$t->start("mail {\n" . servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;')
          . "}\n");

my $each = amount($t, plain => 12, sanitize => 8, valgrind => 2);
my $patience = amount($t, plain => 20, sanitize => 30, valgrind => 90);

# What has to go on after each step.
my %much = (
    messages => amount($t, plain => 1000, sanitize => 500, valgrind => 30),
    logins => amount($t, plain => 100, sanitize => 40, valgrind => 3),
    seconds => $patience,
);

my @login = $pressure->new_logins;

my $first = $t->master;
my ($worker) = workers($t);
my @session = $pressure->sessions($each);

goes_on('before the upgrade');


# The new binary takes over.

kill USR2 => $first;

my $second = taken_over($first);
ok($second, 'a new master');
my ($new_worker) = workers($t);
ok($new_worker, 'with a worker');

# These are served by either of them.
push @session, $pressure->sessions($each);

goes_on('both binaries serve');

kill WINCH => $first;
wait_log(qr/\] $worker#.*gracefully shutting down/,
         'the old worker takes no new clients');
goes_on('the new binary takes them');

my @later = $pressure->sessions($each);

kill QUIT => $first;
wait_log(qr/\] $first#.*signal 3 \(SIGQUIT\)/, 'the old master retires');
goes_on('sessions stay with the old binary');
ok(kill(0, $worker), 'the old worker has them');

$pressure->ended('the sessions of the old binary have each message once',
                 @session * $each, @session);
wait_log(qr/\] $first#\d+: exit$/m, 'the old master ends with them');
wait_said(qr/^ended $first 0$/m, 'in order');
is($t->old_master, undef, 'only the new one is left');

@session = @later;
goes_on('the new binary serves');


# Another one is given up.

kill USR2 => $second;

my $third = taken_over($second);
ok($third, 'another master');
ok(workers($t), 'with a worker');

my ($last) = workers($t);
push @session, $pressure->sessions($each);

goes_on('both serve');

kill WINCH => $second;
wait_log(qr/\] $new_worker#.*gracefully shutting down/,
         'the old worker takes no new clients');
goes_on('the new binary takes them');

# HUP makes an old master that has no workers start some, as it was.
kill HUP => $second;
wait_log(qr/\] $second#.*signal 1 \(SIGHUP\)/, 'the old master comes back');
goes_on('the old binary takes them again');

kill QUIT => $third;
wait_log(qr/\] $last#.*gracefully shutting down/, 'the new one retires');
goes_on('sessions stay with the one that was given up');

$pressure->ended('every new login has worked', undef, @login);
$pressure->ended('all sessions have each message once',
                 @session * $each, @session);
wait_log(qr/\] $third#\d+: exit$/m, 'and the new one ends with them');

$t->finish;


# Waits for the new master, which has the old one's ports.
sub taken_over {
    my ($old) = @_;

    settled(sub { ($t->old_master // 0) == $old && $t->master
                  && $t->master != $old ? 1 : 0 }, 1, $patience) or return;

    return $t->master;
}


sub goes_on {
    $pressure->goes_on($_[0], \@session, \@login, %much);
}


sub wait_log {
    my ($regex, $name) = @_;

    ok($t->wait_log($regex, $patience), $name);
}


# What the process that keeps all of them has said.
sub wait_said {
    my ($regex, $name) = @_;

    is(settled(sub { $t->_text('output') =~ $regex ? 1 : 0 }, 1, $patience),
       1, $name);
}
