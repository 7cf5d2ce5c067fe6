package XMPP::Service;

# A scripted server on 127.0.0.1 in a process of its own: the base of
# XMPP::Auth and XMPP::Backend.  Each connection is served by one more process,
# which plays a script and records what it reads.
#
#   $s->script([STEP], ...)     script for the next connection that has none;
#                               scripts queue up, the default one is next
#   $s->default([STEP], ...)    what to play from now on when none is queued
#   $s->count                   connections so far
#   $s->bytes($n)               what connection $n (from 1) sent so far
#   $s->wait_count($n)          wait until that many connections came
#   $s->wait_bytes($n, $regex)  wait until its bytes match; true or false
#   $s->wait_event($n, $name)   wait for 'eof' (it closed), 'done' (the script
#                               was played), 'failed' (expect timed out)
#   $s->stop
#
# Steps, each an array:
#   expect => REGEX, [SECONDS]  read until the bytes not yet used match
#   send => BYTES
#   pieces => BYTES, SIZE, SECONDS      SIZE bytes at a time, with pauses
#   again => BYTES, [SECONDS], [TIMES]  over and over with pauses, so many times
#                               or till the peer closes
#   sleep => SECONDS            as many as XMPP::Nginx->scale makes of it
#   drain => [SECONDS]          read until the peer closes
#   echo                        send back what comes until the peer closes
#   half                        send no more, still read
#   close                       orderly
#   reset                       with RST
# and what the subclasses add (methods named step_NAME).  The connection is
# closed at the end of the script.
#
# Make services before clients connect, so that no process holds their sockets.

use strict;
use warnings;

use Fcntl qw(:flock);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->ascii->canonical;

my %running;


# $t is an XMPP::Nginx, which gives the folder and the port.
sub new {
    my ($class, $t, %option) = @_;

    my $name = $option{name} || $class->name;
    my $port = $t->port($name);

    my $self = bless { %option, name => $name, port => $port,
                       timeout => $t->timeout,
                       record => $t->dir . "/$name.record" }, $class;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $port, Proto => 'tcp',
                                       ReuseAddr => 1, Listen => 128)
        or die "listen on $port: $!\n";

    pipe(my $read, my $write) or die "pipe: $!\n";

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        eval { $self->_run($listen, $read) };
        warn $@ if $@;
        POSIX::_exit(0);
    }

    $write->autoflush(1);

    $self->{control} = $write;
    $self->{queue} = [];
    $running{$self->{pid}} = $self;
    $t->own($self);

    return $self;
}


sub port { $_[0]{port} }


sub script {
    my ($self, @step) = @_;

    print { $self->{control} } $json->encode([ script => \@step ]), "\n";
}


sub default {
    my ($self, @step) = @_;

    print { $self->{control} } $json->encode([ default => \@step ]), "\n";
}


sub stop {
    my ($self) = @_;

    # The other process ends when its end of the pipe does.
    my $pid = delete $self->{pid} or return;

    close $self->{control};
    waitpid $pid, 0;
    delete $running{$pid};
}


sub stop_all { $_->stop for values %running }


sub events {
    my ($self, $n) = @_;

    open my $file, '<', $self->{record} or return;
    flock $file, LOCK_SH;

    return grep { !defined $n || $_->{connection} == $n }
           map { $json->decode($_) } <$file>;
}


sub count {
    my ($self) = @_;

    return scalar grep { $_->{event} eq 'accept' } $self->events;
}


sub bytes {
    my ($self, $n) = @_;

    return join '', map { $_->{bytes} // '' } $self->events($n);
}


sub wait_count {
    my ($self, $n, $timeout) = @_;

    return $self->_wait(sub { $self->count >= $n }, $timeout);
}


sub wait_bytes {
    my ($self, $n, $regex, $timeout) = @_;

    return $self->_wait(sub { $self->bytes($n) =~ $regex }, $timeout);
}


sub wait_event {
    my ($self, $n, $name, $timeout) = @_;

    return $self->_wait(sub {
        grep { $_->{event} eq $name } $self->events($n) }, $timeout);
}


sub _wait {
    my ($self, $test, $timeout) = @_;

    my $end = time + ($timeout // $self->{timeout});

    until ($test->()) {
        return 0 if time > $end;
        sleep 0.01;
    }

    return 1;
}


# The process that accepts.

sub _run {
    my ($self, $listen, $control) = @_;

    # A copy of the test's standard output would keep prove waiting, a copy of
    # a client's socket would hide that the client has closed.  Closed numbers
    # would be used again while Perl still counts the old handles.
    my %keep = map { fileno($_) => 1 } $listen, $control, \*STDIN, \*STDERR;
    my $null = POSIX::open('/dev/null', POSIX::O_RDWR());

    for my $fd (map { m{(\d+)$} } glob '/proc/self/fd/*') {
        POSIX::dup2($null, $fd) unless $keep{$fd};
    }

    $SIG{PIPE} = 'IGNORE';
    $SIG{INT} = $SIG{TERM} = 'DEFAULT';

    my ($n, $input, %child, @queue) = (0, '');
    my @default = $self->default_script;
    my $select = IO::Select->new($listen, $control);

    for ( ;; ) {
        my @ready = $select->can_read(0.2);

        while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
            delete $child{$pid};
        }

        # Scripts first: one written before a client connected is for it.
        while (IO::Select->new($control)->can_read(0)) {
            if (!sysread $control, $input, 65536, length $input) {
                kill TERM => keys %child;
                return;
            }
        }

        while ($input =~ s/^(.*)\n//) {
            my ($what, $step) = @{ $json->decode($1) };
            if ($what eq 'script') { push @queue, $step }
            else                   { @default = @$step }
        }

        next unless grep { $_ == $listen } @ready;

        my $socket = $listen->accept or next;
        my $script = @queue ? shift @queue : \@default;

        $n++;
        $self->{connection} = $n;
        $self->record(accept => port => $socket->peerport);

        my $pid = fork // die "fork: $!\n";

        if ($pid == 0) {
            close $listen;
            close $control;
            $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
            $self->{socket} = $socket;
            $self->{input} = '';
            eval { $self->play(@$script); $self->record('done'); };
            warn "$self->{name}: $@" if $@ && $@ ne "stop\n";
            POSIX::_exit(0);
        }

        $child{$pid} = 1;
        close $socket;
    }
}


sub record {
    my ($self, $event, %more) = @_;

    open my $file, '>>', $self->{record} or die "$self->{record}: $!\n";
    flock $file, LOCK_EX;
    print $file $json->encode({ connection => $self->{connection},
                                event => $event, %more }), "\n";
    close $file;
}


sub play {
    my ($self, @script) = @_;

    for (@script) {
        my ($name, @arg) = @$_;
        my $method = $self->can("step_$name") or die "no step \"$name\"\n";
        $self->$method(@arg);
    }
}


# One read, recorded; false at the end of input or after $timeout seconds.
sub fill {
    my ($self, $timeout) = @_;

    IO::Select->new($self->{socket})->can_read($timeout) or return;

    my $n = sysread $self->{socket}, my $data, 65536;

    if (!$n) {
        $self->record(defined $n ? 'eof' : 'error') unless $self->{eof}++;
        return 0;
    }

    $self->record(read => bytes => $data);
    $self->{input} .= $data;

    return $n;
}


# Returns what matched and what stood before it.
sub step_expect {
    my ($self, $regex, $timeout) = @_;

    my $end = time + ($timeout // $self->{timeout});

    until ($self->{input} =~ $regex) {
        my $left = $end - time;
        if ($left <= 0 || !$self->fill($left)) {
            $self->record(failed => expected => "$regex");
            die "stop\n";
        }
    }

    $self->{input} =~ $regex;

    return substr $self->{input}, 0, $+[0], '';
}


sub step_send {
    my ($self, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes;
        if (!defined $n) {
            $self->record('unsent', bytes => '');
            die "stop\n";
        }
        substr($bytes, 0, $n) = '';
    }
}


sub step_pieces {
    my ($self, $bytes, $size, $pause) = @_;

    for (unpack "(a$size)*", $bytes) {
        $self->step_send($_);
        sleep $pause if $pause;
    }
}


sub step_again {
    my ($self, $bytes, $pause, $times) = @_;

    for (my $n = 0; !$times || $n < $times; $n++) {
        $self->step_send($bytes);
        sleep $pause if $pause;
    }
}


sub step_sleep { sleep $_[1] * XMPP::Nginx->scale }
sub step_half  { shutdown $_[0]{socket}, 1 }


sub step_drain {
    my ($self, $timeout) = @_;

    $self->{input} = '' while $self->fill(($timeout // 3600)
                                          * XMPP::Nginx->scale);
}


sub step_echo {
    my ($self) = @_;

    do {
        $self->step_send($self->{input});
        $self->{input} = '';
    } while $self->fill(3600);
}


sub step_close { close $_[0]{socket}; die "stop\n"; }


sub step_reset {
    my ($self) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    $self->step_close;
}


sub DESTROY {
    my ($self) = @_;

    local ($., $@, $!, $?);
    $self->stop if $self->{control};
}

1;
