package Bench::Front;

# The fronts: what stands between the clients and the backend.
#
#   my @name = Bench::Front::names();
#   my $front = Bench::Front->start($name, $bench, workers => 1, max => 9000);
#
# $bench has what all fronts need: the binary of nginx and its modules, the
# programs of misc/bench, the certificates, the cores.  A front is started
# anew, with all that stands behind it, and knows then
#
#   $front->tls             'direct' or 'starttls', of its clients
#   $front->connect         where they connect: ADDRESS:PORT, ...
#   $front->pids            its processes
#   $front->backend_pids    those of the server behind it, without our stub
#   $front->stop
#
# Each kind of front is a class with these in a table:
#
#   about       one line for the reader
#   tls         of its clients
#   files       how many a connection takes in one process
#   many        it may have several workers
#   real        a real server takes part: logins have to be of its users
#   default     measured unless others are asked for

use strict;
use warnings;

use Bench::Bed;
use Bench::Front::Haproxy;
use Bench::Front::Nginx;
use Bench::Front::Server;
use Bench::Front::Stunnel;
use Bench::Kernel;

my @class = map { "Bench::Front::$_" } qw(Nginx Haproxy Stunnel Server);

my (%front, @name);

for my $class (@class) {
    my @front = $class->fronts;

    while (my ($name, $about) = splice @front, 0, 2) {
        push @name, $name;
        $front{$name} = { files => 2, tls => 'direct', default => 1,
                          %$about, class => $class };
    }
}


sub names { @name }
sub about { $front{$_[0]} || die "there is no front $_[0]\n" }


# How many clients it can have, some room left for what else a process opens:
# its logs and listeners, and idle connections to the auth service.
sub room {
    my ($name, $workers) = @_;

    my $about = about($name);

    return int(((files() - 300) / $about->{files}) * ($workers // 1));
}


sub start {
    my ($class, $name, $bench, %option) = @_;

    my $about = about($name);
    my $self = bless { %$about, name => $name, bench => $bench, workers => 1,
                       %option, bed => Bench::Bed->new($bench->{certs}) },
                     $about->{class};

    $self->{core} = $bench->{core};
    $self->{max} ||= room($name, $self->{workers});

    $self->run_backend;
    $self->run_front;

    return $self;
}


sub bed     { $_[0]{bed} }
sub port    { $_[0]{bed}->port($_[1]) }
sub tls     { $_[0]{tls} }
sub pids    { family($_[0]{process}{pid}) }
sub stop    { $_[0]{bed}->stop }
sub connect { '127.0.0.1:' . $_[0]->port('front') }

sub backend_pids { }


# Our stub.  To one address and port there are 28,000 connections; long before
# that the kernel takes milliseconds of the front to find a port that is free.

sub run_backend {
    my ($self) = @_;

    my $port = $self->port('stub');

    $self->{backend} = [ map { "127.0.0.$_:$port" } 1 .. 16 ];

    $self->run_stub(map { "--listen=$_" } @{ $self->{backend} });
}


sub run_stub {
    my ($self, @listen) = @_;

    my $bench = $self->{bench};
    my $processes = 1 + int($self->{max} / room('stub-alone'));

    $self->{stub} = $self->bed->run('stub', $self->{core}{stub},
        "$bench->{bin}/xmppstub", @listen, "--processes=$processes",
        '--http=127.0.0.1:' . $self->port('auth'),
        map { "--backend=$_" } @{ $self->{backend} });

    $self->{stub}->wait_said(qr/^ready$/m) or die "the stub did not start\n";
}


sub run_and_wait {
    my ($self, $name, @command) = @_;

    $self->{process} = $self->bed->run($name, $self->{core}{front}, @command);
    XMPP::Process::listening($self->port('front'), $self->{process});
}

1;
