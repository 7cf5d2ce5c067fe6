#!/usr/bin/perl

# Reloads under load: no session is dropped, no byte is lost or comes twice,
# every new login works, and an old worker ends when its last session does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 5 * 3 + 3 + 7;

use XMPP::Login;
use XMPP::Nginx;
use XMPP::Pressure;

my $t = XMPP::Nginx->new(log => 'info');
my $pressure = XMPP::Pressure->new($t);

$pressure->auth;
$pressure->backend;

my $conf = "mail {\n" . servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;')
           . "}\n";

$t->start($conf);

my $each = amount($t, plain => 12, sanitize => 8, valgrind => 2);

# What has to go on after each reload.
my %much = (
    messages => amount($t, plain => 2000, sanitize => 1000, valgrind => 30),
    logins => amount($t, plain => 150, sanitize => 60, valgrind => 3),
    seconds => amount($t, plain => 30, sanitize => 30, valgrind => 90),
);

my @session = $pressure->sessions($each);
my @login = $pressure->new_logins;
my (%worker) = map { $_ => 1 } workers($t);
my @retired;

for my $n (1 .. 5) {
    my ($old) = current();

    $t->reconfigure($conf);
    push @retired, $old;

    ok(settled(sub { grep { !$worker{$_} } workers($t) }, 1, 20),
       "reload $n: a new worker");
    $worker{$_} = 1 for workers($t);

    is(settled(sub { $t->log =~ /\] $old#.*gracefully shutting down/ || 0 },
               1, 20), 1, 'the old one retires');

    # Each worker has sessions then.
    push @session, $pressure->sessions(1);

    $pressure->goes_on('messages and logins go on', \@session, \@login, %much);
}

is(scalar(() = workers($t)), 6, 'all workers have sessions');

$pressure->ended('every new login has worked', undef, @login);
$pressure->ended('every session has each message once', 3 * ($each + 5),
                 @session);

is(settled(sub { scalar(() = workers($t)) }, 1, 20), 1,
   'the old workers end with their sessions');

for my $old (@retired) {
    ok($t->wait_log(qr/worker process $old exited with code 0/), 'in order');
}

$t->finish;


# The one that takes new clients.
sub current {
    my %retired = map { $_ => 1 } @retired;

    return grep { !$retired{$_} } workers($t);
}
