package Bench::Front::Haproxy;

# HAProxy, which terminates TLS and knows no XMPP either.

use strict;
use warnings;

use XMPP::Files;

our @ISA = 'Bench::Front';


sub fronts {
    return (haproxy => { about => 'HAProxy, mode tcp, ssl, one thread' });
}


sub run_front {
    my ($self) = @_;

    my $conf = $self->bed->dir . '/haproxy.cfg';
    my $n = 0;
    my $servers = join '', map { $n++; "    server s$n $_\n" }
                               @{ $self->{backend} };

    write_file($conf, <<"END");
global
    nbthread 1
    maxconn $self->{max}
    ssl-default-bind-options ssl-min-ver TLSv1.3

defaults
    mode tcp
    timeout connect 10s
    timeout client 24h
    timeout server 24h

frontend xmpp
    bind ${ \$self->connect } ssl crt ${ \$self->bed->pem } backlog 4096
    maxconn $self->{max}
    default_backend stub

backend stub
    balance roundrobin
$servers
END

    $self->run_and_wait('haproxy', 'haproxy', '-db', '-f', $conf);
}

1;
