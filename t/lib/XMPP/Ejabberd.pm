package XMPP::Ejabberd;

# ejabberd (23.01 and later) as the backend.
#
#   my $server = XMPP::Ejabberd->new($t, { alice => 'password', ... });
#                               # example.test on port('backend'), 127.0.0.1
#                               # and ::1, PLAIN offered without TLS
#
# Everything it writes is in the test's folder.  Started without a node name,
# the Erlang machine needs neither epmd nor a port of its own, and without
# ejabberdctl not the user "ejabberd" either.

use strict;
use warnings;

use XMPP::Process;


sub new {
    my ($class, $t, $users) = @_;

    my $self = bless { t => $t, dir => $t->dir . '/ejabberd' }, $class;
    my $conf = "$self->{dir}/ejabberd.yml";

    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    open my $file, '>', $conf or die "$conf: $!\n";
    print $file $self->_configuration;
    close $file or die "$conf: $!\n";

    my @register = map {
        my $password = $users->{$_} =~ s/(["\\])/\\$1/gr;
        qq{ok = ejabberd_auth:try_register(<<"$_">>, <<"example.test">>,}
        . qq{ <<"$password">>),}
    } sort keys %$users;

    $self->{process} = XMPP::Process->start($t, 'ejabberd',
        [ qw(erl -noinput), '-mnesia', 'dir', qq{"$self->{dir}/mnesia"},
          qw(-s ejabberd -eval),
          "@register io:format(\"~nready~n\")." ],
        ERL_LIBS => _libraries(), EJABBERD_CONFIG_PATH => $conf,
        EJABBERD_LOG_PATH => "$self->{dir}/ejabberd.log",
        ERL_CRASH_DUMP => "$self->{dir}/crash.dump");

    $self->{process}->wait_said(qr/^ready$/m) or die "ejabberd failed\n";

    return $self;
}


# Debian keeps the Erlang libraries of ejabberd in a folder named after the
# processor.
sub _libraries {
    my ($path) = glob '/usr/lib/*/ejabberd-*';

    defined $path or die "ejabberd is not installed\n";

    return $path =~ s{/[^/]+$}{}r;
}


sub _configuration {
    my ($self) = @_;

    my $port = $self->{t}->port('backend');

    my $listen = join '', map { <<"END" } '127.0.0.1', '::1';
  - port: $port
    ip: "$_"
    module: ejabberd_c2s
    starttls: false
END

    return <<"END";
hosts: [ "example.test" ]
loglevel: info
auth_method: internal
auth_password_format: scram
disable_sasl_mechanisms: [ "digest-md5", "X-OAUTH2" ]

listen:
${listen}
modules:
  mod_disco: {}
  mod_ping: {}
  mod_roster: {}
  mod_stream_mgmt: {}
END
}

1;
