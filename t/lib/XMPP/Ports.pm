package XMPP::Ports;

# Free TCP ports on 127.0.0.1, below the range the kernel hands out itself.
#
#   my $port = XMPP::Ports::take();     # ours until the process ends

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);

use constant { LOWEST => 10_240, HIGHEST => 32_767 };

my @held;


sub take {
    for (1 .. 1000) {
        my $port = LOWEST + int rand(HIGHEST - LOWEST + 1);

        # An abstract socket is a lock that all users of the machine see and
        # that leaves no file behind; the port itself must stay unbound.
        socket(my $lock, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
        bind($lock, pack_sockaddr_un("\0nginx-xmpp-test-port-$port")) or next;

        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
                              Proto => 'tcp', Listen => 1) or next;

        push @held, $lock;
        return $port;
    }

    die "no free port on 127.0.0.1\n";
}

1;
