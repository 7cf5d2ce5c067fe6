#!/usr/bin/perl

# A client that does not read while the server to which its stream is passed on
# goes on to talk: neither is read any more, and in the end all of it is there,
# in order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 2 * 3 + 1;

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

# More than a socket takes whose other end is not read.
use constant MUCH => 1_000_000;

my $t = XMPP::Nginx->new(log => 'info');
my ($crt, $key) = $t->certs->server;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    starttls on;

    server {
        listen 127.0.0.1:%{server_port} sndbuf=4k;
        protocol xmpp;
        xmpp_stream server;
        proxy_buffer 2m;
    }
}
END

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server'"
    . " xmlns:stream='http://etherx.jabber.org/streams' id='abc'"
    . " from='example.test' version='1.0'>";
my $large = '<x>' . 'y' x MUCH . '</x>';
my $result = '<db:result>1</db:result>';
my $n = 0;

for my $early (0, 1) {
    my $name = $early ? 'it talks meanwhile' : 'it is silent';

    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     [ send => "$header<stream:features>$large"
                               . '</stream:features>' ],
                     [ 'await' ], [ send => "<x xmlns='urn:x'/>" ],
                     [ expect => '</db:result>' ], [ send => '<last/>' ],
                     [ 'drain' ]);
    $n++;

    my $c = XMPP::Client->new($t->port('server'));

    # The first byte is there when nginx has begun, and then it can not end.
    $c->send(open_server());
    $c->_fill($c->{timeout});
    $c->send($result) if $early;
    $backend->go($n);
    select undef, undef, undef, 0.3 * $t->scale;

    my $got = $early ? '' : $c->read_until(qr{<x xmlns='urn:x'/>});
    $c->send($result) if !$early;
    $got .= $c->read_until(qr{<last/>}) // '';

    my $want = "$header<stream:features>" . STARTTLS
               . "$large</stream:features><x xmlns='urn:x'/><last/>";

    is(length $got, length $want, "$name: the client gets as much as it has");
    ok($got eq $want, "$name: in order");
    is($backend->bytes($n), open_server() . $result,
       "$name: and the backend has the rest");
    $c->close;
}

$t->finish;
