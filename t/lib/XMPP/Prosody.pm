package XMPP::Prosody;

# Prosody (0.12 and later) as the backend.
#
#   my $server = XMPP::Prosody->new($t, { alice => 'password', ... });
#                               # example.test on port('backend'), 127.0.0.1
#                               # and ::1, PLAIN offered without TLS
#
# Options of new: name => 'prosody'         its folder and its process
#                 port => 'backend'
#                 domains => { 'example.test' => 'lines of its VirtualHost' }
#                 set => { option => 'value in Lua' }   global, undef: not set
#                 modules => [ 'name', ... ]            more of them
#
#   $server->said               its log so far
#   $server->file('accounts/alice.dat', 'example.test')
#                               what it has stored, undef if there is nothing
#
# Everything it writes is in the test's folder.

use strict;
use warnings;

use XMPP::Process;


sub new {
    my ($class, $t, $users, %option) = @_;

    my $self = bless { name => 'prosody', port => 'backend',
                       domains => { 'example.test' => '' }, set => {},
                       modules => [], %option, t => $t }, $class;

    $self->{dir} = $t->dir . "/$self->{name}";
    mkdir $self->{dir} or die "$self->{dir}: $!\n";

    for my $domain (keys %{ $self->{domains} }) {
        my $path = $self->_path($domain);

        mkdir $_ or die "$_: $!\n" for $path, "$path/accounts";

        # What prosodyctl would write, without starting it once a user.
        for my $user (keys %$users) {
            my $password = $users->{$user} =~ s/(["\\])/\\$1/gr;
            _write("$path/accounts/$user.dat",
                   qq{return { ["password"] = "$password"; };\n});
        }
    }

    _write("$self->{dir}/prosody.cfg.lua", $self->_configuration);

    $self->{process} = XMPP::Process->start($t, $self->{name},
        [ 'prosody', '-F', '--config', "$self->{dir}/prosody.cfg.lua" ]);

    XMPP::Process::listening($t->port($self->{port}), $self->{process});

    return $self;
}


sub said { $_[0]{process}->said }


sub file {
    my ($self, $name, $domain) = @_;

    open my $file, '<', $self->_path($domain) . "/$name" or return;
    local $/;

    return <$file>;
}


# Prosody's name for the folder of a domain.
sub _path {
    my ($self, $domain) = @_;

    my $folder = $domain =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger;

    return "$self->{dir}/$folder";
}


sub _configuration {
    my ($self) = @_;

    my $port = $self->{t}->port($self->{port});
    my $modules = join ', ', map { qq{"$_"} }
                  qw(roster saslauth disco smacks ping),
                  @{ $self->{modules} };

    my %set = (
        data_path => qq{"$self->{dir}"},
        certificates => qq{"$self->{dir}"},
        log => '{ { levels = { min = "info" }, to = "console",'
               . ' timestamps = false } }',
        run_as_root => 'true',

        interfaces => '{ "127.0.0.1", "::1" }',
        c2s_ports => "{ $port }",
        c2s_direct_tls_ports => '{ }',
        c2s_require_encryption => 'false',
        allow_unencrypted_plain_auth => 'true',

        authentication => '"internal_plain"',
        storage => '"internal"',

        modules_enabled => "{ $modules }",
        modules_disabled => '{ "s2s", "tls", "offline" }',

        %{ $self->{set} },
    );

    my $text = join '', map { "$_ = $set{$_}\n" }
                        grep { defined $set{$_} } sort keys %set;

    $text .= qq{VirtualHost "$_"\n$self->{domains}{$_}\n}
        for sort keys %{ $self->{domains} };

    return $text;
}


sub _write {
    my ($path, $text) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

1;
