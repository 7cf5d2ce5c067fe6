package Bench::Results;

# What a run has written, and what follows from it.
#
#   my $r = Bench::Results->read($file);
#   $r->machine                 the last run's; $r->machines: of all
#   $r->rounds, $r->fronts      that are there; fronts in the order of a table
#   $r->about($front)           a line on it
#   $r->metrics                 those that anything was measured of
#   $r->metric('logins')        by its name
#   $r->of($metric, $front)     { n, median, min, max } of the rounds, each of
#                               which is the median of its turns; undef if there
#                               is none
#   $r->ratio($metric, $front, $other)      the same of the ratios, turn by
#                               turn, to the other front
#   $r->growth($metric, $of, $front)        of those to another metric
#   $r->result($workload)       the last one, whole
#
#   median(@numbers), spread(@numbers)      of the latter: (lowest, highest)
#
# A metric: name, title (of what), unit, workload, param (that have to be so),
# value (of a result), digits, less => 1 where less is better, and failures => 1
# where what failed counts, too.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use List::Util qw(max min);

use Bench::Front;

our @EXPORT_OK = qw(median spread);

use constant REFERENCE => 'stream';

my $json = JSON::PP->new;

sub _key { my ($key, $factor) = @_; sub { defined $_[0]{$key}
                                          ? $_[0]{$key} * ($factor || 1)
                                          : undef } }

# With the server behind it.
sub _both {
    my ($result) = @_;

    my ($cpu, $backend, $count) = @$result{qw(cpu backend_cpu count)};

    return $backend && $cpu && $count ? $count / ($cpu + $backend) : undef;
}

my @metric = (
    { name => 'handshakes', title => 'TLS handshakes, to the features',
      unit => '/CPU s', workload => 'handshake',
      value => _key('per_cpu_second'), digits => 0 },
    { name => 'logins', title => 'logins', unit => '/CPU s',
      workload => 'login', value => _key('per_cpu_second'), digits => 0 },
    { name => 'logins-both', title => 'logins, with the server behind',
      unit => '/CPU s', workload => 'login', value => \&_both, digits => 0 },
    { name => 'login-cpu', title => 'CPU of a login', unit => 'ms',
      workload => 'login', value => _key('cpu_ms'), digits => 3, less => 1 },
    { name => 'logins-wall', title => 'logins by the clock', unit => '/s',
      workload => 'login', value => _key('per_second'), digits => 0 },
    { name => 'messages', title => 'messages of 200 bytes', unit => '/CPU s',
      workload => 'messages', value => _key('per_cpu_second'), digits => 0 },
    { name => 'messages-wall', title => 'messages of 200 bytes by the clock',
      unit => '/s',
      workload => 'messages', value => _key('per_second'), digits => 0 },
    { name => 'bulk', title => 'messages of 64 KB', unit => 'MB/CPU s',
      workload => 'bulk', value => _key('mb_per_cpu_second'), digits => 1 },
    { name => 'bulk-wall', title => 'messages of 64 KB by the clock',
      unit => 'MB/s', workload => 'bulk', value => _key('mb_per_second'),
      digits => 1 },
    { name => 'echo-p50', title => 'echo, median', unit => 'us',
      workload => 'echo', value => _key('p50', 1000), digits => 1,
      less => 1 },
    { name => 'echo-p99', title => 'echo, 99 %', unit => 'us',
      workload => 'echo', value => _key('p99', 1000), digits => 1,
      less => 1 },
    { name => 'storm', title => 'after a restart, till all are in',
      unit => 's', workload => 'storm', value => _key('seconds'),
      digits => 2, less => 1 },
    { name => 'storm-rate', title => 'after a restart, logins', unit => '/s',
      workload => 'storm', value => _key('per_second'), digits => 0 },
    { name => 'storm-lost', title => 'after a restart, turned away',
      unit => 'clients', workload => 'storm', failures => 1,
      value => sub { $_[0]{count} ? $_[0]{failed} : undef }, digits => 0,
      less => 1 },
    { name => 'memory', title => 'memory of an idle connection',
      unit => 'KB', workload => 'memory', param => { stage => 'idle' },
      by => 'count', value => _key('bytes', 1 / 1024), digits => 2,
      less => 1 },
    { name => 'memory-after', title => 'the same after messages',
      unit => 'KB', workload => 'memory', param => { stage => 'traffic' },
      by => 'count', value => _key('bytes', 1 / 1024), digits => 2,
      less => 1 },
    { name => 'memory-all', title => 'memory of all connections',
      unit => 'MB', workload => 'memory', param => { stage => 'idle' },
      by => 'count', digits => 1, less => 1, hidden => 1,
      value => sub { ($_[0]{after} - $_[0]{before}) / 1024 / 1024 } },
    { name => 'cost-login', title => 'CPU of a login, others connected',
      unit => 'ms', workload => 'cost', param => { of => 'login' },
      by => 'count', value => _key('cpu_ms'), digits => 3, less => 1 },
    { name => 'cost-message', title => 'CPU of a message, others connected',
      unit => 'us', workload => 'cost', param => { of => 'messages' },
      by => 'count', value => _key('cpu_ms', 1000), digits => 2, less => 1 },
    { name => 'traffic', title => 'CPU of a message, all exchange them',
      unit => 'us', workload => 'traffic', by => 'count',
      value => _key('cpu_ms', 1000), digits => 2, less => 1 },
    { name => 'rate-p50', title => 'time of a login, median', unit => 'ms',
      workload => 'rate', by => 'rate', value => _key('p50'), digits => 2,
      less => 1 },
    { name => 'rate-p99', title => 'time of a login, 99 %', unit => 'ms',
      workload => 'rate', by => 'rate', value => _key('p99'), digits => 2,
      less => 1 },
    { name => 'concurrency', title => 'logins by the clock', unit => '/s',
      workload => 'concurrency', by => 'concurrency',
      value => _key('per_second'), digits => 0 },
);

my %by = (count => 'connections', rate => 'logins/s',
          concurrency => 'at a time');


sub median {
    my @number = sort { $a <=> $b } @_ or return;

    return @number % 2 ? $number[$#number / 2]
                       : ($number[@number / 2 - 1] + $number[@number / 2]) / 2;
}


sub spread { return (min(@_), max(@_)) }


sub read {
    my ($class, $file) = @_;

    open my $in, '<', $file or die "$file: $!\n";

    my $self = bless { record => [], machine => [] }, $class;

    while (<$in>) {
        my $record = eval { $json->decode($_) }
                     // die "$file: line $.: no JSON\n";

        if ($record->{workload} eq 'machine') {
            push @{ $self->{machine} }, $record->{result};
        } else {
            push @{ $self->{record} }, $record;
        }
    }

    return $self;
}


sub machine  { $_[0]{machine}[-1] || {} }
sub machines { @{ $_[0]{machine} } }


sub rounds {
    my ($self) = @_;

    my %round = map { $_->{round} => 1 } @{ $self->{record} };

    return sort { $a <=> $b } keys %round;
}


sub fronts {
    my ($self) = @_;

    my %there = map { $_->{front} => 1 } @{ $self->{record} };

    return grep { $there{$_} } Bench::Front::names(), 'openssl';
}


sub about {
    my ($self, $front) = @_;

    return $front eq 'openssl' ? 'OpenSSL alone, in memory, server\'s side'
                               : Bench::Front::about($front)->{about};
}


sub result {
    my ($self, $workload, $front) = @_;

    my @record = grep { $_->{workload} eq $workload
                        && (!defined $front || $_->{front} eq $front) }
                      @{ $self->{record} } or return;

    return $record[-1]{result};
}


# Those with "by" become one for each number that there is.
sub metrics {
    my ($self) = @_;

    return @{ $self->{metrics} } if $self->{metrics};

    my @all;

    for my $metric (@metric) {
        my $by = $metric->{by};
        my %value;

        for my $record (@{ $self->{record} }) {
            next if !_is($record, $metric)
                    || !defined $metric->{value}->($record->{result});
            $value{$by ? $record->{param}{$by} // next : ''} = 1;
        }

        for my $value (sort { ($a || 0) <=> ($b || 0) } keys %value) {
            push @all, !$by ? $metric
                       : { %$metric, name => "$metric->{name}-$value",
                           of => $metric->{name}, at => $value,
                           title => "$metric->{title}, $value $by{$by}",
                           param => { %{ $metric->{param} || {} },
                                      $by => $value } };
        }
    }

    $self->{metrics} = \@all;

    return @all;
}


sub metric {
    my ($self, $name) = @_;

    my ($metric) = grep { $_->{name} eq $name } $self->metrics;

    return $metric;
}


sub _is {
    my ($record, $metric) = @_;

    my $param = $metric->{param} || {};

    return $record->{workload} eq $metric->{workload}
           && (!$record->{result}{failed} || $metric->{failures})
           && !grep { ($record->{param}{$_} // '') ne $param->{$_} }
                    keys %$param;
}


# By round, and by turn if it has turns; what was measured more than once in one
# is its median.
sub _values {
    my ($self, $metric, $front) = @_;

    my %values;

    for my $record (@{ $self->{record} }) {
        next if $record->{front} ne $front || !_is($record, $metric);

        my $value = $metric->{value}->($record->{result}) // next;
        push @{ $values{$record->{round}}{$record->{turn} // 0} }, $value;
    }

    for my $turn (values %values) {
        $turn = { map { ($_ => median(@{ $turn->{$_} })) } keys %$turn };
    }

    return \%values;
}


sub of {
    my ($self, $metric, $front) = @_;

    return _summary(values %{ $self->_values($metric, $front) });
}


sub ratio {
    my ($self, $metric, $front, $other) = @_;

    return _ratio($self->_values($metric, $front),
                  $self->_values($metric, $other // REFERENCE));
}


sub growth {
    my ($self, $metric, $of, $front) = @_;

    return _ratio(map { $self->_values($_, $front) } $metric, $of);
}


sub _ratio {
    my ($these, $those) = @_;

    my @round;

    for my $round (keys %$these) {
        my ($one, $other) = ($these->{$round}, $those->{$round} || {});

        # what has no turns is compared as a whole
        if (%$other && ($one->{0} xor $other->{0})) {
            ($one, $other) = map { { 0 => scalar median(values %$_) } }
                             $one, $other;
        }

        push @round, { map { ($_ => $one->{$_} / $other->{$_}) }
                       grep { $other->{$_} } keys %$one };
    }

    return _summary(@round);
}


# Of rounds.
sub _summary {
    my @number = map { median(values %$_) } @_;

    @number = grep { defined } @number or return;

    my ($min, $max) = spread(@number);

    return { n => scalar @number, median => median(@number),
             min => $min, max => $max };
}

1;
