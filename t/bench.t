#!/usr/bin/perl

# The benchmark: its arithmetic on figures that are known, and a run that is as
# short as can be, with all that takes part in a long one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../misc/bench/lib";

use File::Temp ();
use JSON::PP ();

use Test::More tests => 77;

use Bench::Front;
use Bench::Judge;
use Bench::Kernel;
use Bench::Plot;
use Bench::Results qw(median spread);
use Bench::Table;
use Bench::Workload;
use XMPP::Build qw(run $said);
use XMPP::Files;
use XMPP::Nginx;

my $t = XMPP::Nginx->new;
my $dir = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1);
my $bench = $t->top . '/misc/bench';
my $json = JSON::PP->new->canonical;


# Medians, spreads.

is(median(3), 3, 'median of one');
is(median(9, 1, 5), 5, 'of three');
is(median(10, 9, 1, 3), 6, 'of four: between the two in the middle');
is(median(), undef, 'of none');
is_deeply([ spread(4, -1, 7) ], [ -1, 7 ], 'spread');


# Figures of three rounds.  The median of the ratios is not the ratio of the
# medians.  One round was measured twice, one measurement failed.  One metric was
# measured in turns.

my @rounds = (
    [ 'ours-direct', 1, 900 ], [ 'stream', 1, 1000 ],
    [ 'ours-direct', 2, 1500 ], [ 'ours-direct', 2, 1600 ],
    [ 'ours-direct', 2, 1700 ], [ 'stream', 2, 800 ],
    [ 'ours-direct', 3, 1200 ], [ 'stream', 3, 400 ],
    [ 'stream', 4, 5 ], [ 'haproxy', 1, 750 ],
);

my $known = results(
    { workload => 'machine', result => machine() },
    (map { record($_->[0], $_->[1], 'login', {},
                  { per_cpu_second => $_->[2], cpu_ms => 1000 / $_->[2] }) }
         @rounds),
    record('ours-direct', 4, 'login', {}, { per_cpu_second => 9999,
                                            failed => 2 }),
    record('stream', 1, 'echo', {}, { p50 => 0.04, p99 => 0.1 }),
    record('stream', 1, 'storm', {}, { seconds => 8, count => 90,
                                       failed => 10 }),
    record('stream', 2, 'storm', {}, { failed => 1, error => 'no such' }),
    (map { my ($front, $round, @turn) = @$_;
           map { { %{ record($front, $round, 'handshake', {},
                             { per_cpu_second => $turn[$_] }) },
                   turn => $_ + 1 } } 0 .. $#turn }
         [ 'ours-direct', 1, 10, 60, 30 ], [ 'stream', 1, 10, 20, 20, 1 ],
         [ 'ours-direct', 2, 50 ], [ 'stream', 2, 10 ]),
);

my $logins = $known->metric('logins');

is_deeply([ $known->rounds ], [ 1 .. 4 ], 'rounds');
is_deeply([ $known->fronts ], [ qw(ours-direct stream haproxy) ],
          'fronts, in the order of the table');
is_deeply($known->of($logins, 'ours-direct'),
          { n => 3, median => 1200, min => 900, max => 1600 },
          'median and spread of the rounds, without what failed');
is_deeply($known->ratio($logins, 'ours-direct', 'stream'),
          { n => 3, median => 2, min => 0.9, max => 3 },
          'median and spread of the ratios of each round');
is($known->ratio($logins, 'ours-direct')->{median}, 2, 'to stream by default');
is_deeply($known->ratio($logins, 'ours-direct', 'haproxy'),
          { n => 1, median => 1.2, min => 1.2, max => 1.2 },
          'only rounds that both have');
is($known->ratio($logins, 'ours-direct', 'prosody'), undef, 'no such front');

my $handshakes = $known->metric('handshakes');

is_deeply($known->of($handshakes, 'ours-direct'),
          { n => 2, median => 40, min => 30, max => 50 },
          'a round is the median of its turns');
is_deeply($known->ratio($handshakes, 'ours-direct'),
          { n => 2, median => 3.25, min => 1.5, max => 5 },
          'and the median of their ratios');
is_deeply($known->growth($handshakes, $logins, 'stream'),
          { n => 2, median => 0.01375, min => 0.0125, max => 0.015 },
          'one metric to another, that has no turns');
is($known->growth($logins, $logins, 'stream')->{median}, 1, 'or to itself');
is($known->metric('bulk'), undef, 'nothing was measured of it');
is_deeply([ map { $_->{name} } $known->metrics ],
          [ qw(handshakes logins login-cpu echo-p50 echo-p99 storm-lost) ],
          'what was measured');
is($known->of($known->metric('storm-lost'), 'stream')->{median}, 10,
   'what failed in a storm is a figure of its own');

my $text = Bench::Table::text($known);

like($text,
     qr/^logins +ours-direct +1200 +900 +1600 +\S+ s +2\.00 +0\.90 +3\.00$/m,
     'a line of the table');
like($text, qr/^ +haproxy +750 +750 +750 +\/CPU s +0\.75 +0\.75 +0\.75$/m,
     'and the next one');
like($text, qr/^echo, median +stream +40\.0 /m, 'in the right unit');
like($text, qr/^Some processor, 2 cores, 4 GB$/m, 'the machine');

my $markdown = Bench::Table::markdown($known);

like($markdown, qr/^\| haproxy \| 750 \| 750 \| 750 \| 0\.75 \|/m,
     'the same in Markdown');
like($markdown, qr/^\| ours-direct \| ours: direct .*\| 1200 \(2\.00\) \|$/m,
     'and in short');


# What must hold: just so, and just not.

my %good = (logins => [ 0.95, 3, 2.5 ], cost => 1.099, memory => 0.5,
            parser => 12);
my %bad = (logins => [ 0.94, 2.98, 2.48 ], cost => 1.12, memory => 0.51,
           parser => 12.1);

for ([ good => 1, %good ], [ bad => 0, %bad ]) {
    my ($name, $held, %figure) = @$_;
    my @claim = Bench::Judge::claims(figures(%figure));
    my %claim = map { ("$_->{text} $_->{needed}" => $_) } @claim;

    for ('logins / stream >= 0.95', 'logins / Prosody >= 3',
         'logins / ejabberd >= 2.5',
         'memory, 1000 connections / stream <= 0.5',
         'memory, 1000, after messages / stream idle <= 0.5',
         'CPU of a login, 9000 connections / 1000 +- 0.1',
         'parser, instructions a byte <= 12')
    {
        is($claim{$_}{held} ? 1 : 0, $held, "$name: $_") or
            diag($claim{$_} ? "measured $claim{$_}{measured}" : 'no claim');
    }
}

my ($all) = Bench::Judge::judge(figures(%good));
unlike($all, qr/MISSES|not measured/, 'all claims hold');
is(scalar(() = $all =~ /holds$/mg), 19, 'so many claims');

my @claim = grep { !$_->{held} } Bench::Judge::claims($known);
ok((grep { $_->{measured} eq 'not measured' } @claim),
   'what was not measured does not hold');

raw('good', figures(%good));
is(run("$bench/judge", "$dir/good"), 0, 'misc/bench/judge is content');
raw('bad', figures(%bad));
is(run("$bench/judge", "$dir/bad"), 1, 'or is not');
like($said, qr/^logins \/ stream +>= 0\.95 +0\.94 .* MISSES$/m,
     'and says why');


# Whatever front there is has its line in a plot.

my @all = Bench::Front::names();

Bench::Plot::plot(results(map { my $front = $_;
                                map { record($front, 1, 'concurrency',
                                             { concurrency => $_ },
                                             { per_second => $_ }) } 1, 10 }
                              @all), "$dir");
is_deeply([ read_file("$dir/concurrency.svg")
            =~ /gnuplot_plot_\d+" ><title>([^<]+)</g ], \@all,
          'all fronts in a plot');


# What is in memory, and where processes run.

cmp_ok(memory($$), '>', 1 << 20, 'memory of a process');
is_deeply([ family($$) ], [ $$ ], 'no children');
my %core = cores();
my ($pinned) = pinned($core{front}, sub { `taskset -cp $$` =~ /: (\S+)$/ });
is($pinned, $core{front}, 'what is started runs on one core');


# A run, with three fronts and then with one.

my @nginx = ("--binary=$t->{binary}", map { "--module=$_" }
             grep { defined } @$t{qw(module stream)});
my @short = ('--quick', @nginx, "--out=$dir/out", '--seconds=0.3',
             '--rest=0.2', '--traffic=1', '--users=20', '--warm=20',
             '--rates=20,40', '--concurrency=1,5', '--counts=50,100',
             '--max=0', '--storm=60');
my @fronts = qw(ours-direct stream haproxy);

is(run("$bench/run", @short, '--fronts=' . join(',', @fronts),
       '--workloads=handshake,login,messages,bulk,echo,memory,openssl'), 0,
   'misc/bench/run') or diag($said);
my $first = Bench::Results->read("$dir/out/raw.jsonl");

is(run("$bench/run", @short, '--more', '--fronts=ours-starttls',
       '--workloads=rate,concurrency,cost,storm', '--judge'), 1,
   'more of it, and claims that nothing was measured of') or diag($said);
like($said, qr/^echo p50 \/ stream .*(?:holds|MISSES)$/m, 'are told');

my $r = Bench::Results->read("$dir/out/raw.jsonl");

is_deeply([ $first->rounds ], [ 1 ], 'one round');
is_deeply([ $r->rounds ], [ 1, 2 ], 'and one more');
is_deeply([ $first->fronts ], [ @fronts, 'openssl' ], 'the fronts');
is($r->machine->{cores}, `nproc` + 0, 'the machine');

for my $name (qw(handshakes logins messages bulk echo-p50 echo-p99 memory-100))
{
    my $metric = $first->metric($name);
    my @ratio = map { $metric && $first->ratio($metric, $_) } @fronts;

    is(scalar(grep { $_ && $_->{median} > 0 } @ratio), 3,
       "$name of all fronts");
}

is($first->ratio($first->metric('logins'), 'stream')->{median}, 1,
   'stream is its own measure');

for my $front (@fronts) {
    is($first->result('tls', $front)->{protocol}, 'TLSv1.3',
       "$front has TLS 1.3");
}

is_deeply([ map { $_->{name} } grep { $r->of($_, 'ours-starttls') }
                $r->metrics ],
          [ qw(storm storm-rate storm-lost cost-login-50 cost-login-100
               cost-message-50 cost-message-100 rate-p50-20
               rate-p50-40 rate-p99-20 rate-p99-40 concurrency-1
               concurrency-5) ], 'and what else there is');

for (qw(memory concurrency rate)) {
    like(read_file("$dir/out/$_.svg"), qr/<svg.*<title>.*<\/svg>\s*\z/s,
         "$_.svg");
}

like(read_file("$dir/out/table.txt"), qr/^echo, 99 % +ours-direct +\d/m,
     'table.txt');
like(read_file("$dir/out/table.md"),
     qr/^\| openssl \| OpenSSL alone.*\d \(\d\.\d\d\)/m,
     'table.md');

is(run("$bench/run", '--fast'), 2, 'an option that there is not');


# Nothing goes by unseen.

@nginx = ('--binary=/bin/false');
is(run("$bench/run", '--quick', @nginx, "--out=$dir/none", '--fronts=stream',
       '--workloads=handshake'), 1, 'a front that does not start');
like($said, qr/^FAILED: stream handshake/m, 'is told');

$t->finish;


sub record {
    my ($front, $round, $workload, $param, $result) = @_;

    return { front => $front, round => $round, workload => $workload,
             param => $param, result => $result };
}


sub machine {
    return { processor => 'Some processor', cores => 2, memory_gb => 4,
             system => 'Debian', kernel => '6', files => 20_000,
             pinned => 'somewhere', commit => 'abc', date => '2026-01-01',
             load => 0.1,
             command => 'misc/bench/run', versions => { nginx => '1.26.3' } };
}


# Of everything that is judged.
sub figures {
    my (%figure) = @_;

    my ($stream, $prosody, $ejabberd) = @{ $figure{logins} };
    my @record = { workload => 'machine', result => machine() };

    my $add = sub { push @record, record($_[0], 1, @_[1 .. $#_]) };

    my %logins = ('ours-direct' => 1, stream => $stream, haproxy => 0.9,
                  prosody => $prosody, ejabberd => $ejabberd,
                  'prosody-tuned' => 2, 'ejabberd-tuned' => 2);

    while (my ($front, $ratio) = each %logins) {
        $add->($front, 'login', {}, { per_cpu_second => 1000 / $ratio });
    }

    for my $front (qw(ours-direct stream haproxy)) {
        my $ours = $front eq 'ours-direct';
        my %result = (per_cpu_second => $ours ? 125 : 100,
                      mb_per_cpu_second => 100, p50 => 1, p99 => 2);

        $add->($front, $_, {}, \%result) for qw(handshake messages bulk echo);

        my $bytes = $ours ? $figure{memory} : $front eq 'stream' ? 1 : 0.6;

        for my $stage (qw(idle traffic)) {
            $add->($front, 'memory', { count => 1000, stage => $stage },
                   { before => 1, after => 2, bytes => 1000 * $bytes });
        }
    }

    for my $of (qw(login messages)) {
        for my $count (1000, 9000) {
            $add->('ours-direct', 'cost', { count => $count, of => $of },
                   { cpu_ms => $count == 1000 ? 1 : $figure{cost} });
        }
    }

    $add->('parser', 'parser', {},
           { ours_instructions_per_byte => $figure{parser},
             ratio_instructions => 4, ratio_time => 4 });

    return results(@record);
}


sub results { return Bench::Results->read(raw('raw', @_)) }


sub raw {
    my ($name, @record) = @_;

    # what was read is written back
    if (ref $record[0] eq 'Bench::Results') {
        my ($r) = @record;
        @record = ({ workload => 'machine', result => $r->machine },
                   @{ $r->{record} });
    }

    write_file("$dir/$name", join '', map { $json->encode($_) . "\n" }
                                          @record);

    return "$dir/$name";
}
