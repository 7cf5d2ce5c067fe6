#!/usr/bin/perl

# Attacks on STARTTLS: what is said before TLS never counts behind it, in both
# directions; where TLS is required nothing goes without it; and TLS, or what
# looks like it, at places where it does not belong.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile;
use XMPP::Nginx;
use XMPP::Wire;

my $tls_ns = 'urn:ietf:params:xml:ns:xmpp-tls';
my $login = auth('PLAIN', plain('mallory', 'stolen'));

my $required = header() . features(starttls => 'required');
my $optional = header() . features(starttls => 'optional',
                                   mechanisms => [ 'PLAIN', 'LOGIN' ]);
my $offered = features(mechanisms => [ 'PLAIN', 'LOGIN' ]);
my $secure = header() . $offered;

# What an attacker puts behind a client's <starttls/>.
my @injection = (
    [ 'a login', $login ],
    [ 'a stream and a login', open_stream(to => 'evil.test') . $login ],
    [ 'half a header', substr open_stream(to => 'evil.test'), 0, 60 ],
    [ 'the start of a login', '<auth ' ],
    [ 'one character', '<' ],
    [ 'space and a login', " \n\t$login" ],
    [ 'another <starttls/>', STARTTLS ],
    [ 'an end', CLOSE ],
    [ 'a NUL', "\0" ],
    [ 'a comment', '<!-- -->' ],
    [ 'a record of data', "\x17\x03\x03\x00\x05hello" ],
    [ 'an alert', "\x15\x03\x03\x00\x02\x02\x28" ],
    [ 'an SSLv2 hello', "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" ],
);

# What takes nobody to TLS, and what is answered.
my $unknown = stream_error('unsupported-stanza-type');

my @not_starttls = (
    [ 'no namespace', '<starttls/>', $unknown ],
    [ 'the namespace of SASL',
      "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", $unknown ],
    [ 'the namespace in capitals',
      "<starttls xmlns='URN:ietf:params:xml:ns:xmpp-tls'/>", $unknown ],
    [ 'the namespace and a space', "<starttls xmlns='$tls_ns '/>", $unknown ],
    [ 'the namespace of a prefix', "<starttls xmlns:x='$tls_ns'/>",
      $unknown ],
    [ 'a prefix', "<x:starttls xmlns='$tls_ns' xmlns:x='urn:x'/>", $unknown ],
    [ 'the name in capitals', "<STARTTLS xmlns='$tls_ns'/>", $unknown ],
    [ 'a longer name', "<starttlss xmlns='$tls_ns'/>", $unknown ],
    [ 'a shorter name', "<starttl xmlns='$tls_ns'/>", $unknown ],
    [ '<proceed/>', PROCEED, $unknown ],
    [ 'in a stanza', '<iq>' . STARTTLS . '</iq>',
      stream_error('not-authorized') ],
    [ 'in an element', '<x>' . STARTTLS . '</x>', $unknown ],
    [ 'in <auth/>', "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
      . " mechanism='NO'>" . STARTTLS . '</auth>' . CLOSE,
      failure('invalid-mechanism') . CLOSE ],
    [ 'as text', '&lt;starttls/>', stream_error('bad-format') ],
);

# What does.
my @starttls = (
    [ 'children', "<starttls xmlns='$tls_ns'><required/><a>b</a></starttls>" ],
    [ 'attributes', "<starttls a='1' xmlns='$tls_ns' xml:lang='en'/>" ],
    [ 'text', "<starttls xmlns='$tls_ns'>x&amp;</starttls>" ],
    [ 'a login in it', "<starttls xmlns='$tls_ns'>$login</starttls>" ],
    [ 'itself', "<starttls xmlns='$tls_ns'>${\ STARTTLS }</starttls>" ],
    [ 'a reference', "<starttls xmlns='${\ ($tls_ns =~ s/x/&#120;/r) }'/>" ],
);

# Everything that is more than TLS, where TLS is required.
my @stripped = (
    [ 'PLAIN', $login, failure('encryption-required') ],
    [ 'PLAIN, empty', auth('PLAIN'), failure('encryption-required') ],
    [ 'LOGIN', auth('LOGIN', 'mallory'), failure('encryption-required') ],
    [ 'EXTERNAL', auth('EXTERNAL', ''), failure('encryption-required') ],
    [ 'CRAM-MD5', auth('CRAM-MD5'), failure('encryption-required') ],
    [ '<response/>', response(plain('mallory', 'stolen')),
      failure('malformed-request') ],
    [ '<abort/>', ABORT, failure('aborted') ],
    [ 'a message', "<message to='a\@example.test'><body>x</body></message>",
      stream_error('not-authorized') ],
    [ 'presence', '<presence/>', stream_error('not-authorized') ],
    [ 'jabber:iq:auth', "<iq type='set' id='1'><query"
      . " xmlns='jabber:iq:auth'><username>mallory</username><password>stolen"
      . '</password><resource>x</resource></query></iq>',
      stream_error('not-authorized') ],
    [ 'registration', "<iq type='set' id='1'><query"
      . " xmlns='jabber:iq:register'/></iq>",
      stream_error('not-authorized') ],
    [ 'SASL2', "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
      $unknown ],
    [ 'compression', "<compress xmlns='http://jabber.org/protocol/compress'>"
      . '<method>zlib</method></compress>', $unknown ],
    [ 'resumption', "<resume xmlns='urn:xmpp:sm:3' h='1' previd='x'/>",
      $unknown ],
    [ 'a component', '<handshake>x</handshake>', $unknown ],
    [ 'dialback', "<db:result xmlns:db='jabber:server:dialback' from='a.test'"
      . " to='example.test'>x</db:result>", $unknown ],
    [ 'another header', open_stream() =~ s/^.*?\?>//r, $unknown ],
);

# What is no beginning of a stream.
my @http = (
    [ 'HTTP', "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n" ],
    [ 'HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" ],
    [ 'CONNECT', "CONNECT 127.0.0.1:22 HTTP/1.0\r\n\r\n" ],
    [ 'SSH', "SSH-2.0-OpenSSH\r\n" ],
    [ 'a PROXY header', "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" ],
);

my $hello = client_hello();

plan tests => @injection * 8 + @not_starttls * 2 + @starttls * 3
              + @stripped * 2 * 2 + 3 + 3 + 3 * 2 + 4 + 2 * @http + 5 + 5
              + 5 + 6 + 4 + 3 + 2 + 5 + 1;

my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_auth plain login;
    max_errors 100;

    server {
        listen 127.0.0.1:%{on_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{pass_port};
        protocol xmpp;
        starttls only;
        xmpp_auth none;
    }

    server {
        listen 127.0.0.1:%{server_port};
        protocol xmpp;
        starttls only;
        xmpp_stream server;
    }

    server {
        listen 127.0.0.1:%{offer_port};
        protocol xmpp;
        starttls on;
        xmpp_stream server;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{quick_port};
        protocol xmpp;
        starttls only;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{quick_direct_port} ssl;
        protocol xmpp;
        timeout %{1s};
    }
}
END

my %tls = (ca => $certs->ca, name => 'example.test');


# Injected behind <starttls/>: in its packet, byte by byte, behind <proceed/>,
# and in the packet of the ClientHello.  It is never answered, and there is
# never TLS behind it.

for my $port (map { $t->port($_) } qw(on only)) {
    for (@injection) {
        my ($name, $bytes) = @$_;

        $name = ($port == $t->port('on') ? 'on' : 'only')
                . ": $name behind <starttls/>";

        my $c = streaming($port);
        $c->send(STARTTLS . $bytes);
        $c->expect_end('', $name);

        # The first bytes may come behind <proceed/>, and are an end too.
        $c = streaming($port);
        $c->{one} = 1;
        $c->send(STARTTLS . $bytes);
        like($c->read_to_end, qr/\A(?:\Q${\ PROCEED }\E)?\z/,
             "$name, one byte at a time");

        $c = proceeding($port);
        $c->raw($bytes . $hello);
        is($c->read_to_end, '', "$name, before the ClientHello");

        # The handshake goes on as if nothing had happened.
        $c = proceeding($port);
        $c->tls_later(%tls);
        $c->tls->handshake;
        $c->raw($bytes);
        ok(!$c->handshake, "$name, then a handshake");
    }
}

for (@not_starttls) {
    my ($name, $bytes, $want) = @$_;

    talk_to_end($t->port('only'), "no <starttls/>: $name",
                open_stream() . $bytes => $required . $want);
}

for (@starttls) {
    my ($name, $bytes) = @$_;

    twice {
        my $c = streaming($t->port('only'));

        $c->send($bytes);
        $c->expect(PROCEED, "<starttls/> with $name");
        secure($c) if !$c->{one};
        $c->expect($secure, "<starttls/> with $name: TLS") if !$c->{one};
    };
}

# A stream that needs TLS gets nothing else, whoever serves it.

for my $name (qw(only pass)) {
    for (@stripped) {
        my ($what, $bytes, $want) = @$_;

        # a mechanism that is not configured is not there
        $want = failure('invalid-mechanism')
            if $name eq 'only' && $what =~ /EXTERNAL|CRAM/;

        # Failures leave the stream open: here is an end.
        $want .= CLOSE if $want =~ /<failure/;
        $bytes .= CLOSE if $want =~ /<failure/;

        talk_to_end($t->port($name), "stripped, $name: $what",
                    open_stream() . $bytes => $required . $want);
    }
}

for (auth('EXTERNAL', ''), "<db:result from='peer.test' to='example.test'>x"
     . '</db:result>', '<message/>')
{
    my $c = XMPP::Client->new($t->port('server'));

    my $want = server_header(to => 'peer.test')
               . features(starttls => 'required')
               . stream_error('policy-violation');

    $c->send(open_server() . $_);
    $c->expect_end($want, 'stripped, server: ' . substr $_, 0, 10);
}

is($auth->count, 0, 'nobody was asked about any of them');
is($backend->count, 0, 'and no backend');
unlike($t->log, qr/client logged in|is passed on/, 'nobody came through');


# What was said before TLS is forgotten: the domain, the address, the prefixes,
# the exchange.

my @before = (
    [ 'a stream', open_stream(to => 'evil.test', from => 'eve@evil.test'),
      header(from => 'evil.test', to => 'eve@evil.test')
      . features(starttls => 'optional',
                 mechanisms => [ 'PLAIN', 'LOGIN' ]) ],
    [ 'an exchange that was given up',
      open_stream() . auth('LOGIN', 'eve') . ABORT,
      $optional . challenge('Password:') . failure('aborted') ],
    [ 'failures', open_stream() . auth('NO') x 3,
      $optional . failure('invalid-mechanism') x 3 ],
);

for (@before) {
    my ($name, $bytes, $want) = @$_;

    my $c = XMPP::Client->new($t->port('on'));
    $c->send($bytes . STARTTLS);
    $c->expect($want . PROCEED, "before TLS: $name");
    secure($c);
    $c->send(response('secret'));
    $c->expect($secure . failure('malformed-request'),
               "$name is forgotten");
}

# An exchange that goes on can not be taken along.
{
    my $c = streaming($t->port('on'));
    $c->send(auth('LOGIN', 'eve'));
    $c->expect(challenge('Password:'), 'in an exchange');
    $c->send(STARTTLS . response('secret'));
    $c->expect_end(TLS_FAILURE, 'no TLS in an exchange');

    # Nor without a header, whose prefixes were bound before.
    $c = XMPP::Client->new($t->port('on'));
    $c->send(open_stream('xmlns:t' => $tls_ns) . '<t:starttls/>');
    $c->read_until(qr/<proceed[^>]*>/);
    $c->starttls(%tls) or diag $c->error;
    $c->send('<t:starttls/>');
    $c->expect_end(header(from => undef)
                   . stream_error('bad-namespace-prefix'),
                   'prefixes are forgotten');

    $c = proceeding($t->port('on'));
    secure($c);
    $c->expect($secure, 'TLS');
    $c->send(STARTTLS . $login);
    $c->expect_end(TLS_FAILURE, 'no second <starttls/>');
}


# TLS in the wrong place, and something else on the port of TLS.

for (@http) {
    my ($name, $bytes) = @$_;

    my $c = XMPP::Client->new($t->port('only'));
    $c->send($bytes);
    $c->expect_end(header(from => undef) . stream_error('not-well-formed'),
                   "$name on a plain port");

    $c = XMPP::Client->new($t->port('direct'));
    $c->send($bytes);
    $c->finish_writing;
    unlike($c->read_to_end, qr/HTTP|stream/, "$name on the port of TLS");
}

{
    my $broken = stream_error('not-well-formed');

    talk_once('a ClientHello before the header', $hello,
              header(from => undef) . $broken);
    talk_once('a ClientHello behind a declaration', "<?xml version='1.0'?>"
              . $hello,
              header(from => undef) . $broken);
    talk_once('a ClientHello in the header', "<stream:stream $hello",
              header(from => undef) . $broken);
    talk_once('a ClientHello behind the header', open_stream() . $hello,
              $required . stream_error('bad-format'));
    talk_once('a ClientHello in <starttls/>',
              open_stream() . "<starttls xmlns='$tls_ns'>$hello",
              $required . $broken);
}

for my $bytes (open_stream(), $login, "\0" x 100, "\x16\x03\x01\x00\x00",
               "\x16\x03\x01\x40\x01\x01\x00\xff\xff")
{
    my $c = XMPP::Client->new($t->port('direct'));
    $c->send($bytes);
    $c->finish_writing;
    unlike($c->read_to_end, qr/stream/, 'what is no TLS, on the port of TLS');
}


# What nginx does not know of OpenSSL's errors is critical for it, in all that
# it serves.
$t->allow(qr/\[crit\] .* SSL_do_handshake\(\) failed \(SSL: /);

# Handshakes that are cut at each byte, with each byte changed, or that stand
# still.

for my $port ($t->port('direct'), $t->port('only')) {
    my ($cut, $changed) = (0, 0);

    for my $n (0 .. length $hello) {
        my $c = $port == $t->port('only') ? proceeding($port)
                                          : XMPP::Client->new($port);
        $c->raw(substr $hello, 0, $n);
        $c->finish_writing;
        $cut++ if $c->read_to_end !~ /<stream/ && $c->ended;
        $c->close;
    }

    is($cut, length($hello) + 1, 'a handshake that is cut: closed');

    for my $n (0 .. length($hello) - 1) {
        my $c = $port == $t->port('only') ? proceeding($port)
                                          : XMPP::Client->new($port);
        my $bytes = $hello;

        substr($bytes, $n, 1) ^= chr(1 << $n % 8);
        $c->raw($bytes);
        $c->finish_writing;
        $changed++ if $c->read_to_end !~ /<stream/ && $c->ended;
        $c->close;
    }

    is($changed, length $hello, 'a handshake that is changed: closed');
}

# All of these wait at the same time; a whole ClientHello gets an answer, and
# is silent then.

my @silent;

for my $n (0, int(length($hello) / 2), length $hello) {
    for my $name (qw(quick_direct quick)) {
        my $c = $name eq 'quick' ? proceeding($t->port($name))
                                 : XMPP::Client->new($t->port($name));
        $c->raw(substr $hello, 0, $n);
        push @silent, [ "$name: silent after $n bytes of a handshake", $c ];
    }
}

for (@silent) {
    my ($name, $c) = @$_;

    $c->read_to_end;
    ok($c->ended, $name);
}


# Renegotiation would let a client make the server work for nothing.

for my $name (qw(direct on)) {
    my $c = $name eq 'on' ? proceeding($t->port($name))
                          : XMPP::Client->new($t->port($name));
    $c->starttls(%tls, version => '1.2') or diag $c->error;

    my $ssl = $c->tls->{ssl};

    Net::SSLeay::renegotiate($ssl);
    Net::SSLeay::do_handshake($ssl);
    $c->raw($c->tls->out);
    $c->_fill(1) until $c->error || $c->ended;
    like($c->error // 'it went on', qr/no renegotiation/,
         "$name: no renegotiation");

    $c->close;
    $c = $name eq 'on' ? proceeding($t->port($name))
                       : XMPP::Client->new($t->port($name));
    secure($c);
    $c->expect($secure, "$name: the next one");
}


# The other direction, a stream that is passed on: what the backend has said
# in clear never comes out of TLS, and what the peer has said in clear never
# reaches the backend behind TLS.

my $upstream = header() =~ s/client'/server'/r =~ s/id='ID'/id='b'/r;
my @clear = ([ expect => '<stream:stream[^>]*>' ],
             [ send => "$upstream<stream:features/>" ]);
my $wait = [ drain => 9 ];

{
    my ($bad, $lost, $first) = (0, 0, $backend->count + 1);

    # It goes on talking, whatever the peer does, till it is left.
    for my $n (1 .. 20) {
        $backend->script(@clear, [ pieces => '<clear/>' x 100, 8 * $n ],
                         $wait);
        $backend->script([ expect => '<stream:stream[^>]*>' ],
                         [ send => "$upstream<secure/>" ],
                         [ expect => '<end/>' ], [ send => '<done/>' ], $wait);

        my $c = XMPP::Client->new($t->port('offer'));
        $c->send(open_server());
        $c->read_until(qr/<\/stream:features>/);
        sleep 0.0005 * $n;
        $c->send(STARTTLS);
        $c->read_until(qr/<proceed[^>]*>/);
        $c->starttls(%tls) or $lost++;
        $c->send(open_server() . '<end/>');
        my $got = $c->read_until(qr/<done\/>/) // '';
        $bad++ if $got ne "$upstream<secure/><done/>";
        $c->close;
    }

    is($lost, 0, 'the backend goes on in clear: TLS');
    is($bad, 0, 'and nothing of that is read behind TLS');
    is(scalar(grep { $backend->bytes($_) =~ /<end\/>/ }
              map { $first + 2 * $_ } 0 .. 19), 0,
       'nothing that came by TLS for the backend that was left');
}

{
    my $n = $backend->count + 1;

    $backend->script(@clear, $wait);

    my $c = XMPP::Client->new($t->port('offer'));
    $c->send(open_server());
    $c->read_until(qr/<\/stream:features>/);
    $c->send(STARTTLS . "<db:verify xmlns:db='jabber:server:dialback'/>");
    is($c->read_to_end, '', 'dialback behind <starttls/>');
    $backend->wait_event($n, 'eof');
    is($backend->bytes($n), open_server(), 'is for nobody');
}

# With "only" the backend is not there before TLS, and gets what came by TLS.
for my $name (qw(pass server)) {
    my $n = $backend->count + 1;
    my $open = $name eq 'pass' ? open_stream() : open_server();

    $backend->script([ expect => '<stream:stream[^>]*>' ],
                     [ send => "$upstream<secure/>" ], $wait);

    my $c = XMPP::Client->new($t->port($name));
    $c->send($name eq 'pass' ? open_stream(from => 'eve@example.test')
                             : open_server(from => 'eve.test'));
    $c->send(STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/);
    $c->starttls(%tls) or diag $c->error;
    $c->send($open);
    $c->read_until(qr/<secure\/>/);
    is($backend->bytes($n), $open, "$name: the backend has the secure stream");
    is($backend->count, $n, "$name: and no other one");
}

is($auth->request(1)->{header}{'auth-ssl'} // 'off', 'off',
   'the first one to be asked about came in clear');

$t->finish;


sub streaming {
    my ($port) = @_;

    my $c = XMPP::Client->new($port);

    $c->send(open_stream());
    $c->read_until(qr{</stream:features>}) or die "no features\n";

    return $c;
}


sub proceeding {
    my ($port) = @_;

    my $c = XMPP::Client->new($port);

    $c->send(open_stream() . STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/) or die "no <proceed/>\n";

    return $c;
}


sub secure {
    my ($c) = @_;

    $c->starttls(%tls) or diag $c->error;
    $c->send(open_stream());
}


sub talk_once {
    my ($name, $bytes, $want) = @_;

    my $c = XMPP::Client->new($t->port('only'));
    $c->send($bytes);
    $c->expect_end($want, $name);
}


sub client_hello {
    my $tls = XMPP::TLS->new(name => 'example.test');

    $tls->handshake;

    return $tls->out;
}
