#!/usr/bin/perl

# The last bytes of either side reach the other one, whichever closes, and
# whatever the other one does meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

use constant { BURST => 2_000_000, LAST => 1_000_000 };

my @way = transports();

plan tests => 4 + @way * 6 + 1;

my $t = XMPP::Nginx->new(log => 'info');

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

my $servers = servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;');

$t->start("mail {\n$servers}\n");

my $connection = 0;

# Bytes that nginx's kernel has are nginx's to deliver: the client's own kernel
# would drop what it still has when the backend talks to a closed socket.
sub lost {
    my ($times, $size, $close, $script, %way) = @_;

    my $burst = noise($size);
    my $want = digest($burst);
    my $lost = 0;

    for (1 .. $times) {
        $backend->script([ 'login' ], @$script);
        $connection++;

        my $c = enter($t, %way);
        $c->send($burst);
        settled($c) or die "nginx takes no more\n";
        $close->($c);

        my $moved = $backend->moved($connection);

        if (($moved->{got_digest} // '') ne $want) {
            diag('the backend got ', $moved->{got} // 'nothing') if !$lost++;
        }
    }

    return $lost;
}

my $close = sub { $_[0]->close };
my $sip = [ [ sip => 65536, 0.0005, 4000 ] ];

# In clear, many times over: this is a race.
is(lost(10, BURST, $close, [ [ sip => 65536, 0, 0 ] ]), 0,
   'burst and close');
is(lost(50, BURST, $close, $sip), 0,
   'burst and close, the backend is slow and sends meanwhile');
is(lost(10, BURST, sub { $_[0]->finish_writing }, $sip), 0,
   'burst and half close, the same');
is(lost(50, 300, $close, [ [ sip => 100, 0.001, 4000 ] ]), 0,
   'a message and close, the same');

for (@way) {
    my ($name, %way) = @$_;

    is(lost(5, BURST, $close, $sip, %way), 0,
       "$name: burst and close, the backend is slow and sends meanwhile");

    # The client has no more to say, and still listens.
    $backend->script([ 'login' ], [ expect => 'the end' ], [ drain => 8 ],
                     [ flood => LAST ]);
    my $c = enter($t, %way);
    $c->send('the end');
    $c->tls ? close_notify($c) : $c->finish_writing;
    my $got = $c->read_to_end;
    my $moved = $backend->moved(++$connection);
    is(digest($got), $moved->{sent_digest},
       "$name: the client half-closes and gets what comes");

    # The backend has its say and closes.
    $backend->script([ 'login' ], [ flood => LAST ]);
    $c = enter($t, %way);
    $got = $c->read_to_end;
    $moved = $backend->moved(++$connection);
    is(digest($got), $moved->{sent_digest}, "$name: the backend closes");

    $backend->script([ 'login' ], [ flood => LAST ], [ 'half' ],
                     [ drain => 8 ]);
    $c = enter($t, %way);
    $got = $c->read_to_end;
    $moved = $backend->moved(++$connection);
    is(digest($got), $moved->{sent_digest}, "$name: the backend half-closes");

    # The same to a client that is slow to read and sends meanwhile, until it
    # is told that nobody listens any more.
    $backend->script([ 'login' ], [ flood => LAST ], [ 'half' ],
                     [ drain => 8 ]);
    $c = enter($t, %way);
    $moved = $backend->moved(++$connection);
    ($got, my $chatter) = ('', 0);
    until ($c->ended || $c->tls && $c->tls->closed || $chatter++ > 1000) {
        $c->send('y' x 100);
        $c->_fill(0.01);
        select undef, undef, undef, 0.001;
    }
    $got = $c->read_to_end;
    is(digest($got), $moved->{sent_digest},
       "$name: the backend half-closes, the client is slow and talks");

    # A client that vanishes costs the backend its connection, not nginx.
    $backend->script([ 'login' ], [ drain => 8 ]);
    $c = enter($t, %way);
    $c->reset;
    ok($backend->wait_event(++$connection, 'eof'),
       "$name: a reset reaches the backend");
}

$t->finish;

# Ends the client's side of TLS and leaves the connection as it is.
sub close_notify {
    my ($c) = @_;

    $c->tls->close;
    $c->raw($c->tls->out);
}
