package XMPP::Build;

# Builds in a copy of the repository, which is the working folder from then on.
#
#   my $dir = copy(qw(auto src));   # its path; what was downloaded before is
#                                   # there as well
#   run(@command)           # its exit status; what it said is in $said
#   works($name, @command)  # one test: the status is 0
#   source()                # ("--nginx=...") for auto/configure: the release
#                           # under test, or TEST_NGINX_SOURCE
#   jobs()                  # "-jN"
#   without(@command)       # a PATH with all commands but these
#   try_conf($binary, $module)      # what "nginx -t" says of a configuration
#                           # with "protocol xmpp"; undef if it is good
#   try_conf($binary, $module, $conf)       # of this one

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use POSIX ();
use Test::More ();

use XMPP::Nginx;

our @EXPORT = qw(copy run works source jobs without try_conf $said);
our $said;

my $owner = $$;
my ($copy, $without);

# What the environment says of compilers is for other builds.
delete @ENV{qw(CC CFLAGS MAKEFLAGS MAKELEVEL)};


sub copy {
    my (@folder) = @_;

    my $top = XMPP::Nginx->top;

    # tests that run at the same time may look at the clock
    POSIX::nice(10);

    $copy = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1,
                               CLEANUP => !$ENV{TEST_NGINX_LEAVE});

    system('cp', '-R', (map { "$top/$_" } @folder), "$copy/") == 0
        or die "cp failed\n";

    mkdir "$copy/objs";
    mkdir "$top/objs";
    mkdir "$top/objs/sources";
    symlink "$top/objs/sources", "$copy/objs/sources" or die "symlink: $!\n";
    chdir $copy or die "$copy: $!\n";

    return "$copy";
}


# A folder is not removed while somebody is in it.
END { chdir '/' if $$ == $owner }


sub source {
    my $source = $ENV{TEST_NGINX_SOURCE};
    my $binary = $ENV{TEST_NGINX_BINARY};

    if (!defined $source && $binary
        && `"$binary" -v 2>&1` =~ m{nginx/(\d+\.\d+\.\d+)})
    {
        $source = $1;
    }

    return defined $source ? "--nginx=$source" : ();
}


sub jobs {
    chomp(my $jobs = `getconf _NPROCESSORS_ONLN`);

    return "-j$jobs";
}


sub works {
    my ($name, @command) = @_;

    return Test::More::is(run(@command), 0, $name)
           || (Test::More::diag($said =~ /((?:[^\n]*\n){0,20}\z)/), 0)[1];
}


sub run {
    my (@command) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    $said = do { local $/; <$out> } // '';
    close $out;

    return $? >> 8 || $? & 127;
}


# A PATH with all commands but some.
sub without {
    my (@not) = @_;

    my %not = map { $_ => 1 } @not;
    my $bin = "$copy/bin" . ++$without;

    mkdir $bin;

    for my $path (map { glob "$_/*" } grep { -d } split /:/, $ENV{PATH}) {
        my ($name) = $path =~ m{([^/]+)$};
        symlink $path, "$bin/$name" unless $not{$name};
    }

    return $bin;
}


sub try_conf {
    my ($binary, $module, $conf) = @_;

    local @ENV{qw(TEST_NGINX_BINARY TEST_NGINX_MODULE)} = ($binary, $module);

    my $t = XMPP::Nginx->new;
    $t->certs;

    return $t->conf_error($conf // <<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        starttls only;
    }
}
END
}

1;
