#!/usr/bin/perl

# What a client can make a worker hold before it is logged in: the buffers that
# are configured, and a constant, whatever it sends and however much.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile;
use XMPP::Nginx;
use XMPP::Wire;

use constant { CLIENT_BUFFER => 4096, PROXY_BUFFER => 4096 };

# What was decoded of a header or of an element: an address, a name or a
# password, and what it was found in.
use constant DECODED => 2 * CLIENT_BUFFER;

# What a connection takes besides its buffers.  The pools of the connection, of
# the session and of the context, a parser with room for 32 attributes, 32
# prefixes and 32 levels, what is to be sent.
use constant BASE => 8 * 1024;

# A request to the auth service, its connection, and its answer.
use constant AUTH => 4 * 1024;

# The connection to a backend, and a parser for what it says to others.
use constant { UPSTREAM => 3 * 1024, PARSER => 5 * 1024 };

# What OpenSSL has for a connection, and its buffers for records.  Version 3.0
# takes 26 kB in the middle of a handshake; later ones have larger keys.
use constant TLS => 64 * 1024;

# What a worker may hold more than before when somebody has sent a lot, and is
# gone or still there.
use constant NOISE => 128 * 1024;

my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs;
my $backend = XMPP::Backend->new($t);

# Servers that never answer.
my @deaf = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $t->port($_),
                                       Proto => 'tcp', ReuseAddr => 1,
                                       Listen => 1024)
                 // die "listen: $!\n" } qw(deaf_auth deaf_backend);

my $services = join '',
    $t->answer_http(ok => [ answer('backend') ]),
    $t->answer_http(deaf => [ answer('deaf_backend') ])
        =~ s/\A.*?(?=^    server)//msr,
    $t->answer_http(no => [ 'Auth-Status' => 'no', 'Auth-Wait' => 1 ])
        =~ s/\A.*?(?=^    server)//msr;

# One http block of the three.
$services =~ s/^\}\n(?=    server)//mg;

my $conf = $services . <<"END";
mail {
    auth_http 127.0.0.1:%{ok_port}/;
    auth_http_timeout 600s;
    timeout 600s;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_client_buffer ${\ CLIENT_BUFFER };
    proxy_buffer ${\ PROXY_BUFFER };
    xmpp_auth plain login cram-md5;
    max_errors 1000000;

    server {
        listen 127.0.0.1:%{client_port} backlog=1024;
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{impatient_port};
        protocol xmpp;
        timeout %{2s};
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl backlog=1024;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{waiting_auth_port} backlog=1024;
        protocol xmpp;
        auth_http 127.0.0.1:%{deaf_auth_port}/;
    }

    server {
        listen 127.0.0.1:%{waiting_backend_port} backlog=1024;
        protocol xmpp;
        auth_http 127.0.0.1:%{deaf_port}/;
    }

    server {
        listen 127.0.0.1:%{passed_on_port} backlog=1024;
        protocol xmpp;
        auth_http 127.0.0.1:%{deaf_port}/;
        xmpp_auth none;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{refused_port} backlog=1024;
        protocol xmpp;
        auth_http 127.0.0.1:%{no_port}/;
    }
}
END

$t->start($conf);

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $names = "xmlns='jabber:client'"
            . " xmlns:stream='http://etherx.jabber.org/streams'";
my $in_auth = "<auth $sasl mechanism='PLAIN'>";
my $login = auth('PLAIN', plain('alice', 'x' x 200));
my $features = qr{</stream:features>};
my $failed = qr{</failure>};
my $hundred = qr{\A(?:(?:(?!</failure>).)*+</failure>){100}}s;
my $room = CLIENT_BUFFER - length(open_stream()) - length($in_auth) - 10;

# What is sent, and what is waited for before the next is sent; what it may
# take at the end.
my @held = (
    [ 'silence', 0, [] ],
    [ 'a header that never ends', 0,
      [ "<stream:stream a='" . 'x' x (CLIENT_BUFFER - 100) ] ],
    [ 'attributes up to the limit', 0,
      [ '<stream:stream ' . join ' ', map { "a$_='" . 'x' x 90 . "'" }
                                      1 .. 32 ] ],
    [ 'prefixes up to the limit', 0,
      [ "<stream:stream $names to='example.test' version='1.0' "
        . join(' ', map { "xmlns:a$_='" . 'u' x 60 . "'" } 1 .. 28) . '>',
        $features ] ],
    [ 'a long "from"', DECODED,
      [ open_stream(from => 'a@' . join '.', ('x' x 60) x 16), $features ] ],
    [ 'levels up to the limit', 0,
      [ open_stream(), $features, $in_auth . '<a>' x 30 ] ],
    [ 'prefixes on each level', 0,
      [ open_stream(), $features, $in_auth
        . join '', map { "<a xmlns:a$_='u'>" } 1 .. 29 ] ],
    [ 'many small elements', 0,
      [ open_stream(), $features, $in_auth . '<a/>' x int($room / 4) ] ],
    [ 'base64 that never ends', 0,
      [ open_stream(), $features, $in_auth . 'QUFB' x int($room / 4) ] ],
    [ 'references', 0,
      [ open_stream(), $features, $in_auth . '&#65;' x int($room / 5) ] ],
    [ 'logins that failed', 0,
      [ open_stream(), $features,
        (auth('PLAIN', 'x' x 2500), $failed) x 4 ] ],
    [ 'challenges', 0,
      [ open_stream(), $features, auth('CRAM-MD5'), qr{</challenge>} ] ],
    [ 'LOGIN, half done', DECODED,
      [ open_stream(), $features, auth('LOGIN', 'x' x 2700),
        qr{</challenge>} ] ],
    [ 'logins that were refused', AUTH,
      [ open_stream(), $features, ($login, $failed) x 3 ], 'refused' ],
    [ '<proceed/>', 0,
      [ open_stream() . STARTTLS, qr{<proceed[^>]*>} ] ],
    [ 'the auth service is silent', AUTH,
      [ open_stream() . $login, $features ], 'waiting_auth' ],
    [ 'the backend is silent', AUTH + UPSTREAM + PROXY_BUFFER,
      [ open_stream() . $login, $features ], 'waiting_backend' ],
    [ 'the backend of a passed on stream is silent',
      AUTH + UPSTREAM + PROXY_BUFFER + DECODED + PARSER,
      [ open_stream(a => 'x' x 3000) ], 'passed_on' ],
    [ 'a handshake that stands still', TLS, [ hello() ], 'direct' ],
    [ 'a handshake that stands still, by STARTTLS', TLS,
      [ open_stream() . STARTTLS, qr{<proceed[^>]*>}, hello() ] ],
    [ 'TLS, and silence', TLS, [], 'direct', 'tls' ],
    [ 'TLS, and a header that never ends', TLS,
      [ "<stream:stream a='" . 'x' x (CLIENT_BUFFER - 100) ], 'direct',
      'tls' ],
    [ 'TLS, and base64 that never ends', TLS,
      [ open_stream(), $features, $in_auth . 'QUFB' x int($room / 4) ],
      'direct', 'tls' ],
);

# What is sent by one client, megabytes of it, to which nothing is kept.
my $space = "\n" x (1 << 20);

my @sent = (
    [ 'space before the header', [ ($space) x 10 ] ],
    [ 'space in the stream', [ open_stream(), ($space) x 10 ] ],
    [ 'space by TLS', [ open_stream(), ($space) x 10 ], 'direct', 'tls' ],
    [ 'logins that fail', [ open_stream(), $features,
        (auth('PLAIN', 'x' x 2000) x 100, $hundred) x 10 ] ],
    [ 'exchanges that are given up', [ open_stream(), $features,
        ((auth('LOGIN', 'x' x 2000) . ABORT) x 100,
         $hundred) x 10 ] ],
    [ 'challenges that are given up', [ open_stream(), $features,
        ((auth('CRAM-MD5') . ABORT) x 100, $hundred) x 10 ] ],
);

plan tests => 2 * @held + 2 * @sent + 2 + 2 + 1;

my $measured = !instrumented($t);

# Connections that a worker has already, and those that are looked at.
my ($first, $many) = $measured ? (20, 150) : (2, 20);

held(@$_) for @held;
sent(@$_) for @sent;

# A backend that never comes to its features, as fast as it can.
{
    my $element = '<x>' . 'y' x 1000 . '</x>';
    my $pid = fresh();
    my $n = $backend->count + 1;
    my @hi = ([ expect => '<stream:stream[^>]*>' ],
              [ send => "<stream:stream $names id='1' version='1.0'>" ]);

    $backend->script(@hi, [ again => '<x>y</x>', 0.01 ]);
    $backend->script(@hi, [ again => $element x 60 ]);

    my @c = XMPP::Client->new($t->port('client'));

    $c[0]->send(open_stream() . $login);
    $backend->wait_count($n);
    sleep 0.2;

    my $before = private($pid);

    push @c, XMPP::Client->new($t->port('impatient'));
    $c[1]->send(open_stream() . $login);
    $backend->wait_count($n + 1);

    # as much as it can send till its time is over
    like($c[1]->read_to_end, qr{<temporary-auth-failure/>},
         'a backend that sends a lot');
    bounded($pid, private($pid) - $before, NOISE,
            'a backend that sends a lot: memory');
}

# A megabyte of base64 is refused, and forgotten.
{
    my $pid = fresh();
    my ($before, $refused) = (0, 0);

    for my $n (1 .. 40) {
        my $c = XMPP::Client->new($t->port('client'));
        $c->send(open_stream());
        $c->read_until($features);
        $c->send($in_auth);
        feed($c, 'QUFB' x (1 << 18));
        $refused++ if $c->read_to_end =~ /policy-violation/;
        $c->close;
        $before = private($pid) if $n == 10;
    }

    is($refused, 40, 'a megabyte of base64: refused');
    bounded($pid, private($pid) - $before, NOISE,
            'a megabyte of base64: memory');
}

$t->finish;


# What so many clients hold which all have come as far as they can.

sub held {
    my ($name, $more, $step, $port, $tls) = @_;

    my $pid = fresh();
    my @first = clients($first, $step, $port, $tls);

    quiet($pid);

    my $before = private($pid);
    my @c = clients($many, $step, $port, $tls);

    quiet($pid);

    my $each = (private($pid) - $before) / $many;
    my $open = grep { $_->_fill(0); !$_->ended } @first, @c;

    is($open, $first + $many, "$name: all are held");
    bounded($pid, $each, CLIENT_BUFFER + BASE + $more,
            "$name: memory of each");

    $_->reset for @first, @c;
}


# What a client leaves behind that sends a lot.

sub sent {
    my ($name, $step, $port, $tls) = @_;

    my $pid = fresh();
    my @first = clients(2, [ @$step[0 .. 3] ], $port, $tls);

    quiet($pid);

    my $before = private($pid);
    my ($c) = clients(1, $step, $port, $tls);

    quiet($pid);
    $c->_fill(0);

    ok(!$c->ended, "$name: megabytes of it");
    bounded($pid, private($pid) - $before, NOISE, "$name: memory");

    $_->reset for @first, $c;
}


sub clients {
    my ($n, $step, $port, $tls) = @_;

    my @c = map { XMPP::Client->new($t->port($port || 'client'),
                                    $tls ? (tls => { version => '1.3' }) : ())
                } 1 .. $n;

    for my $this (grep { defined } @$step) {
        for my $c (@c) {
            ref $this ? $c->read_until($this) // die "nothing came\n"
                      : $c->send($this);
        }
    }

    return @c;
}


# A worker that has served nobody yet.

sub fresh {
    my $old = worker($t);
    my $end = time + $t->timeout;

    # The master starts another one.  A signal that comes before the worker
    # waits for events would wait for the first of these.
    while (kill(TERM => $old) && -d "/proc/$old") {
        die "the worker did not end\n" if time > $end;
        sleep 0.01;
    }

    return worker($t);
}


# With a sanitizer, and under valgrind, all that can be said is that the worker
# is still there.

sub bounded {
    my ($pid, $bytes, $limit, $name) = @_;

    return is(worker($t), $pid, $name) if !$measured;

    note(sprintf '%s: %.0f', $name, $bytes);
    cmp_ok($bytes, '<=', $limit, $name);
}


sub answer {
    my ($port) = @_;

    return ('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
            'Auth-Port' => "%{${port}_port}", 'Auth-Pass' => 'x');
}


sub hello {
    my $tls = XMPP::TLS->new(name => 'example.test');

    $tls->handshake;

    return $tls->out;
}
