package XMPP::Features;

# What a server offers its users, through nginx and without it.
#
#   my $f = XMPP::Features->new($t, 'prosody');     # or 'ejabberd'
#   $f->start;                          # the server; nginx is $t's, before it
#   my $log = $f->run('roster', 'nginx');           # or 'straight'
#   $f->scenarios                       # those that this server can do
#   $f->through                         # those of which nginx has logged in
#                                       # users, and which way they came
#   $f->expected('roster')              # a regex for what the log has to be
#
# A scenario is a program of t/interop/features.  Each run has users of its
# own; nginx logs in with PLAIN, straight to the server it is direct TLS too.

use strict;
use warnings;

use XMPP::Ejabberd;
use XMPP::Files;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Prosody;

my $folder = XMPP::Nginx->top . '/t/interop/features';
my $domain = 'example.test';
my $password = 'wonder&land<42>';

my %users = (
    adhoc => [ qw(admin) ],
    map { $_ => [ qw(alice bob carol) ] }
        qw(stream roster muc carbons archive resume upload avatar compression),
);

# Prosody has had no compression since 0.10.
my %scenarios = (
    prosody => [ qw(stream roster muc carbons archive resume upload adhoc
                    avatar) ],
    ejabberd => [ qw(stream roster muc carbons archive resume upload adhoc
                     avatar compression) ],
);

my @ways = qw(nginx straight);


sub new {
    my ($class, $t, $kind) = @_;

    return bless { t => $t, kind => $kind }, $class;
}


sub scenarios { @{ $scenarios{$_[0]{kind}} } }


sub start {
    my ($self) = @_;

    my $t = $self->{t};
    my (%password, @admin);

    for my $scenario ($self->scenarios) {
        for my $way (@ways) {
            my $prefix = $self->{prefix}{"$scenario $way"}
                       = sprintf 'p%02dq', ++$self->{n};

            $password{"$prefix$_"} = $password for @{ $users{$scenario} };
            push @admin, "${prefix}admin\@$domain" if $scenario eq 'adhoc';
        }
    }

    my $start = "_$self->{kind}";
    $self->{server} = $self->$start(\%password, join ', ',
                                    map { qq{"$_"} } @admin);

    $t->start(_configuration());
}


# A stanza with a picture of 1 MB is larger than what they allow by default.
sub _prosody {
    my ($self, $users, $admins) = @_;

    my $t = $self->{t};
    my ($crt, $key) = $t->certs->server;
    my $ssl = qq({ certificate = "$crt", key = "$key" });
    my $http = $t->port('http');
    my $straight = $t->port('straight');

    return XMPP::Prosody->new($t, $users,
        modules => [ qw(carbons mam pep vcard_legacy admin_adhoc) ],
        set => {
            admins => "{ $admins }",
            ssl => $ssl,
            c2s_direct_tls_ports => "{ $straight }",
            c2s_direct_tls_ssl => $ssl,
            c2s_stanza_size_limit => 4 << 20,
            http_ports => "{ $http }",
            http_interfaces => '{ "127.0.0.1" }',
            https_ports => '{ }',
            disable_sasl_mechanisms => '{ "SCRAM-SHA-1", "SCRAM-SHA-256",'
                . ' "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS" }',
        },
        domains => { $domain => <<"END" });
Component "conference.$domain" "muc"
Component "upload.$domain" "http_file_share"
http_host = "127.0.0.1"
http_file_share_size_limit = 1048576
END
}


sub _ejabberd {
    my ($self, $users, $admins) = @_;

    my $t = $self->{t};
    my ($crt, $key) = $t->certs->server;
    my $pem = $t->dir . '/server.pem';
    my $http = $t->port('http');
    my $straight = $t->port('straight');
    my $limits = "max_stanza_size: 4194304\nzlib: true";

    write_file($pem, read_file($crt) . read_file($key));

    return XMPP::Ejabberd->new($t, $users,
        set => {
            certfiles => qq([ "$pem" ]),
            acl => "{ admin: { user: [ $admins ] } }",
            access_rules => '{ configure: { allow: admin } }',
            disable_sasl_mechanisms => '[ "digest-md5", "X-OAUTH2",'
                . ' "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512",'
                . ' "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS",'
                . ' "SCRAM-SHA-512-PLUS" ]',
        },
        listen => $limits,
        more => <<"END",
- port: $straight
  ip: "127.0.0.1"
  module: ejabberd_c2s
  tls: true
  max_stanza_size: 4194304
  zlib: true
- port: $http
  ip: "127.0.0.1"
  module: ejabberd_http
  request_handlers:
    /upload: mod_http_upload
END
        modules => <<"END");
mod_adhoc: {}
mod_carboncopy: {}
mod_configure: {}
mod_http_upload:
  put_url: "http://127.0.0.1:$http/upload"
  docroot: "$t->{dir}/upload"
  max_size: 1048576
  access: all
mod_mam: {}
mod_muc: {}
mod_vcard: {}
END
}


sub _configuration {
    return <<'END';
http {
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;

    server {
        listen 127.0.0.1:%{auth_port};

        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port %{backend_port};
            return 204;
        }
    }
}

mail {
    auth_http 127.0.0.1:%{auth_port}/;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_domain example.test;

    server {
        listen 127.0.0.1:%{nginx_port} ssl;
        protocol xmpp;
        xmpp_auth plain;
    }
}
END
}


# Its log; what went wrong is in it as well.
sub run {
    my ($self, $scenario, $way) = @_;

    my $t = $self->{t};

    my $process = XMPP::Process->start($t, "$scenario-$way",
        [ "$folder/run", $scenario ],
        FEATURES_HOST => '127.0.0.1',
        FEATURES_PORT => $t->port($way),
        FEATURES_LINE_PORT => $t->port('line'),
        FEATURES_CA => $t->certs->ca,
        FEATURES_DOMAIN => $domain,
        FEATURES_PASSWORD => $password,
        FEATURES_PREFIX => $self->{prefix}{"$scenario $way"},
        FEATURES_TIMEOUT => XMPP::Process::timeout(),
        LC_ALL => 'C.UTF-8');

    $process->wait_end(XMPP::Process::timeout() * 6);

    return $process->said;
}


sub through {
    my ($self) = @_;

    my $log = $self->{t}->log;

    return grep { $log =~ /client logged in,.* login: "$self->{prefix}{$_}/ }
                sort keys %{ $self->{prefix} };
}


# The same for all servers, but for what each of them offers.
sub expected {
    my ($self, $scenario) = @_;

    return qr/^bound\ alice\@\Q$domain\E\/one\n
              .* ^feature\ \S+:xmpp-bind\}bind\n
              .* ^feature\ \{urn:xmpp:sm:3\}sm\n
              .* ^disco\ urn:xmpp:carbons:2\n
              .* ^service\ conference\.\Q$domain\E\n
              .* ^end\n\z/smx
        if $scenario eq 'stream';

    my $text = read_file("$folder/$scenario.txt");

    return qr/\A\Q$text\E\z/;
}

1;
