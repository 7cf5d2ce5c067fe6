package Bench::Judge;

# What must hold, and whether it does.
#
#   my ($text, $held) = Bench::Judge::judge($results);      # Bench::Results
#   my @claim = Bench::Judge::claims($results);
#                       # { text, needed, measured, held, verdict }
#
# Ratios are the medians of those of each round, which are the medians of those
# of its turns, and are compared as they are shown, with two decimals; "+- 0.1"
# means 0.9 to 1.1.  What was not measured does not hold.

use strict;
use warnings;

use List::Util qw(max min);

my $ours = 'ours-direct';


sub claims {
    my ($results) = @_;

    my @claim;

    my $ratio = sub {
        my ($text, $name, $other, $sign, $needed) = @_;

        my $metric = $results->metric($name);
        my $ratio = $metric && $results->ratio($metric, $ours, $other);

        push @claim, _claim($text, $sign, $needed,
                            $ratio && $ratio->{median},
                            $ratio && [ @$ratio{qw(min max)} ]);
    };

    my $metric = $results->metric('messages');
    my $equal = $metric && $results->of($metric, 'stream-equal')
                ? 'stream-equal' : 'stream';

    $ratio->('logins / stream', 'logins', 'stream', '>=', 0.95);
    $ratio->('logins / Prosody', 'logins', 'prosody', '>=', 3);
    $ratio->('logins / Prosody, tuned', 'logins', 'prosody-tuned');
    $ratio->('logins / ejabberd', 'logins', 'ejabberd', '>=', 2.5);
    $ratio->('logins / ejabberd, tuned', 'logins', 'ejabberd-tuned');
    $ratio->('handshakes / stream', 'handshakes', 'stream', '>=', 1.25);
    $ratio->('small messages / stream', 'messages', $equal, '>=', 1);
    $ratio->('small messages / HAProxy', 'messages', 'haproxy', '>=', 1);
    $ratio->('bulk / stream', 'bulk', $equal, '>=', 1);
    $ratio->('bulk / HAProxy', 'bulk', 'haproxy', '>=', 1);
    $ratio->('echo p50 / stream', 'echo-p50', 'stream', '<=', 1);
    $ratio->('echo p99 / stream', 'echo-p99', 'stream', '<=', 1);

    push @claim, _memory($results), _cost($results), _parser($results);

    return @claim;
}


sub _claim {
    my ($text, $sign, $needed, $measured, $spread) = @_;

    my $shown = defined $measured ? sprintf '%.2f', $measured : undef;

    my %held = (
        '>=' => sub { $shown >= $needed },
        '<=' => sub { $shown <= $needed },
        '+-' => sub { $shown >= 1 - $needed && $shown <= 1 + $needed },
    );

    # of some it is only told how much it is
    my $held = !defined $sign || defined $shown && $held{$sign}->();

    return { text => $text, measured => $shown // 'not measured',
             needed => defined $sign ? "$sign $needed" : '',
             spread => $spread, held => $held,
             verdict => !defined $sign ? '' : $held ? 'holds' : 'MISSES' };
}


# After messages, too, against what the others take when they are fresh.
sub _memory {
    my ($results) = @_;

    my @claim;
    my @at = sort { $a <=> $b } map { $_->{at} }
             grep { ($_->{of} // '') eq 'memory' && $results->of($_, $ours) }
                  $results->metrics;

    for ([ stream => 0.5 ], [ haproxy => 1 ]) {
        my ($other, $needed) = @$_;
        my $there;

        for my $at (@at) {
            my $idle = $results->metric("memory-$at");
            my $ratio = $results->ratio($idle, $ours, $other) or next;

            push @claim, _claim("memory, $at connections / $other", '<=',
                                $needed, $ratio->{median},
                                [ @$ratio{qw(min max)} ]);
            $there = 1;

            my $after = $results->metric("memory-after-$at") or next;
            my ($have, $had) = map { $_ && $_->{median} }
                               $results->of($after, $ours),
                               $results->of($idle, $other);

            push @claim, _claim("memory, $at, after messages / $other idle",
                                '<=', $needed, $have / $had)
                if defined $have && $had;
        }

        push @claim, _claim("memory / $other", '<=', $needed) if !$there;
    }

    return @claim;
}


# From the fewest connections to the most.
sub _cost {
    my ($results) = @_;

    my @claim;

    for my $of (qw(login message)) {
        my @of = grep { ($_->{of} // '') eq "cost-$of"
                        && $results->of($_, $ours) } $results->metrics;

        my ($first, @more) = sort { $a->{at} <=> $b->{at} } @of;

        push @claim, _claim("CPU of a $of, most / fewest connections", '+-',
                            0.1) if !@more;

        for my $metric (@more) {
            my $growth = $results->growth($metric, $first, $ours);
            my $text = "CPU of a $of, $metric->{at} connections /"
                       . " $first->{at}";

            push @claim, _claim($text, '+-', 0.1,
                                $growth && $growth->{median},
                                $growth && [ @$growth{qw(min max)} ]);
        }
    }

    return @claim;
}


sub _parser {
    my ($results) = @_;

    my $parser = $results->result('parser') || {};

    return (
        _claim('parser, instructions a byte', '<=', 12,
               $parser->{ours_instructions_per_byte}),
        _claim('parser, expat / ours, instructions', '>=', 4,
               $parser->{ratio_instructions}),
        _claim('parser, expat / ours, time', '>=', 4, $parser->{ratio_time}),
    );
}


sub judge {
    my ($results) = @_;

    my @claim = claims($results);
    my $width = max map { length $_->{text} } @claim;
    my $text = '';

    for my $claim (@claim) {
        my $spread = $claim->{spread}
                     ? sprintf '(%.2f - %.2f)', @{ $claim->{spread} } : '';

        my $line = sprintf "%-${width}s  %-7s  %12s  %-17s  %s",
                         @$claim{qw(text needed measured)}, $spread,
                         $claim->{verdict};

        $text .= $line =~ s/ +\z//r . "\n";
    }

    return ($text, !grep { !$_->{held} } @claim);
}

1;
