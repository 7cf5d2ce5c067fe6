#!/usr/bin/perl

# What a session that is being relayed still holds: what nginx needs for two
# connections, nothing of the login, and no buffers while there is nothing in
# them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 6;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

use constant { SESSIONS => 150, BUFFER => 4096 };

# A debug log takes time, and memory for its buffers.
my $t = XMPP::Nginx->new(log => 'info');

# A sanitizer would keep what is freed.
$ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0'
                      . ':thread_local_quarantine_size_kb=0';

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth plain login cram-md5;
    xmpp_client_buffer @{[ BUFFER ]};
    proxy_buffer @{[ BUFFER ]};

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

# The worker's first sessions make it load and keep what all others share.
my @first = map { enter($t) } 1 .. 40;

my $master = $t->pid;
my ($worker) = split ' ', slurp("/proc/$master/task/$master/children");

my $before = memory();
my @c = map { enter($t) } 1 .. SESSIONS;
my $session = (memory() - $before) / SESSIONS;

note(sprintf 'a session takes %.0f bytes', $session);

# The small pool of the connection, and the session.  A sanitizer puts red zones
# about each piece.
my $most = $t->{built} =~ /-fsanitize=/ ? 6000 : 2300;

cmp_ok($session, '>', 800, 'that is a session');
cmp_ok($session, '<', $most, 'and little else');

# Nor after there was something.
my $text = 'x' x 20_000;
my $echoed = 0;

for my $c (@c) {
    $c->send("$text<end/>");
    $echoed++ if $c->read_until(qr/<end\/>/) eq "$text<end/>";
}

is($echoed, SESSIONS, 'all sessions have moved something');

my $after = (memory() - $before) / SESSIONS;

note(sprintf 'and %.0f bytes after traffic', $after);
cmp_ok($after, '<', $most + 2 * 16384 / SESSIONS, 'the buffers are gone');

# None of them leaves anything behind: others take their place.
undef @c;
@c = map { enter($t) } 1 .. SESSIONS;

my $again = memory();
cmp_ok($again - $before, '<', SESSIONS * $most + 2 * 16384,
       'no more after many sessions');

$t->finish;


sub slurp {
    my ($path) = @_;

    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;

    return <$file>;
}


sub memory {
    slurp("/proc/$worker/smaps_rollup") =~ /^Private_Dirty: +(\d+) kB/m
        or die "no number\n";

    return $1 * 1024;
}
