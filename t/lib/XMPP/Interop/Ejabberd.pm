package XMPP::Interop::Ejabberd;

# The ejabberd of docs/backends.md: see XMPP::Ejabberd, and straight and proxy
# in XMPP::Interop::Prosody.

use strict;
use warnings;

use parent 'XMPP::Ejabberd';

use XMPP::Files;
use XMPP::Interop::Docs;


sub _configuration {
    my ($self) = @_;

    my $t = $self->{t};
    my $port = $t->port($self->{port});

    my $text = adapted(block('ejabberd.yml'),
        qr/example\.org/ => 'example.test',
        qr/(?<=port: )5322/ => $port);

    my ($line) = $self->{proxy}
        ? block('ejabberd.yml, in the listener') =~ /^(\w.*)$/m : ();

    $text = adapted($text, qr/(?<=module: ejabberd_c2s\n)/ => "    $line\n")
        if $line;

    return $text if !$self->{straight};

    my $direct = $t->port("$self->{port}_direct");
    my $pem = "$self->{dir}/server.pem";

    write_file($pem, join '', map { read_file($_) } $t->certs->server);

    my $none = join ', ', map { qq{"$_"} } qw(SCRAM-SHA-1 SCRAM-SHA-256
        SCRAM-SHA-512 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS SCRAM-SHA-512-PLUS);

    return adapted($text,
        qr/(?<=disable_sasl_mechanisms: \[)/ => "$none, ",
        qr/starttls: false/ => 'starttls_required: true',
        qr/^listen:\n/m => <<"YAML");
certfiles: [ "$pem" ]
listen:
  - port: $direct
    ip: "127.0.0.1"
    module: ejabberd_c2s
    tls: true
YAML
}

1;
