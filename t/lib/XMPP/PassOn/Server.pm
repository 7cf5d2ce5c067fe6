package XMPP::PassOn::Server;

# The server of XMPP::PassOn, Prosody or ejabberd.
#
#   my $server = XMPP::PassOn::Server->new('XMPP::Prosody', $t,
#                                          { alice => 'password', ... });
#                           # example.test with SCRAM-SHA-1,
#                           # second.example.test with SCRAM-SHA-256 on
#                           # port('backend'); without TLS, and without any
#                           # other mechanism
#   $server->logins         what its log says of logins, in their order:
#                           ('SCRAM-SHA-1 alice@example.test accepted',
#                            'SCRAM-SHA-256 refused', ...)
#   $server->stored         what it has stored of the accounts' passwords
#   $server->proxied        it has port('told') for the PROXY protocol, and
#                           limits the accounts made from one address
#   $server->limited        ... with this stanza error
#   $server->sasl2          it has sasl2.example.test, with SASL2 (XEP-0388)
#   $server->refuses($client)   see below

use strict;
use warnings;

my %kind = (
    'XMPP::Prosody' => {
        options => \&_prosody,
        logins => \&_prosody_logins,
        stored => \&_prosody_stored,
        limited => 'policy-violation',
        sasl2 => 1,

        # Debian's prosody-modules have it since Debian 13.
        proxied => -d '/usr/lib/prosody/modules/mod_net_proxy',
    },

    'XMPP::Ejabberd' => {
        options => \&_ejabberd,
        logins => \&_ejabberd_logins,
        stored => \&_ejabberd_stored,
        limited => 'resource-constraint',
        proxied => 1,
        refuses => [ 'ejabberd', '24' ],
    },
);


sub new {
    my ($class, $kind, $t, $password) = @_;

    my $self = bless { %{ $kind{$kind} }, t => $t }, $class;

    eval "require $kind" or die $@;
    $self->{server} = $kind->new($t, $password, $self->{options}->($self));

    return $self;
}


sub proxied { $_[0]{proxied} }
sub limited { $_[0]{limited} }
sub logins  { $_[0]{logins}->($_[0]{server}->said) }
sub stored  { $_[0]{stored}->($_[0]) }


# What nbxmpp speaks before version 6 is a draft.
sub sasl2 { $_[0]{sasl2} && _since([ 'python3-nbxmpp', '6' ]) }


# A client may say that it would bind the login to the TLS channel if only the
# server could (RFC 5802, section 6: "y").
sub refuses {
    my ($self, $client) = @_;

    return _since($self->{refuses}) && _since($client->{binds});
}


# Is the package at least of this version?
sub _since {
    my ($package, $version) = @{ $_[0] || return 0 };

    my $installed = `dpkg-query -W -f '\${Version}' $package`;

    return system('dpkg', '--compare-versions', $installed, 'ge', $version)
           == 0;
}


sub _prosody {
    my ($self) = @_;

    my $proxied = $self->{proxied};
    my $port = $self->{t}->port('told');

    return (
        domains => {
            'example.test' => 'password_hash = "SHA-1"',
            'second.example.test' => 'password_hash = "SHA-256"',
            'sasl2.example.test' => 'modules_enabled = { "sasl2" }',
        },
        modules => [ 'register', $proxied ? 'net_proxy' : () ],
        set => {
            authentication => '"internal_hashed"',
            disable_sasl_mechanisms => '{ "PLAIN", "OAUTHBEARER" }',
            allow_unencrypted_plain_auth => undef,
            log => '{ { levels = { min = "debug" }, to = "console",'
                   . ' timestamps = false } }',

            allow_registration => 'true',
            $proxied ? (
                proxy_port_mappings => "{ [$port] = \"c2s\" }",
                registration_allowlist => '{ }',
                registration_throttle_max => 1,
                registration_throttle_period => 600,
            ) : (),
        },
    );
}


# A session is known by its name at the start of the line.  Who has failed is
# not in the log.
sub _prosody_logins {
    my ($log) = @_;

    my (%mechanism, @login);

    for (split /\n/, $log) {
        if (/^(c2s\w+) .*Received\S+ <auth .*mechanism='([^']+)'/) {
            $mechanism{$1} = $2;
        } elsif (/^(c2s\w+) .*Received\S+ <authenticate .*mechanism='([^']+)'/)
        {
            $mechanism{$1} = "SASL2-$2";
        } elsif (/^(c2s\w+) .*Authenticated as (\S+)/) {
            push @login, delete($mechanism{$1}) . " $2 accepted";
        } elsif (/^(c2s\w+) .*Sending\S+ <failure .*xmpp-sasl/
                 && $mechanism{$1})
        {
            push @login, delete($mechanism{$1}) . ' refused';
        }
    }

    return @login;
}


# It makes a hash of a password at the first login.
sub _prosody_stored {
    my ($self) = @_;

    return join '', map { $self->{server}->file('accounts/alice.dat', $_)
                          // die "$_ has no alice\n" }
                    qw(example.test second.example.test);
}


sub _ejabberd {
    my ($self) = @_;

    my $port = $self->{t}->port('told');

    return (
        domains => {
            'example.test' => 'auth_scram_hash: sha',
            'second.example.test' => 'auth_scram_hash: sha256',
        },
        modules => 'mod_register: {}',
        set => {
            disable_sasl_mechanisms => '[ plain, digest-md5, x-oauth2 ]',
            registration_timeout => 600,
        },
        more => <<"END",
- port: $port
  ip: "127.0.0.1"
  module: ejabberd_c2s
  use_proxy_protocol: true
END
    );
}


sub _ejabberd_logins {
    my ($log) = @_;

    my @login;

    for (split /\n/, $log) {
        if (/Accepted c2s (\S+) authentication for (\S+)/) {
            push @login, "$1 $2 accepted";
        } elsif (/Failed c2s (\S+) authentication/) {
            push @login, "$1 refused";
        }
    }

    return @login;
}


sub _ejabberd_stored {
    my ($self) = @_;

    my ($path) = glob "'$self->{t}{dir}/ejabberd/mnesia/passwd.D*'"
        or die "no passwords\n";

    open my $file, '<', $path or die "$path: $!\n";
    local $/;

    return <$file>;
}

1;
