package XMPP::Federation;

# Domains' servers, each with an nginx before it, in an XMPP::Namespace.
#
#   my $front = XMPP::Federation::front($certs,
#       name => 'left', address => '127.0.0.2', auth => 9000, s2s => 5369,
#       domains => [ 'a.example' ], edit => sub { ... changes $_ ... });
#                   # an XMPP::Nginx with conf/nginx-federation.conf, where
#                   # only names, addresses and ports are others
#   XMPP::Federation::requests($front, 'b.example', 'a.example')
#                   # what its auth service was asked for this pair, a hash for
#                   # each: client, tls, verify, names, way (starttls, direct),
#                   # stream
#
#   XMPP::Federation::entrance($t, $certs, 'a.example' => $port, ...)
#                   # the nginx that all clients log in through, and where they
#                   # are sent to
#   XMPP::Federation::client($t, 'alice@a.example', 'password')
#                   # an XMPP::Process: t/real/contact.py
#
#   XMPP::Federation::document(qr/^-- mod_/)
#                   # the part of docs/federation.md that begins like this

use strict;
use warnings;

use XMPP::Nginx;
use XMPP::Process;

my $clients = 0;

sub front {
    my ($certs, %option) = @_;

    my $t = XMPP::Nginx->new;
    my ($name, $address) = @option{qw(name address)};

    my ($path) = $certs->leaf($name,
        alt => join ',', map { "DNS:$_" } @{ $option{domains} });
    $path =~ s/\.crt$//;

    local $_ = _read(XMPP::Nginx->top . '/conf/nginx-federation.conf');

    # XMPP::Nginx makes the beginning.
    s/\A.*?(?=^mail \{)//ms;

    s/example\.org\.(crt|key)/$path.$1/g;
    s/xmpp_domain  \Kexample\.org;/join(' ', @{ $option{domains} }) . ';'/e;
    s{/etc/ssl/certs/ca-certificates\.crt}{$certs->ca}e;
    s/listen    \K(?=\d+ )/$address:/g;
    s/127\.0\.0\.1:9000/127.0.0.1:$option{auth}/g;
    s/Auth-Port  \s*\K5369/$option{s2s}/g;
    s{logs/s2s\.log}{s2s.log};

    # Which port it was, for requests().
    s/^        listen    \S+( ssl)?.*;\n\K/'        auth_http_header Way '
      . ($1 ? 'direct' : 'starttls') . ";\n"/gem;
    s/(log_format  s2s  )'.*?'(?=;)/$1 . join ' ', map { "'\$http_$_|'" }
      qw(auth_xmpp_from auth_xmpp_domain client_ip auth_ssl_protocol
         auth_ssl_verify auth_ssl_xmpp_addr way auth_xmpp_stream)/se
        or die "no log_format\n";

    s/^http \{\n\K/_temporary()/me;

    $option{edit}->() if $option{edit};

    return $t->start($_);
}


sub _temporary {
    return join '', map { "    ${_}_temp_path temp;\n" }
                    qw(client_body proxy fastcgi uwsgi scgi);
}


sub requests {
    my ($t, $from, $to) = @_;

    my $path = $t->dir . '/s2s.log';
    my @key = qw(from to client tls verify names way stream);

    return grep { $_->{from} eq $from && $_->{to} eq $to }
           map { my %one; @one{@key} = split /\|/; \%one }
           split /\n/, -e $path ? _read($path) : '';
}


sub entrance {
    my ($t, $certs, %port) = @_;

    my @domain = sort keys %port;

    $certs->leaf('entrance', alt => join ',', map { "DNS:$_" } @domain);

    my $map = join '', map { "        $_ $port{$_};\n" } @domain;
    my $temporary = _temporary();

    return $t->start(<<"END");
http {
    access_log off;
$temporary
    map \$http_auth_xmpp_domain \$port {
$map    }

    server {
        listen 127.0.0.1:%{auth_port};

        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port \$port;
            return 204;
        }
    }
}

mail {
    auth_http 127.0.0.1:%{auth_port}/;
    ssl_certificate entrance.crt;
    ssl_certificate_key entrance.key;
    ssl_protocols TLSv1.2 TLSv1.3;

    server {
        listen 127.0.0.1:5222;
        protocol xmpp;
        starttls only;
    }
}
END
}


sub client {
    my ($t, $jid, $password) = @_;

    return XMPP::Process->start($t, $jid . '-' . ++$clients,
        [ '/usr/bin/python3', XMPP::Nginx->top . '/t/real/contact.py',
          '127.0.0.1', 5222, 'starttls', $t->certs->ca, $jid, $password ],
        LC_ALL => 'C.UTF-8');
}


sub document {
    my ($begin) = @_;

    my $text = _read(XMPP::Nginx->top . '/docs/federation.md');

    for my $block ($text =~ /^```\w*\n(.*?)^```$/msg) {
        return $block if $block =~ $begin;
    }

    die "docs/federation.md has no text with $begin\n";
}


sub _read {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";
    local $/;

    return scalar <$file>;
}

1;
