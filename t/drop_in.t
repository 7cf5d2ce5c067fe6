#!/usr/bin/perl

# The mail module alone, for an nginx that is there already: auto/configure
# --drop-in, by a user who is not root.
#
# The nginx programs are built here, so that they differ as they do elsewhere.
# That of the distribution is tested by "t/run --drop-in", with all tests.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 35;

use XMPP::Build;
use XMPP::Files;
use XMPP::Nginx;

my $dir = copy(qw(auto src));

# Any user who is not root will do.  His downloads stay here.
my @user = $> != 0 ? ()
           : qw(setpriv --reuid 65534 --regid 65534 --clear-groups);

if (@user) {
    unlink 'objs/sources';
    system('cp', '-R', XMPP::Nginx->top . '/objs/sources', 'objs/') == 0
        or die "cp failed\n";
    system('chown', '-R', '65534:65534', $dir) == 0 or die "chown failed\n";
}

$ENV{HOME} = $dir;

# The least that takes part in a build.
my @small = (qw(--without-http --without-select_module --without-poll_module),
             qw(--with-mail=dynamic --with-mail_ssl_module --with-pcre),
             '--without-mail_xmpp_module');


# Somebody's nginx: built with a module that is not here any more, and with
# quotes among its options.

mkdir 'gone';
write_file('gone/config', 'ngx_addon_name=gone');

my @theirs = ('--with-compat', '--modules-path=/opt/their/modules',
              "--add-dynamic-module=$dir/gone",
              q{--with-cc-opt=-O0 -g0 -DONE='--with-mail' -DTWO='2'});

works('an nginx: configured', @user, 'auto/configure', source(), @small,
      @theirs);
works('an nginx: built', @user, 'make', jobs());
my $theirs = keep('theirs');
unlink 'gone/config';

works('drop-in: configured', @user, 'auto/configure', "--drop-in=$theirs");
like(read_file('objs/config'), qr/^source='objs\/sources\/\S+\.tar\.gz'$/m,
     'drop-in: from the release as it came out');
works('drop-in: built', @user, 'make', 'modules', jobs());
like($said, qr/^\Q$theirs\E has loaded this module.*^ +\Q$dir\E\/objs\/ngx_/ms,
     'drop-in: tested, and its place told');
ok(!-e 'objs/nginx', 'drop-in: no program is built');
is(conf_error($theirs), undef, 'drop-in: that nginx takes each protocol');

run(@user, 'auto/arguments', $theirs);
is($said, join('', map { "$_\n" } @small, @theirs),
   'options are read back as they were given');

works('drop-in: installed', @user, 'make', 'install', 'DESTDIR=stage');
is(mode('stage/opt/their/modules/ngx_mail_module.so'), '644',
   'drop-in: where that nginx has its modules');


# It is as good when asked for without a target.

unlink 'objs/ngx_mail_module.so';
works('drop-in: made again', @user, 'make', jobs());
like($said, qr/^\Q$theirs\E has loaded/m, 'drop-in: tested again');


# Without --with-compat it takes the same options, and not one more.

works('no compat: configured', @user, 'auto/configure', source(), @small,
      '--with-cc-opt=-O0 -g0');
works('no compat: built', @user, 'make', jobs());
my $strict = keep('strict');

works('no compat: drop-in configured', @user, 'auto/configure',
      "--drop-in=$strict");
works('no compat: drop-in built', @user, 'make', 'modules', jobs());
is(conf_error($strict), undef, 'no compat: it is loaded');

works('another signature: configured', @user, 'auto/configure',
      "--drop-in=$strict", '--with-threads');
isnt(run(@user, 'make', 'modules', jobs()), 0, 'another signature: refused');

my ($one, $other) = map { qr/^ +(\S+,[01]+)  \S*\Q$_\E$/m }
                    'strict', 'ngx_mail_module.so';
my ($first) = $said =~ $one;
my ($second) = $said =~ $other;
ok($first && $second && $first ne $second, 'another signature: both are named')
    or diag($said);
ok(!-e 'objs/ngx_mail_module.so', 'another signature: nothing to install');


# An nginx with the right signature may still find something wrong.

write_file('picky', "#!/bin/sh\n# $first\n"
           . "case \$1 in -[vV]) exec $strict \$1 ;; esac\n"
           . "echo 'module is of another version' >&2\nexit 1\n", 0755);
write_file('module.so', $first);
isnt(run(@user, 'auto/drop-in-test', "$dir/picky", 'module.so', 'x'), 0,
     'not loaded: refused');
like($said, qr/picky does not load this module:\nmodule is of another v/,
     'not loaded: what nginx said');
ok(!-e 'module.so', 'not loaded: nothing to install');


# An nginx that has its mail module built in, as "nginx -V" tells.

my $says = pretend('--prefix=/etc/nginx --with-compat --with-mail'
                   . ' --with-mail_ssl_module --with-stream');
isnt(run(@user, 'auto/configure', "--drop-in=$says"), 0,
     'static mail: refused');
like($said, qr/^auto\/configure: no drop-in for \Q$says\E: .*--with-mail/m,
     'static mail: and the reason');


# Of the options, those that matter to a module.

$says = pretend(q{--with-cc-opt='-O2 -fprefix-map=/build/n=. -fPIE'}
                . ' --with-ld-opt=-pie --prefix=/usr --builddir=/build/objs'
                . ' --with-compat --with-threads --with-debug'
                . ' --with-pcre=/build/pcre --with-zlib=/build/zlib'
                . ' --with-http_xslt_module --with-http_v2_module'
                . ' --with-http_perl_module=dynamic --with-perl=/opt/perl'
                . ' --add-module=/build/a --with-cc=/opt/no/such/cc'
                . ' --with-stream=dynamic --with-mail=dynamic'
                . ' --with-mail_ssl_module --without-mail_pop3_module');
run(@user, 'auto/drop-in', $says);
is($said, <<'END', 'options: the others are left out');
--with-cc-opt=-O2 -fprefix-map=/build/n=. -fPIC
--with-ld-opt=
--prefix=/usr
--with-compat
--with-threads
--with-debug
--with-pcre
--with-http_v2_module
--with-mail=dynamic
--with-mail_ssl_module
END

isnt(run(@user, 'auto/configure', '--drop-in=' . pretend(
         '--with-mail=dynamic --with-openssl=/build/openssl')), 0,
     'its own OpenSSL: refused');
like($said, qr/OpenSSL of its own.*\/build\/openssl$/m,
     'its own OpenSSL: and why');


# What is no nginx.

isnt(run(@user, 'auto/configure', "--drop-in=$dir/nowhere"), 0,
     'nothing: refused');
like($said, qr/there is no program \Q$dir\E\/nowhere$/m, 'nothing: named');
isnt(run(@user, 'auto/configure', '--drop-in=/bin/true'), 0,
     'no nginx: refused');


# The source package that the installed one was built of.  This version there
# never was, so the nearest has to do.

mkdir 'bin';
my ($release) = `$strict -v 2>&1` =~ m{nginx/([\d.]+)};
write_file('bin/dpkg-query', <<"END", 0755);
#!/bin/sh
case "\$1" in
    -S) echo "nginx: $strict" ;;
    *)  echo "nginx $release-99999" ;;
esac
END

{
    local $ENV{PATH} = "$dir/bin:$ENV{PATH}";

    works('package: configured', @user, 'auto/configure', "--drop-in=$strict");
    like($said, qr/nginx $release-99999 is not to be had, the nearest is ngin/,
         'package: the nearest is taken, and named');
}


# The program that was built, out of the way of the next build.
sub keep {
    my ($name) = @_;

    rename 'objs/nginx', $name or die "objs/nginx: $!\n";

    return "$dir/$name";
}


# A program that says of itself what "nginx -V" says.
sub pretend {
    my ($arguments) = @_;

    write_file('pretend', <<"END", 0755);
#!/bin/sh
cat << 'TEXT'
nginx version: nginx/1.26.3
TLS SNI support enabled
configure arguments: $arguments
TEXT
END

    return "$dir/pretend";
}


sub conf_error {
    my ($binary) = @_;

    return try_conf($binary, "$dir/objs/ngx_mail_module.so", <<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    server { listen 127.0.0.1:%{xmpp_port}; protocol xmpp; }
    server { listen 127.0.0.1:%{imap_port}; protocol imap; }
    server { listen 127.0.0.1:%{pop3_port}; protocol pop3; }
    server { listen 127.0.0.1:%{smtp_port}; protocol smtp; }
}
END
}


sub mode { sprintf '%o', ((stat $_[0])[2] // 0) & 0777 }


sub write_file {
    my ($path, $text, $mode) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
    chmod $mode, $path if $mode;
}
