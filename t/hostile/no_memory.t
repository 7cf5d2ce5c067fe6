#!/usr/bin/perl

# Each allocation of a session fails once, in each kind of session, and then
# all from there on: the client is told or the connection is closed, nothing is
# lost, and the next session is served.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Refuse;

my @session = XMPP::Refuse::sessions();

plan tests => 3 * @session + 2;

my $r = XMPP::Refuse->new;
my $step = XMPP::Refuse::step();
my $tried = 0;

for my $session (@session) {
    my $calls = $r->calls($session, 'memory');

    cmp_ok($calls, '>', 5, "$session: $calls allocations");

    for my $forever (0, 1) {
        my @fault;

        for (my $n = 1; $n <= $calls; $n += $step) {
            my $last = $forever ? 1e9 : $n;
            my $fault = $r->try($session, 'memory', $n, $last);

            $tried++;
            push @fault, "number $n: $fault" if $fault;
            last if @fault > 3;

            $r->calls($session, 'memory') if $n % 10 == 0;
        }

        is(join("\n", @fault), '', "$session: one fails"
                                   . ($forever ? ', and all after it' : ''));
    }
}

# The last ones of a session may be left out in the next one.
cmp_ok($r->refusals, '>', 0.9 * $tried, "nearly all of $tried were refused");

$r->nginx->finish;
