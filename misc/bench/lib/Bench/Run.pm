package Bench::Run;

# misc/bench/run, once everything is built.

use strict;
use warnings;

use Cwd ();
use File::Temp ();
use JSON::PP ();
use List::Util qw(max shuffle);
use POSIX ();
use Time::HiRes qw(sleep time);

use Bench::Front;
use Bench::Judge;
use Bench::Kernel;
use Bench::Machine;
use Bench::Plot;
use Bench::Results;
use Bench::Table;
use Bench::Workload;
use XMPP::Certs;
use XMPP::Files;

my $json = JSON::PP->new->canonical;

my %default = (
    rounds => 3, turns => 8, turn => 0.3, pause => 0.1, seconds => 2,
    traffic => 20, rest => 3,
    counts => '1000,9000', max => '36000', storm => 10_000,
    rates => '100,200,400,600,800,1000,1200',
    concurrency => '1,3,10,30,100,300,1000',
    users => 2000, warm => 200, workers => 4, out => 'objs/bench',
);

my %quick = (
    rounds => 1, turns => 1, seconds => 1, traffic => 2, rest => 1,
    counts => '100,300', max => '600', storm => 200, rates => '20,50',
    concurrency => '1,10', users => 1000, warm => 50,
);


sub main {
    my (@argument) = @_;

    my $self = eval { _options(@argument) };

    if (!$self) {
        print STDERR "misc/bench/run: $@";
        return 2;
    }

    if ($self->{list}) {
        _list();
        return 0;
    }

    # nginx, and what it needs, are started as in the tests: not by their rules
    Test::More->builder->no_ending(1);

    $self->_open(@argument);
    $self->_rounds;
    close $self->{raw};

    return $self->_report;
}


sub _options {
    my (@argument) = @_;

    my (%given, @module);
    my %flag = map { $_ => 1 } qw(quick judge list more together);
    my %known = map { $_ => 1 } keys %default,
                    qw(fronts workloads buffer nginx binary module long);

    for (@argument) {
        my ($name, $value) = /^--([a-z]+)(?:=(.+))?\z/s;

        die "unknown option $_, see --help\n"
            if !defined $name
               || !(defined $value ? $known{$name} : $flag{$name});

        push @module, $value if $name eq 'module';
        $given{$name} = $value // 1;
    }

    my $self = bless { %default, $given{quick} ? %quick : (), %given,
                       modules => \@module,
                       bin => Cwd::abs_path('objs/bench/bin') }, __PACKAGE__;

    $self->{long} //= $self->{rounds};
    $self->{binary} = Cwd::abs_path($self->{binary} // 'objs/nginx');

    for (qw(rounds turns long storm users warm workers)) {
        $self->{$_} =~ /^[1-9]\d*\z/ or die "--$_ is a number\n";
    }

    for (qw(turn pause seconds traffic rest)) {
        $self->{$_} =~ /^\d+(?:\.\d+)?\z/ or die "--$_ is a number\n";
    }

    for my $name (qw(counts max rates concurrency)) {
        my @number = sort { $a <=> $b } grep { $_ > 0 } map {
            /^\d+\z/ or die "--$name has numbers\n"; $_
        } split /,/, $self->{$name};

        $self->{$name} = \@number;
    }

    # A name of users for each generator that runs at the same time as others:
    # of servers that know their users, only "counts" are connected.
    $self->{names} = [ 'u', map { "idle${_}u" } 1 .. @{ $self->{counts} } ];

    $self->{fronts} = [ $given{fronts} ? split /,/, $given{fronts}
                        : grep { Bench::Front::about($_)->{default}
                                 || $_ eq 'stream-equal' && $given{buffer} }
                               Bench::Front::names() ];
    $self->{workloads} = [ $given{workloads} ? split /,/, $given{workloads}
                           : Bench::Workload::names() ];

    Bench::Front::about($_) for @{ $self->{fronts} };

    for my $name (@{ $self->{workloads} }) {
        grep { $_ eq $name } Bench::Workload::names()
            or die "there is no workload $name\n";
    }

    return $self;
}


sub _list {
    print "fronts:\n";

    for my $name (Bench::Front::names()) {
        my $about = Bench::Front::about($name);
        printf "    %-20s%s%s\n", $name, $about->{about},
               $about->{default} ? '' : ' (if asked for)';
    }

    print "workloads:\n";
    print "    $_\n" for Bench::Workload::names();
}


sub _open {
    my ($self, @argument) = @_;

    my $out = $self->{out};

    system('mkdir', '-p', $out) == 0 or die "$out: no such folder\n";

    $self->{core} = { cores() };
    $self->{file} = "$out/raw.jsonl";
    $self->{first} = 1;

    my $load = Bench::Machine::load();
    print STDERR "misc/bench/run: something else is running, the load is"
                 . " $load\n" if $load > 0.5;

    # another run's rounds are not this one's
    if ($self->{more} && -s $self->{file}) {
        my $old = Bench::Results->read($self->{file});
        $self->{first} = 1 + max 0, $old->rounds;
    }

    open $self->{raw}, $self->{more} ? '>>' : '>', $self->{file}
        or die "$self->{file}: $!\n";
    $self->{raw}->autoflush(1);

    $self->{folder} = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1);
    $self->{certs} = XMPP::Certs->new("$self->{folder}");
    $self->{client} = [ Bench::Machine::client("$self->{folder}/client.cnf") ];

    $self->_write({ workload => 'machine',
                    result => Bench::Machine::describe($self, @argument) });
}


sub _write {
    my ($self, $record) = @_;

    print { $self->{raw} } $json->encode($record), "\n";
}


sub record {
    my ($self, $front, $workload, $param, $result, $expected) = @_;

    my $name = ref $front ? $front->{name} : $front;

    $self->_write({ round => $self->{round}, turn => $self->{now},
                    front => $name, workload => $workload, param => $param,
                    result => $result });

    return if !$result->{failed} || $expected;

    $self->{faults}++;
    my $shown = join ' ', map { "$_=$param->{$_}" } sort keys %$param;
    print STDERR "FAILED: $name $workload $shown: ",
                 $result->{error} // "$result->{failed} sessions", "\n";
}


sub _rounds {
    my ($self) = @_;

    my @name = @{ $self->{workloads} };
    my $rounds = max $self->{rounds},
                     (grep { Bench::Workload::is_long($_) } @name)
                     ? $self->{long} : 0;
    my $start = time;
    my %seen;

    for my $round (1 .. $rounds) {
        $self->{round} = $self->{first} + $round - 1;

        my @now = grep { $round <= (Bench::Workload::is_long($_)
                                    ? $self->{long} : $self->{rounds}) } @name;

        $self->_parser if $round == 1 && grep { $_ eq 'parser' } @now;
        $self->_openssl if grep { $_ eq 'openssl' } @now;

        # not always the same one behind the same other
        my @front = @{ $self->{fronts} };
        push @front, splice @front, 0, ($round - 1) % @front;

        for my $group (Bench::Workload::groups(@now)) {
            if ($self->{together} && $group->[0] eq 'memory') {
                printf STDERR "%6.0f s  round %d of %d  memory of all\n",
                       time - $start, $round, $rounds;
                $self->_together(map { [ $_, $group, !$seen{$_}++ ] } @front);
                next;
            }

            if (Bench::Workload::takes_turns(@$group)) {
                printf STDERR "%6.0f s  round %d of %d  in turns: %s\n",
                       time - $start, $round, $rounds, "@$group";
                $self->_turns($group, \%seen, @front);
                next;
            }

            for my $name (@front) {
                next if !Bench::Workload::applies($name, @$group);

                printf STDERR "%6.0f s  round %d of %d  %-18s %s\n",
                       time - $start, $round, $rounds, $name, "@$group";

                $self->_measure($name, $group, !$seen{$name}++);
            }
        }
    }
}


# The speed of a machine changes from one second to the next, more so if it is
# a virtual one: what is compared is measured in short turns, one front behind
# the other.  The others are idle meanwhile.
sub _turns {
    my ($self, $group, $seen, @front) = @_;

    my (@started, %failed);

    my $try = sub {
        my ($name, $code) = @_;

        return if eval { $code->(); 1 };

        $failed{$name} = 1;
        $self->record($name, $group->[0], {},
                      { failed => 1, error => $@ =~ s/\s+\z//r });
    };

    for my $name (@front) {
        $try->($name, sub {
            $self->_negotiates($name) if !$seen->{$name}++;
            push @started, [ $name, Bench::Workload::start($self, $name) ];
        });
    }

    for my $turn (1 .. $self->{turns}) {
        $self->{now} = $turn;

        for my $workload (@$group) {

            # the one before may still be busy with the end of its turn, and
            # leaves what it has in the caches: it is another one each time
            for (grep { !$failed{$_->[0]} } shuffle @started) {
                my ($name, @on) = @$_;

                sleep $self->{pause};

                $try->($name, sub {
                    Bench::Workload::measure_on($self, $workload, @on);
                });
            }
        }
    }

    delete $self->{now};
    $_->[1]->stop for @started;
}


# One that fails does not end the whole run.
sub _measure {
    my ($self, $name, $group, $first) = @_;

    my $done = eval {
        $self->_negotiates($name) if $first;
        Bench::Workload::measure($self, $name, @$group);
        1;
    };

    return if $done;

    $self->record($name, $group->[0], {},
                  { failed => 1, error => $@ =~ s/\s+\z//r });
}


# Memory takes as much when others are measured, too, and messages may take
# an hour.
sub _together {
    my ($self, @measure) = @_;

    my @child = map {
        my $pid = fork // die "fork: $!\n";

        if (!$pid) {
            srand;
            $self->{faults} = 0;
            $self->_measure(@$_);
            POSIX::_exit($self->{faults} > 200 ? 200 : $self->{faults});
        }

        $pid
    } @measure;

    for (@child) {
        waitpid $_, 0;
        $self->{faults} += $? >> 8 || ($? ? 1 : 0);
    }
}


# All have to do the same work.
sub _negotiates {
    my ($self, $name) = @_;

    return if Bench::Front::about($name)->{tls} eq 'none';

    my $front = Bench::Front->start($name, $self, max => 100);
    my $tls = Bench::Machine::tls($self, $front);

    $self->record($front, 'tls', {}, $tls);
    $front->stop;

    die "negotiates $tls->{protocol}, not TLSv1.3\n"
        if $tls->{protocol} ne 'TLSv1.3';
}


sub _openssl {
    my ($self) = @_;

    my $said = pinned($self->{core}{front}, sub {
        my @command = (@{ $self->{client} }, "$self->{bin}/tlsmem",
                       $self->{certs}->server, $self->{seconds});
        open(my $out, '-|', @command) or die "$command[0]: $!\n";
        local $/;
        <$out>
    });

    my $result = Bench::Load::result($said // '');
    $result->{failed} = 1 if !$result->{per_cpu_second};

    $self->record('openssl', 'handshake', {}, $result);
    $self->record('openssl', 'bulk', {}, $result);
}


sub _parser {
    my ($self) = @_;

    my $said = `misc/bench/parser`;
    my $result = Bench::Load::result($said);

    $result->{failed} = 1 if $? || !%$result;
    $self->record('parser', 'parser', {}, $result);
}


sub _report {
    my ($self) = @_;

    my $out = $self->{out};
    my $results = Bench::Results->read($self->{file});

    my $text = Bench::Table::text($results);
    print $text;
    write_file("$out/table.txt", $text);
    write_file("$out/table.md", Bench::Table::markdown($results));

    Bench::Plot::plot($results, $out);

    my $held = 1;

    if ($self->{judge}) {
        ($text, $held) = Bench::Judge::judge($results);
        print "\n$text";
    }

    print STDERR "$self->{faults} measurements failed, see $self->{file}\n"
        if $self->{faults};

    return $self->{faults} || !$held ? 1 : 0;
}

1;
