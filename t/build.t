#!/usr/bin/perl

# The build: auto/configure and make, in a copy of the repository.
#
# The nginx that is built is the release under test, from what was downloaded
# already if it was; TEST_NGINX_SOURCE names another, as --nginx= would.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 31;

use Time::HiRes ();

use XMPP::Build;

my $dir = copy(qw(auto src));
my $tree;

my @source = source();

# The least that takes part in a build, compiled with the least effort; the
# warnings of clang are the same without optimisation.
my @small = (@source, qw(--without-http --without-select_module),
             qw(--without-poll_module), '--with-cc-opt=-O0 -g0');
my @mail = (@small, qw(--with-mail --with-mail_ssl_module));


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
works('static: built', 'make', jobs());

$tree = (glob 'objs/nginx-*')[0];
ok(!-e 'objs/ngx_mail_module.so', 'static: no module file');
is(try_conf('objs/nginx'), undef, 'static: "protocol xmpp" is known');

works('help', 'auto/configure', '--help');
like($said, qr/--nginx=SOURCE.*--without-mail_xmpp_module/s,
     'help: our options and those of the patched nginx');


# What is up to date is left alone.

my %before = built();

works('again: configured', 'auto/configure', @static);
works('again: built', 'make', jobs());
is(changed(), '', 'again: nothing was made anew');

touch('src/mail/ngx_mail_xmpp_jid.c');
works('changed file: built', 'make', jobs());
is(changed(), 'src/mail/ngx_mail_xmpp_jid.o',
   'changed file: compiled, and nothing else');

touch('src/mail/ngx_mail_xmpp_parse.h');
works('changed header: built', 'make', jobs());
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
works('new patch: built', 'make', jobs());
is(changed(), 'nginx src/core/nginx.o',
   'new patch: what it touches is compiled, and nothing else');
run('objs/nginx', '-v');
like($said, qr/^patched version: /, 'new patch: it is in the program');

open my $bad, '>>', "$series/9999-test.patch" or die;
print $bad "--- a/src/core/nginx.c\n+++ b/src/core/nginx.c\n"
         . "@@ -1,2 +1,2 @@\n nothing like this\n-is there\n+at all\n";
close $bad;

isnt(run('make', jobs()), 0, 'a patch that does not apply: make fails');
like($said, qr/9999-test\.patch does not apply/, 'and says which');

unlink "$series/9999-test.patch";
works('patch removed: built', 'make', jobs());
run('objs/nginx', '-v');
like($said, qr/^nginx version: /, 'patch removed: it is gone');


# Installed below DESTDIR, here a relative one.

works('installed', 'make', 'install', 'DESTDIR=stage');
works('what was installed runs', 'stage/opt/n/sbin/nginx', '-V');
like($said, qr{built by clang .*--prefix=/opt/n\b}s,
     'and knows its compiler and prefix');
ok(-f 'stage/opt/n/conf/nginx.conf', 'with the configuration');


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
