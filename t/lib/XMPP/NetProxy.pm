package XMPP::NetProxy;

# Prosody's mod_net_proxy, which takes the PROXY protocol.
#
#   XMPP::NetProxy::folder()    # for plugin_paths
#
# It comes with Debian's package prosody-modules, since Debian 13.  What is in
# there is Lua, and fits older Prosodies: so on Debian 12 the package of 13 is
# unpacked in objs/, and not installed.  Call this before the network is left.

use strict;
use warnings;

use Cwd ();
use Fcntl qw(:flock);
use File::Basename ();
use File::Copy ();
use File::Temp ();

my $top = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $installed = '/usr/lib/prosody/modules';


sub folder {
    return $installed if -d "$installed/mod_net_proxy";

    my $kept = "$top/objs/test/prosody-modules";

    for (qw(objs objs/test objs/test/prosody-modules)) {
        mkdir "$top/$_";
    }

    open my $lock, '>', "$kept/lock" or die "$kept/lock: $!\n";
    flock $lock, LOCK_EX;

    _fetch($kept) if !-e "$kept/mod_net_proxy.lua";

    return $kept;
}


sub _fetch {
    my ($kept) = @_;

    my $dir = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1);
    my $said = '';

    for my $suite (qw(trixie testing unstable)) {
        $said .= `cd "$dir" && ln -sfn "$top/auto" auto && (
            set -e
            config=\$(auto/apt-config $suite)
            sed -i 's/^Types: deb-src/Types: deb/' "\${config%/*}"/parts/*
            export APT_CONFIG="\$config"
            apt-get -q update
            apt-get -q download prosody-modules
            dpkg-deb -x prosody-modules_*.deb unpacked
        ) < /dev/null 2>&1`;

        # Complete, or not there at all.
        my $file = "$dir/unpacked$installed/mod_net_proxy/mod_net_proxy.lua";
        next if !-e $file;

        File::Copy::copy($file, "$kept/new") or die "$kept/new: $!\n";
        rename "$kept/new", "$kept/mod_net_proxy.lua" or die "rename: $!\n";
        return;
    }

    die "no package prosody-modules with mod_net_proxy\n$said";
}

1;
