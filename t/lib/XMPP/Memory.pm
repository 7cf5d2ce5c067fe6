package XMPP::Memory;

# Looks for secrets in the memory of a process.
#
#   my $secret = secret($length);   # random letters and digits, 32 by default
#   my @copy = copies($pid, $secret, ...);
#                                   # where they are in its writable memory:
#                                   # a line for each, with the mapping and the
#                                   # bytes around it
#   my @copy = written($bytes, $secret, ...)    # the same for some bytes
#
# A copy is any eight bytes in a row of a secret, or eight characters of its
# base64 wherever it may stand in a longer message, at some places of it: what
# is freed is often overwritten at its start.
#
# The process has to be one that we may trace: root may trace any, others their
# own ones, or, where the kernel is restricted to that, their descendants.

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw(SEEK_SET);
use MIME::Base64;
use POSIX ();

use XMPP::Files;

our @EXPORT = qw(secret copies written);

use constant {
    PART   => 8,
    CHUNK  => 1 << 22,
    AROUND => 24,

    # AddressSanitizer's own, one byte for eight of ours.
    SHADOW => 1 << 36,
};


sub secret {
    my ($length) = @_;

    my @letter = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);

    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";

    my $secret = '';

    while (length $secret < ($length // 32)) {
        read $random, my $byte, 1 or die "/dev/urandom: $!\n";
        my $i = ord($byte) % 64;
        $secret .= $letter[$i] if $i < @letter;
    }

    return $secret;
}


# What to look for, and what it is a part of.
sub _parts {
    my (@secret) = @_;

    my %part;

    for my $secret (@secret) {
        my %form = (raw => $secret);

        # The first and the last characters depend on what is beside them.
        for my $before (0 .. 2) {
            my $base64 = encode_base64('x' x $before . $secret, '');
            $base64 =~ s/=*\z//;
            $form{"base64+$before"} = substr $base64, 4, -4;
        }

        while (my ($form, $bytes) = each %form) {
            my $last = length($bytes) - PART;
            my $parts = 3 + int $last / 100;

            for my $i (0 .. $parts) {
                my $at = int $last * $i / $parts;
                $part{substr $bytes, $at, PART} = "$form at $at";
            }
        }
    }

    return %part;
}


sub written {
    my ($bytes, @secret) = @_;

    my %part = _parts(@secret);

    return map { $_->[1] } _search($bytes, \%part);
}


sub copies {
    my ($pid, @secret) = @_;

    my %part = _parts(@secret);
    my @copy;

    open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $!\n";

    for my $run (_pages($pid)) {
        my ($at, $end, $name) = @$run;
        my $rest = '';

        while ($at < $end) {
            my $size = $end - $at < CHUNK ? $end - $at : CHUNK;

            sysseek $memory, $at, SEEK_SET or die "/proc/$pid/mem: $!\n";

            # it was given back in the meantime
            my $n = sysread $memory, my $bytes, $size or last;

            my $from = $at - length $rest;
            $bytes = $rest . $bytes;

            for (_search($bytes, \%part)) {
                push @copy, sprintf '%s at %x %s', $_->[1],
                                    $from + $_->[0], $name || 'anonymous';
            }

            $rest = substr $bytes, -(PART - 1);
            $at += $n;
        }
    }

    return @copy;
}


# What a process has written to, as runs of pages: much of the memory that it
# may write to was never used.
sub _pages {
    my ($pid) = @_;

    my $size = POSIX::sysconf(POSIX::_SC_PAGESIZE());
    my @run;

    open my $pagemap, '<:raw', "/proc/$pid/pagemap"
        or die "/proc/$pid/pagemap: $!\n";

    for (split /\n/, read_file("/proc/$pid/maps")) {
        my ($start, $end, $mode, $name)
            = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)/ or next;

        no warnings 'portable';
        ($start, $end) = (hex $start, hex $end);

        next if $mode !~ /^rw/ || $end - $start > SHADOW;

        sysseek $pagemap, $start / $size * 8, SEEK_SET
            or die "/proc/$pid/pagemap: $!\n";

        my $want = ($end - $start) / $size * 8;
        my $map = '';

        while (length $map < $want) {
            sysread $pagemap, $map, $want - length $map, length $map
                or die "/proc/$pid/pagemap: $!\n";
        }

        # It is in memory, or it was swapped out.
        my @used = map { $_ & 3 << 62 } unpack 'Q<*', $map;

        for my $i (grep { $used[$_] } 0 .. $#used) {
            my $at = $start + $i * $size;

            if (@run && $run[-1][1] == $at && $run[-1][2] eq $name) {
                $run[-1][1] += $size;
            } else {
                push @run, [ $at, $at + $size, $name ];
            }
        }
    }

    return @run;
}


sub _search {
    my ($bytes, $part) = @_;

    my @found;

    for my $what (sort keys %$part) {
        my $at = -1;

        while (($at = index $bytes, $what, $at + 1) >= 0) {
            my $from = $at < AROUND ? 0 : $at - AROUND;
            my $around = substr $bytes, $from,
                                $at - $from + length($what) + AROUND;

            $around =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
            push @found, [ $at, qq($part->{$what}: "$around") ];
        }
    }

    return @found;
}

1;
