package XMPP::Bulk;

# A backend that moves many bytes without recording them (see XMPP::Backend for
# the rest), and what a client needs for the same.
#
# Steps added, all for after the login:
#   exchange => SEND, RECEIVE   send SEND random bytes while reading RECEIVE
#   reply => SIZE, SIZE2        for each SIZE bytes, SIZE2 bytes back, till the
#                               peer closes
#   sip => SIZE, SECONDS, CHATTER   read SIZE bytes at a time with pauses, send
#                               CHATTER bytes each time, till the peer closes
#   flood => SEND               send SEND random bytes, read nothing
#   await                       wait for $backend->go($n), $n the connection
# Each but the last ends in an event of its name with what was moved:
#   $backend->moved($n)         of connection $n, waits for it: a hash of
#                               sent, got (numbers of bytes),
#                               sent_digest, got_digest
#
# Exported:
#   noise($size)                random bytes
#   digest($bytes)
#   settled($c)                 wait till the peer's kernel has all that the
#                               client has sent
#   receive($c, $size)          so many bytes, or what came in time
#   turn($c, $bytes, $size)     send, and receive as a client that does not
#                               hurry with its ACKs; returns the seconds

use strict;
use warnings;

use Digest::SHA;
use Errno qw(EINTR EAGAIN);
use Exporter ();
use IO::Select;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_QUICKACK);
use Time::HiRes qw(sleep time);

use parent 'XMPP::Backend';

our @EXPORT = qw(noise digest settled receive turn);

use constant SIOCOUTQ => 0x5411;


sub import { goto &Exporter::import }


sub noise {
    my ($size) = @_;

    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    read($random, my $bytes, $size) == $size or die "/dev/urandom: $!\n";

    return $bytes;
}


sub digest { Digest::SHA::sha256_hex($_[0]) }


sub settled {
    my ($c) = @_;

    my $end = time + $c->{timeout};

    for ( ;; ) {
        my $left = pack 'i', 0;
        ioctl $c->{socket}, SIOCOUTQ, $left or die "SIOCOUTQ: $!\n";
        return 1 if !unpack 'i', $left;
        return 0 if time > $end;
        sleep 0.001;
    }
}


sub receive {
    my ($c, $size) = @_;

    my $end = time + $c->{timeout};

    while (length $c->{input} < $size && $end > time) {
        $c->_fill($end - time) or last;
    }

    return substr $c->{input}, 0, $size, '';
}


# XMPP::Client acknowledges at once, which would hide the Nagle algorithm of
# its peer: this one reads by itself.
sub turn {
    my ($c, $bytes, $size) = @_;

    my ($socket, $tls) = @$c{qw(socket tls)};
    my $select = IO::Select->new($socket);
    my ($got, $begun) = (0, time);

    setsockopt $socket, IPPROTO_TCP, TCP_QUICKACK, 0;
    $c->send($bytes);

    while ($got < $size) {
        $select->can_read($c->{timeout}) or die "no answer\n";
        sysread $socket, my $part, 65536 or die "closed\n";

        if ($tls) {
            $tls->in($part);
            $part = $tls->read;
        }

        $got += length $part;
    }

    die "more than an answer\n" if $got > $size;

    return time - $begun;
}


sub moved {
    my ($self, $n, $timeout) = @_;

    my $moved;

    $self->_wait(sub {
        ($moved) = map { $_->{moved} } grep { $_->{moved} } $self->events($n);
    }, $timeout // 3 * $self->{timeout});

    return $moved || {};
}


sub go {
    my ($self, $n) = @_;

    open my $file, '>', "$self->{record}.$n" or die "$self->{record}.$n: $!\n";
}


sub step_await {
    my ($self) = @_;

    $self->_wait(sub { -e "$self->{record}.$self->{connection}" })
        or die "no word to go on\n";
}


# Hundreds of connections, each asked for alone: decode no more than needed.
sub events {
    my ($self, $n) = @_;

    return $self->SUPER::events if !defined $n;

    open my $file, '<', $self->{record} or return;

    return map { JSON::PP::decode_json($_) }
           grep { /"connection":$n\b/ } grep { /\n\z/ } <$file>;
}


sub step_exchange {
    my ($self, $send, $receive) = @_;

    $self->_move(exchange => noise($send), sub { $_[0] >= $receive });
}


sub step_flood {
    my ($self, $send) = @_;

    $self->_move(flood => noise($send), sub { 1 });
}


# Until all is sent and $enough says so of the number of bytes that were read.
sub _move {
    my ($self, $event, $out, $enough) = @_;

    my $socket = $self->{socket};
    my $select = IO::Select->new($socket);
    my $hash = Digest::SHA->new(256);

    my %moved = (sent => 0, got => length $self->{input},
                 sent_digest => digest($out), end => 0);

    $hash->add($self->{input});
    $self->{input} = '';
    $socket->blocking(0);

    until ($moved{sent} == length $out && $enough->($moved{got})) {

        my $end = $moved{end} || $enough->($moved{got});
        my $write = $moved{sent} < length $out;

        last if $end && !$write;

        my ($r, $w) = IO::Select->select($end ? undef : $select,
                                         $write ? $select : undef, undef,
                                         $self->{timeout})
            or last;

        if (@$w) {
            my $n = syswrite $socket, $out, 65536, $moved{sent};
            last if !defined $n && $! != EAGAIN && $! != EINTR;
            $moved{sent} += $n // 0;
        }

        if (@$r) {
            my $n = sysread $socket, my $bytes, 65536;
            next if !defined $n && ($! == EAGAIN || $! == EINTR);
            $moved{end} = 1 if !$n;
            $hash->add($bytes) if $n;
            $moved{got} += $n // 0;
        }
    }

    $socket->blocking(1);
    $moved{got_digest} = $hash->hexdigest;
    $self->record($event, moved => \%moved);
}


sub step_reply {
    my ($self, $size, $reply) = @_;

    my $socket = $self->{socket};
    my ($out, $got) = ('x' x $reply, length $self->{input});

    for ( ;; ) {
        for ( ; $got >= $size; $got -= $size) {
            $self->step_send($out);
        }

        my $n = sysread $socket, my $bytes, 65536 or last;
        $got += $n;
    }

    $self->record('reply');
}


sub step_sip {
    my ($self, $size, $seconds, $chatter) = @_;

    my $socket = $self->{socket};
    my $hash = Digest::SHA->new(256);
    my $bytes = delete $self->{input};
    my %moved = (got => 0);

    # More than the peer takes is not its fault: it may have gone.
    my $select = IO::Select->new($socket);

    do {
        $hash->add($bytes);
        $moved{got} += length $bytes;

        if ($chatter && $select->can_write(0)) {
            $socket->blocking(0);
            syswrite $socket, 'x' x $chatter;
            $socket->blocking(1);
        }

        sleep $seconds if $seconds;
    } while sysread $socket, $bytes, $size;

    $moved{got_digest} = $hash->hexdigest;
    $self->record('sip', moved => \%moved);
}

1;
