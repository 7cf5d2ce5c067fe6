package Bench::Bed;

# A folder, ports and processes for one start of a front: what XMPP::Process
# and the servers of t/lib/XMPP want to have.
#
#   my $bed = Bench::Bed->new($certs);  # XMPP::Certs
#   $bed->dir, $bed->certs, $bed->port('NAME')
#   my $p = $bed->run('NAME', $core, $command, ...)     # an XMPP::Process
#   $bed->pem                   # certificate and key in one file
#   $bed->stop

use strict;
use warnings;

use File::Temp ();
use Scalar::Util qw(weaken);

use Bench::Kernel;
use XMPP::Files;
use XMPP::Ports;
use XMPP::Process;


sub new {
    my ($class, $certs) = @_;

    return bless { certs => $certs, port => {}, own => [],
                   dir => File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1)
                 }, $class;
}


sub dir   { "$_[0]{dir}" }
sub certs { $_[0]{certs} }
sub port  { $_[0]{port}{$_[1]} ||= XMPP::Ports::take() }
sub own   { push @{ $_[0]{own} }, $_[1]; weaken $_[0]{own}[-1] }


sub run {
    my ($self, $name, $core, @command) = @_;

    # Not even a run that was killed leaves a server behind.
    return pinned($core, sub {
        XMPP::Process->start($self, $name,
                             [ qw(setpriv --pdeathsig TERM --), @command ])
    });
}


sub pem {
    my ($self) = @_;

    my $pem = $self->dir . '/server.pem';
    write_file($pem, join '', map { read_file($_) } $self->certs->server);

    return $pem;
}


sub stop {
    my ($self) = @_;

    $_->stop for grep { defined } reverse @{ $self->{own} };
}

1;
