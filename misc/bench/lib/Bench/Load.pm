package Bench::Load;

# The load generator, against one front.
#
#   my $load = Bench::Load->new($bench, $front);
#   my $result = $load->run(login => concurrency => 50, seconds => 5);
#                               # its keys; "failed" is how many sessions were
#   my $idle = $load->idle(1000);       # logs that many in, and keeps them
#   $idle->{result}             $idle->{error} tells why some are not
#   my $result = $idle->traffic($seconds);
#   $idle->quit

use strict;
use warnings;

use POSIX ();

use Bench::Kernel;
use XMPP::Files;

# Perl would wait for its end, should this program be ended by a signal.
my $running;
END { kill TERM => $running if $running }

use constant { SIZE => 200, SOURCES => 8 };


sub new {
    my ($class, $bench, $front) = @_;

    return bless { bench => $bench, front => $front, n => 0 }, $class;
}


sub _command {
    my ($self, $workload, %option) = @_;

    my ($bench, $front) = @$self{qw(bench front)};
    my $most = $option{count} && $workload eq 'idle' ? $option{count} : 1;
    my @source = map { "127.0.0.$_" } 2 .. SOURCES + 1;

    return (@{ $bench->{client} }, "$bench->{bin}/xmppload", $workload,
            (map { "--connect=$_" } $front->connect),
            (map { "--source=$_" } @source),
            (map { "--pid=$_" } $front->pids),
            (map { "--group=$_" } $front->backend_pids),
            '--tls=' . $front->tls, '--domain=example.test', '--user=u',
            "--users=$bench->{users}", '--password=password',
            "--cpu=$bench->{core}{load}",
            '--processes=' . (1 + int $most / (files() - 150)),
            $front->tls eq 'none' ? () : '--tls13',
            map { "--$_=$option{$_}" } sort keys %option);
}


sub run {
    my ($self, $workload, %option) = @_;

    my $errors = $self->{front}->bed->dir . '/load.err';
    my @command = (qw(timeout --foreground -k 5 600),
                   $self->_command($workload, %option));

    $running = open(my $out, '-|') // die "fork: $!\n";

    if (!$running) {
        open STDERR, '>', $errors;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    my $said = do { local $/; <$out> } // '';
    close $out;
    my $status = $?;
    undef $running;

    my $result = result($said);
    $result->{failed} = 1 if $status && !$result->{failed};

    if ($result->{failed}) {
        my $said = read_file($errors);
        $result->{error} = substr $said || "status $status", 0, 500;
        $result->{error} =~ s/\s+\z//;
    }

    return $result;
}


# A line of key=value.
sub result {
    my ($line) = @_;

    my %result = $line =~ /(\w+)=(\S+)/g;

    /^-?[\d.]+(?:e[-+]?\d+)?\z/ and $_ += 0 for values %result;

    return \%result;
}


sub idle {
    my ($self, $count) = @_;

    my $bench = $self->{bench};
    my $n = ++$self->{n};

    # Each has users of its own: two sessions of the same full JID are not
    # possible at the same time.
    my $process = $self->{front}->bed->run("idle$n", $bench->{core}{load},
        $self->_command('idle', count => $count, timeout => 300,
                        user => $bench->{names}[$n] // 'u'));

    my $idle = bless { process => $process }, 'Bench::Load::Idle';

    $idle->{result} = $idle->_result(qr/^(.*\bcount=\d.*)$/m, 600);
    $idle->{error} = substr join("\n", $process->said =~ /^(xmppload: .*)$/mg),
                            0, 500;

    return $idle;
}


package Bench::Load::Idle;


sub _result {
    my ($self, $regex, $timeout) = @_;

    my $line = $self->{process}->wait_said($regex, $timeout)
               // die "the generator said nothing of its sessions\n";

    return Bench::Load::result($line);
}


sub traffic {
    my ($self, $seconds) = @_;

    $self->start_traffic($seconds);

    return $self->traffic_result($seconds);
}


sub start_traffic {
    my ($self, $seconds) = @_;

    $self->{process}->say("traffic $seconds " . Bench::Load::SIZE);
}


sub traffic_result {
    my ($self, $seconds) = @_;

    return $self->_result(qr/^(.*\bmessages=\d.*)$/m, $seconds + 120);
}


sub quit {
    my ($self) = @_;

    $self->{process}->say('quit');
    $self->{process}->wait_end(60);
}

1;
