#!/usr/bin/perl

# Streams of other servers: "xmpp_stream", the header, what may come before
# TLS, and what the auth service is asked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server'"
    . " xmlns:stream='http://etherx.jabber.org/streams'"
    . " xmlns:db='jabber:server:dialback' id='backend' from='example.test'";
my $features = '<stream:features><dialback'
    . " xmlns='urn:xmpp:features:dialback'/></stream:features>";
my $result = "<db:result from='peer.test' to='example.test'>a1</db:result>";
my $valid = "<db:result from='example.test' to='peer.test' type='valid'/>";

my %kind = (client => \&open_stream, server => \&open_server);

# Name, attributes of the header; what the auth service is told of the
# domain and of the peer, or a stream error, the header's "from" and "to".
my @case = (
    [ 'to and from', {}, 'example.test', 'peer.test' ],
    [ 'no from', { from => undef }, 'example.test', undef ],
    [ 'capitals and dots', { to => 'Example.TEST.', from => 'PEER.test.' },
      'example.test', 'peer.test' ],
    [ 'addresses', { to => '[::1]', from => '192.0.2.7' }, '[::1]',
      '192.0.2.7' ],
    [ 'not ASCII', { from => 'za&#x17c;.test' }, 'example.test',
      "za\xc5\xbc.test" ],
    [ 'no dialback', { 'xmlns:db' => undef }, 'example.test', 'peer.test' ],
    [ 'version 1.1', { version => '1.1' }, 'example.test', 'peer.test' ],

    [ 'no version', { version => undef }, 'example.test', 'peer.test' ],
    [ 'version 0.9', { version => '0.9' }, 'example.test', 'peer.test' ],
    [ 'no version, no to', { version => undef, to => undef }, undef,
      'peer.test' ],
    [ 'no version, no addresses',
      { version => undef, to => undef, from => undef }, undef, undef ],

    [ 'no to', { to => undef }, \'improper-addressing', undef, undef ],
    [ 'an empty to', { to => '' }, \'improper-addressing', undef, undef ],
    [ 'a bad to', { to => 'a b' }, \'improper-addressing', undef, undef ],
    [ 'a user for to', { to => 'a@b.test' }, \'improper-addressing', undef,
      undef ],
    [ 'a bad to, no version', { to => 'a b', version => undef },
      \'improper-addressing', undef, undef ],
    [ 'another domain', { to => 'blue.test' }, \'host-unknown', undef,
      undef ],
    [ 'another domain, no version', { to => 'blue.test', version => undef },
      \'host-unknown', undef, undef ],
    [ 'an empty from', { from => '' }, \'invalid-from', 'example.test',
      undef ],
    [ 'a user for from', { from => 'a@peer.test' }, \'invalid-from',
      'example.test', undef ],
    [ 'a bad from', { from => "a&#10;b" }, \'invalid-from',
      'example.test', undef ],
    [ 'a hostile from', { from => "p'&quot;&lt;>" =~ s/'/&apos;/r },
      \'invalid-from', 'example.test', undef ],
    [ 'another namespace', { xmlns => 'jabber:component:accept' },
      \'invalid-namespace', undef, undef ],
    [ 'no namespace', { xmlns => undef }, \'invalid-namespace', undef,
      undef ],
);

# What comes before TLS where it is required.
my @before = (
    [ 'dialback', $result, 'policy-violation' ],
    [ 'verification', "<db:verify from='a' to='b' id='1'>x</db:verify>",
      'policy-violation' ],
    [ '<auth/>', auth('EXTERNAL', ''), 'policy-violation' ],
    [ 'a stanza', "<message to='a'/>", 'policy-violation' ],
    [ 'unknown', "<x xmlns='y'/>", 'policy-violation' ],
    [ 'text', 'x', 'bad-format' ],
    [ 'another header', open_server() =~ s/<\?.*?\?>//r, 'policy-violation' ],
);

# ports with their "xmpp_stream", by default "client"
my %stream = (default => [ 'client' ], client => [ 'client' ],
              server => [ 'server' ], any => [ qw(client server) ]);

my $good = grep { !ref $_->[2] } @case;

plan tests => $good * 2 * (2 + 2 + 1) + (@case - $good) * 2 * 2
              + @before * 2 * 2 + 4 * 2 * 2 + 2 * 3 + 4 + 3 + 1;

my $t = XMPP::Nginx->new;
my ($crt, $key) = $t->certs->server;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $servers = join '', map { <<"END" } sort keys %stream;
    server {
        listen 127.0.0.1:%{${_}_port};
        protocol xmpp;
        @{[ $_ eq 'default' ? '' : "xmpp_stream $_;" ]}
        xmpp_auth @{[ $_ eq 'server' ? 'plain' : 'none' ]};
    }

END

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    xmpp_domain example.test [::1];

$servers
    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        xmpp_stream any;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{plain_port};
        protocol xmpp;
        xmpp_stream any;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
        xmpp_stream server;
    }
}
END


for my $case (@case) {
    my ($name, $attribute, $to, @more) = @$case;

    if (ref $to) {
        my ($from, $peer) = @more;

        for my $port ('server', 'direct') {
            my $c = XMPP::Client->new($t->port($port),
                                      $port eq 'direct' ? (tls => {}) : ());

            $c->send(open_server(%$attribute));
            $c->expect_end(server_header(from => $from)
                           . stream_error($$to), "$name, $port");
        }

        talk_to_end($t->port('server'), $name, open_server(%$attribute) =>
                    server_header(from => $from) . stream_error($$to));
        next;
    }

    twice {
        my $n = $backend->count + 1;
        my $m = $auth->count + 1;

        $backend->script([ expect => '<stream:stream[^>]*>' ],
                         [ send => "$header>" ],
                         [ expect => '</db:result>' ], [ send => $valid ],
                         [ drain => 9 ]);

        my $c = XMPP::Client->new($t->port('server'));

        $c->send(open_server(%$attribute));
        $c->expect("$header>", "$name: passed on");

        my $request = $auth->request($m)->{header};

        is_deeply([ map { $request->{"auth-$_"} } qw(method user xmpp-stream
                                                     xmpp-domain xmpp-from) ],
                  [ 'none', '', 's2s', $to, $more[0] ],
                  "$name: auth request");

        # Relayed, not read.
        $c->send($result);
        is($c->read_until(qr/<db:result[^>]*>/), $valid, "$name: dialback");
        is($backend->bytes($n), open_server(%$attribute) . $result,
           "$name: as it came");
        is(scalar(() = $t->log =~ /client logged in/g), 0,
           "$name: nobody logged in");
    };
}

for my $case (@before) {
    my ($name, $bytes, $condition) = @$case;

    talk_to_end($t->port('only'), "before TLS: $name",
                open_server() => server_header(to => 'peer.test')
                                 . features(starttls => 'required'),
                $bytes => stream_error($condition));
}

# Which streams are accepted.
for my $port (sort keys %stream) {
    for my $kind (qw(client server)) {
        my $refused = !grep { $_ eq $kind } @{ $stream{$port} };
        my $ours = $port eq 'server' ? \&server_header : \&header;

        $backend->script([ expect => '<stream:stream[^>]*>' ],
                         [ send => "$header>" ], [ drain => 9 ])
            if !$refused;

        my $n = $auth->count;
        my $c = XMPP::Client->new($t->port($port));

        $c->send($kind{$kind}->());
        $refused ? $c->expect_end($ours->(from => undef)
                                  . stream_error('invalid-namespace'),
                                  "xmpp_stream $port: a $kind")
                 : $c->expect("$header>", "xmpp_stream $port: a $kind");
        is($auth->count - $n, $refused ? 0 : 1,
           "xmpp_stream $port: auth requests for a $kind");
    }
}

# STARTTLS, with another domain behind it.
for my $change ([], [ from => 'other.test' ]) {
    my $n = $auth->count + 1;
    my $c = XMPP::Client->new($t->port('only'));

    $c->send(open_server());
    $c->expect(server_header(to => 'peer.test')
               . features(starttls => 'required'), 'STARTTLS: features');
    $c->send(STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/);
    $c->starttls;

    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     [ send => "$header version='1.0'>$features" ],
                     [ drain => 9 ]);

    $c->send(open_server(@$change));
    $c->expect("$header version='1.0'>$features", 'STARTTLS: passed on');
    is($auth->request($n)->{header}{'auth-xmpp-from'},
       $change->[1] || 'peer.test', 'STARTTLS: the header that counts');
}

# A server from before XMPP 1.0 has no STARTTLS.
{
    my $n = $auth->count;
    my $c = XMPP::Client->new($t->port('only'));

    $c->send(open_server(version => undef));
    $c->expect_end(server_header(to => 'peer.test')
                   . stream_error('policy-violation'),
                   'no version where TLS is required');
    is($auth->count, $n, 'no version where TLS is required: nobody is asked');
    like($t->log, qr/client sent no version, connection is not encrypted/,
         'no version where TLS is required: logged');
}

# Errors of nginx itself are those of a server's stream.
{
    my $c = XMPP::Client->new($t->port('direct'), tls => {});

    $c->send('<x>');
    $c->expect_end(server_header(from => undef)
                   . stream_error('invalid-namespace'), 'an error: header');
}

# Clients beside servers are logged in where "xmpp_auth" says so.
{
    my $c = XMPP::Client->new($t->port('plain'));

    $c->send(open_stream());
    $c->expect(header() . features(mechanisms => [ 'PLAIN' ]),
               'a client beside servers: features');
    $c->send(auth('PLAIN', plain('alice', 'secret')));
    $c->expect(SUCCESS, 'a client beside servers: success');
    is($auth->request($auth->count)->{header}{'auth-xmpp-stream'}, 'c2s',
       'a client beside servers: kind of the stream');
}

$t->finish;
