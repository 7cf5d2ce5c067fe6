package XMPP::Root;

# A small Debian in a temporary folder, for what changes a system.
#
#   my $root = XMPP::Root->new('bookworm');     # by debootstrap, as root
#   $root->run('nginx -t')      a command for the shell in there; its status
#   $root->said                 all that it has printed
#   $root->install('nginx')     packages, from where the machine gets its own
#   $root->start_services       from here on its services are started
#   $root->command('prosody')   what to execute for this command in there
#   $root->path('/etc/nginx')   where that is
#
# Commands see processes of their own, a /dev of their own, and a network with
# nothing but loopback; with net => 1 the machine's network, where services are
# never started.  All processes end with the test, and the folder is removed.
# Packages that were downloaded are kept in objs/debs.
#
# It may stand for an XMPP::Nginx where XMPP::Process wants one.

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Copy ();
use File::Temp ();
use IO::Handle ();
use POSIX ();
use Scalar::Util qw(weaken);

use XMPP::Nginx;

my $top = XMPP::Nginx->top;

# Runs as the first process, whose mounts nobody else sees.  It has to wait for
# whoever loses his parent; at last it tells its number, as seen from outside.
my $first = <<'END';
    set -e
    cd "$1"
    mount -t proc proc proc
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/shm
    mount -t tmpfs tmpfs dev/shm
    for node in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
    done
    ln -s /proc/self/fd dev/fd
    ln -s fd/0 dev/stdin
    ln -s fd/1 dev/stdout
    ln -s fd/2 dev/stderr
    ip link set lo up
    exec "$2" -e '$| = 1; $SIG{CHLD} = "IGNORE"; print readlink "/proc/self";
                  print "\n"; sleep while 1'
END


sub new {
    my ($class, $suite) = @_;

    my $self = bless { suite => $suite, own => [], said => '',
                       dir => File::Temp::tempdir('nginx-xmpp-XXXXXX',
                                                  TMPDIR => 1) }, $class;

    chmod 0755, $self->{dir};
    mkdir "$self->{dir}/$_" or die "$_: $!\n" for qw(root files);

    chdir $top or die "$top: $!\n";
    $self->{debs} = "$top/objs/debs/$suite";
    system('mkdir', '-p', $self->{debs}) == 0 or die "mkdir failed\n";

    $self->_debootstrap;
    $self->_configure;
    $self->_enter;

    # an index of manual pages, made anew again and again, is of no use
    $self->run('echo man-db man-db/auto-update boolean false'
               . ' | debconf-set-selections') == 0 or die $self->said;

    return $self;
}


sub dir  { "$_[0]{dir}/files" }
sub path { "$_[0]{dir}/root$_[1]" }
sub said { $_[0]{said} }
sub own  { push @{ $_[0]{own} }, $_[1]; weaken $_[0]{own}[-1] }


# One at a time: they share the packages.
sub _locked {
    my ($self, $work) = @_;

    open my $lock, '>', "$top/objs/debs/lock" or die "lock: $!\n";
    flock $lock, LOCK_EX or die "lock: $!\n";

    return $work->();
}


sub _debootstrap {
    my ($self) = @_;

    $self->{sources} = `auto/apt-root $self->{suite}`;

    my ($from) = $self->{sources} =~ /^URIs: (\S+)\nSuites: $self->{suite}$/m
        or die "apt has no place that has Debian's $self->{suite}\n";

    # not a mount of it is seen outside
    my @command = (qw(setpriv --pdeathsig KILL -- unshare -m -p -f),
                   qw(--kill-child --propagation private --),
                   qw(debootstrap --variant=minbase),
                   "--cache-dir=$self->{debs}", $self->{suite},
                   $self->path(''), $from);

    chomp(my $proxy = `apt-config dump --format '%v' Acquire::http::Proxy`);
    local $ENV{http_proxy} = $proxy if $proxy;

    $self->_locked(sub { $self->_execute(@command) }) == 0
        or die "debootstrap failed:\n$self->{said}\n";
}


sub _configure {
    my ($self) = @_;

    $self->write('/etc/apt/sources.list', '');
    $self->write('/etc/apt/sources.list.d/debian.sources', $self->{sources});
    $self->write('/etc/apt/apt.conf.d/90machine',
                 scalar `apt-config dump | grep ^Acquire::`);

    # nothing here has to outlive a crash
    $self->write('/etc/dpkg/dpkg.cfg.d/quick', "force-unsafe-io\n");

    $self->write('/usr/sbin/policy-rc.d',
                 "#!/bin/sh\ntest -e /services || exit 101\n");
    chmod 0755, $self->path('/usr/sbin/policy-rc.d');

    for my $file (qw(/etc/hosts /etc/resolv.conf)) {
        File::Copy::copy($file, $self->path($file)) or die "$file: $!\n";
    }
}


sub _enter {
    my ($self) = @_;

    pipe(my $in, my $out) or die "pipe: $!\n";

    $self->{unshare} = fork // die "fork: $!\n";

    if ($self->{unshare} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $out;
        open STDERR, '>', "$self->{dir}/first";
        exec qw(setpriv --pdeathsig KILL -- unshare -m -p -n -f --kill-child),
             qw(--propagation private -- sh -c), $first, 'sh', $self->path(''),
             $^X or POSIX::_exit(127);
    }

    close $out;
    chomp($self->{first} = <$in> // '');
    $self->{first}
        or die "could not enter $self->{dir}:\n", `cat "$self->{dir}/first"`;
}


sub command {
    my ($self, $command, %option) = @_;

    return ('nsenter', '-t', $self->{first}, '-m', '-p',
            $option{net} ? () : '-n', '--', 'chroot', $self->path(''),
            qw(env -i HOME=/root LC_ALL=C.UTF-8),
            'DEBIAN_FRONTEND=noninteractive',
            'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '-c', $command);
}


sub run {
    my ($self, $command, %option) = @_;

    return $self->_execute($self->command($command, %option));
}


sub _execute {
    my ($self, @command) = @_;

    # Not a pipe: services that a command has started hold it open.
    open my $file, '+>', "$self->{dir}/said" or die "said: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $file;
        open STDERR, '>&', $file;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    $self->{running} = $pid;
    waitpid $pid, 0;
    my $status = $?;
    delete $self->{running};

    seek $file, 0, 0;
    $self->{said} = do { local $/; <$file> } // '';

    return $status >> 8 || $status & 127;
}


sub install {
    my ($self, @package) = @_;

    my $archives = $self->path('/var/cache/apt/archives');

    return $self->_locked(sub {
        $self->_archives($self->{debs}, $archives);

        # A list is needed once.
        my $status = $self->{updated} ? 0
                     : $self->run('apt-get update', net => 1);

        $self->{updated} = 1 if $status == 0;
        $status ||= $self->run('apt-get install -y --no-install-recommends '
                               . "@package", net => 1);

        $self->_archives($archives, $self->{debs});

        return $status;
    });
}


sub _archives {
    my ($self, $from, $to) = @_;

    for my $deb (glob "$from/*.deb") {
        my ($name) = $deb =~ m{([^/]+)$};

        next if -e "$to/$name";
        File::Copy::copy($deb, "$to/$name.part")
            && rename "$to/$name.part", "$to/$name"
            or die "$to/$name: $!\n";
    }
}


sub start_services { $_[0]->write('/services', '') }


sub read {
    my ($self, $path) = @_;

    open my $file, '<', $self->path($path) or return '';
    local $/;

    return <$file> // '';
}


sub write {
    my ($self, $path, $text) = @_;

    open my $file, '>', $self->path($path) or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}


# With their first process all end, and with them the mounts are gone.
sub DESTROY {
    my ($self) = @_;

    local ($., $@, $!, $?);

    $_->stop for grep { defined } @{ $self->{own} };

    for my $pid (grep { defined } @$self{qw(running unshare)}) {
        kill 'KILL', split ' ', `cat /proc/$pid/task/$pid/children`;
        waitpid $pid, 0;
    }

    if ($ENV{TEST_NGINX_LEAVE}) {
        print STDERR "# folder: $self->{dir}\n";
    } else {
        system 'rm', '-rf', '--one-file-system', $self->{dir};
    }
}

1;
