#!/usr/bin/perl

# Streams that are not passed on: refused by the auth service, broken, or
# without a backend.

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

my @condition = qw(bad-format bad-namespace-prefix conflict connection-timeout
    host-gone host-unknown improper-addressing internal-server-error
    invalid-from invalid-namespace invalid-xml not-authorized not-well-formed
    policy-violation remote-connection-failed reset resource-constraint
    restricted-xml system-shutdown undefined-condition unsupported-encoding
    unsupported-feature unsupported-stanza-type unsupported-version);

my $no_location = 'auth http server did not send location';
my $bad_location = 'auth http server sent invalid location';

# Name, headers of the answer, stream error, what is logged as an error.
my @refusal = (
    map({ [ $_, [ 'Auth-Error-Code' => $_ ], [ $_, 'no' ] ] } @condition),
    [ 'no code', [], [ 'not-authorized', 'no' ] ],
    [ 'an unknown code', [ 'Auth-Error-Code' => 'go-away' ],
      [ 'not-authorized', 'no' ] ],
    [ 'a SASL condition', [ 'Auth-Error-Code' => 'account-disabled' ],
      [ 'not-authorized', 'no' ] ],
    [ 'a code in capitals', [ 'Auth-Error-Code' => 'HOST-UNKNOWN' ],
      [ 'not-authorized', 'no' ] ],
    [ 'half a code', [ 'Auth-Error-Code' => 'host-unknow' ],
      [ 'not-authorized', 'no' ] ],
    [ 'markup for a code', [ 'Auth-Error-Code' => "x/><y xmlns='z'" ],
      [ 'not-authorized', 'no' ] ],
    [ 'a server too', [ 'Auth-Server' => '127.0.0.1', 'Auth-Port' => 25 ],
      [ 'not-authorized', 'no' ] ],
    [ 'an empty status', [ 'Auth-Status' => '' ], [ 'not-authorized' ] ],
    [ 'a hostile status', [ 'Auth-Status' => q{</text><a b="&amp;'">%s %n} ],
      [ 'not-authorized',
        '&lt;/text&gt;&lt;a b=&quot;&amp;amp;&apos;&quot;&gt;%s %n' ] ],
    [ 'a status that is not UTF-8', [ 'Auth-Status' => "caf\xe9 \xc0\xaf" ],
      [ 'not-authorized', "caf\xef\xbf\xbd \xef\xbf\xbd" ] ],

    # Elsewhere.
    map({ [ "see-other-host: $_->[0]",
            [ 'Auth-Error-Code' => 'see-other-host',
              'Auth-XMPP-Location' => $_->[0] ],
            [ 'see-other-host', 'no', $_->[1] ] ] }
        [ ('xmpp.example.test') x 2 ], [ ('[2001:db8::1]:5222') x 2 ],
        [ ('192.0.2.7:9222') x 2 ],
        [ q{a'"<>&b}, 'a&apos;&quot;&lt;&gt;&amp;b' ]),
    [ 'see-other-host: the header first',
      [ 'Auth-XMPP-LOCATION' => 'a.test',
        'Auth-Error-Code' => 'see-other-host' ],
      [ 'see-other-host', 'no', 'a.test' ] ],
    [ 'see-other-host: no location', [ 'Auth-Error-Code' => 'see-other-host' ],
      [ 'not-authorized', 'no' ], $no_location ],
    [ 'see-other-host: an empty location',
      [ 'Auth-Error-Code' => 'see-other-host', 'Auth-XMPP-Location' => '' ],
      [ 'not-authorized', 'no' ], $no_location ],
    [ 'see-other-host: a space',
      [ 'Auth-Error-Code' => 'see-other-host',
        'Auth-XMPP-Location' => 'a.test b.test' ],
      [ 'not-authorized', 'no' ], $bad_location, $no_location ],
    [ 'see-other-host: another header',
      [ 'Auth-Error-Code' => 'see-other-host',
        'Auth-XMPP-Locatio' => 'a.test', 'Auth-XMPP-Locations' => 'b.test' ],
      [ 'not-authorized', 'no' ], $no_location ],
    [ 'a location for nothing',
      [ 'Auth-Error-Code' => 'host-unknown', 'Auth-XMPP-Location' => 'a.test' ],
      [ 'host-unknown', 'no' ] ],
);

# What fails before somebody is asked.
my @broken = (
    [ 'no domain', open_stream(to => undef), 'improper-addressing', undef ],
    [ 'no domain, no version', open_stream(to => undef, version => undef),
      'improper-addressing', undef ],
    [ 'a bad domain', open_stream(to => 'a..b'), 'improper-addressing',
      undef ],
    [ 'no version', open_stream(version => undef), 'unsupported-version',
      'example.test' ],
    [ 'a server', open_server(), 'invalid-namespace', undef ],
    [ 'another namespace', open_stream(xmlns => 'jabber:x'),
      'invalid-namespace', undef ],
    [ 'no stream', "<iq xmlns='jabber:client'/>", 'invalid-namespace', undef ],
    [ 'a DTD', '<!DOCTYPE x>', 'restricted-xml', undef ],
    [ 'a header that is too large', open_stream(to => 'x' x 5000),
      'policy-violation', undef ],
    [ 'a header that never ends',
      '<stream:stream ' . join('', map { "a$_='b' " } 1 .. 20),
      'connection-timeout', undef ],
    [ 'no header', '', 'connection-timeout', undef ],
);

my $closed = 'upstream prematurely closed connection';
my $reset = 'recv() failed (104: Connection reset by peer)';
my @read = [ expect => '<stream:stream\b[^>]*>' ];

my @backend = (
    [ 'closes at once', qr/\Q$closed\E|\Q$reset\E/, [ 'close' ] ],
    [ 'closes on the header', qr/\Q$closed\E/, @read, [ 'close' ] ],
    [ 'resets', qr/\Q$reset\E/, @read, [ 'reset' ] ],
    [ 'sends no more', qr/\Q$closed\E/, @read, [ 'half' ], [ drain => 9 ] ],
    [ 'is silent', qr/upstream timed out/, [ drain => 9 ] ],
);

my @auth = (
    [ 'closes', qr/./, '' ],
    [ 'sends no header', qr/sent invalid header in response/,
      "HTTP/1.0 200 OK\r\n\x01\r\n\r\n" ],
    [ 'names no server', qr/did not send server or port/,
      "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n\r\n" ],
    [ 'names a host', qr/invalid server address/,
      "HTTP/1.0 200 OK\r\nAuth-Server: localhost\r\nAuth-Port: 1\r\n\r\n" ],
    [ 'names a bad port', qr/invalid server port/,
      "HTTP/1.0 200 OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 0\r\n\r\n" ],
);

plan tests => @refusal * (2 + 1) + @broken * 2 + 1 + 2 + @backend * 2
              + @auth + 7 + 2 + 8 + 1 + 1;

my $t = XMPP::Nginx->new;
my ($crt, $key) = $t->certs->server;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    xmpp_auth none;
    timeout %{1s};

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{patient_port};
        protocol xmpp;
        timeout 60s;
    }

    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
        timeout 60s;
    }

    server {
        listen 127.0.0.1:%{down_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{nobody_port}/auth;
    }

    server {
        listen 127.0.0.1:%{slow_port};
        protocol xmpp;
        auth_http_timeout %{0.5s};
    }
}
END

for my $case (@refusal) {
    my ($name, $header, $error, @line) = @$case;

    my @header = ('Auth-Status' => 'no', @$header);
    splice @header, 0, 2 if $header[2] && $header[2] eq 'Auth-Status';

    twice {
        $auth->answer(@header);

        my $c = XMPP::Client->new($t->port('client'));

        $c->send(open_stream(from => 'alice@example.test'));
        $c->expect_end(header(to => 'alice@example.test')
                       . stream_error(@$error), "refused: $name");
    };

    my @error = @line ? errors($t) : ();

    ok(!grep({ my $l = $_; !grep { $l =~ /\Q$_\E/ } @line } @error)
       && (@error || !@line), "refused: $name, logged") or diag(@error);
}

for my $case (@broken) {
    my ($name, $bytes, $condition, $from) = @$case;

    # Each byte by itself takes its time.
    my $port = $condition eq 'connection-timeout' ? 'client' : 'patient';

    talk_to_end($t->port($port), "broken: $name",
                $bytes => header(from => $from) . stream_error($condition));
}

# What is behind the header does not get in the way of the error.
{
    $auth->answer('Auth-Status' => 'no', 'Auth-Error-Code' => 'host-gone');

    my $c = XMPP::Client->new($t->port('direct'), tls => {});

    $c->send(open_stream() . '<auth/>' x 10);
    $c->expect_end(header() . stream_error('host-gone', 'no'),
                   'refused: more behind the header');
}

# After a while.
{
    my $begin = time;

    $auth->answer('Auth-Status' => 'later', 'Auth-Wait' => 2,
                  'Auth-Error-Code' => 'resource-constraint');

    my $c = XMPP::Client->new($t->port('direct'), tls => {});

    $c->send(open_stream());
    $c->expect_end(header() . stream_error('resource-constraint', 'later'),
                   'refused: Auth-Wait');
    cmp_ok(time - $begin, '>=', 1, 'refused: after Auth-Wait');
}

my $failed = header() . stream_error('remote-connection-failed');

my $seen = length $t->log;

sub logged {
    my $end = time + $t->timeout;
    my @line;

    until (@line || time > $end) {
        @line = grep { /\[(?:error|crit|alert)\]/ }
                split /\n/, substr $t->log, $seen;
        select undef, undef, undef, 0.01 if !@line;
    }

    $seen = length $t->log;

    return join "\n", @line;
}

for my $case (@backend) {
    my ($name, $line, @step) = @$case;

    $backend->script(@step);

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream());
    $c->expect_end($failed, "the backend $name");
    like(logged(), qr/(?:$line).*, upstream: 127\.0\.0\.1:${\ $backend->port }$/m,
         "the backend $name: logged");
}

for my $case (@auth) {
    my ($name, $line, $bytes) = @$case;

    $auth->raw($bytes);

    my $c = XMPP::Client->new($t->port('client'));

    $c->send(open_stream());
    $c->expect_end($failed, "the auth service $name");
}

# Nobody there.
{
    my $c = XMPP::Client->new($t->port('down'));

    $seen = length $t->log;
    $c->send(open_stream());
    $c->expect_end($failed, 'no auth service');
    like(logged(), qr/failed \(111: .*in http auth state/,
         'no auth service: logged');

    $auth->script([ 'request' ], [ drain => 5 ]);
    $c = XMPP::Client->new($t->port('slow'));

    $c->send(open_stream());
    $c->expect_end($failed, 'a silent auth service');
    like(logged(), qr/auth http server .* timed out/,
         'a silent auth service: logged');

    $auth->accept('Auth-Port' => $t->port('nobody'));
    $c = XMPP::Client->new($t->port('direct'), tls => {});

    $c->send(open_stream());
    $c->expect_end($failed, 'no backend');
    like(logged(), qr/connect\(\) failed|failed \(111/,
         'no backend: logged');

    # A pipe that is closed on the way.
    $auth->accept('Auth-Port' => $t->port('nobody'));
    $c = XMPP::Client->new($t->port('client'));
    $c->send(open_stream() . '<x/>' x 100);
    $c->expect_end($failed, 'no backend, more behind the header');
}

# STARTTLS: a refusal comes with a new header.
{
    my $c = XMPP::Client->new($t->port('only'));

    $c->send(open_stream());
    $c->expect(header() . features(starttls => 'required'),
               'STARTTLS: features');
    $c->send(STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/);
    $c->starttls;
    $auth->answer('Auth-Status' => 'no', 'Auth-Error-Code' => 'host-unknown');
    $c->send(open_stream(to => 'blue.test'));
    $c->expect_end(header(from => 'blue.test')
                   . stream_error('host-unknown', 'no'),
                   'STARTTLS: refused');
}

# Before TLS nothing gets through.
{
    my @count = ($auth->count, $backend->count);

    talk_to_end($t->port('only'), 'STARTTLS: <auth/> and a stanza before it',
                open_stream() => header() . features(starttls => 'required'),
                auth('SCRAM-SHA-1', 'n,,n=u,r=x') =>
                    failure('encryption-required'),
                auth('PLAIN', plain('u', 'p')) =>
                    failure('encryption-required'),
                '<presence/>' => stream_error('not-authorized'));

    is_deeply([ $auth->count, $backend->count ], \@count,
              'STARTTLS: nobody was asked');
}

$t->finish;
