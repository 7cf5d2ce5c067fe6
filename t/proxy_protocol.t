#!/usr/bin/perl

# The PROXY protocol, from a balancer and to the backend.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 4 * (2 * 4) + 2 * 2 + 5 * 2 * 3 + 3 * 2 + 1;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t, proxy_protocol => 1);
my $bare = XMPP::Backend->new($t, name => 'bare');

my $servers = servers($t, '');

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    proxy_protocol on;
    $servers

    server {
        listen 127.0.0.1:%{balanced_port} proxy_protocol;
        protocol xmpp;
        proxy_protocol off;
        auth_http 127.0.0.1:%{auth_port}/auth;
    }

    server {
        listen 127.0.0.1:%{real_port} proxy_protocol;
        protocol xmpp;
        set_real_ip_from 127.0.0.1;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{stranger_port} proxy_protocol;
        protocol xmpp;
        set_real_ip_from 127.0.0.2;
    }

    server {
        listen 127.0.0.1:%{realdirect_port} proxy_protocol ssl;
        protocol xmpp;
        set_real_ip_from 127.0.0.0/8;
    }
}
END

my ($connection, $n) = (0, 0);
my $login = auth('PLAIN', plain('alice', 'secret'));

# To the backend: first of all, and only once.

for (transports()) {
    my ($name, %way) = @$_;

    twice {
        my $c = enter($t, %way);
        my $one = $c->{one} ? ', one byte at a time' : '';
        my $from = $c->{socket}->sockport;
        my $at = $t->port($way{port} || 'client');
        $connection++;

        my $line = "PROXY TCP4 127.0.0.1 127.0.0.1 $from $at\r\n";

        is($backend->login($connection)->{proxy}, $line,
           "$name: the backend gets the line$one");
        like($backend->bytes($connection),
             qr/\A\Q$line\E<\?xml version='1\.0'\?><stream:stream [^>]*><auth/,
             "$name: and the stream behind it$one");
        is(() = $backend->bytes($connection) =~ /PROXY/g, 1,
           "$name: once$one");
        $c->send('<r/>');
        $c->expect('<r/>', "$name: relayed");
        $c->close;
        $n++;
    };
}

# One that does not expect it, and says so.
twice {
    $backend->script([ 'proxy' ], [ send => '<' ], [ 'close' ]);
    $connection++;
    $n++;

    my $c = login($t);
    my $one = $c->{one} ? ', one byte at a time' : '';

    $c->expect_end(refused('temporary-auth-failure'),
                   'a backend that closes behind the line');
    like(join("\n", errors($t)), qr/upstream prematurely closed connection/,
         "logged$one");
};

# From a balancer.

sub told {
    my ($name) = @_;

    my $header = $auth->request(++$n)->{header};
    my %told = map { $_ => $header->{$_} }
                   grep { /^(?:client-ip|proxy-protocol-.*)$/ } keys %$header;

    is_deeply(\%told, $_[1], $name);
}

my %from = (
    'PROXY TCP4 192.0.2.7 198.51.100.8 40000 5222'
        => [ '192.0.2.7', 40000, '198.51.100.8', 5222 ],
    'PROXY TCP6 2001:db8::7 2001:db8::8 40001 5223'
        => [ '2001:db8::7', 40001, '2001:db8::8', 5223 ],
);

sub protocol {
    my ($addr, $port, $server_addr, $server_port) = @_;

    return ('proxy-protocol-addr' => $addr, 'proxy-protocol-port' => $port,
            'proxy-protocol-server-addr' => $server_addr,
            'proxy-protocol-server-port' => $server_port);
}

for my $case ([ 'not the real address', 'balanced', 'bare', 0 ],
              [ 'the real address', 'real', 'backend', 1 ],
              [ 'the address is not believed', 'stranger', 'backend', 0 ])
{
    my ($name, $port, $to, $believed) = @$case;

    for my $line ($port eq 'stranger' ? (sort keys %from)[0]
                                      : sort keys %from)
    {
        my @from = @{ $from{$line} };

        twice {
            $auth->answer('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                          'Auth-Port' => $t->port($to));

            my $c = XMPP::Client->new($t->port($port));
            my $one = $c->{one} ? ', one byte at a time' : '';

            # nginx takes the line in one piece, as the protocol says.
            $c->raw("$line\r\n");
            select undef, undef, undef, 0.05;
            greeting($c);
            $c->send($login);
            $c->expect(SUCCESS, "$name, $line: logged in");

            told("$name, $line: the auth service is told$one", {
                'client-ip' => $believed ? $from[0] : '127.0.0.1',
                protocol(@from) });

            if ($to eq 'bare') {
                like($bare->bytes($bare->count), qr/\A<\?xml/,
                     "$name, $line: the backend has no line$one");

            } else {
                $connection++;

                my @line = $believed ? @from[0, 1]
                                     : ('127.0.0.1', $c->{socket}->sockport);
                my $family = $line[0] =~ /:/ ? 6 : 4;

                is($backend->login($connection)->{proxy},
                   "PROXY TCP$family $line[0] 127.0.0.1 $line[1] "
                   . $t->port($port) . "\r\n",
                   "$name, $line: the backend gets a line$one");
            }

            $c->close;
        };
    }
}

# With STARTTLS and with direct TLS behind the line.
for my $case ([ 'STARTTLS', 'real' ], [ 'direct TLS', 'realdirect' ]) {
    my ($name, $port) = @$case;

    my $c = XMPP::Client->new($t->port($port));

    $c->raw("PROXY TCP4 192.0.2.9 198.51.100.8 40002 5223\r\n");

    if ($port eq 'real') {
        greeting($c);
        $c->send(STARTTLS);
        $c->expect(PROCEED, "$name: agreed");
    }

    $c->starttls or die $c->error;
    greeting($c);
    $c->send($login);
    $c->expect(SUCCESS, "$name: logged in behind the line");
    $connection++;
    told("$name: the auth service is told", { 'client-ip' => '192.0.2.9',
         protocol('192.0.2.9', 40002, '198.51.100.8', 5223) });
    $c->close;
}

# No line, where one is needed.
{
    my $c = XMPP::Client->new($t->port('real'), one => 0);
    $c->send(open_stream());
    is($c->read_to_end, '', 'a client without a line is closed');
}

$t->finish;


sub greeting {
    my ($c) = @_;

    $c->send(open_stream());
    $c->read_until(qr/<\/stream:features>/) or die "no features\n";
}
