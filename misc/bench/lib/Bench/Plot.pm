package Bench::Plot;

# The plots, by gnuplot.
#
#   Bench::Plot::plot($results, $folder);       # Bench::Results
#                               # memory.svg, concurrency.svg, rate.svg: those
#                               # that there are figures for

use strict;
use warnings;

use File::Temp ();

use Bench::Front;
use XMPP::Files;

# The same for the same front in each plot.
my @color = qw(c00000 f07800 e0b000 0050c8 60a0ff 00a0a0 808080 8000a0 d060e0
               600060 007000 60b040 a05020 e08090 000000 004060 a0a040);
my @front = Bench::Front::names();
my %color = map { ($front[$_] => $color[$_ % @color]) } 0 .. $#front;

my @plot = (
    { file => 'memory', of => 'memory-all',
      title => 'Memory of idle connections',
      x => 'connections', y => 'MB', origin => 1, set => '' },
    { file => 'concurrency', of => 'concurrency',
      title => 'Logins a second', x => 'logins at the same time',
      y => 'logins/s', set => 'set logscale x' },
    { file => 'rate', of => 'rate-p99',
      title => 'Time of a login, 99 % are faster', x => 'logins a second',
      y => 'ms', set => 'set logscale y' },
);


sub plot {
    my ($results, $folder) = @_;

    for my $plot (@plot) {
        my @metric = grep { ($_->{of} // '') eq $plot->{of} }
                          $results->metrics or next;
        my (@line, @data);

        for my $front ($results->fronts) {
            my @point = map { my $of = $results->of($_, $front);
                              $of ? [ $_->{at}, $of->{median} ] : () } @metric;

            next if !@point;
            unshift @point, [ 0, 0 ] if $plot->{origin};

            push @line, "'-' linewidth 1.5 linecolor rgb '#$color{$front}'"
                        . " title '$front'";
            push @data, (map { "$_->[0] $_->[1]\n" } @point), "e\n";
        }

        _gnuplot(<<"END", @data) if @line;
set terminal svg size 860,460 font 'sans-serif,13' background '#ffffff'
set output '$folder/$plot->{file}.svg'
set title '$plot->{title}'
set xlabel '$plot->{x}'
set ylabel '$plot->{y}'
set yrange [@{[ $plot->{set} =~ /logscale y/ ? '' : '0' ]}:]
set grid
set key outside right top
set style data linespoints
$plot->{set}
plot @{[ join ', ', @line ]}
END
    }
}


sub _gnuplot {
    my (@text) = @_;

    my $script = File::Temp->new(SUFFIX => '.gnuplot', TMPDIR => 1);
    write_file("$script", join '', @text);

    system('gnuplot', "$script") == 0 or die "gnuplot failed\n";
}

1;
