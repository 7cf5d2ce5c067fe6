package Bench::Kernel;

# What the kernel tells of processes, and on which cores they run.
#
#   my @pid = family($pid)      it and its descendants
#   my $bytes = memory(@pid)    what they have in memory, without what is from
#                               files
#   my $limit = files()         how many files a process may have
#   my %core = cores()          front, load, stub
#   pinned($core, sub { ... })  what is started in there runs on this core

use strict;
use warnings;

use Exporter 'import';

use XMPP::Files;

our @EXPORT = qw(family memory files cores pinned);


sub family {
    my ($pid) = @_;

    my @child = map { split ' ', eval { read_file($_) } // '' }
                    glob "/proc/$pid/task/*/children";

    return ($pid, map { family($_) } @child);
}


# What they share is counted once.  Libraries are not counted: they do not
# grow, and the share of each changes with every other program that uses them.
sub memory {
    my (@pid) = @_;

    my $sum = 0;

    for my $pid (@pid) {
        # a helper of a server may have ended
        my $text = eval { read_file("/proc/$pid/smaps_rollup") } // next;

        $sum += $1 * 1024 while $text =~ /^Pss_(?:Anon|Shmem): +(\d+) kB/mg;
    }

    return $sum || die "no memory of processes @pid\n";
}


sub files {
    read_file('/proc/self/limits') =~ /^Max open files +(\d+)/m
        or die "/proc/self/limits does not tell of files\n";

    return $1;
}


sub cores {
    my ($list) = read_file('/proc/self/status')
                 =~ /^Cpus_allowed_list:\s+(\S+)/m;

    my @core = map { /(\d+)-(\d+)/ ? $1 .. $2 : $_ } split /,/, $list;

    return (front => $core[0], load => $core[1] // $core[0],
            stub => $core[2] // $core[1] // $core[0]);
}


sub pinned {
    my ($core, $code) = @_;

    my ($all) = read_file('/proc/self/status')
                =~ /^Cpus_allowed_list:\s+(\S+)/m;

    _pin($core);
    my @result = eval { $code->() };
    my $error = $@;
    _pin($all);

    die $error if $error;

    return wantarray ? @result : $result[0];
}


sub _pin {
    my ($list) = @_;

    system("taskset -cp $list $$ > /dev/null") == 0
        or die "taskset -cp $list failed\n";
}

1;
