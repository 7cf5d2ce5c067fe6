package XMPP::Cable;

# A line between a client and nginx that can be broken.
#
#   my $cable = XMPP::Cable->new($t, 'direct');
#                       # clients connect to port('cable'); it leads to
#                       # port('direct'), both on 127.0.0.1
#   XMPP::Cable->new($t, 'direct', '127.0.0.2')
#                       # and nginx sees them come from 127.0.0.2
#   $cable->hold        nothing gets through any more, and nobody knows
#   $cable->cut         both ends see a reset
#   $cable->hang        the client sees a reset; nginx's end stays open, and
#                       what comes from there is lost
#   $cable->closed      nginx has closed what was left hanging
#
# These are about the connections that there are; new ones work.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);

use XMPP::Nginx;


sub new {
    my ($class, $t, $name, $address) = @_;

    my $self = bless {}, $class;
    my $port = $t->port('cable');

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5,
                                       LocalPort => $port, Proto => 'tcp',
                                       ReuseAddr => 1)
        or die "cannot listen on $port: $!\n";

    socketpair($self->{control}, my $control, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair: $!\n";
    $self->{control}->autoflush(1);

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        close $self->{control};
        eval {
            _serve($listen, $control, PeerAddr => '127.0.0.1', Proto => 'tcp',
                   PeerPort => $t->port($name),
                   LocalAddr => $address || '127.0.0.1')
        };
        warn $@ if $@;
        POSIX::_exit(0);
    }

    $t->own($self);

    return $self;
}


sub hold   { $_[0]->_order('hold') }
sub cut    { $_[0]->_order('cut') }
sub hang   { $_[0]->_order('hang') }
sub closed { $_[0]->_order('closed') }


# True when it is done.
sub _order {
    my ($self, $word) = @_;

    print { $self->{control} } "$word\n";

    my $ready = IO::Select->new($self->{control});

    $ready->can_read(XMPP::Nginx->timeout) or return 0;

    return readline($self->{control}) eq "done\n";
}


sub _serve {
    my ($listen, $control, @nginx) = @_;

    my $select = IO::Select->new($listen, $control);
    my (%peer, %hanging, $waiting);

    $control->autoflush(1);

    for ( ;; ) {
        if ($waiting && !%hanging) {
            print $control "done\n";
            $waiting = 0;
        }

        for my $socket ($select->can_read) {
            next unless $select->exists($socket);

            if ($socket == $listen) {
                my $client = $listen->accept or next;
                my $nginx = IO::Socket::INET->new(@nginx) or next;

                $peer{$client} = [ $client, $nginx, 1 ];
                $peer{$nginx} = [ $nginx, $client, 0 ];
                $select->add($client, $nginx);

            } elsif ($socket == $control) {
                my $word = readline $control // return;

                if ($word eq "closed\n") {
                    $waiting = 1;
                    next;
                }

                _break($word, $select, \%peer, \%hanging);
                print $control "done\n";

            } elsif (sysread $socket, my $data, 65536) {
                next if $hanging{$socket};
                syswrite $peer{$socket}[1], $data;

            } else {
                $select->remove($socket);

                if (delete $hanging{$socket}) {
                    close $socket;
                } elsif (my $pair = delete $peer{$socket}) {
                    shutdown $pair->[1], 1;
                }
            }
        }
    }
}


sub _break {
    my ($word, $select, $peer, $hanging) = @_;

    for my $end (values %$peer) {
        my ($socket, undef, $is_client) = @$end;

        $select->remove($socket);

        if ($word eq "hold\n") {
            next;
        }

        if ($word eq "hang\n" && !$is_client) {
            $select->add($socket);
            $hanging->{$socket} = $socket;
            next;
        }

        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
        close $socket;
    }

    %$peer = () unless $word eq "hold\n";
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    local ($., $@, $!, $?);
    $self->stop;
}

1;
