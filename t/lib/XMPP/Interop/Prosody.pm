package XMPP::Interop::Prosody;

# The Prosody of docs/backends.md: see XMPP::Prosody.
#
# With straight => 1 it is one for clients that come without an nginx, with TLS
# of its own, and PLAIN the only mechanism: STARTTLS on its port, direct TLS on
# the one with "_direct" behind its name.  With proxy => 1 it wants a PROXY
# header.

use strict;
use warnings;

use parent 'XMPP::Prosody';

use XMPP::Interop::Docs;
use XMPP::NetProxy;


sub _configuration {
    my ($self) = @_;

    my $t = $self->{t};
    my $port = $t->port($self->{port});

    my $text = adapted(block('prosody.cfg.lua'),
        qr/example\.org/ => 'example.test',
        qr{/var/lib/prosody} => $self->{dir},
        qr/(?<=c2s_ports = \{ )5322/ => $port);

    my ($crt, $key) = $t->certs->server;
    my $modules = $self->{proxy} && XMPP::NetProxy::folder();

    # the ports that are named later are those that count
    $text = adapted($text,
        qr/"saslauth"/ => '"saslauth", "net_proxy"',
        qr/^(?=modules_enabled)/m => qq{plugin_paths = { "$modules" }\n},
        qr/^(?=VirtualHost)/m => adapted(
            block('prosody.cfg.lua, for net_proxy'),
            qr/(?<=\[)5322/ => $port)) if $self->{proxy};

    $text = adapted($text,
        qr/(?<=c2s_direct_tls_ports = \{ )\}/ =>
            $t->port("$self->{port}_direct") . ' }',
        qr/c2s_require_encryption = false/ => 'c2s_require_encryption = true',
        qr/"tls", / => '',
        qr/"saslauth"/ => '"saslauth", "tls"',
        qr/^(?=authentication)/m => <<"LUA") if $self->{straight};
ssl = { certificate = "$crt", key = "$key" }
disable_sasl_mechanisms = { "DIGEST-MD5", "OAUTHBEARER",
    "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" }
LUA

    # no root, no folder for its pid and no system log in a test
    return <<"LUA" . $text;
run_as_root = true
log = { { levels = { min = "info" }, to = "console", timestamps = false } }
certificates = "$self->{dir}"
LUA
}

1;
