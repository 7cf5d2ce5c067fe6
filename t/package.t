#!/usr/bin/perl

# The Debian package, made and used as an administrator would, in a Debian 12
# and in a Debian 13 of its own: over Debian's mail module, while nginx runs,
# with a real client and a real server, until it is gone again.
#
# It takes minutes, needs root, and gets packages from where apt gets them, so
# t/run leaves it out unless it is asked for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Certs;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Root;

my %release = (bookworm => 12, trixie => 13);
my @suite = sort keys %release;
my $package = 'libnginx-mod-mail-xmpp';
my $deb = "/debs/${package}_*+xmpp";

plan tests => 1 + 58 * @suite;

$> == 0 or die "this test needs root: it makes a Debian with debootstrap\n";

my ($root, $name, $bob);
my $before = host();

for my $suite (@suite) {
    $name = "Debian $release{$suite}";
    $root = XMPP::Root->new($suite);
    package_in_use();
    undef $bob;
    undef $root;
}

is(host(), $before, 'the machine is as it was');


sub package_in_use {
    prepare();
    build();
    the_package();

    $root->start_services;
    $root->run('cp /etc/nginx/nginx.conf /');

    # nginx as it comes, with Debian's own mail module
    works('invoke-rc.d nginx start', 'stock nginx started');
    my $master = master();
    like(mapped($master), qr/^\S+ngx_mail_module\.so$/m,
         "$name: with Debian's mail module");

    # ours in its place
    works("apt-get install -y --no-install-recommends ${deb}1_*.deb",
          'package installed over libnginx-mod-mail');
    is(state('libnginx-mod-mail'), 'config-files',
       "$name: libnginx-mod-mail gave way");
    is(enabled(), '50-mod-mail-xmpp.conf', "$name: it is enabled");
    started_anew($master, 'installed');
    works('nginx -t', 'nginx takes its configuration');

    configure();
    works('invoke-rc.d nginx reload', 'reloaded with a mail block');
    works('invoke-rc.d prosody start', 'Prosody started');
    works('for n in $(seq 100); do ss -nlt | grep -q 127.0.0.1:5322 && exit;'
          . ' sleep 0.1; done; exit 1', 'Prosody listens');

    login('first');

    # bob stays while it is upgraded
    $bob = client('bob', 'starttls', 5222);
    ok($bob->wait_said(qr/^online bob\@/m), "$name: bob is logged in");

    $master = master();
    works("apt-get install -y ${deb}2_*.deb", 'upgraded');
    is(version(), '2', "$name: to the next version");
    started_anew($master, 'upgraded');
    login('upgraded');

    # and still has his connection
    my $alice = client('alice', 'direct', 5223);
    ok($alice->wait_said(qr/^online alice\@/m), "$name: alice is logged in");
    $alice->say('send bob@example.test still there?');
    ok($bob->wait_said(qr/still there\?$/m),
       "$name: bob is, in the old process");
    finish($alice, 'alice');
    finish($bob, 'bob');

    remove();
    purge();
}


sub prepare {
    is($root->install(qw(nginx libnginx-mod-mail libnginx-mod-stream prosody),
                      qw(python3-slixmpp openssl lintian)), 0,
       "$name: packages installed") or diag($root->said);

    my $top = XMPP::Nginx->top;

    system("mkdir '$root->{dir}/root/src' && cd '$top' && tar -cf -"
           . ' LICENSE auto conf contrib docs src t/real'
           . " | tar -xf - -C '$root->{dir}/root/src' --no-same-owner") == 0
        or die "could not copy the sources\n";
}


sub build {

    # As root it gets what it needs, and starts nothing.
    is($root->run('/src/contrib/debian/build --output=/debs --revision=1',
                  net => 1), 0, "$name: package built by root")
        or diag($root->said);
    like($root->said, qr{^/debs/$package\_\S+\+xmpp1_\w+\.deb$}m,
         "$name: and its name told");
    isnt($root->run('ls -l /proc/[0-9]*/exe | grep -e nginx -e prosody'), 0,
         "$name: nothing was started");

    # Another user has it all by now.  Built where he is, moved here.
    works('useradd -m builder && cp -R /src /home/builder/src'
          . ' && rm -rf /home/builder/src/objs/package'
          . ' && chown -R builder /home/builder/src', 'a user');
    is($root->run('cd /home/builder && setpriv --reuid builder --regid builder'
                  . ' --clear-groups env HOME=/home/builder'
                  . ' src/contrib/debian/build --revision=2', net => 1), 0,
       "$name: package built by a user") or diag($root->said);
    works('mv /home/builder/src/objs/debian/*.deb /debs/', 'and moved');
}


sub the_package {
    $root->run("dpkg-query -W -f '\${Depends}' libnginx-mod-mail");
    my ($abi) = $root->said =~ /(nginx-abi-[\w.-]+)/;

    $root->run("dpkg-query -W -f '\${Version}' libnginx-mod-mail");
    my $version = $root->said;

    $root->run("dpkg-deb -f ${deb}1_*.deb Depends Provides"
               . ' Conflicts Replaces Version');
    my $control = $root->said;

    like($control, qr/^Depends: (?:.*, )?\Q$abi\E(?:,|$)/m,
         "$name: depends on $abi");
    like($control, qr/^Provides: libnginx-mod-mail \(= \Q$version\E\)$/m,
         "$name: provides libnginx-mod-mail $version");
    like($control, qr/^Conflicts: libnginx-mod-mail$/m, "$name: conflicts");
    like($control, qr/^Replaces: libnginx-mod-mail$/m, "$name: replaces");
    like($control, qr/^Version: \Q$version\E\+xmpp1$/m, "$name: version");

    works('setpriv --reuid builder --regid builder --clear-groups env'
          . ' HOME=/home/builder lintian --fail-on error,warning /debs/*.deb',
          'lintian has no complaint');
    is($root->said, '', "$name: not even a warning");
}


sub configure {
    XMPP::Certs->new($root->path('/etc/nginx'));

    $root->write('/etc/nginx/sites-available/default', <<'END');
server {
    listen 127.0.0.1:9000;

    location / {
        add_header Auth-Status OK;
        add_header Auth-Server 127.0.0.1;
        add_header Auth-Port 5322;
        return 204;
    }
}
END
    my $conf = $root->read('/nginx.conf');

    $root->write('/etc/nginx/nginx.conf', $conf . <<'END');
mail {
    auth_http 127.0.0.1:9000/;
    xmpp_domain example.test;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;

    server { listen 127.0.0.1:5222; protocol xmpp; starttls only; }
    server { listen 127.0.0.1:5223 ssl; protocol xmpp; }
    server { listen 127.0.0.1:1143; protocol imap; }
}
END
    $root->write('/etc/prosody/prosody.cfg.lua', <<'END');
c2s_interfaces = { "127.0.0.1" }
c2s_ports = { 5322 }
c2s_direct_tls_ports = { }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
modules_enabled = { "roster", "saslauth", "posix" }
modules_disabled = { "s2s", "tls" }
pidfile = "/run/prosody/prosody.pid"
VirtualHost "example.test"
END
    works("prosodyctl register $_ example.test $_-pass", "account of $_")
        for qw(alice bob);
}


sub client {
    my ($user, $way, $port) = @_;

    return XMPP::Process->start($root, "$user.$port", [ $root->command(
        "exec python3 /src/t/real/client.py 127.0.0.1 $port $way"
        . " /etc/nginx/ca.crt $user\@example.test $user-pass") ]);
}


# Two tests for each way.
sub login {
    my ($when) = @_;

    for ([ 'starttls', 5222 ], [ 'direct', 5223 ]) {
        my ($way, $port) = @$_;
        my $alice = client('alice', $way, $port);

        ok($alice->wait_said(qr/^online alice\@example\.test/m),
           "$name: logged in when $when, $way");
        finish($alice, 'alice');
    }
}


sub finish {
    my ($client, $user) = @_;

    $client->finish_writing;
    is($client->wait_end, 0, "$name: $user has logged out");
}


# A reload would have kept the module that was loaded.
sub started_anew {
    my ($before, $when) = @_;

    my $master = master();

    isnt($master, $before, "$name: nginx is a new process when $when");
    unlike(mapped($master), qr/\(deleted\)/, "$name: with the new module");
}


sub remove {
    my $master = master();

    # a configuration with "mail" is the administrator's to change
    works('cp /nginx.conf /etc/nginx/', 'mail taken out of the configuration');
    works("apt-get remove -y $package", 'removed');
    is(enabled(), '', "$name: not enabled any more");
    works('nginx -t && invoke-rc.d nginx reload', 'nginx goes on without it');
    is(master(), $master, "$name: the same nginx");

    works("dpkg -i ${deb}2_*.deb", 'installed once more');
    is(enabled(), '50-mod-mail-xmpp.conf', "$name: it is enabled again");
    works('invoke-rc.d nginx restart', 'and nginx starts with it');
}


sub purge {
    works("apt-get purge -y $package", 'purged');
    $root->run("find /etc /usr /var -name '*mail-xmpp*' ! -path '/var/cache/*'"
               . " ! -path '/var/log/*'");
    is($root->said, '', "$name: nothing is left of it");

    works('apt-get install -y --no-install-recommends --no-download'
          . ' libnginx-mod-mail', "Debian's own mail module is back");
    is(enabled(), '50-mod-mail.conf', "$name: it is enabled");
    works('nginx -t && invoke-rc.d nginx restart', 'nginx starts with it');
    works('invoke-rc.d nginx stop && invoke-rc.d prosody stop', 'stopped');
}


sub works {
    my ($command, $what) = @_;

    is($root->run($command), 0, "$name: $what") or diag($root->said);
}


sub state {
    $root->run("dpkg-query -W -f '\${db:Status-Status}' $_[0]");

    return $root->said;
}


sub version {
    $root->run("dpkg-query -W -f '\${Version}' $package");

    return $root->said =~ /\+xmpp(\d+)$/ ? $1 : '';
}


# What nginx loads of the two; a link that leads nowhere would show, too.
sub enabled {
    $root->run('cd /etc/nginx/modules-enabled && ls | grep "mail.*conf$";'
               . ' find . -name "*.conf" -xtype l');

    return join ' ', split /\n/, $root->said;
}


sub master {
    return $root->read('/run/nginx.pid') =~ /^(\d+)$/ ? $1 : '';
}


sub mapped {
    my ($pid) = @_;

    $root->run("sed -n 's,.* \\(/.*/ngx_mail_module.*\\),\\1,p'"
               . " /proc/$pid/maps");

    return $root->said;
}


# What could have been changed by mistake.
sub host {
    return join '', map { scalar `$_ 2>&1` }
        q(cat /proc/self/mountinfo),
        q(dpkg-query -W -f '${Package} ${Version} ${Status}\n' 'nginx*' \
              'libnginx*' 'prosody*' lintian debhelper 2>&1),
        q(find /etc/nginx /usr/lib/nginx /usr/share/nginx /etc/prosody \
               -printf '%p %l %s %T@\n' 2>&1 | sort),
        q(ls -l /usr/sbin/policy-rc.d /run/nginx.pid /services 2>&1);
}
