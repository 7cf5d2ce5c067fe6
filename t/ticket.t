#!/usr/bin/perl

# TLS session tickets: none in the handshake, one for who has logged in and
# stays, and what the directives of nginx make of that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(sleep);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my ($crt, $key) = $t->certs->server;

# Directives of a server; what a client has after the features, and after the
# login.
my %server = (
    default => [ '', 0, 1 ],
    off => [ 'ssl_session_tickets off;', 0, 0 ],
    cache => [ 'ssl_session_tickets off; ssl_session_cache shared:S:1m;',
               0, 1 ],
    builtin => [ 'ssl_session_tickets off; ssl_session_cache builtin;', 0, 1 ],
    both => [ 'ssl_session_cache shared:S:1m;', 0, 1 ],
    none => [ 'ssl_session_cache off;', 0, 1 ],
    two => [ 'ssl_conf_command NumTickets 2;', 1, 1 ],
    nothing => [ 'ssl_conf_command numtickets 0;', 0, 0 ],
    starttls => [ 'starttls on;', 0, 1 ],
    pass => [ 'xmpp_auth none;', 0, 1 ],
);

plan tests => 6 * keys(%server) + 3;

my $conf = join '', map { <<"END" } sort keys %server;
    server {
        listen 127.0.0.1:%{${_}_port} @{[ $_ eq 'starttls' ? '' : 'ssl' ]};
        protocol xmpp;
        $server{$_}[0]
    }
END

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;

$conf
}
END

my %open;

for my $name (sort keys %server) {
    my ($directives, $before, $after) = @{ $server{$name} };

    my $c = client($name);
    is(resumes($name, $c), $before, "$name: after the features");

    $c = $open{$name} = client($name);
    $c->send(auth('PLAIN', plain('alice', 'secret')));
    ok($c->read_until(qr/<success[^>]*>/), "$name: logged in");
}

# Three seconds after the connection.
sleep 3.5;

for my $name (sort keys %server) {
    my $c = $open{$name};
    my $after = $server{$name}[2];

    # What comes behind the ticket has come.
    $c->send('<message/>');
    ok($c->read_until(qr/<message\/>/), "$name: still there");

    my $session = $c->tls->session;

    for my $n (1, 2) {
        my $again = client($name, session => $session);
        is($again->tls->reused, $after, "$name: login $n with its session");
    }

    is($c->tls->version, 'TLSv1.3', "$name: TLS 1.3");
}

# TLS 1.2 has its ticket in the handshake.
my $c = client('default', version => '1.2');
is($c->tls->version, 'TLSv1.2', 'TLS 1.2');
is(client('default', version => '1.2', session => $c->tls->session)
   ->tls->reused, 1, 'is resumed');

$t->finish;


sub client {
    my ($name, %tls) = @_;

    %tls = (version => '1.3', %tls);

    return greet($t, port => $name,
                 $name eq 'starttls' ? (starttls => \%tls) : (tls => \%tls));
}


sub resumes {
    my ($name, $c) = @_;

    return client($name, session => $c->tls->session)->tls->reused;
}
