#!/usr/bin/perl

# nginx's options that concern us, with gcc and clang: all is compiled without
# a warning, and what was built does what it was built for.
#
# Warnings are errors in nginx's own configure.  Those of gcc depend on the
# optimisation, those of clang do not.  clang makes modules for the program of
# gcc here, as somebody does who has nginx already; --with-compat is for this.
#
# More is built elsewhere: by clang, a whole nginx in t/build.t; with the http
# server, the nginx of t/export.t, and that of t/run, which .ci/run has made by
# both compilers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 61;

use XMPP::Auth;
use XMPP::Build;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

copy(qw(auto src));

my @all = (source(), qw(--without-http --without-select_module),
           '--without-poll_module');
my @gcc = (@all, '--with-cc=gcc', '--with-cc-opt=-O2 -g0');
my @clang = (@all, '--with-cc=clang', '--with-cc-opt=-O0 -g0');

my @dynamic = qw(--with-mail=dynamic --with-threads);
my @ssl = qw(--with-mail_ssl_module);
my $module = 'objs/ngx_mail_module.so';

my $threads = "thread_pool two threads=2;\n";
my $http = 'http { access_log off;'
           . " server { listen 127.0.0.1:%{http_port}; } }\n";
my $imap = 'mail { auth_http 127.0.0.1:%{auth_port}; server {'
           . " listen 127.0.0.1:%{imap_port}; protocol imap; } }\n";


# gcc

build('gcc', 'build', @gcc, @dynamic, @ssl,
      qw(--with-compat --prefix=/opt/n));
warning_fails('gcc', 'build');

works('gcc: installed', 'make', 'install', 'DESTDIR=stage');
ok(-f 'stage/opt/n/modules/ngx_mail_module.so', 'gcc: with the module');

# not removed by the next build
my $program = 'stage/opt/n/sbin/nginx';

login('gcc', $program, $module, ssl => 1, debug => 0);
is(try_conf($program, $module, $threads), undef, 'gcc, threads: known');
like(try_conf($program, $module, $http), qr/unknown directive "http"/,
     'gcc, without http: refused');

build('gcc, without XMPP', 'modules', @gcc, @dynamic, @ssl,
      qw(--with-compat --without-mail_xmpp_module));
ok(!-e 'objs/nginx', 'gcc, without XMPP: nothing but the modules');
symbols('gcc, without XMPP', 0);
is(try_conf($program, $module, $imap), undef,
   'gcc, without XMPP: IMAP is known');
like(try_conf($program, $module), qr/unknown protocol "xmpp"/,
     'gcc, without XMPP: "protocol xmpp" is refused');

build('gcc, without SSL', 'build', @gcc, qw(--with-mail --with-debug));
ok(!-e $module, 'gcc, static: no module file');
unlike((run('objs/nginx', '-V'), $said)[1], qr/OpenSSL/,
       'gcc, without SSL: none used');
without_ssl('gcc', 'objs/nginx');
login('gcc, without SSL', 'objs/nginx', undef, ssl => 0, debug => 1);
like(try_conf('objs/nginx', undef, $threads),
     qr/unknown directive "thread_pool"/, 'gcc, without threads: refused');


# clang

build('clang', 'modules', @clang, @dynamic, @ssl,
      qw(--with-compat --with-debug));
warning_fails('clang', 'modules');
login('clang', $program, $module, ssl => 1, debug => 1);

build('clang, without SSL', 'modules', @clang, @dynamic, '--with-compat');
symbols('clang, without SSL', 1);
without_ssl('clang', $program, $module);
login('clang, without SSL', $program, $module, ssl => 0, debug => 0);

build('clang, without XMPP', 'modules', @clang, @dynamic, @ssl,
      '--without-mail_xmpp_module');
symbols('clang, without XMPP', 0);
like(try_conf($program, $module), qr/is not binary compatible/,
     'clang, without --with-compat: refused');


sub build {
    my ($name, $target, @option) = @_;

    works("$name: configured", 'auto/configure', @option);

    my ($tree) = glob 'objs/nginx-*/objs/Makefile';
    open my $makefile, '<', $tree or die "$tree: $!\n";
    like(do { local $/; <$makefile> }, qr/^CFLAGS = .* -Wall .*-Werror/m,
         "$name: warnings are errors");

    works("$name: built", 'make', $target, jobs());
}


# They are for real: this one stops the build.
sub warning_fails {
    my ($name, $target) = @_;

    my $file = 'src/mail/ngx_mail_xmpp_module.c';
    my $size = -s $file;

    open my $out, '>>', $file or die "$file: $!\n";
    print $out "static int  ngx_mail_xmpp_of_no_use;\n";
    close $out;

    isnt(run('make', $target, jobs()), 0, "$name, a warning: make fails");
    like($said, qr/error: .*ngx_mail_xmpp_of_no_use.*-Werror/,
         "$name, a warning: it was an error");

    truncate $file, $size;
    works("$name, no warning: built", 'make', $target, jobs());
}


sub symbols {
    my ($name, $xmpp) = @_;

    run('nm', $module);

    like($said, qr/ngx_mail_imap_module/, "$name: IMAP is in the module");

    if ($xmpp) {
        like($said, qr/ngx_mail_xmpp_/, "$name: XMPP as well");
    } else {
        unlike($said, qr/xmpp/, "$name: nothing of XMPP");
    }
}


sub without_ssl {
    my ($name, @file) = @_;

    like(try_conf(@file), qr/unknown directive "ssl_certificate"/,
         "$name, without SSL: a certificate is refused");
}


sub login {
    my ($name, @file) = splice @_, 0, 3;
    my (%with) = @_;

    local @ENV{qw(TEST_NGINX_BINARY TEST_NGINX_MODULE)} = @file;

    my $t = XMPP::Nginx->new(log => 'debug');
    my $certs = $t->certs;
    my $auth = XMPP::Auth->new($t);

    my $ssl = $with{ssl} ? 'ssl_certificate server.crt;'
              . ' ssl_certificate_key server.key; starttls only;' : '';

    $auth->answer('Auth-Status' => 'no');
    $t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    $ssl

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream());

    if ($with{ssl}) {
        $c->expect(header() . features(starttls => 'required'),
                   "$name: STARTTLS");
        $c->send(STARTTLS);
        $c->read_until(qr/\Q${\ PROCEED}\E/);
        $c->starttls(ca => $certs->ca, name => 'example.test')
            or diag $c->error;
        $c->send(open_stream());
    }

    $c->expect(header() . features(mechanisms => [ 'PLAIN' ]),
               "$name: mechanisms");
    $c->send(auth('PLAIN', plain('alice', 'wonder')));
    $c->expect_end(refused('not-authorized', 'no'),
                   "$name: the auth server's answer");

    # the module's own lines: the program may be of another kind
    my $log = $t->log;

    if ($with{debug}) {
        like($log, qr/\[debug\] .* xmpp /, "$name: debug lines");
    } else {
        unlike($log, qr/\[debug\] .* xmpp /, "$name: no debug lines");
    }

    $t->finish;
}
