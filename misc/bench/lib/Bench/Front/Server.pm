package Bench::Front::Server;

# Prosody and ejabberd: with their own TLS, or behind ours.
#
# They are given what helps them: no limits of rates, passwords stored as they
# are, nothing that is logged, everything but accounts in memory.

use strict;
use warnings;

use Bench::Front::Nginx;
use Bench::Kernel;
use XMPP::Ejabberd;
use XMPP::Prosody;

our @ISA = 'Bench::Front';

my $plain_only = '"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS",'
                 . ' "SCRAM-SHA-256-PLUS"';


# Those of Debian's configuration that a session has to do with, besides the
# four that XMPP::Ejabberd always has.
my $modules = join '', map { "$_: {}\n" } qw(
    mod_adhoc mod_admin_extra mod_avatar mod_blocking mod_caps mod_carboncopy
    mod_client_state mod_configure mod_last mod_muc mod_offline mod_privacy
    mod_private mod_push mod_push_keepalive mod_s2s_dialback mod_shared_roster
    mod_sic mod_vcard mod_vcard_xupdate mod_version);

$modules .= "mod_pubsub:\n  plugins: [ flat, pep ]\n";


sub fronts {
    return (
        'prosody' => {
            about => 'Prosody, direct TLS',
            files => 1, real => 1, run => \&prosody,
        },
        'prosody-tuned' => {
            about => 'Prosody, direct TLS, generational garbage collector',
            files => 1, real => 1, run => \&prosody,
            set => { gc => '{ mode = "generational" }' },
        },
        'prosody-starttls' => {
            about => 'Prosody, STARTTLS',
            files => 1, real => 1, run => \&prosody, tls => 'starttls',
            default => 0,
        },
        'ejabberd' => {
            about => 'ejabberd, direct TLS, the modules of its packages',
            files => 1, real => 1, run => \&ejabberd,
        },
        'ejabberd-tuned' => {
            about => 'ejabberd, direct TLS, four modules, no spinning',
            files => 1, real => 1, run => \&ejabberd, few => 1,
        },
        'ejabberd-starttls' => {
            about => 'ejabberd, STARTTLS',
            files => 1, real => 1, run => \&ejabberd, tls => 'starttls',
            default => 0,
        },
        'ours+prosody' => {
            about => 'ours, direct TLS, in front of Prosody',
            real => 1, run => \&prosody, text => \&Bench::Front::Nginx::ours,
        },
        'ours+ejabberd' => {
            about => 'ours, direct TLS, in front of ejabberd',
            real => 1, run => \&ejabberd, few => 1,
            text => \&Bench::Front::Nginx::ours,
        },

        # what the generator and the stub do without a front
        'stub-alone' => {
            about => 'no front, no TLS',
            files => 1, tls => 'none', default => 0,
        },
    );
}


sub connect {
    my ($self) = @_;

    return '127.0.0.1:' . $self->port($self->{run} ? 'front' : 'stub');
}


sub pids {
    my ($self) = @_;

    return family(($self->{process} || $self->{stub})->{pid});
}


sub backend_pids {
    my ($self) = @_;

    return $self->{text} ? family($self->{server}{process}{pid}) : ();
}


sub run_backend {
    my ($self) = @_;

    return $self->SUPER::run_backend if !$self->{run};

    my $core = $self->{core}{$self->{text} ? 'stub' : 'front'};

    $self->{server} = pinned($core, sub { $self->{run}->($self) });

    if (!$self->{text}) {
        $self->{process} = $self->{server}{process};
        XMPP::Process::listening($self->port('front'), $self->{process});
        return;
    }

    $self->{backend} = [ '127.0.0.1:' . $self->port('backend') ];
    $self->run_stub('--listen=127.0.0.1:' . $self->port('stub'));
}


sub run_front {
    my ($self) = @_;

    return if !$self->{text};

    $self->{as} = 'ours-direct';
    Bench::Front::Nginx::run_front($self);
}


# What it is behind: ours, STARTTLS, direct TLS.
sub _way { $_[0]{text} ? 'none' : $_[0]{tls} }


sub prosody {
    my ($self) = @_;

    my $way = $self->_way;
    my $bench = $self->{bench};
    my ($crt, $key) = $self->bed->certs->server;
    my $ssl = qq({ certificate = "$crt", key = "$key",)
              . ' protocol = "tlsv1_3" }';
    my $straight = $way eq 'direct' ? $self->port('front') : '';

    return XMPP::Prosody->new($self->bed,
        { map { my $name = $_;
                map { ("$name$_" => 'password') } 0 .. $bench->{users} - 1
              } @{ $bench->{names} } },
        port => $way eq 'starttls' ? 'front' : 'backend',
        modules => [ $way eq 'starttls' ? 'tls' : () ],
        set => {
            c2s_direct_tls_ports => "{ $straight }",
            c2s_direct_tls_ssl => $ssl,
            c2s_ssl => $ssl,
            ssl => $ssl,
            modules_disabled => $way eq 'starttls' ? '{ "s2s", "offline" }'
                                : '{ "s2s", "tls", "offline" }',
            disable_sasl_mechanisms => "{ $plain_only }",
            log => '{ { levels = { min = "error" }, to = "console" } }',
            default_storage => '"memory"',
            storage => '{ accounts = "internal" }',
            network_backend => '"epoll"',
            network_settings => '{ tcp_backlog = 4096, nagle = false }',
            $self->{set} ? %{ $self->{set} } : (),
        });
}


sub ejabberd {
    my ($self) = @_;

    my $bench = $self->{bench};
    my $way = $self->_way;
    my $last = $bench->{users} - 1;
    my $names = join ', ', map { qq("$_") } @{ $bench->{names} };

    # One core; its schedulers spin for a while when there is nothing to do,
    # which is work, too, unless they are told not to.
    my $spin = $self->{few} ? '+sbwt none +sbwtdcpu none +sbwtdio none' : '';

    local $ENV{ERL_AFLAGS} = '+S 1:1 +SDcpu 1:1 +K true +P 262144 +Q 131072 '
                             . $spin;

    local $ENV{ERL_ZFLAGS} = "-eval '[ok = ejabberd_auth:try_register("
        . 'iolist_to_binary([Name, integer_to_list(N)]),'
        . ' <<"example.test">>, <<"password">>)'
        . qq{ || Name <- [$names], N <- lists:seq(0, $last)],}
        . ' lists:foreach(fun erlang:garbage_collect/1, processes()),'
        . q{ io:format("~nusers~n").'};

    my $server = XMPP::Ejabberd->new($self->bed, {},
        set => {
            certfiles => '[ "' . $self->bed->pem . '" ]',
            loglevel => 'error',
            auth_password_format => 'plain',
            default_db => 'mnesia',
            disable_sasl_mechanisms => qq([ "digest-md5", "X-OAUTH2",)
                . qq( $plain_only, "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS" ]),
            shaper_rules => '{ max_user_sessions: 100000 }',
        },
        modules => $self->{few} ? '' : $modules,
        listen => 'backlog: 4096',
        more => $way eq 'none' ? '' : <<"END");
- port: ${ \$self->port('front') }
  ip: "127.0.0.1"
  module: ejabberd_c2s
  ${ \($way eq 'direct' ? 'tls' : 'starttls_required') }: true
  backlog: 4096
  protocol_options: [ no_tlsv1, no_tlsv1_1, no_tlsv1_2 ]
END

    $server->{process}->wait_said(qr/^users$/m)
        or die "ejabberd has no users\n";

    return $server;
}

1;
