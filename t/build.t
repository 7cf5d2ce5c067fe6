#!/usr/bin/perl

# The build: auto/configure and make with the usual options, in a copy of the
# repository.
#
# The nginx that is built is the release under test, from what was downloaded
# already if it was; TEST_NGINX_SOURCE names another, as --nginx= would.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 46;

use File::Temp ();
use POSIX ();
use Time::HiRes ();

use XMPP::Auth;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $top = XMPP::Nginx->top;
my $dir = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1,
                             CLEANUP => !$ENV{TEST_NGINX_LEAVE});
chomp(my $jobs = `getconf _NPROCESSORS_ONLN`);
my ($said, $tree);

# What the environment says of compilers is for other builds.
delete @ENV{qw(CC CFLAGS MAKEFLAGS MAKELEVEL)};

my @source = source();

# The least that takes part in a build, compiled with the least effort.
my @small = (@source, qw(--without-http --without-select_module),
             qw(--without-poll_module), '--with-cc-opt=-O0 -g0');
my @mail = (@small, qw(--with-mail --with-mail_ssl_module));

system('cp', '-R', "$top/auto", "$top/src", "$dir/") == 0 or die "cp failed\n";
mkdir "$dir/objs";
symlink "$top/objs/sources", "$dir/objs/sources" if -d "$top/objs/sources";
chdir $dir or die "$dir: $!\n";


# What is missing is said at once, in one go, before anything is fetched.

{
    local $ENV{PATH} = without(qw(cc gcc make patch dpkg-source));

    isnt(run('auto/configure', @mail), 0, 'without tools: refused');
    like($said, qr/^    (?:sudo )?apt-get install gcc make patch\b/m,
         'without tools: their packages are named');
    ok(!-e 'Makefile', 'without tools: no Makefile');
}

isnt(run('auto/configure', '--nginx=1.22.1', '--with-cc-opt=-nostdinc',
         '--with-mail', '--with-mail_ssl_module'), 0,
     'without headers: refused');
like($said, qr/install libc6-dev libpcre2-dev libssl-dev zlib1g-dev$/m,
     'without headers: their packages are named');

isnt(run('auto/configure', @mail, '--with-cc=nocc'), 0,
     'without the compiler: refused');
like($said, qr/missing here: nocc$/m, 'without the compiler: it is named');


# A static mail module, by clang.

my @static = (@mail, qw(--with-cc=clang --prefix=/opt/n));

works('static: configured', 'auto/configure', @static);
works('static: built', 'make', "-j$jobs");

$tree = (glob 'objs/nginx-*')[0];
ok(!-e 'objs/ngx_mail_module.so', 'static: no module file');
is(test_conf("$dir/objs/nginx"), undef, 'static: "protocol xmpp" is known');

works('help', 'auto/configure', '--help');
like($said, qr/--nginx=SOURCE.*--without-mail_xmpp_module/s,
     'help: our options and those of the patched nginx');


# What is up to date is left alone.

my %before = built();

works('again: configured', 'auto/configure', @static);
works('again: built', 'make', "-j$jobs");
is(changed(), '', 'again: nothing was made anew');

touch('src/mail/ngx_mail_xmpp_jid.c');
works('changed file: built', 'make', "-j$jobs");
is(changed(), 'src/mail/ngx_mail_xmpp_jid.o',
   'changed file: compiled, and nothing else');

touch('src/mail/ngx_mail_xmpp_parse.h');
works('changed header: built', 'make', "-j$jobs");
like(changed(), qr{src/mail/ngx_mail_xmpp_handler\.o},
     'changed header: compiled');


# A patch that comes, and goes again.

my ($release) = $tree =~ /-([\d.]+)$/;
chomp(my $series = `auto/series $release`);

system("sed 's/nginx version: /patched version: /' $tree/src/core/nginx.c"
       . " > new.c; diff -u $tree/src/core/nginx.c new.c"
       . " | sed -e '1s,.*,--- a/src/core/nginx.c,'"
       . " -e '2s,.*,+++ b/src/core/nginx.c,' > $series/9999-test.patch");

%before = built();
works('new patch: built', 'make', "-j$jobs");
is(changed(), 'nginx src/core/nginx.o',
   'new patch: what it touches is compiled, and nothing else');
run('objs/nginx', '-v');
like($said, qr/^patched version: /, 'new patch: it is in the program');

open my $bad, '>>', "$series/9999-test.patch" or die;
print $bad "--- a/src/core/nginx.c\n+++ b/src/core/nginx.c\n"
         . "@@ -1,2 +1,2 @@\n nothing like this\n-is there\n+at all\n";
close $bad;

isnt(run('make', "-j$jobs"), 0, 'a patch that does not apply: make fails');
like($said, qr/9999-test\.patch does not apply/, 'and says which');

unlink "$series/9999-test.patch";
works('patch removed: built', 'make', "-j$jobs");
run('objs/nginx', '-v');
like($said, qr/^nginx version: /, 'patch removed: it is gone');


# Installed below DESTDIR, here a relative one.

works('installed', 'make', 'install', 'DESTDIR=stage');
works('what was installed runs', 'stage/opt/n/sbin/nginx', '-V');
like($said, qr{built by clang .*--prefix=/opt/n\b}s,
     'and knows its compiler and prefix');
ok(-f 'stage/opt/n/conf/nginx.conf', 'with the configuration');


# A dynamic one, by gcc.

my @dynamic = (@small, qw(--with-mail=dynamic --with-mail_ssl_module),
               qw(--prefix=/opt/n));

works('dynamic: configured', 'auto/configure', @dynamic);
works('dynamic: built', 'make', "-j$jobs");

$ENV{TEST_NGINX_MODULE} = "$dir/objs/ngx_mail_module.so";
is(test_conf("$dir/objs/nginx"), undef,
   'dynamic: the module is loaded, "protocol xmpp" is known');

works('dynamic: installed', 'make', 'install', "DESTDIR=$dir/stage");
ok(-f 'stage/opt/n/modules/ngx_mail_module.so', 'dynamic: with the module');


# Without ours: a mail module as it was, for the program made before.

rename 'objs/nginx', 'nginx' or die "objs/nginx: $!\n";

works('without XMPP: configured', 'auto/configure', @dynamic,
      '--without-mail_xmpp_module');
works('without XMPP: built', 'make', 'modules', "-j$jobs");
ok(!-e 'objs/nginx', 'without XMPP: nothing but the modules');
like(test_conf("$dir/nginx"), qr/unknown protocol "xmpp"/,
     'without XMPP: "protocol xmpp" is refused');


# Without TLS: the module still works.

works('no SSL: configured', 'auto/configure', @small, '--with-mail', '--with-debug');
works('no SSL: built', 'make', "-j$jobs");
unlike((run('objs/nginx', '-V'), $said)[1], qr/OpenSSL/, 'no SSL: none used');
session();


END { chdir '/' }


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


sub works {
    my ($name, @command) = @_;

    is(run(@command), 0, $name)
        or diag($said =~ /((?:[^\n]*\n){0,20}\z)/);
}


# Runs a command; its exit status.  What it said is in $said.
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

    mkdir "$dir/bin";

    for my $path (map { glob "$_/*" } grep { -d } split /:/, $ENV{PATH}) {
        my ($name) = $path =~ m{([^/]+)$};
        symlink $path, "$dir/bin/$name" unless $not{$name};
    }

    return "$dir/bin";
}


# What the program says of a configuration with XMPP; undef if it is good.
sub test_conf {
    my ($binary) = @_;

    local $ENV{TEST_NGINX_BINARY} = $binary;

    my $t = XMPP::Nginx->new;
    $t->certs;

    return $t->conf_error(<<'END');
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


# A login in clear.
sub session {
    local $ENV{TEST_NGINX_BINARY} = "$dir/objs/nginx";

    my $t = XMPP::Nginx->new;
    my $auth = XMPP::Auth->new($t);

    $auth->answer('Auth-Status' => 'no');
    $t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream());
    $c->expect(header() . features(mechanisms => [ 'PLAIN' ]),
               'no SSL: mechanisms, no STARTTLS');
    $c->send(auth('PLAIN', plain('alice', 'wonder')));
    $c->expect_end(refused('not-authorized', 'no'), 'no SSL: refused');
    $t->finish;
}


# The objects and the program, with the times they were made.
sub built {
    my %built;

    for my $path (glob("$tree/objs/src/*/*.o"), 'objs/nginx') {
        my $name = $path =~ s{^(?:$tree/)?objs/}{}r;
        $built{$name} = (Time::HiRes::stat($path))[9];
    }

    return %built;
}


# Those that are newer than when asked last.
sub changed {
    my %after = built();

    my @changed = grep { $after{$_} != ($before{$_} // 0) } sort keys %after;
    %before = %after;

    return "@changed";
}


sub touch {
    my ($path) = @_;

    open my $file, '>>', $path or die "$path: $!\n";
    print $file "\n";
    close $file;
}
