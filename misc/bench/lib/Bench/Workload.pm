package Bench::Workload;

# What is measured.
#
#   my @name = Bench::Workload::names();
#   my @group = Bench::Workload::groups(@name);     # in the order of a run:
#                               # [ NAME, ... ], those of one start of a front
#   my ($front, $load) = Bench::Workload::start($bench, $name);
#   Bench::Workload::measure_on($bench, $workload, $front, $load)
#                               # a workload that takes turns with other fronts
#   Bench::Workload::measure($bench, $name, @workload)
#                               # starts the front $name, and does these
#
# Each result goes to $bench->record($front, $workload, { what was asked for },
# { what came out }).

use strict;
use warnings;

use List::Util qw(max shuffle sum);
use Time::HiRes qw(sleep);

use Bench::Front;
use Bench::Kernel;
use Bench::Load;

# "long": takes minutes, has rounds of its own; "alone": a start of its own;
# "fair": compared between fronts, not between servers.
my @workload = (
    handshake   => { code => \&_handshake },
    login       => { code => \&_login },
    messages    => { code => \&_messages },
    bulk        => { code => \&_bulk },
    echo        => { code => \&_echo },
    rate        => { code => \&_rate, long => 1 },
    concurrency => { code => \&_concurrency, long => 1 },
    memory      => { code => \&_memory, long => 1, alone => 1 },
    cost        => { code => \&_cost, alone => 1, fair => 1 },
    storm       => { code => \&_storm, long => 1, alone => 1 },
);

my %workload = @workload;

# Of these workloads, and of their cost.
my %options = (
    login => [ concurrency => 50 ],
    messages => [ connections => 50, size => Bench::Load::SIZE, window => 16 ],
);

# These need no front.
my @others = qw(openssl parser);


sub names {
    return ((map { $workload[2 * $_] } 0 .. $#workload / 2), @others);
}


sub is_long { ($workload{$_[0]} || {})->{long} }


sub takes_turns { !grep { $workload{$_}{long} || $workload{$_}{alone} } @_ }


sub groups {
    my (@name) = @_;

    my %wanted = map { $_ => 1 } @name;
    my @wanted = grep { $wanted{$_} && $workload{$_} } names();

    my @short = grep { takes_turns($_) } @wanted;
    my @sweep = grep { $workload{$_}{long} && !$workload{$_}{alone} } @wanted;

    return grep { @$_ } \@short, \@sweep,
                        map { [ $_ ] } grep { $workload{$_}{alone} } @wanted;
}


sub applies {
    my ($name, @workload) = @_;

    return !Bench::Front::about($name)->{real}
           || !grep { $workload{$_}{fair} } @workload;
}


sub start { return _start(@_) }


sub measure_on {
    my ($bench, $workload, $front, $load) = @_;

    $workload{$workload}{code}->($bench, $front, $load);
}


sub measure {
    my ($bench, $name, @workload) = @_;

    if ($workload{$workload[0]}{alone}) {
        $workload{$_}{code}->($bench, $name) for @workload;
        return;
    }

    my ($front, $load) = _start($bench, $name);

    $workload{$_}{code}->($bench, $front, $load) for @workload;

    $front->stop;
}


# What is first done by a server often takes longer, or takes memory that it
# keeps for the next.  Certificates are verified here only: clients have enough
# to do.
sub _start {
    my ($bench, $name, %option) = @_;

    my $front = Bench::Front->start($name, $bench, %option);
    my $load = Bench::Load->new($bench, $front);

    my $result = $load->run(login => count => $bench->{warm},
                            concurrency => 20,
                            ca => $bench->{certs}->ca);

    die "$name: no login: ", $result->{error} // 'no result', "\n"
        if $result->{failed} || !$result->{count};

    return ($front, $load);
}


sub _one {
    my ($bench, $front, $load, $workload, $param, %option) = @_;

    my $result = $load->run($workload, %$param, %option);
    $bench->record($front, $workload, $param, $result);

    return $result;
}


sub _handshake {
    my ($bench, $front, $load) = @_;

    _one($bench, $front, $load, handshake => {}, concurrency => 50,
         seconds => $bench->{turn});
}


sub _login {
    my ($bench, $front, $load) = @_;

    _one($bench, $front, $load, login => {}, @{ $options{login} },
         seconds => $bench->{turn});
}


sub _messages {
    my ($bench, $front, $load) = @_;

    _one($bench, $front, $load, messages => {}, @{ $options{messages} },
         seconds => $bench->{turn});
}


sub _bulk {
    my ($bench, $front, $load) = @_;

    _one($bench, $front, $load, bulk => {}, connections => 8, size => 65536,
         window => 4, seconds => $bench->{turn});
}


sub _echo {
    my ($bench, $front, $load) = @_;

    _one($bench, $front, $load, echo => {}, size => Bench::Load::SIZE,
         count => int 20_000 * $bench->{turn});
}


# Till it can not follow any more.
sub _rate {
    my ($bench, $front, $load) = @_;

    for my $rate (@{ $bench->{rates} }) {
        my $param = { rate => $rate };
        my $result = $load->run(rate => %$param,
                                seconds => $bench->{seconds});

        my $late = $result->{failed} || ($result->{p50} // 1e9) > 500;
        $result->{late} = 1 if $late;

        # to fail here is no fault
        $bench->record($front, 'rate', $param, $result, $late);
        last if $late;
    }
}


sub _concurrency {
    my ($bench, $front, $load) = @_;

    for my $n (@{ $bench->{concurrency} }) {
        next if $n > Bench::Front::room($front->{name});

        $bench->record($front, 'concurrency', { concurrency => $n },
            $load->run('login', concurrency => $n,
                       seconds => $bench->{seconds}));
    }
}


# Idle connections: with one worker, and with several if it may have them.

sub _memory {
    my ($bench, $name) = @_;

    _fill($bench, $name, 1, @{ $bench->{counts} });

    _fill($bench, $name, _workers($bench, $bench->{max}[-1]),
          @{ $bench->{max} })
        if @{ $bench->{max} } && Bench::Front::about($name)->{many};
}


# Workers do not get equal shares.  One in which 7/8 of its connections are in
# use takes less and less, and in the end refuses: none should come near that.
sub _workers {
    my ($bench, $count) = @_;

    my $room = Bench::Front::room('stream') / 2;
    my $workers = 1 + int $count / $room;

    return $workers < $bench->{workers} ? $bench->{workers} : $workers;
}


sub _fill {
    my ($bench, $name, $workers, @count) = @_;

    my $room = Bench::Front::room($name, $workers);
    @count = grep { $_ <= $room } @count or return;

    my ($front, $load) = _start($bench, $name, workers => $workers,
                                max => $count[-1] + 100);

    sleep $bench->{rest};

    my $before = memory($front->pids);
    my ($have, @idle) = 0;

    my $read = sub {
        my ($stage) = @_;

        sleep $bench->{rest};

        my $after = memory($front->pids);
        my ($error) = grep { $_ } map { $_->{error} } @idle;

        $bench->record($front, 'memory',
            { count => $have, stage => $stage, workers => $workers },
            { before => $before, after => $after,
              failed => scalar(grep { $_->{result}{failed} } @idle),
              error => $error,
              bytes => ($after - $before) / $have });
    };

    for my $count (@count) {
        push @idle, $load->idle($count - $have);
        $have = $count;
        $read->('idle');
    }

    # all of them at the same time
    $_->start_traffic($bench->{traffic}) for @idle;

    my @traffic = map { $_->traffic_result($bench->{traffic}) } @idle;
    my $messages = sum map { $_->{messages} } @traffic;
    my $cpu = max map { $_->{cpu} } @traffic;

    $bench->record($front, 'traffic',
        { count => $have, workers => $workers },
        { messages => $messages, cpu => $cpu,
          failed => sum(map { $_->{failed} } @traffic),
          cpu_ms => $messages ? 1000 * $cpu / $messages : undef });

    $read->('traffic');

    $_->quit for @idle;
    $front->stop;
}


# What a login and a message cost while others are connected: in turns with a
# front that has few of them.

sub _cost {
    my ($bench, $name) = @_;

    my $many = Bench::Front::about($name)->{many};
    my @count = ($bench->{counts}[0], $bench->{counts}[-1],
                 $many && @{ $bench->{max} } ? $bench->{max}[-1] : ());
    my $workers = $many ? _workers($bench, $count[-1]) : 1;
    my $room = Bench::Front::room($name, $workers);

    my ($few, @more) = grep { $_ + 60 <= $room } @count;
    return if !@more;

    my ($front, $load) = _start($bench, $name, workers => $workers,
                                max => $more[-1] + 100);
    my ($other, $other_load) = _start($bench, $name, workers => $workers,
                                      max => $few + 100);
    my @idle = $other_load->idle($few);
    my $have = 0;

    local $bench->{now} = 0;

    for my $count (@more) {
        push @idle, $load->idle($count - $have);
        $have = $count;

        # those that came are done with
        sleep $bench->{rest};

        for (1 .. $bench->{turns}) {
            $bench->{now}++;

            for my $of (qw(login messages)) {
                my %param = (of => $of, workers => $workers);

                for (shuffle [ $other, $other_load, $few ],
                             [ $front, $load, $count ])
                {
                    my ($which, $by, $n) = @$_;

                    sleep $bench->{pause};

                    _cost_of($bench, $which, $by, $of,
                             { %param, count => $n });
                }
            }
        }
    }

    $_->quit for @idle;
    $_->stop for $front, $other;
}


sub _cost_of {
    my ($bench, $front, $load, $workload, $param) = @_;

    $bench->record($front, 'cost', $param,
                   $load->run($workload, @{ $options{$workload} },
                              seconds => $bench->{turn}));
}


# As many as come back after a restart: nothing is warm.

sub _storm {
    my ($bench, $name) = @_;

    my $about = Bench::Front::about($name);
    my $workers = $about->{many} ? _workers($bench, $bench->{storm}) : 1;
    my $room = Bench::Front::room($name, $workers);
    my $count = $bench->{storm} < $room ? $bench->{storm} : $room;

    my $front = Bench::Front->start($name, $bench, workers => $workers,
                                    max => $count);
    my $load = Bench::Load->new($bench, $front);

    my %param = (count => $count);
    my $result = $load->run(storm => %param, timeout => 300);

    # that a real server turns some clients away is a figure of its own
    $bench->record($front, 'storm', \%param, $result,
                   $result->{count} && $about->{real});

    $front->stop;
}

1;
