#!/usr/bin/perl

# Those who take their time, and those who never come to an end: whatever they
# send, and however often, "timeout" is all that they have.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

# What "timeout" is here, and how often somebody sends.
my $timeout = 2 * $t->scale;
my $pause = 0.05 * $t->scale;

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    auth_http_timeout %{2s};
    timeout %{2s};
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_client_buffer 4k;
    proxy_buffer 4k;
    max_errors 1000000;
    xmpp_auth plain login;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{pass_port};
        protocol xmpp;
        xmpp_auth none;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{patient_port};
        protocol xmpp;
        timeout 60s;
    }
}
END

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $mechanisms = [ 'PLAIN', 'LOGIN' ];
my $ready = header() . features(starttls => 'optional',
                                mechanisms => $mechanisms);
my $secure = header() . features(mechanisms => $mechanisms);
my $late = stream_error('connection-timeout');
my $none = header(from => undef) . $late;
my $failed = failure('invalid-mechanism');
my $login = auth('PLAIN', plain('alice', 'wonder'));
my $names = "xmlns='jabber:client'"
            . " xmlns:stream='http://etherx.jabber.org/streams'";

my $hello = do {
    my $tls = XMPP::TLS->new(name => 'example.test');
    $tls->handshake;
    $tls->out;
};

# A little now and then: how it starts, what comes over and over, and what
# nginx says, all of it or what it says over and over before the last.

my $in_auth = open_stream() . "<auth $sasl mechanism='PLAIN'>";

my @drip = (
    [ 'a header', "<stream:stream $names x='", 'x', $none ],
    [ 'a declaration', '<?xml ', ' ', $none ],
    [ 'space before the header', '', ' ', $none ],
    [ 'space before a declaration', '', "\r\n", $none ],
    [ 'space behind the declaration', "<?xml version='1.0'?>", ' ', $none ],
    [ 'space in the header', "<stream:stream $names", ' ', $none ],
    [ 'space in the stream', open_stream(), " \n", "$ready$late" ],
    [ 'space in a tag', open_stream() . '<auth', ' ', "$ready$late" ],
    [ 'the name of an element', open_stream() . '<', 'x', "$ready$late" ],
    [ 'base64', $in_auth, 'A', "$ready$late" ],
    [ 'CDATA', "$in_auth<![CDATA[", ']', "$ready$late" ],
    [ 'the digits of a reference', "$in_auth&#", '0', "$ready$late" ],
    [ 'children of <auth/>', $in_auth, '<a/>', "$ready$late" ],
    [ 'levels of <auth/>, and back', $in_auth, '<a><b></b></a>',
      "$ready$late" ],
    [ 'children of <starttls/>', open_stream() . STARTTLS =~ s{/>\z}{>}r,
      '<a/>', "$ready$late" ],
    [ 'logins that fail', open_stream(), auth('NO'), $ready,
      failure('invalid-mechanism'), $late ],
    [ 'exchanges that are given up', open_stream(),
      auth('LOGIN', 'eve') . ABORT, $ready,
      challenge('Password:') . failure('aborted'), $late ],
    [ 'nothing behind <proceed/>', open_stream() . STARTTLS, '',
      $ready . PROCEED ],
    [ 'space behind <proceed/>', open_stream() . STARTTLS, ' ',
      $ready . PROCEED ],
    [ 'a ClientHello behind <proceed/>', open_stream() . STARTTLS,
      [ split //, $hello ], $ready . PROCEED ],
    [ 'a ClientHello', '', [ split //, $hello ], '', { port => 'direct' } ],
    [ 'space by TLS', '', "\n", $none, { port => 'direct', tls => {} } ],
    [ 'children of <auth/> by TLS', $in_auth, '<a/>', "$secure$late",
      { port => 'direct', tls => {} } ],
    [ 'space by STARTTLS', '', "\n", $none, { starttls => 1 } ],
    [ 'children of <auth/> by STARTTLS', $in_auth, '<a/>', "$secure$late",
      { starttls => 1 } ],
);

# The same of a backend, and of the auth service.

my $hi = "<stream:stream $names id='1' from='example.test' version='1.0'>";
my $offer = "<stream:features><mechanisms $sasl><mechanism>PLAIN</mechanism>"
            . '</mechanisms></stream:features>';
my $large = '<x>' . 'y' x 3000 . '</x>';

my @upstream = (
    [ 'space before its header', '', ' ' ],
    [ 'space in its header', "<stream:stream $names", ' ' ],
    [ 'space in its stream', $hi, "\n" ],
    [ 'unknown elements', $hi, '<x/>' ],
    [ 'large unknown elements', $hi, $large ],
    [ 'features', "$hi<stream:features>", '<x/>' ],
    [ 'space before <success/>', "$hi$offer", ' ' ],
    [ 'elements before <success/>', "$hi$offer", '<x xmlns="urn:x"/>' ],
    [ 'children of a failure', "$hi$offer<failure $sasl>", '<x/>' ],
    [ 'space in <success/>', "$hi$offer<success $sasl", ' ' ],
);

my @service = (
    [ 'a status line', 'HTTP/1.0 200 ', 'x' ],
    [ 'a header', "HTTP/1.0 200 OK\r\nX: ", 'x' ],
    [ 'headers', "HTTP/1.0 200 OK\r\n", "X: y\r\n" ],
);

# As fast as it goes.

my @flood = (
    [ 'space before the header', '', ' ' x 8192, $none ],
    [ 'newlines before a declaration', '', "\r\n" x 4096, $none ],
    [ 'space in the stream', open_stream(), " \t\n\r" x 2048,
      "$ready$late" ],
    [ 'space by TLS', open_stream(), ' ' x 8192, "$secure$late",
      { port => 'direct', tls => {} } ],
);

my @flood_upstream = (
    [ 'space before its header', '', ' ' x 8192 ],
    [ 'space in its stream', $hi, "\n" x 8192 ],
    [ 'unknown elements', $hi, '<x/>' x 2048 ],
    [ 'large unknown elements', $hi, $large x 3 ],
    [ 'elements before <success/>', "$hi$offer", '<x><y/></x>' x 1024 ],
);

plan tests => 2 * (@drip + @upstream + @service + 1 + @flood + @flood_upstream)
              + 1 + 2 * 2 + 1 + 1;

my $pid = worker($t);
my $cpu = cpu($pid);

run($pause, (map { client($_) } @drip),
    map { upstream($_, $pause) } @upstream);
run($pause, (map { service($_) } @service),
    offer([ 'features', "$hi<stream:features>", '<x/>' ]));

# What is left without a TLS handshake is a few thousand events.
cmp_ok(cpu($pid) - $cpu, '<', 2 * $t->scale, 'it was next to no work');

run(0, map { client($_) } @flood);
run(0, map { upstream($_, 0) } @flood_upstream);

unlike($t->log, qr/client logged in/, 'nobody came through');

$t->finish;


# A client that sends, and what it has to get.

sub client {
    my ($case) = @_;

    my ($name, $first, $again, $want, @more) = @$case;
    my %option = ref $more[-1] ? %{ pop @more } : ();
    my $begun = time;

    my $c = XMPP::Client->new($t->port($option{port} || 'client'),
                              $option{tls} ? (tls => {}) : ());

    if ($option{starttls}) {
        $c->send(open_stream() . STARTTLS);
        $c->read_until(qr/<proceed[^>]*>/);
        $c->starttls or diag $c->error;
    }

    $c->send($first);

    $want = quotemeta $want;
    $want .= '(?:' . quotemeta($more[0]) . ')+' . quotemeta $more[1] if @more;

    # a handshake has a timeout of its own
    return { name => $name, c => $c, begun => $begun, again => $again,
             want => qr/\A$want\z/, times => $option{tls} ? 2 : 1 };
}


sub waiting {
    my ($name, $port, $bytes, $want, $count) = @_;

    my $begun = time;
    my $c = XMPP::Client->new($t->port($port));

    $c->send($bytes);
    $count->() or die "$name: nobody was asked\n";

    return { name => $name, c => $c, begun => $begun, again => '',
             want => qr/\A\Q$want\E\z/, times => 1 };
}


sub upstream {
    my ($case, $wait) = @_;

    my ($name, $first, $again) = @$case;
    my $n = $backend->count + 1;

    # What comes behind the features is an answer.
    my ($features, $answer) = $first =~ m{\A(.*</stream:features>)?(.*)\z}s;

    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     defined $features ? ([ send => $features ],
                                          [ expect => '</auth>' ]) : (),
                     [ send => $answer ], [ again => $again, $wait ]);

    return waiting("backend: $name", 'client',
                   open_stream() . auth('PLAIN', plain('alice', 'wonder')),
                   $ready . refused('temporary-auth-failure'),
                   sub { $backend->wait_count($n) });
}


sub service {
    my ($case) = @_;

    my ($name, $first, $again) = @$case;
    my $n = $auth->count + 1;

    $auth->script([ 'request' ], [ send => $first ],
                  [ again => $again, $pause ]);

    return waiting("auth service: $name", 'client',
                   open_stream() . auth('PLAIN', plain('alice', 'wonder')),
                   $ready . refused('temporary-auth-failure'),
                   sub { $auth->wait_count($n) });
}


# A stream that is passed on, whose backend does not come to an end of what
# STARTTLS is to be put in.

sub offer {
    my ($case) = @_;

    my ($name, $first, $again) = @$case;
    my $n = $backend->count + 1;

    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     [ send => $first ], [ again => $again, $pause ]);

    return waiting("backend of a passed on stream: $name", 'pass',
                   open_stream(),
                   header() . stream_error('remote-connection-failed'),
                   sub { $backend->wait_count($n) });
}


# Lets all of them go on till they are closed; two tests for each, and two more
# if there is no pause: others are served meanwhile.

sub run {
    my ($wait, @all) = @_;

    my $slack = 3 * $t->scale;
    my $end = time + 3 * $timeout + $slack;
    my @open = @all;
    my $other;

    while (@open && time < $end) {

        for (@open) {
            push_on($_);
            $_->{took} = time - $_->{begun} if $_->{c}->ended;
        }

        @open = grep { !$_->{took} } @open;

        if (!$wait && !$other) {
            my $begun = time;
            $other = XMPP::Client->new($t->port('patient'));
            $other->send(open_stream());
            is($other->read_until(qr{</stream:features>})
               =~ s/ id='[0-9a-f]{32}'/ id='ID'/r, $secure,
               'somebody else is served');
            cmp_ok(time - $begun, '<', $slack, 'and soon');
        }

        sleep $wait || 0.001;
    }

    for (@all) {
        my $got = $_->{c}->read_to_end =~ s/ id='[0-9a-f]{32}'/ id='ID'/gr;
        my $took = $_->{took} // 3600;

        like($got, $_->{want}, "$_->{name}: an answer");
        ok($took > 0.9 * $timeout && $took < $_->{times} * $timeout + $slack,
           "$_->{name}: in time") or diag("$took s");
        $_->{c}->close;
    }
}


# One piece more, as far as there is room for it.

sub push_on {
    my ($this) = @_;

    my $c = $this->{c};
    my $bytes = ref $this->{again} ? shift @{ $this->{again} } // ''
                                   : $this->{again};

    if (IO::Select->new($c->{socket})->can_write(0) && $bytes ne '') {
        if ($c->{tls}) {
            $c->{tls}->write($bytes) if !$c->{tls}->closed;
            $bytes = $c->{tls}->out;
        }

        # What does not fit is lost; only white space may come in such amounts,
        # and a record of TLS has to be whole.
        $c->{tls} ? $c->raw($bytes) : syswrite $c->{socket}, $bytes;
    }

    $c->_fill(0);
}
