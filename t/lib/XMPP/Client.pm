package XMPP::Client;

# A client that says what it is told and reads no more than it is asked.
#
#   my $c = XMPP::Client->new($port, tls => { ... });   # options of XMPP::TLS:
#                               # direct TLS; without "tls": plain TCP.
#                               # host => (127.0.0.1), from => address
#   $c->send($bytes);           # in one write, or each byte in a write and a
#                               # packet of its own while "one at a time" is on
#   $c->raw($bytes)             # past TLS, in one write
#   $c->starttls(%tls)          # handshake on the open connection
#   $c->handshake(then => $bytes)   # the same, after new(tls_later => { ... })
#                               # or $c->tls_later(%tls): $bytes share a packet
#                               # with the end of the handshake
#   $c->read_until(qr/.../)     # wait for it; returns the bytes up to its end
#   $c->read_to_end             # all bytes until the peer closes
#   $c->finish_writing          # half close
#   $c->close; $c->reset;       # with close_notify; with RST
#   $c->tls, $c->error          # the XMPP::TLS; why TLS failed
#   $c->ended                   # the peer has closed
#
# Each of these is one test:
#   $c->expect($bytes, $name)   # exactly these bytes come next.  id='ID' in
#                               # $bytes stands for an id of 32 hexadecimal
#                               # digits that was never seen before.  Together
#                               # with what came before, the stream must be
#                               # well-formed XML
#   $c->expect_end($bytes, $name)   # and then the peer closes
#   $c->expect_silence($seconds, $name)     # nothing comes, nothing is closed
#
# Exported:
#   twice { ... };              # runs the block, then again with "one at a
#                               # time" on, which test names then say
#   talk($port, $name, $send => $want, ...);    # twice: connects; a test for
#                               # each pair.  A hash before $port: options
#   talk_to_end(...)            # the same, and then the peer closes
#
# Nothing waits longer than 8 seconds, or TEST_NGINX_TIMEOUT.

use strict;
use warnings;

use Errno qw(EINTR EAGAIN);
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use Scalar::Util qw(weaken);
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY
              TCP_QUICKACK);
use Test::More ();
use Time::HiRes qw(sleep time);
use XML::LibXML;

use XMPP::Nginx;
use XMPP::TLS;

our @EXPORT = qw(twice talk talk_to_end);
our $one_at_a_time;

my (%open, %seen);


sub twice (&) {
    my ($code) = @_;

    for my $one (0, 1) {
        local $one_at_a_time = $one;
        $code->();
    }
}


sub talk        { _talk('expect', @_) }
sub talk_to_end { _talk('expect_end', @_) }


sub _talk {
    my ($last, @arg) = @_;

    my %option = ref $arg[0] ? %{ shift @arg } : ();
    my ($port, $name, @pair) = @arg;

    local $Test::Builder::Level = $Test::Builder::Level + 4;

    twice {
        my $c = XMPP::Client->new($port, %option);
        my $n = 0;

        while ($n < @pair) {
            my ($send, $want) = @pair[$n, $n + 1];
            my $step = @pair > 2 ? "$name (" . (1 + $n / 2) . ')' : $name;
            my $expect = ($n += 2) < @pair ? 'expect' : $last;

            $c->send($send);
            $c->$expect($want, $step);
        }
    };
}


sub new {
    my ($class, $port, %option) = @_;

    my $host = $option{host} || '127.0.0.1';
    my $family = $host =~ /:/ ? 'IO::Socket::IP' : 'IO::Socket::INET';
    my $socket = $family->new(PeerAddr => $host, PeerPort => $port,
                              LocalAddr => $option{from}, Proto => 'tcp')
        or die "connect to $port: $!\n";

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $socket->blocking(0);

    my $self = bless {
        socket => $socket, input => '', stream => '', eof => 0,
        timeout => $option{timeout} || XMPP::Nginx->timeout,
        one => $option{one} // $one_at_a_time,
    }, $class;

    weaken($open{$self} = $self);

    $self->tls_later(%{ $option{tls_later} }) if $option{tls_later};
    $self->starttls(%{ $option{tls} }) if $option{tls};

    return $self;
}


sub close_all { $_->close for grep { defined } values %open }

sub tls   { $_[0]{tls} }
sub error { $_[0]{error} }
sub ended { $_[0]{eof} }


sub send {
    my ($self, $bytes) = @_;

    # There is no way but TLS; what came before it failed can still be read.
    return if $self->{error};

    $self->_trace('C', $bytes);

    for my $part ($self->{one} ? split(//, $bytes) : $bytes) {
        if ($self->{tls}) {
            $self->{tls}->write($part);
            $part = $self->{tls}->out;
        }

        $self->raw($part);

        # Time for nginx to read this byte before the next one comes.
        sleep 0.00005 if $self->{one};
    }
}


# A peer that has closed is found out by reading: what it said still counts.
sub raw {
    my ($self, $bytes) = @_;

    my $end = time + $self->{timeout};
    my $select = IO::Select->new($self->{socket});

    while (length $bytes && !$self->{broken}) {
        my $n = syswrite $self->{socket}, $bytes;

        if (defined $n) {
            substr($bytes, 0, $n) = '';
            next;
        }

        next if $! == EINTR;

        if ($! != EAGAIN) {
            $self->{broken} = 1;
            last;
        }

        my $left = $end - time;
        die "could not send within the timeout\n" if $left <= 0;

        # Read meanwhile, or two that only write wait for each other.
        my ($r) = IO::Select->select($select, $select, undef, $left);
        $self->_fill(0) if $r && @$r;
    }
}


sub tls_later {
    my ($self, %tls) = @_;

    $self->{tls} = XMPP::TLS->new(%tls);
}


sub starttls {
    my ($self, %tls) = @_;

    $self->tls_later(%tls);

    return $self->handshake;
}


# True when TLS is up; else $c->error says why not.
sub handshake {
    my ($self, %option) = @_;

    my $tls = $self->{tls};
    my $end = time + $self->{timeout};

    my $done = eval {
        until ($tls->handshake) {
            $self->raw($tls->out);
            my $bytes = $self->_get($end - time);
            die "closed in the handshake\n" if !defined $bytes;
            $tls->in($bytes);
        }
        1;
    };

    $self->{error} = $@ if !$done;

    if ($done && defined $option{then}) {
        $self->_trace('C', $option{then});
        $tls->write($option{then});
    }

    $self->raw($tls->out);

    return $done;
}


# Bytes from the wire; undef at the end or when time is over.
sub _get {
    my ($self, $timeout) = @_;

    return if $self->{eof};

    for ( ;; ) {
        # Nagle's algorithm at the other end would wait 40 ms for our ACK.
        setsockopt $self->{socket}, IPPROTO_TCP, TCP_QUICKACK, 1;

        IO::Select->new($self->{socket})
            ->can_read($timeout < 0 ? 0 : $timeout) or return;

        my $n = sysread $self->{socket}, my $bytes, 65536;

        return $bytes if $n;
        next if !defined $n && ($! == EINTR || $! == EAGAIN);

        $self->{eof} = 1;
        return;
    }
}


# One read; false at the end or when time is over.
sub _fill {
    my ($self, $timeout) = @_;

    # What came with the end of the handshake is inside TLS already.
    my $bytes = $self->{tls} ? $self->_decrypt : '';

    if ($bytes eq '') {
        return 0 if $self->{eof};

        $bytes = $self->_get($timeout) // return 0;

        if ($self->{tls}) {
            $self->{tls}->in($bytes);
            $bytes = $self->_decrypt;

            # The peer waits for an answer to its close_notify.
            if ($self->{tls}->closed && !$self->{answered}++) {
                $self->{tls}->close;
                $self->raw($self->{tls}->out);
            }
        }
    }

    $self->_trace('S', $bytes) if length $bytes;
    $self->{input} .= $bytes;

    return 1;
}


sub _decrypt {
    my ($self) = @_;

    return '' if $self->{error};

    my $bytes = eval { $self->{tls}->read };

    if (!defined $bytes) {
        $self->{error} = $@;
        return '';
    }

    return $bytes;
}


sub read_until {
    my ($self, $regex) = @_;

    my $end = time + $self->{timeout};

    for ( ;; ) {
        return $self->_take($+[0]) if $self->{input} =~ $regex;

        my $left = $end - time;

        if ($left <= 0 || !$self->_fill($left)) {
            Test::More::diag("waited for $regex, got \"$self->{input}\"");
            return;
        }
    }
}


sub read_to_end {
    my ($self) = @_;

    my $end = time + $self->{timeout};

    1 while $end > time && $self->_fill($end - time);

    Test::More::diag('not closed within the timeout') if !$self->{eof};

    return $self->_take(length $self->{input});
}


sub _take {
    my ($self, $n) = @_;

    my $bytes = substr $self->{input}, 0, $n, '';
    $self->{stream} .= $bytes;

    return $bytes;
}


sub expect {
    my ($self, $want, $name) = @_;

    return $self->_judge($self->_receive($want), $want, $name);
}


sub expect_end {
    my ($self, $want, $name) = @_;

    my $got = $self->_receive($want);

    if ($got eq $want) {
        my $end = time + $self->{timeout};
        1 while $end > time && $self->_fill($end - time);
        $got .= $self->_take(length $self->{input});
        $got .= '[still open]' if !$self->{eof};
    }

    return $self->_judge($got, $want, $name);
}


sub expect_silence {
    my ($self, $seconds, $name) = @_;

    my $end = time + $seconds;

    while (time < $end && $self->{input} eq '') {
        last if !$self->_fill($end - time);
    }

    my $got = $self->{input};
    $got .= '[closed]' if $self->{eof};

    return $self->_judge($got, '', $name);
}


# Reads until $want is there or cannot be any more; ids are replaced.
sub _receive {
    my ($self, $want) = @_;

    my $end = time + $self->{timeout};
    my $ids = () = $want =~ /id='ID'/g;

    # id='ID' is 30 bytes longer on the wire.
    my $length = length($want) + 30 * $ids;

    for ( ;; ) {
        if (length $self->{input} >= $length) {
            my $got = $self->_take($length);

            $got =~ s/\bid='([0-9a-f]{32})'/
                      $seen{$1}++ ? "id='SEEN BEFORE'" : "id='ID'"/gex if $ids;

            return $got;
        }

        # Do not wait for the rest when the beginning is wrong.
        my $begin = $self->{input};

        if ($ids) {
            $begin =~ s/\bid='[0-9a-f]{32}'/id='ID'/g;
            $begin =~ s/\bid='[0-9a-f]{0,32}\z//;
        }

        if ($begin ne substr($want, 0, length $begin)) {
            1 while $self->_fill(0.1) && length $self->{input} < 10_000;
            return $self->_take(length $self->{input});
        }

        my $left = $end - time;

        if ($left <= 0 || !$self->_fill($left)) {
            return $self->_take(length $self->{input})
                   . ($self->{eof} ? '[closed]' : '[timed out]');
        }
    }
}


sub _judge {
    my ($self, $got, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 2;

    $got .= $self->_fault if $got eq $want;
    $name .= ', one byte at a time' if $self->{one};

    return Test::More::is($got, $want, $name);
}


# Each stream header begins a document; the last one may still be open, and so
# is one that TLS or SASL replaced.
sub _fault {
    my ($self) = @_;

    for my $document (split /(?=<\?xml )|(?<!\?>)(?=<stream:stream\b)/,
                      $self->{stream})
    {
        $document .= '</stream:stream>'
            if $document !~ m{</stream:stream>\s*\z};

        eval { XML::LibXML->load_xml(string => $document, no_network => 1) }
            or return "[not well-formed: $@]";
    }

    return '';
}


sub finish_writing { shutdown $_[0]{socket}, 1 }


sub close {
    my ($self) = @_;

    delete $open{$self};

    my $socket = delete $self->{socket} or return;

    if ($self->{tls} && !$self->{eof}) {
        eval {
            $self->{tls}->close;
            syswrite $socket, $self->{tls}->out;
        };
    }

    CORE::close($socket);
}


sub reset {
    my ($self) = @_;

    delete $open{$self};

    my $socket = delete $self->{socket} or return;

    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    CORE::close($socket);
}


sub _trace {
    my ($self, $who, $bytes) = @_;

    return if !$ENV{TEST_NGINX_VERBOSE};

    $bytes =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    Test::More::diag($self->{tls} ? "$who (TLS): $bytes" : "$who: $bytes");
}


sub DESTROY {
    my ($self) = @_;

    local ($., $@, $!, $?);
    $self->close;
}

1;
