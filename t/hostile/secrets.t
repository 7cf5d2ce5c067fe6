#!/usr/bin/perl

# Passwords, where they must not be: in the log, at its highest level, and in
# the memory of the worker when the login is over, however it ended and whoever
# left it first.  Each login has a password of its own.
#
# The client stays connected while it is looked for, and does not read on: a
# session that waits for a client to leave has no password any more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Digest::MD5 qw(md5 md5_hex);
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile qw(worker since);
use XMPP::Login;
use XMPP::Memory;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my ($cert, $key) = $t->certs->client('alice');
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $servers = join '', map {
    my ($name, $directives) = @$_;
    <<"END";
    server {
        listen 127.0.0.1:%{${name}_port};
        protocol xmpp;
        $directives
    }

    server {
        listen 127.0.0.1:%{${name}_direct_port} ssl;
        protocol xmpp;
        $directives
    }
END
} [ 'client', '' ],
  [ 'down', 'auth_http 127.0.0.1:%{nobody_port}/auth;' ],
  [ 'hasty', 'timeout %{1s}; auth_http_timeout %{1s};' ],
  [ 'told', 'proxy_pass_error_message on;' ],
  [ 'pass', 'xmpp_auth none;' ];

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth external cram-md5 plain login;
    server_name mail.example.test;
    starttls on;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_verify_client optional_no_ca;

$servers
}
END

my $pid = worker($t);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $failed = qr{</failure>};

my @way = (
    [ 'plain TCP' ],
    [ 'STARTTLS, TLS 1.2', starttls => '1.2' ],
    [ 'TLS 1.3', tls => '1.3' ],
);

my %way;

sub way {
    my ($server) = @_;

    my ($kind) = keys %way;
    my $port = $server // 'client';

    return (port => $port) if !$kind;

    return (port => $kind eq 'tls' ? "${port}_direct" : $port,
            $kind => { version => $way{$kind}, cert => $cert, key => $key });
}

sub ready { return greet($t, way($_[0])) }

# Says something and waits for the answer.
sub ask {
    my ($c, $bytes, $answer) = @_;

    $c->send($bytes);

    return $c->read_until($answer) // die "no answer\n";
}

# A login with PLAIN.
sub try {
    my ($answer, $password, $server) = @_;

    my $c = ready($server);
    ask($c, auth('PLAIN', plain('alice', $password)), $answer);

    return $c;
}

# The rest of an answer of the auth service that begins with a password.
sub answers {
    my ($password, @step) = @_;

    my $head = "HTTP/1.0 200 OK\r\nAuth-Pass: $password\r\n";

    $auth->script([ 'request' ], [ send => $head ], @step);
}

my $let_in = XMPP::Auth::http('Auth-Status' => 'OK',
                              'Auth-Server' => '127.0.0.1',
                              'Auth-Port' => $t->port('backend'))
             =~ s/.*\n//r;

sub backend { $backend->script([ 'header' ], @_) }

my @plain = ([ features => 'PLAIN' ], [ expect => '</auth>' ]);

# RFC 2104.
sub digest {
    my ($key, $text) = @_;

    $key .= "\0" x (64 - length $key);

    return md5_hex(($key ^ "\x5c" x 64), md5(($key ^ "\x36" x 64), $text));
}

# A client in the middle of something, and its password.
sub half {
    my ($more, $server) = @_;

    my $password = secret();
    my $auth = auth('PLAIN', plain('alice', $password));
    my $c = ready($server);

    $c->send(substr($auth, 0, -length '</auth>') . $more);

    return ($c, $password);
}

# Each gives back the client, and its secrets.
my @case = (
    'PLAIN' => sub {
        my $p = secret();
        return (try(qr/<success[^>]*>/, $p), $p);
    },

    'PLAIN, in a response' => sub {
        my $p = secret();
        my $c = ready();
        ask($c, auth('PLAIN'), qr/<challenge[^>]*>/);
        ask($c, response(plain('alice', $p)), qr/<success[^>]*>/);
        return ($c, $p);
    },

    'PLAIN, one byte at a time' => sub {
        my $p = secret();
        local $XMPP::Client::one_at_a_time = 1;
        return (try(qr/<success[^>]*>/, $p), $p);
    },

    'PLAIN, with references' => sub {
        my $p = secret();
        my $text = encode_base64(plain('alice', $p), '')
                   =~ s/(.)/'&#' . ord($1) . ';'/ger;
        my $c = ready();
        ask($c, "<auth $sasl mechanism='PLAIN'>$text</auth>",
            qr/<success[^>]*>/);
        return ($c, $p, $text);
    },

    'a password that has to be escaped' => sub {
        my $p = join ' %', unpack '(a5)*', secret();
        return (try(qr/<success[^>]*>/, $p), $p,
                $p =~ s/([ %])/sprintf '%%%02X', ord $1/ger);
    },

    'a password of 2000 letters' => sub {
        my $p = secret(2000);
        return (try(qr/<success[^>]*>/, $p), $p);
    },

    'LOGIN' => sub {
        my $p = secret();
        my $c = ready();
        ask($c, auth('LOGIN'), qr{</challenge>});
        ask($c, response('alice'), qr{</challenge>});
        ask($c, response($p), qr/<success[^>]*>/);
        return ($c, $p);
    },

    'CRAM-MD5' => sub {
        my $p = secret();
        my $c = ready();
        $auth->accept('Auth-Pass' => $p);
        my ($text) = ask($c, auth('CRAM-MD5'), qr{</challenge>})
                     =~ />([^<]+)</;
        my $digest = digest($p, decode_base64($text));
        ask($c, response("alice $digest"), qr/<success[^>]*>/);
        return ($c, $p, $digest);
    },

    'EXTERNAL' => sub {
        my $p = secret();
        my $c = ready();

        if (!%way) {
            ask($c, auth('EXTERNAL', $p), $failed);
            return ($c, $p);
        }

        $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => $p);
        ask($c, auth('EXTERNAL', ''), qr/<success[^>]*>/);
        return ($c, $p);
    },

    'another password for the backend' => sub {
        my @p = (secret(), secret());
        $auth->accept('Auth-Pass' => $p[1]);
        return (try(qr/<success[^>]*>/, $p[0]), @p);
    },

    'a password, and one more' => sub {
        my @p = (secret(), secret(), secret());
        $auth->accept('Auth-Pass' => $p[1], 'Auth-Pass' => $p[2]);
        return (try(qr/<success[^>]*>/, $p[0]), @p);
    },

    'WAIT, and another password' => sub {
        my @p = (secret(), secret(), secret());
        $auth->answer('Auth-Status' => 'WAIT', 'Auth-Wait' => 1,
                      'Auth-Pass' => $p[1]);
        $auth->accept('Auth-Pass' => $p[2]);
        return (try(qr/<success[^>]*>/, $p[0]), @p);
    },

    # Refused.
    'refused' => sub {
        my $p = secret();
        $auth->answer('Auth-Status' => 'no');
        return (try($failed, $p), $p);
    },

    'refused, with a password' => sub {
        my @p = (secret(), secret());
        $auth->answer('Auth-Status' => 'no', 'Auth-Pass' => $p[1]);
        return (try($failed, $p[0]), @p);
    },

    'refused, and a second time' => sub {
        my @p = (secret(), secret());
        $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1) for @p;
        my $c = try($failed, $p[0]);
        ask($c, auth('PLAIN', plain('alice', $p[1])), $failed);
        return ($c, @p);
    },

    'refused, and then let in' => sub {
        my @p = (secret(), secret());
        $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1);
        my $c = try($failed, $p[0]);
        ask($c, auth('PLAIN', plain('alice', $p[1])), qr/<success[^>]*>/);
        return ($c, @p);
    },

    'refused, and waiting' => sub {
        my $p = secret();
        my $i = $auth->count + 1;
        $auth->answer('Auth-Status' => 'no',
                      'Auth-Wait' => 3 * $t->scale);
        my $c = ready();
        $c->send(auth('PLAIN', plain('alice', $p)));
        $auth->wait_event($i, 'eof') or die "the request goes on\n";
        return ($c, $p);
    },

    # Not what it should be.
    (map {
        my ($name, $message) = @$_;
        ($name => sub {
            my $p = secret();
            my $c = ready();
            ask($c, $message->($p), $failed);
            return ($c, $p);
        })
    }
    [ 'a name that is none', sub { auth('PLAIN', "\0a/b\0$_[0]") } ],
    [ 'a message of four parts', sub { auth('PLAIN', "\0a\0$_[0]\0$_[0]") } ],
    [ 'a message of one part', sub { auth('PLAIN', $_[0]) } ],
    [ 'another user', sub { auth('PLAIN', plain('alice', $_[0], 'bob')) } ],
    [ 'no UTF-8', sub { auth('PLAIN', plain('alice', "$_[0]\xff")) } ],
    [ 'a mechanism that is none', sub { auth('X-PLAIN', plain('a', $_[0])) } ],
    [ 'a digest that is none', sub { auth('CRAM-MD5', "alice $_[0]") } ],
    [ 'a response to nothing', sub { response(plain('alice', $_[0])) } ],
    [ 'no base64', sub { auth('PLAIN', plain('alice', $_[0]))
                         =~ s/(?=<\/)/=/r } ],
    [ 'a password as it is', sub { "<auth $sasl mechanism='PLAIN'>"
                                   . "$_[0]</auth>" } ],
    [ 'an element behind it', sub { auth('PLAIN', plain('alice', $_[0]))
                                    =~ s/(?=<\/)/<abort\/>/r } ]),

    'a second <auth/>, and the end' => sub {
        my $p = secret();
        my $c = ready();
        ask($c, auth('LOGIN'), qr{</challenge>});
        ask($c, auth('PLAIN', plain('alice', $p)), $failed);
        ask($c, ABORT, $failed);
        return ($c, $p);
    },

    # The client ends in the middle.
    'half, and closed' => sub {
        my ($c, $p) = half('');
        $c->close;
        return ($c, $p);
    },

    'half, and reset' => sub {
        my ($c, $p) = half('');
        $c->reset;
        return ($c, $p);
    },

    'half, and no more' => sub {
        my ($c, $p) = half('', 'hasty');
        $c->read_until(qr{</stream:error>}) or die "no timeout\n";
        return ($c, $p);
    },

    'half, and no XML' => sub {
        my ($c, $p) = half('</x>');
        $c->read_until(qr{</stream:error>}) or die "no error\n";
        return ($c, $p);
    },

    'half, and too much' => sub {
        my ($c, $p) = half('A' x 20_000);
        $c->read_until(qr{</stream:error>}) or die "no error\n";
        return ($c, $p);
    },

    'the client closes while the auth service thinks' => sub {
        my $p = secret();
        my $i = $auth->count + 1;
        answers($p, [ sleep => 0.3 ], [ send => $let_in ], [ drain => 5 ]);
        my $c = ready();
        $c->send(auth('PLAIN', plain('alice', $p)));
        $auth->request($i) or die "no request\n";
        $c->close;
        $auth->wait_event($i, 'done') or die "no end\n";
        return ($c, $p);
    },

    # The auth service fails.
    'there is no auth service' => sub {
        my $p = secret();
        return (try($failed, $p, 'down'), $p);
    },

    (map {
        my ($name, $server, @step) = @$_;
        ("the auth service $name" => sub {
            my @p = (secret(), secret());
            answers($p[1], @step);
            return (try($failed, $p[0], $server), @p);
        })
    }
    [ 'closes', 'client', [ 'close' ] ],
    [ 'resets', 'client', [ 'reset' ] ],
    [ 'is silent', 'hasty', [ drain => 9 ] ],
    [ 'sends no header', 'client', [ send => ": x\r\n" ], [ drain => 5 ] ],
    [ 'sends too much', 'client', [ send => 'X: ' . 'x' x 2000 ],
      [ drain => 5 ] ],
    [ 'sends no server', 'client', [ send => "Auth-Status: OK\r\n\r\n" ],
      [ drain => 5 ] ],
    [ 'sends a server that is none', 'client', [ send =>
      "Auth-Status: OK\r\nAuth-Server: x\r\nAuth-Port: 1\r\n\r\n" ],
      [ drain => 5 ] ],
    [ 'sends a user that is none', 'client',
      [ send => "Auth-User: a/b\r\n$let_in" ], [ drain => 5 ] ],
    [ 'names a server where nobody is', 'client',
      [ send => "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: "
                . $t->port('nobody') . "\r\n\r\n" ], [ drain => 5 ] ]),

    # The backend fails.
    (map {
        my ($name, $server, @step) = @$_;
        ("the backend $name" => sub {
            my $p = secret();
            backend(@step);
            return (try($failed, $p, $server), $p);
        })
    }
    [ 'closes', 'client', [ 'close' ] ],
    [ 'offers no PLAIN', 'client', [ features => 'LOGIN' ], [ drain => 5 ] ],
    [ 'is silent', 'hasty', [ drain => 9 ] ],
    [ 'closes on <auth/>', 'client', @plain, [ 'close' ] ],
    [ 'resets on <auth/>', 'client', @plain, [ 'reset' ] ],
    [ 'is silent on <auth/>', 'hasty', @plain, [ drain => 9 ] ],
    [ 'refuses', 'client', @plain,
      [ send => "<failure $sasl><not-authorized/></failure>" ],
      [ drain => 5 ] ],
    [ 'refuses, and tells why', 'told', @plain,
      [ send => "<failure $sasl><not-authorized/><text>no</text></failure>" ],
      [ drain => 5 ] ]),

    'a password for a stream that is passed on' => sub {
        my $p = secret();
        my $c = XMPP::Client->new($t->port('pass'));
        $auth->accept('Auth-Pass' => $p);
        backend([ send => '<stream:features/>' ], [ drain => 5 ]);
        ask($c, open_stream(), qr{<starttls});
        return ($c, $p);
    },
);

plan tests => @way * (2 + @case / 2 + 1) + 1;

# It is not the moment that counts, but two seconds of it are too long.
sub gone {
    my ($name, @secret) = @_;

    my $end = time + 2 * $t->scale;
    my @copy;

    # valgrind has registers in its memory, with what was copied by them
    do {
        @copy = copies($pid, @secret) unless $ENV{TEST_NGINX_VALGRIND};
    } while @copy && time < $end;

    my @line = written(since($t), @secret);

    return is(join("\n", (map { "memory: $_" } @copy),
                         (map { "log: $_" } @line)), '', $name);
}

# That what is there is found.
sub there {
    my ($name, $password, $regex) = @_;

    my $end = time + $t->timeout;
    my $found;

    do {
        $found = join "\n", copies($pid, $password);
    } until $found =~ $regex || time > $end;

    return like($found, $regex, $name);
}

for (@way) {
    my ($how, @option) = @$_;
    my @all;

    %way = @option;

    {
        my ($c, $p) = half('');
        there("$how: found in the middle of <auth/>", $p, qr/^base64/m);
        $c->close;

        $p = secret();
        $auth->script([ 'request' ], [ sleep => 1 ], [ 'close' ]);
        $c = ready();
        $c->send(auth('PLAIN', plain('alice', $p)));
        there("$how: found while the auth service is asked", $p,
              qr/^raw.*Auth-Pass/m);
        $c->read_until($failed) or die "no answer\n";
    }

    for (my $n = 0; $n < @case; $n += 2) {
        my ($c, @secret) = $case[$n + 1]->();
        gone("$how: $case[$n]", @secret);
        push @all, @secret;
    }

    gone("$how: all is closed", @all);
}

$t->finish;
