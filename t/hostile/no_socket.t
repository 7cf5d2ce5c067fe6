#!/usr/bin/perl

# System calls that fail, and that have to be made again, one after the other in
# each kind of session: see no_memory.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Refuse;

# A socket that is used less often in one session than in another one of the
# same kind is still refused as often.
use constant MORE => 2;

my @call = qw(recv send recv_later send_later connect socket epoll_ctl
              setsockopt shutdown);
my @session = XMPP::Refuse::sessions();

plan tests => @call * @session + 2;

my $r = XMPP::Refuse->new;
my $step = XMPP::Refuse::step();
my $calls = 0;

# What nginx has no way to go on without it closes, and logs as an alert.
$r->nginx->allow(qr/ failed \(101: Network is unreachable\)/);

for my $session (@session) {
    for my $call (@call) {
        my $last = $r->calls($session, $call);
        my @fault;

        $calls += $last;

        for (my $n = 1; $n <= $last + MORE; $n += $step) {
            my $fault = $r->try($session, $call, $n, $n);
            push @fault, "number $n: $fault" if $fault;
            last if @fault > 3;
        }

        is(join("\n", @fault), '', "$session: $call");
    }
}

cmp_ok($r->refusals, '>', 0.9 * $calls / $step,
       "nearly all of $calls were refused");

$r->nginx->finish;
