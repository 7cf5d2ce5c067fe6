package XMPP::Prosody;

# Prosody (0.12 and later) as the backend.
#
#   my $server = XMPP::Prosody->new($t, { alice => 'password', ... });
#                               # example.test on port('backend'), 127.0.0.1
#                               # and ::1, PLAIN offered without TLS
#
# Everything it writes is in the test's folder.

use strict;
use warnings;

use XMPP::Process;


sub new {
    my ($class, $t, $users) = @_;

    my $self = bless { t => $t, dir => $t->dir . '/prosody' }, $class;
    my $accounts = "$self->{dir}/example%2etest/accounts";

    mkdir $_ or die "$_: $!\n" for $self->{dir},
                                   "$self->{dir}/example%2etest", $accounts;

    # What prosodyctl would write, without starting it once a user.
    for my $user (keys %$users) {
        my $password = $users->{$user} =~ s/(["\\])/\\$1/gr;
        _write("$accounts/$user.dat",
               qq{return { ["password"] = "$password"; };\n});
    }

    _write("$self->{dir}/prosody.cfg.lua", $self->_configuration);

    $self->{process} = XMPP::Process->start($t, 'prosody',
        [ 'prosody', '-F', '--config', "$self->{dir}/prosody.cfg.lua" ]);

    XMPP::Process::listening($t->port('backend'), $self->{process});

    return $self;
}


sub _configuration {
    my ($self) = @_;

    my $port = $self->{t}->port('backend');

    return <<"END";
data_path = "$self->{dir}"
certificates = "$self->{dir}"
log = { { levels = { min = "info" }, to = "console", timestamps = false } }
run_as_root = true

interfaces = { "127.0.0.1", "::1" }
c2s_ports = { $port }
c2s_direct_tls_ports = { }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true

authentication = "internal_plain"
storage = "internal"

modules_enabled = { "roster", "saslauth", "disco", "smacks", "ping" }
modules_disabled = { "s2s", "tls", "offline" }

VirtualHost "example.test"
END
}


sub _write {
    my ($path, $text) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

1;
