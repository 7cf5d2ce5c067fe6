package XMPP::Ejabberd;

# ejabberd (23.01 and later) as the backend.
#
#   my $server = XMPP::Ejabberd->new($t, { alice => 'password', ... });
#                               # example.test on port('backend'), 127.0.0.1
#                               # and ::1, PLAIN offered without TLS
#
# Options of new: name => 'ejabberd'        its folder and its process
#                 port => 'backend'
#                 domains => { 'example.test' => 'lines of its host_config' }
#                 set => { option => 'value in YAML' }  global, undef: not set
#                 listen => 'lines'                     in clients' listeners
#                 more => 'lines'                       below "listen"
#                 modules => 'lines'                    below "modules", more
#
#   $server->said               its log so far
#
# Everything it writes is in the test's folder.  Started without a node name,
# the Erlang machine needs neither epmd nor a port of its own, and without
# ejabberdctl not the user "ejabberd" either.

use strict;
use warnings;

use XMPP::Process;


sub new {
    my ($class, $t, $users, %option) = @_;

    my $self = bless { name => 'ejabberd', port => 'backend',
                       domains => { 'example.test' => '' }, set => {},
                       listen => '', more => '', modules => '', %option,
                       t => $t }, $class;

    $self->{dir} = $t->dir . "/$self->{name}";
    my $conf = "$self->{dir}/ejabberd.yml";

    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    open my $file, '>', $conf or die "$conf: $!\n";
    print $file $self->_configuration;
    close $file or die "$conf: $!\n";

    my @register;

    for my $domain (sort keys %{ $self->{domains} }) {
        for my $user (sort keys %$users) {
            my $password = $users->{$user} =~ s/(["\\])/\\$1/gr;
            push @register,
                 qq{ok = ejabberd_auth:try_register(<<"$user">>,}
                 . qq{ <<"$domain">>, <<"$password">>),};
        }
    }

    $self->{process} = XMPP::Process->start($t, $self->{name},
        [ qw(erl -noinput), '-mnesia', 'dir', qq{"$self->{dir}/mnesia"},
          qw(-s ejabberd -eval),
          "@register io:format(\"~nready~n\")." ],
        ERL_LIBS => _libraries(), EJABBERD_CONFIG_PATH => $conf,
        EJABBERD_LOG_PATH => "$self->{dir}/ejabberd.log",
        ERL_CRASH_DUMP => "$self->{dir}/crash.dump");

    $self->{process}->wait_said(qr/^ready$/m) or die "ejabberd failed\n";

    return $self;
}


sub said { $_[0]{process}->said }


# Debian keeps the Erlang libraries of ejabberd in a folder named after the
# processor.
sub _libraries {
    my ($path) = glob '/usr/lib/*/ejabberd-*';

    defined $path or die "ejabberd is not installed\n";

    return $path =~ s{/[^/]+$}{}r;
}


sub _configuration {
    my ($self) = @_;

    my $port = $self->{t}->port($self->{port});
    my @domain = sort keys %{ $self->{domains} };

    my %set = (
        hosts => '[ ' . join(', ', map { qq{"$_"} } @domain) . ' ]',
        loglevel => 'info',
        auth_method => 'internal',
        auth_password_format => 'scram',
        disable_sasl_mechanisms => '[ "digest-md5", "X-OAUTH2" ]',
        %{ $self->{set} },
    );

    my $text = join '', map { "$_: $set{$_}\n" }
                        grep { defined $set{$_} } sort keys %set;

    my @host = grep { $self->{domains}{$_} ne '' } @domain;

    $text .= "host_config:\n" if @host;
    $text .= qq{  "$_":\n} . _indented(4, $self->{domains}{$_}) for @host;

    my $more = _indented(4, $self->{listen});

    my $listen = join '', map { <<"END" . $more } '127.0.0.1', '::1';
  - port: $port
    ip: "$_"
    module: ejabberd_c2s
    starttls: false
END

    return $text . "listen:\n$listen" . _indented(2, $self->{more}) . <<'END'
modules:
  mod_disco: {}
  mod_ping: {}
  mod_roster: {}
  mod_stream_mgmt: {}
END
        . _indented(2, $self->{modules});
}


sub _indented {
    my ($columns, $text) = @_;

    my $space = ' ' x $columns;

    $text =~ s/^(?=.)/$space/gm;
    $text =~ s/(?<=[^\n])\z/\n/;

    return $text;
}

1;
