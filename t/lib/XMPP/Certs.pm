package XMPP::Certs;

# Certificates for one test, made by openssl in the test's folder.
#
#   my $certs = XMPP::Certs->new($dir, key => 'rsa');   # default: ec
#   $certs->ca;                 # path of ca.crt
#   $certs->server;             # (server.crt, server.key): example.test and
#                               # *.example.test; nginx.conf names them so
#   $certs->client('alice', ca => 0, days => 0);
#                               # (alice.crt, alice.key), subject CN=alice and
#                               # the XMPP address alice@example.test;
#                               # ca => 0: signed by a CA nobody knows;
#                               # days => 0: expired, a second later
#   $certs->leaf('turn', alt => 'DNS:turn.test', ...);
#                               # (turn.crt, turn.key), subject CN=turn or what
#                               # cn => says; alt: subjectAltName as openssl
#                               # reads it, without it none; ca, days as above;
#                               # ca => 'self': signed by itself

use strict;
use warnings;

my %new_key = (
    ec  => [ qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1) ],
    rsa => [ qw(-newkey rsa:2048) ],
);


sub new {
    my ($class, $dir, %option) = @_;

    my $self = bless { dir => $dir, key => $option{key} || 'ec' }, $class;

    $self->_authority('ca');
    $self->leaf('server', cn => 'example.test',
                alt => 'DNS:example.test,DNS:*.example.test');

    return $self;
}


sub ca     { "$_[0]{dir}/ca.crt" }
sub server { ("$_[0]{dir}/server.crt", "$_[0]{dir}/server.key") }


sub client {
    my ($self, $name, %option) = @_;

    return $self->leaf($name, %option,
                       alt => 'otherName:1.3.6.1.5.5.7.8.5;UTF8:'
                              . "$name\@example.test");
}


sub leaf {
    my ($self, $name, %option) = @_;

    my $path = "$self->{dir}/$name";
    my $ca = $option{ca} // 'ca';

    if (!$ca) {
        $ca = 'stranger';
        $self->_authority($ca) unless -e "$self->{dir}/$ca.crt";
    }

    my $signer = "$self->{dir}/$ca";
    my @signer = $ca eq 'self' ? ('-signkey', "$path.key")
                 : ('-CA', "$signer.crt", '-CAkey', "$signer.key",
                    '-CAcreateserial');

    open my $ext, '>', "$path.ext" or die "$path.ext: $!\n";
    print $ext "basicConstraints=CA:FALSE\n";
    print $ext "subjectAltName=$option{alt}\n" if defined $option{alt};
    close $ext;

    $self->_openssl(qw(req -nodes -new), @{ $new_key{$self->{key}} },
                    '-subj', '/CN=' . ($option{cn} // $name),
                    '-keyout', "$path.key", '-out', "$path.csr");

    $self->_openssl(qw(x509 -req -sha256 -days), $option{days} // 365,
                    '-in', "$path.csr", @signer, '-extfile', "$path.ext",
                    '-out', "$path.crt");

    return ("$path.crt", "$path.key");
}


sub _authority {
    my ($self, $name) = @_;

    my $path = "$self->{dir}/$name";

    $self->_openssl(qw(req -x509 -nodes -sha256 -days 365),
                    @{ $new_key{$self->{key}} }, '-subj', "/CN=test $name",
                    '-keyout', "$path.key", '-out', "$path.crt");
}


sub _openssl {
    my ($self, @arg) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', @arg or POSIX::_exit(127);
    }

    my $said = do { local $/; <$out> } // '';
    close $out or die "openssl @arg failed:\n$said\n";
}

use POSIX ();

1;
