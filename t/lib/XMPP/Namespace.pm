package XMPP::Namespace;

# A test in a network of its own, where it may take every port, and where names
# are looked up as it says.
#
#   use XMPP::Namespace;        # first of all: starts the test once more
#   use XMPP::Namespace '192.0.2.1/24', '2001:db8::1/64';
#                               # these addresses too; who connects to another
#                               # one of an IPv4 network comes from that given
#
# The loopback interface is up, with all of 127.0.0.0/8 and ::1, and there is
# no other one.  Names are asked of 127.0.0.1:53, where the test has to put a
# server (XMPP::Dns).  The machine itself stays as it is: its network is not
# touched, and /etc/resolv.conf is another one for the test only.
#
# Who is not root needs a kernel that lets him make user namespaces, and stays
# who he is.

use strict;
use warnings;

use File::Temp ();
use Socket qw(AF_INET AF_INET6 SOCK_DGRAM inet_pton pack_sockaddr_in);

use constant { SIOCGIFFLAGS => 0x8913, SIOCSIFFLAGS => 0x8914,
               SIOCSIFADDR => 0x8916, SIOCSIFNETMASK => 0x891c,
               IFF_UP => 1 };

my $marker = 'TEST_NGINX_NAMESPACE';


sub import {
    my ($class, @address) = @_;

    my $step = $ENV{$marker} || '';

    return if $step eq 'done';

    if ($step eq '') {
        _again('entered', qw(unshare -n -m), $> == 0 ? () : '-r');
    }

    # Now we are root, or seem to be.
    _up('lo');
    _address($_) for @address;
    _write('/proc/sys/net/ipv4/ip_unprivileged_port_start', "0\n");
    _replace('/etc/resolv.conf', "nameserver 127.0.0.1\n");
    _replace('/etc/nsswitch.conf', "hosts: files dns\n");

    my ($uid, $gid) = split / /, $ENV{"${marker}_USER"};

    $ENV{$marker} = 'done';
    return if $uid == 0;

    _again('done', 'unshare', "--map-user=$uid", "--map-group=$gid");
}


sub _again {
    my ($step, @command) = @_;

    $ENV{$marker} = $step;
    $ENV{"${marker}_USER"} //= $> . ' ' . ($) + 0);

    # The path of the libraries may have been given with -I.
    my @option = map { "-I$_" } grep { !ref } @INC;

    exec @command, '--', $^X, @option, $0, @ARGV
        or die "$command[0]: $!\n";
}


sub _up {
    my ($name) = @_;

    socket my $socket, AF_INET, SOCK_DGRAM, 0 or die "socket: $!\n";

    my $request = pack 'a16 x24', $name;

    ioctl $socket, SIOCGIFFLAGS, $request or die "flags of $name: $!\n";
    my (undef, $flags) = unpack 'a16 s', $request;

    $request = pack 'a16 s x22', $name, $flags | IFF_UP;
    ioctl $socket, SIOCSIFFLAGS, $request or die "$name up: $!\n";
}


sub _address {
    my ($network) = @_;

    my ($address, $length) = split m{/}, $network;
    my $family = $address =~ /:/ ? AF_INET6 : AF_INET;

    socket my $socket, $family, SOCK_DGRAM, 0 or die "socket: $!\n";

    # 1 is the index of the loopback interface.
    my @request = $family == AF_INET6
        ? ([ SIOCSIFADDR, pack 'a16 L l', inet_pton(AF_INET6, $address),
             $length, 1 ])
        : map { [ $_->[0], pack 'a16 a16 x8', 'lo:1',
                  pack_sockaddr_in(0, $_->[1]) ] }
              ([ SIOCSIFADDR, inet_pton(AF_INET, $address) ],
               [ SIOCSIFNETMASK, pack 'N', 0xffffffff << 32 - $length ]);

    for (@request) {
        ioctl $socket, $_->[0], $_->[1] or die "address $network: $!\n";
    }
}


# A file without a name is mounted, so that there is nothing to remove.
sub _replace {
    my ($path, $text) = @_;

    my ($file, $name) = File::Temp::tempfile(UNLINK => 0);

    print $file $text;
    close $file or die "$name: $!\n";
    chmod 0644, $name;

    my $status = system('mount', '--bind', $name, $path);

    unlink $name;
    $status == 0 or die "could not mount $path\n";
}


sub _write {
    my ($path, $text) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

1;
