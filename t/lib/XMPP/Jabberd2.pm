package XMPP::Jabberd2;

# jabberd2, as docs/backends.md has it, as the backend.
#
#   my $server = XMPP::Jabberd2->new($t, { alice => 'password', ... });
#                               # example.test on port('backend') of address,
#                               # PLAIN offered without TLS
#
# Options of new: name => 'jabberd2'        its folder and its processes
#                 port => 'backend'
#                 address => '127.0.0.1'
#                 straight => 1             for clients that come without an
#                                           nginx: TLS of its own, on this port
#                                           and, direct, on port('..._direct')
#
#   $server->said               its log so far
#
# Everything it writes is in the test's folder.

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(sleep time);

use XMPP::Files;
use XMPP::Interop::Docs;
use XMPP::Process;

my @programs = qw(router sm c2s);


sub new {
    my ($class, $t, $users, %option) = @_;

    my $self = bless { name => 'jabberd2', port => 'backend',
                       address => '127.0.0.1', %option, t => $t }, $class;

    $self->{dir} = $t->dir . "/$self->{name}";
    mkdir $self->{dir} or die "$self->{dir}: $!\n";

    $self->_database($users);

    write_file("$self->{dir}/$_.xml", $self->_configuration($_))
        for @programs, 'router-users';

    for my $program (@programs) {
        my $process = XMPP::Process->start($t, "$self->{name}-$program",
            [ "jabberd2-$program", '-c', "$self->{dir}/$program.xml" ]);

        push @{ $self->{process} }, $process;

        XMPP::Process::listening($t->port("$self->{name}_router"), $process)
            if $program eq 'router';
    }

    # Clients are let in before there is a session manager for them.
    $self->_wait('sm', qr/ready for sessions|online/i);
    $self->_wait('c2s', qr/listening for|ready for connections/i);

    return $self;
}


sub _wait {
    my ($self, $program, $regex) = @_;

    my $log = "$self->{dir}/$program.log";
    my $end = time + XMPP::Process::timeout();

    until (-e $log && read_file($log) =~ $regex) {
        die "jabberd2: $program does not start\n", $self->said
            if time > $end;
        sleep 0.05;
    }
}


sub said {
    my ($self) = @_;

    return join '', map { -e $_ ? read_file($_) : '' }
                    map { "$self->{dir}/$_.log" } @programs;
}


sub _configuration {
    my ($self, $name) = @_;

    my $t = $self->{t};
    my $dir = $self->{dir};
    my $router = $t->port("$self->{name}_router");

    my $text = block("$name.xml");

    # Each has only some of these.
    $text =~ s/example\.org/example.test/g;
    $text =~ s{/(?:run|var/log|var/lib|etc)/jabberd2(?=/)}{$dir}g;
    $text =~ s{/usr/lib/[^/]+(?=/jabberd2)}{_libraries()}ge;
    $text =~ s/(?<=<port>)5347/$router/g;

    return $text if $name ne 'c2s';

    my $port = $t->port($self->{port});

    $text = adapted($text, qr/(?<=<ip>)127\.0\.0\.1(?=<\/ip>\s*<port>5322)/ =>
                               $self->{address},
                           qr/(?<=<port>)5322/ => $port);

    return $text if !$self->{straight};

    my $direct = $t->port("$self->{port}_direct");
    my $pem = "$dir/server.pem";

    write_file($pem, join '', map { read_file($_) } $t->certs->server);

    return adapted($text,
        qr/<id>(?=example)/ => "<id pemfile='$pem' require-starttls='mu'>",
        qr/(<port>\Q$port\E<\/port>)/ => "<port>$port</port>"
            . "<ssl-port>$direct</ssl-port><pemfile>$pem</pemfile>",
        qr/<\/mechanisms>/ => '</mechanisms>'
            . '<ssl-mechanisms><sasl><plain/></sasl></ssl-mechanisms>');
}


sub _libraries {
    my ($path) = glob '/usr/lib/*/jabberd2';

    defined $path or die "jabberd2 is not installed\n";

    return $path =~ s{/jabberd2$}{}r;
}


# Debian's tables, and the users.
sub _database {
    my ($self, $users) = @_;

    my $sql = `zcat /usr/share/doc/jabberd2/db-setup.sqlite.gz`;

    die "jabberd2: no tables\n" if $sql !~ /CREATE TABLE "authreg"/;

    for my $user (sort keys %$users) {
        my $hash = md5_hex("$user:example.test:$users->{$user}");
        $sql .= qq{INSERT INTO "authreg" VALUES('$user', 'example.test',}
                . qq{ '$hash');\n};
    }

    write_file("$self->{dir}/setup.sql", $sql);

    system("cd '$self->{dir}' && sqlite3 -bail sqlite.db < setup.sql"
           . ' > setup.out 2>&1') == 0
        or die "jabberd2: ", read_file("$self->{dir}/setup.out");
}

1;
