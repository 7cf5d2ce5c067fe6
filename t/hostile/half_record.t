#!/usr/bin/perl

# Half of a TLS record is on the way when the backend lets the client in: there
# is something to read, and still nothing that can be read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 3 * 4 + 1;

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Login;
use XMPP::Nginx;

my $t = XMPP::Nginx->new(log => 'info');
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

$t->start("mail {\n" . servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;')
          . "}\n");

my $n = 0;

for (grep { $_->[0] ne 'plain TCP' } transports()) {
    my ($name, %way) = @$_;

    $backend->script([ 'header' ], [ features => 'PLAIN' ], [ 'await' ],
                     [ 'credentials' ], [ 'echo' ]);
    $n++;

    my $c = login($t, %way);

    # nginx has read <auth/> when the backend has it.
    ok($backend->wait_event($n, 'header'), "$name: on the way");
    settled($c);

    $c->tls->write("\n<iq/>");
    my $record = $c->tls->out;

    $c->raw(substr $record, 0, 10);
    ok(settled($c), "$name: half a record");
    $backend->go($n);
    ok($c->read_until(qr/<success[^>]*>/), "$name: the client is let in");
    $c->raw(substr $record, 10);
    ok($c->read_until(qr{<iq/>}), "$name: and goes on");
    $c->close;
}

$t->finish;
