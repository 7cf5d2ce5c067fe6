package Bench::Front::Stunnel;

# stunnel: TLS, a thread a connection.

use strict;
use warnings;

use XMPP::Files;

our @ISA = 'Bench::Front';


# Its own limit of clients, from the one of files.
sub fronts {
    return (stunnel => { about => 'stunnel', files => 256 / 125 });
}


sub run_front {
    my ($self) = @_;

    my $conf = $self->bed->dir . '/stunnel.conf';
    my ($crt, $key) = $self->bed->certs->server;
    my $connect = join '', map { "connect = $_\n" } @{ $self->{backend} };

    write_file($conf, <<"END");
foreground = yes
pid =
syslog = no
debug = 3
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1

[xmpp]
accept = ${ \$self->connect }
${connect}cert = $crt
key = $key
sslVersion = TLSv1.3
TIMEOUTidle = 86400
END

    $self->run_and_wait('stunnel', 'stunnel', $conf);
}

1;
