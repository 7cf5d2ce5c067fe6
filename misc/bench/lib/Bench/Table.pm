package Bench::Table;

# The table of a run: for people, and for docs/performance.md.
#
#   my $text = Bench::Table::text($results);        # Bench::Results
#   my $markdown = Bench::Table::markdown($results);

use strict;
use warnings;

# The figures that tell most, side by side.
my @short = (
    [ 'handshakes',  'handshakes/CPU s' ],
    [ 'logins',      'logins/CPU s' ],
    [ 'logins-both', 'the same, with the server' ],
    [ 'messages',    'messages of 200 B/CPU s' ],
    [ 'bulk',        'MB/CPU s, messages of 64 KB' ],
);


# What misc/bench/parser has measured.
my @streams = (
    [ '',         'streams being set up' ],
    [ 'clients_', 'those of clients' ],
    [ 'servers_', 'those of servers' ],
    [ 'whole_',   'whole streams' ],
    [ 'bytes_',   'being set up, byte by byte' ],
);


sub text {
    my ($results) = @_;

    my @row = ([ 'measured', 'front', 'median', 'min', 'max', 'unit',
                 'ratio', 'min', 'max' ]);

    for my $metric (_shown($results)) {
        my $title = $metric->{title};

        for my $row (_rows($results, $metric)) {
            push @row, [ $title, @$row ];
            $title = '';
        }
    }

    my $text = join '', map { "$_\n" } _machine($results), '',
        'Medians of the rounds, the lowest and the highest; those of a round are'
        . ' medians', 'of its turns.  Ratios to nginx stream of the same turn.',
        '', _columns(@row);

    return $text . _parser($results, '');
}


sub markdown {
    my ($results) = @_;

    my $text = "## The machine\n\n"
             . join('', map { "- $_\n" } _machine($results))
             . "\n## In short\n\n" . _short($results)
             . "\n## All figures\n\nMedians of the rounds, with the lowest and"
             . " the highest; those of a round are medians of its turns. Ratios"
             . " to nginx `stream` of the same turn.\n";

    for my $metric (_shown($results)) {
        my $unit = $metric->{unit} =~ s/^us$/\x{b5}s/r;
        utf8::encode($unit);

        $text .= "\n" . ucfirst("$metric->{title}, $unit") . ":\n\n"
               . _pipes([ 'front', 'median', 'min', 'max', 'ratio', 'min',
                          'max' ],
                        map { [ @$_[0 .. 3, 5 .. 7] ] }
                            _rows($results, $metric));
    }

    return $text . _parser($results, "\n");
}


sub _shown { grep { !$_->{hidden} } $_[0]->metrics }


sub _rows {
    my ($results, $metric) = @_;

    my @row;

    for my $front ($results->fronts) {
        my $of = $results->of($metric, $front) or next;
        my $ratio = $results->ratio($metric, $front);

        push @row, [ $front,
                     (map { _number($of->{$_}, $metric) } qw(median min max)),
                     $metric->{unit},
                     $ratio ? map { sprintf '%.2f', $ratio->{$_} }
                                  qw(median min max)
                            : ('', '', '') ];
    }

    return @row;
}


sub _number {
    my ($number, $metric) = @_;

    return sprintf "%.$metric->{digits}f", $number;
}


sub _short {
    my ($results) = @_;

    my @column = map { my $metric = $results->metric($_->[0]);
                       $metric ? [ $_->[1], $metric ] : () } @short;

    # the most that one worker had
    my @memory = grep { ($_->{of} // '') eq 'memory' } $results->metrics;
    my ($most) = sort { $b->{at} <=> $a->{at} }
                 grep { $results->of($_, 'haproxy')
                        || !$results->of($memory[0], 'haproxy') } @memory;

    push @column, [ "KB/connection, $most->{at} idle", $most ] if $most;

    my @row;

    for my $front ($results->fronts) {
        my @cell;

        for my $column (@column) {
            my $metric = $column->[1];
            my $of = $results->of($metric, $front);
            my $ratio = $results->ratio($metric, $front);
            my $cell = $of ? _number($of->{median}, $metric) : '';

            $cell .= sprintf ' (%.2f)', $ratio->{median} if $ratio;
            push @cell, $cell;
        }

        push @row, [ $front, $results->about($front), @cell ]
            if grep { $_ ne '' } @cell;
    }

    return "Medians, and in brackets their ratio to nginx `stream`.\n\n"
           . _pipes([ 'front', 'what it is', map { $_->[0] } @column ], @row);
}


sub _machine {
    my ($results) = @_;

    my $machine = $results->machine;

    return if !%$machine;

    my %version = %{ $machine->{versions} };
    my %tls;

    for my $front ($results->fronts) {
        my $tls = $results->result('tls', $front) or next;
        push @{ $tls{join ', ', @$tls{qw(protocol cipher group)}} }, $front;
    }

    my ($usual, @other) = sort { @{ $tls{$b} } <=> @{ $tls{$a} } } keys %tls;
    my $tls = defined $usual ? "$usual, ECDSA P-256, no resumption" : '';

    $tls .= "; @{ $tls{$_} }: $_" for @other;

    return (
        "$machine->{processor}, $machine->{cores} cores,"
            . " $machine->{memory_gb} GB",
        "$machine->{system}, Linux $machine->{kernel},"
            . " $machine->{files} files a process",
        join(', ', map { "$_ $version{$_}" } sort keys %version),
        $tls || (), $machine->{pinned},
        map { "commit $_->{commit}, $_->{date}, load $_->{load}:"
              . " $_->{command}" } $results->machines,
    );
}


sub _parser {
    my ($results, $before) = @_;

    my $parser = $results->result('parser') or return '';

    return '' if $parser->{failed};

    my @row = ([ 'parser, for a byte', 'instructions', 'expat', 'ratio',
                 'ns', 'expat', 'ratio' ]);

    for (@streams) {
        my ($name, $title) = @$_;

        my @cell = map { defined $parser->{$_}
                         ? sprintf '%.2f', $parser->{$_} : '' } map {
            ("${name}ours_$_->[0]", "${name}expat_$_->[0]",
             "${name}ratio_$_->[1]")
        } [ qw(instructions_per_byte instructions) ],
          [ qw(ns_per_byte time) ];

        push @row, [ $title, @cell ];
    }

    return "\n" . ($before ? _pipes(@row) : join '', map { "$_\n" }
                                                         _columns(@row));
}


# Numbers to the right.
sub _columns {
    my (@row) = @_;

    my @width;

    for my $row (@row) {
        for my $i (0 .. $#$row) {
            my $length = length $row->[$i];
            $width[$i] = $length if $length > ($width[$i] // 0);
        }
    }

    my $line = sub {
        my ($row) = @_;

        my $text = join '  ', map {
            my $right = $row->[$_] =~ /^[-\d.]+\z/
                        || $row->[$_] =~ /^(?:median|min|max|ratio)\z/;
            sprintf $right ? "%$width[$_]s" : "%-$width[$_]s", $row->[$_]
        } 0 .. $#$row;

        return $text =~ s/ +\z//r;
    };

    return map { $line->($_) } @row;
}


sub _pipes {
    my ($head, @row) = @_;

    my $line = sub { '| ' . join(' | ', @{ $_[0] }) . " |\n" };
    my @rule = map { $_ ? '--:' : '---' } 0 .. $#$head;

    return join '', $line->($head), '|' . join('|', @rule) . "|\n",
                    map { $line->($_) } @row;
}

1;
