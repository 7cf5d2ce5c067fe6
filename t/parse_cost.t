#!/usr/bin/perl

# What the parser costs: instructions a byte, as callgrind counts them, over
# the streams of real clients and servers up to the login, and beside expat.
# No time is measured, so that the load of the machine does not matter.

use strict;
use warnings;

use FindBin;
use Cwd qw(abs_path);

use Test::More tests => 12;

my $top = abs_path("$FindBin::Bin/..");
my @transcripts = glob "$top/t/interop/transcripts/*.txt";

my $said = `'$top/misc/bench/parser' --count 2>&1`;

is($?, 0, 'counted') or diag($said);

my %got = $said =~ /^(\w+)=([\d.]+)$/mg;

cmp_ok(scalar @transcripts, '>', 0, 'there are transcripts');
is($got{transcripts}, @transcripts, 'all of them were parsed');

# A header, its features, and a login are some hundred bytes at least.
cmp_ok($got{clients_bytes} || 0, '>', 200 * @transcripts, 'what clients say');
cmp_ok($got{servers_bytes} || 0, '>', 200 * @transcripts, 'what servers say');

# Nothing takes a byte without an instruction: it was counted.
for my $of ('', 'clients_', 'servers_') {
    my $what = { '' => 'in all', 'clients_' => 'clients',
                 'servers_' => 'servers' }->{$of};

    my $ours = $got{"${of}ours_instructions_per_byte"} || 0;
    my $expat = $got{"${of}expat_instructions_per_byte"} || 0;

    ok($ours > 1 && $ours <= 12, "$what: 12 instructions a byte at most")
        or diag("$ours");
    cmp_ok($expat, '>=', 4 * $ours, "$what: a quarter of expat's at most");
}

cmp_ok($got{whole_bytes} || 0, '>', $got{bytes} || 0, 'more was sent');
