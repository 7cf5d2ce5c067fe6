package XMPP::Dns;

# The name server of a test: dnsmasq on 127.0.0.1:53 of an XMPP::Namespace.
#
#   my $dns = XMPP::Dns->new($t, 'host.example' => '127.0.0.2',
#       'a.example' => { server => [ 'host.example', 5269 ],
#                        'server-tls' => [ 'host.example', 5270 ],
#                        client => ..., 'client-tls' => ... });
#                               # addresses, and SRV records of domains
#   $dns->asked                 # names that were asked for: "SRV NAME", ...
#
# A name that is not listed does not exist.

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use XMPP::Process;

my %service = (server => '_xmpp-server', 'server-tls' => '_xmpps-server',
               client => '_xmpp-client', 'client-tls' => '_xmpps-client');


sub new {
    my ($class, $t, @record) = @_;

    my @option;

    while (my ($name, $value) = splice @record, 0, 2) {
        if (!ref $value) {
            push @option, "--host-record=$name,$value";
            next;
        }

        for my $service (sort keys %$value) {
            my $where = join ',', @{ $value->{$service} };
            push @option,
                 "--srv-host=$service{$service}._tcp.$name,$where";
        }
    }

    my $process = XMPP::Process->start($t, 'dnsmasq',
        [ qw(dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root),
          '--pid-file=' . $t->dir . '/dnsmasq.pid',
          qw(--no-resolv --no-hosts --no-poll --bind-interfaces
             --listen-address=127.0.0.1 --log-facility=- --log-queries),
          '--local=/#/', @option ]);

    my $self = bless { process => $process }, $class;

    $process->wait_said(qr/: started/) or die "dnsmasq failed\n";

    return $self;
}


sub asked {
    my ($self) = @_;

    return map { /query\[(\w+)\] (\S+)/ ? "$1 $2" : () }
           split /\n/, $self->{process}->said;
}

1;
