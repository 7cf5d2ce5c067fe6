package XMPP::Process;

# A program of someone else's, run by a test: a server or a client.
#
#   my $p = XMPP::Process->start($t, NAME, [ COMMAND, ... ], %environment);
#   $p->say($text)              a line to its standard input
#   $p->wait_said(qr/.../)      wait for a match in what it has printed; returns
#                               the first group, or all that matched; what was
#                               waited for once is not found again
#   $p->said                    all that it has printed, errors included
#   $p->wait_end                wait until it has ended; its exit status, a
#                               signal as 128 and up; undef if it has not
#   $p->finish_writing          the end of its standard input
#   $p->stop
#   XMPP::Process::listening($port, $process, [$seconds])
#                               wait until something answers on 127.0.0.1:$port
#
# $t is an XMPP::Nginx, which gives the folder (NAME.out) and stops the process
# when it is stopped itself.  HOME is the test's folder.  Nothing waits longer
# than 30 seconds, or TEST_NGINX_TIMEOUT if that is longer: these programs are
# slow to start on a busy machine.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

use XMPP::Nginx;


sub timeout {
    my $timeout = XMPP::Nginx->timeout;

    return $timeout > 30 ? $timeout : 30;
}


sub start {
    my ($class, $t, $name, $command, %environment) = @_;

    my $self = bless { name => $name, file => $t->dir . "/$name.out",
                       read => 0 }, $class;

    pipe(my $in, $self->{in}) or die "pipe: $!\n";
    $self->{in}->autoflush(1);

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        @ENV{'HOME', keys %environment} = ($t->dir, values %environment);

        open STDIN, '<&', $in;
        open STDOUT, '>', $self->{file} or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        chdir $t->dir;
        exec { $command->[0] } @$command or POSIX::_exit(127);
    }

    $t->own($self);

    return $self;
}


sub say {
    my ($self, $text) = @_;

    print { $self->{in} } "$text\n";
}


sub finish_writing { close $_[0]{in} }


sub said {
    my ($self) = @_;

    open my $file, '<', $self->{file} or return '';
    local $/;

    return <$file> // '';
}


sub wait_said {
    my ($self, $regex, $timeout) = @_;

    my $end = time + ($timeout // timeout());

    for ( ;; ) {
        my $ended = !$self->_running;
        my $new = substr $self->said, $self->{read};

        if ($new =~ $regex) {
            $self->{read} += $+[0];
            return defined $1 ? $1 : $&;
        }

        last if $ended || time > $end;
        sleep 0.01;
    }

    Test::More::diag("$self->{name} said:\n" . $self->said);

    return;
}


sub wait_end {
    my ($self, $timeout) = @_;

    my $end = time + ($timeout // timeout());

    while ($self->_running) {
        if (time > $end) {
            Test::More::diag("$self->{name} goes on, it said:\n"
                             . $self->said);
            return;
        }
        sleep 0.01;
    }

    my $status = $self->{status};

    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}


sub _running {
    my ($self) = @_;

    my $pid = $self->{pid} or return 0;

    if (waitpid($pid, POSIX::WNOHANG()) == $pid) {
        $self->{status} = $?;
        delete $self->{pid};
        return 0;
    }

    return 1;
}


sub stop {
    my ($self) = @_;

    for ([ TERM => 10 ], [ KILL => 5 ]) {
        my ($signal, $seconds) = @$_;
        my $end = time + $seconds;

        kill $signal, $self->{pid} if $self->_running;

        while ($self->_running && time < $end) {
            sleep 0.01;
        }
    }
}


sub listening {
    my ($port, $process, $timeout) = @_;

    my $end = time + ($timeout // timeout());

    while ($process->_running && time < $end) {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
                              Proto => 'tcp')
            and return 1;
        sleep 0.02;
    }

    die "$process->{name} does not listen on $port:\n", $process->said;
}


sub DESTROY {
    my ($self) = @_;

    local ($., $@, $!, $?);
    $self->stop;
}

1;
