#!/usr/bin/perl

# An auth service that is not what it should be: no HTTP, half an answer, more
# than an answer, nothing at all.  The client is told in XML of nginx's own,
# soon, and no backend is asked.  For logins, for streams that are passed on
# and for other servers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile qw(worker private quiet instrumented);
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

# More than can be written into a script.
sub XMPP::Auth::step_forever {
    my ($self, $bytes) = @_;

    $self->step_send($bytes x (1 + 65536 / length $bytes)) for 1 .. 10_000;
}

my $t = XMPP::Nginx->new(log => 'info');
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);
my $port = $t->port('backend');

my @wait = [ drain => 60 ];
my $ok = XMPP::Auth::http('Auth-Status' => 'OK',
                          'Auth-Server' => '127.0.0.1',
                          'Auth-Port' => $port);
my $no = XMPP::Auth::http('Auth-Status' => 'no');
my $line = "HTTP/1.0 200 OK\r\n";
my $server = "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\n";

sub says { return ([ 'request' ], [ send => "@_" ], @wait) }

# What it says, and that it is not enough, whatever comes behind it.
my @broken = (
    # Headers that are none.
    (map { [ "a header with $_->[0]",
             says("$line$_->[1]\r\n${server}Auth-Port: $port\r\n\r\n") ] }
        [ 'no name', ': x' ], [ 'a space first', ' X: x' ],
        [ 'a tabulator first', "\tX: x" ], [ 'a NUL in its name', "X\0: x" ],
        [ 'a control character in its name', "X\x01: x" ],
        [ 'an escape in its name', "X\e[2J: x" ],
        [ 'a slash in its name', 'X/Y: x' ],
        [ 'a quote in its name', 'X": x' ],
        [ 'a byte above 127 in its name', "X\xff: x" ],
        [ 'a space before its colon', 'X : x' ],
        [ 'CR in its value', "X: a\rb" ], [ 'CR in its name', "X\rY: b" ],
        [ 'two CR behind it', "X: a\r" ],
        [ '2000 bytes in its name', 'X' x 2000 . ': x' ],
        [ '2000 bytes in its value', 'X: ' . 'x' x 2000 ],
        [ '500 of its kind', join "\r\n", ('X: x') x 500 ],
        [ 'UTF-16', "\0X\0:\0 \0x" ], [ 'no HTTP', '<html></html>' ]),

    # Values that are none.
    (map { [ "the server \"$_\"",
             says("${line}Auth-Status: OK\r\nAuth-Server: $_\r\n"
                  . "Auth-Port: $port\r\n\r\n") ] }
        '', 'localhost', '127.1', '127.0.0.1:5222', '127.0.0.1.', '0x7f.0.0.1',
        '256.0.0.1', '127.0.0.1 127.0.0.2', 'unix:/tmp/x', '[::1', '::1%lo',
        '%s%n', "'\"<>&", 'x' x 800),
    (map { [ "the port \"$_\"",
             says("$line${server}Auth-Port: $_\r\n\r\n") ] }
        '', '0', '-1', '+5222', '65536', '4294972518', '9' x 40, '5222x',
        '0x1466', '52 22', '5e3', "'\"<>&"),

    # No answer at all.
    [ 'no header', says("$line\r\n") ],
    [ 'a server alone', says("$line$server\r\n") ],
    [ 'a port alone', says("${line}Auth-Port: $port\r\n\r\n") ],
    [ 'a status line that ends with CR', says("HTTP/1.0 200 OK\rX") ],
    [ 'noise', [ 'request' ], [ send => join '', map { chr 37 * $_ % 256 }
                                              1 .. 500 ], [ 'close' ] ],
    [ 'zeros', [ 'request' ], [ send => "\0" x 500 ], [ 'close' ] ],
    [ 'TLS', [ 'request' ], [ send => "\x15\x03\x01\0\x02\x02\x46" ],
      [ 'close' ] ],
    [ 'XMPP', [ 'request' ], [ send => "<stream:stream>\r\n\r\n" ], @wait ],
    [ 'an answer before the request, that is none',
      [ send => "${line}X\r\n\r\n" ], @wait ],
    [ 'nothing, closed', [ 'close' ] ],
    [ 'nothing, reset', [ 'reset' ] ],
    [ 'nothing, closed after the request', [ 'request' ], [ 'close' ] ],
    [ 'nothing, reset after the request', [ 'request' ], [ 'reset' ] ],
    [ 'half an answer, reset', [ 'request' ], [ send => substr $ok, 0, 40 ],
      [ 'reset' ] ],
);

# Where it falls silent.
my @stall = (0, 1, length $line, 5 + length $line, length($ok) - 1);

my @forever = (
    [ 'a status line', 'x' ], [ 'white space', ' ' ], [ 'lines', "\n" ],
    [ 'a header', 'X: ', 'x' ], [ 'headers', '', "X: x\r\n" ],
    [ 'the name of a header', '', 'x' ], [ 'spaces', 'X:', ' ' ],
    [ 'CR', 'X: x', "\r" ],
);

my %kind = (
    login => sub {
        my ($c) = @_;
        $c->send(open_stream() . auth('PLAIN', plain('alice', 'secret')));
        return header() . features(mechanisms => [ 'PLAIN' ]);
    },
    pass => sub { $_[0]->send(open_stream()); return header() },
    server => sub { $_[0]->send(open_server());
                    return server_header(to => 'peer.test') },
);

my %failure = (
    login => refused('temporary-auth-failure'),
    pass => stream_error('remote-connection-failed'),
    server => stream_error('remote-connection-failed'),
);

plan tests => 3 * @broken + 3 * 2 * (length($no) + 3) + 3 * @stall
              + 2 * @forever + 1 + 4 * 2 + 2 + 2;

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{login_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{pass_port};
        protocol xmpp;
        xmpp_auth none;
    }

    server {
        listen 127.0.0.1:%{server_port};
        protocol xmpp;
        xmpp_stream server;
    }

    server {
        listen 127.0.0.1:%{login_hasty_port};
        protocol xmpp;
        auth_http_timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{pass_hasty_port};
        protocol xmpp;
        xmpp_auth none;
        auth_http_timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{server_hasty_port};
        protocol xmpp;
        xmpp_stream server;
        auth_http_timeout %{1s};
    }
}
END

my $pid = worker($t);

# A client that waits for its answer, and what comes before that.
sub ask {
    my ($kind, $more) = @_;

    my $c = XMPP::Client->new($t->port($kind . ($more // '')));

    return ($c, $kind{$kind}->($c));
}

sub fails {
    my ($kind, $name, @script) = @_;

    $auth->script(@script);

    my ($c, $before) = ask($kind);

    $c->expect_end($before . $failure{$kind}, "$kind: $name");
}

for my $kind (sort keys %kind) {
    fails($kind, @$_) for @broken;

    # Each byte of a refusal as the last one.
    for my $n (0 .. length($no) + 2) {
        for my $end ('close', 'half') {
            my $bytes = substr "$no\r\n ", 0, $n;
            my $all = $n >= length $no;

            $auth->script([ 'request' ], [ send => $bytes ],
                          $end eq 'half' ? ([ 'half' ], @wait) : [ 'close' ]);

            my ($c, $before) = ask($kind);

            $c->expect_end($before . (!$all ? $failure{$kind}
                : $kind eq 'login' ? refused('not-authorized', 'no')
                : stream_error('not-authorized', 'no')),
                "$kind: $end after $n bytes");
        }
    }

    # Silence.
    my @c;

    for (@stall) {
        $auth->script([ 'request' ], [ send => substr $ok, 0, $_ ], @wait);
        push @c, [ ask($kind, '_hasty') ];
    }

    for (@stall) {
        my ($c, $before) = @{ shift @c };
        $c->expect_end($before . $failure{$kind},
                       "$kind: silent after $_ bytes");
    }
}


# The end comes along with the bytes: one event for both.

for ([ 'a part of an answer', substr($no, 0, 30), $failure{login} ],
     [ 'more than the buffer', $line . 'X: ' . 'x' x 3000, $failure{login} ],
     [ 'a whole answer', $no, refused('not-authorized', 'no') ],
     [ 'nothing', '', $failure{login} ])
{
    my ($name, $bytes, $want) = @$_;

    for my $end ('close', 'half') {
        my $n = $auth->count + 1;

        $auth->script([ 'request' ], [ sleep => 0.2 ], [ send => $bytes ],
                      $end eq 'half' ? ([ 'half' ], @wait) : [ 'close' ]);

        my ($c, $before) = ask('login');

        $auth->request($n) or die "no request\n";
        kill STOP => $pid;
        sleep 0.4 * $t->scale;
        kill CONT => $pid;

        $c->expect_end($before . $want, "$name and the end at once, $end");
    }
}


# What never ends, ends.

my $before = private($pid);

for (@forever) {
    my ($name, $first, $bytes) = @$_;

    ($first, $bytes) = (undef, $first) if !defined $bytes;

    $auth->script([ 'request' ],
                  defined $first ? [ send => $line . $first ] : (),
                  [ forever => $bytes ]);

    my $begun = time;
    my ($c, $head) = ask('login', '_hasty');

    $c->expect_end($head . $failure{login}, "for ever: $name");
    cmp_ok(time - $begun, '<', 8 * $t->scale, "for ever: $name: bounded");
}

quiet($pid);
cmp_ok(private($pid) - $before, '<',
       instrumented($t) ? 64 << 20 : 1 << 20, 'no memory was needed for it');


# It is still possible to log in.

is($backend->count, 0, 'no backend was asked');

my $c = login($t, port => 'login');

is($c->read_until(qr/<success[^>]*>/), SUCCESS, 'a login');

unlike($t->log, qr/secret/, 'no password in the log');
$t->finish;
