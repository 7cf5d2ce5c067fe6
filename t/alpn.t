#!/usr/bin/perl

# ALPN: what is negotiated, what is refused, and which streams are accepted
# then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my ($CLIENT, $SERVER) = qw(xmpp-client xmpp-server);

# Each offer of a client, and what is chosen by a server with "xmpp_stream
# client", "server" and "any": undef if nothing is, and the handshake goes on,
# or an alert.
my $alert = 'alert';
my @offer = (
    [ undef,                            undef,   undef,   undef ],
    [ [ $CLIENT ],                      $CLIENT, $alert,  $CLIENT ],
    [ [ $SERVER ],                      $alert,  $SERVER, $SERVER ],
    [ [ $CLIENT, $SERVER ],             $CLIENT, $SERVER, $CLIENT ],
    [ [ $SERVER, $CLIENT ],             $CLIENT, $SERVER, $CLIENT ],
    [ [ 'h2', 'http/1.1', $CLIENT ],    $CLIENT, $alert,  $CLIENT ],
    [ [ 'h2', $SERVER, 'x' ],           $alert,  $SERVER, $SERVER ],
    [ [ 'h2' ],                         $alert,  $alert,  $alert ],
    [ [ 'http/1.1', 'imap' ],           $alert,  $alert,  $alert ],
    [ [ 'xmpp' ],                       $alert,  $alert,  $alert ],
    [ [ 'xmpp-clien', 'xmpp-client2' ], $alert,  $alert,  $alert ],
    [ [ 'XMPP-CLIENT', 'xmpp-Server' ], $alert,  $alert,  $alert ],
    [ [ "$CLIENT,$SERVER" ],            $alert,  $alert,  $alert ],
    [ [ "\x01\xff", 'x' x 200 ],          $alert,  $alert,  $alert ],
);

my @server = qw(client server any);
my @way = qw(direct starttls);
my @version = ('1.2', '1.3');

# Both kinds of streams are tried after each handshake that succeeds.
my $good = grep { ($_ // '') ne $alert } map { @$_[1 .. 3] } @offer;
my $bad = 3 * @offer - $good;

plan tests => @way * @version * ($good * 3 + $bad * 2)
              + @way * 2 * 3
              + @version * 10
              + 1;

my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

# A stream that is passed on comes back.
$backend->default([ 'echo' ]);

my $servers = join '', map {
    my $stream = $_;

    map { "server { listen 127.0.0.1:%{${_}_${stream}_port}"
          . ($_ eq 'direct' ? ' ssl' : '')
          . "; protocol xmpp; xmpp_stream $stream; starttls only; }\n" } @way
} @server;

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command NumTickets 1;
    ssl_session_cache shared:ssl:1m;

    $servers
}
END

my %tls = (ca => $certs->ca, name => 'example.test');

my %header = (client => open_stream(), server => open_server());
my %namespace = (client => header(),
                 server => server_header(to => 'peer.test'));

# What comes back to each kind of stream.
my %welcome = (client => header() . features(mechanisms => [ 'PLAIN' ]),
               server => open_server());


# A connection on which the handshake is next.
sub enter {
    my ($server, $way, $stream) = @_;

    my $c = XMPP::Client->new($t->port("${way}_$server"), one => 0);

    if ($way eq 'starttls') {
        $c->send($header{$stream});
        $c->read_until(qr/<\/stream:features>/) or die "no features\n";
        $c->send(STARTTLS);
        $c->read_until(qr/<proceed[^>]*>/) or die "no proceed\n";
    }

    return $c;
}


# What an error is sent in where only one kind of streams is accepted.
sub wrong_namespace {
    my ($accepted) = @_;

    my $header = $accepted eq 'server' ? server_header(from => undef)
                                       : header(from => undef);

    return $header . stream_error('invalid-namespace');
}


sub check {
    my ($name, $c, $accepted, $stream) = @_;

    $c->send($header{$stream});

    if ($accepted eq $stream || $accepted eq 'any') {
        $c->expect($welcome{$stream}, "$name: $stream stream");

    } else {
        $c->expect_end(wrong_namespace($accepted),
                       "$name: $stream stream, invalid-namespace");
    }

    $c->close;
}


sub accepted {
    my ($server, $chosen) = @_;

    return defined $chosen ? $chosen =~ s/^xmpp-//r : $server;
}


for my $way (@way) {
    for my $version (@version) {
        for my $i (0 .. 2) {
            my $server = $server[$i];

            # Before TLS nothing has been negotiated.
            my $first = $server eq 'server' ? 'server' : 'client';

            for (@offer) {
                my ($offer, $chosen) = @$_[0, $i + 1];
                my $shown = join ' ', $offer ? map { shown($_) } @$offer
                                             : 'none';
                my $name = "$way, TLS $version, xmpp_stream $server,"
                           . " offered: $shown";
                my %try = (%tls, version => $version, alpn => $offer);

                if (defined $chosen && $chosen eq $alert) {
                    my $c = enter($server, $way, $first);

                    $c->starttls(%try);
                    # OpenSSL's number for the alert 120
                    like($c->error, qr/error:0A000460:/, "$name: refused");
                    is($c->read_to_end, '', "$name: closed");
                    next;
                }

                for my $stream ('client', 'server') {
                    my $c = enter($server, $way, $first);

                    $c->starttls(%try) or diag $c->error;
                    is($c->tls->selected, $chosen, "$name: chosen")
                        if $stream eq 'client';
                    check($name, $c, accepted($server, $chosen), $stream);
                }
            }
        }
    }
}


sub shown {
    my ($name) = @_;

    $name = substr($name, 0, 5) . '...' if length $name > 40;

    return $name =~ s/([^\x21-\x7e])/sprintf '\\x%02x', ord $1/ger;
}


# With a header one byte at a time, and of the kind that was not first: what
# was said before TLS does not count.

for my $way (@way) {
    for my $alpn ($CLIENT, $SERVER) {
        my $stream = accepted('any', $alpn);
        my $other = $stream eq 'client' ? 'server' : 'client';

        for my $kind ($stream, $other) {
            my $c = enter('any', $way, $other);

            $c->starttls(%tls, alpn => [ $alpn ]) or diag $c->error;
            $c->{one} = 1;
            check("$way, $alpn", $c, $stream, $kind);
        }

        my $c = enter('any', $way, $other);

        $c->starttls(%tls, alpn => [ $alpn ]) or diag $c->error;
        $c->send("<stream:stream xmlns='jabber:component:accept'"
                 . " xmlns:stream='http://etherx.jabber.org/streams'>");
        $c->expect_end(wrong_namespace($stream), "$way, $alpn: a component");
    }
}


# A session that is resumed has no part in it: what counts is what the new
# connection offers.

for my $version (@version) {
    my $port = $t->port('direct_any');
    my %try = (%tls, version => $version);

    my $c = XMPP::Client->new($port, one => 0,
                              tls => { %try, alpn => [ $CLIENT ] });
    $c->send($header{client});
    $c->expect($welcome{client}, "$version: the session to be resumed");

    my $session = $c->tls->session;

    for my $case ([ [ $CLIENT ], $CLIENT ], [ [ $SERVER ], $SERVER ],
                  [ undef, undef ])
    {
        my ($offer, $chosen) = @$case;
        my $name = "$version, resumed, offered: "
                   . ($offer ? "@$offer" : 'none');

        my $c = XMPP::Client->new($port, one => 0,
            tls => { %try, alpn => $offer, session => $session });

        is_deeply([ $c->tls->reused, $c->tls->selected ], [ 1, $chosen ],
                  "$name: chosen");
        check($name, $c, accepted('any', $chosen), 'server');
    }

    my $server = accepted('any', $SERVER);
    my $d = XMPP::Client->new($port, one => 0,
        tls => { %try, alpn => [ $SERVER ], session => $session });
    check("$version, resumed, as a server", $d, $server, 'client');

    my $e = XMPP::Client->new($port, one => 0,
        tls => { %try, alpn => [ 'h2' ], session => $session });
    like($e->error, qr/error:0A000460:/, "$version, resumed: h2 is refused");
    is($e->read_to_end, '', "$version, resumed: closed");
}

$t->finish;
