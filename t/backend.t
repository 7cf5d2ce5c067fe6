#!/usr/bin/perl

# Backends that can not be logged in to: what the client is told, and what is
# written to the log, where each line has to name the user and the backend.

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

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $tls = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'";
my $streams = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
my $stream = "xmlns:stream='http://etherx.jabber.org/streams'";

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' $stream"
    . " id='1' from='example.test' version='1.0'>";
my $features = "<stream:features><mechanisms $sasl>"
    . '<mechanism>PLAIN</mechanism></mechanisms></stream:features>';

my @read_header = [ expect => '<stream:stream\b[^>]*>' ];
my @read_auth = [ expect => '</auth>' ];
my @greeting = (@read_header, [ send => $header ]);
my @offer = (@read_header, [ send => "$header$features" ]);
my @asked = (@offer, @read_auth);

my $invalid = 'upstream sent invalid XML';
my $closed = 'upstream prematurely closed connection';
my $reset = 'recv() failed (104: Connection reset by peer)';
my $unexpected = 'upstream sent unexpected element';
my $no_plain = 'upstream does not offer PLAIN';
my $old = 'upstream does not support XMPP 1.0';
my $large = 'upstream sent too large element';

# The backend says these bytes in answer to our header, then waits.
sub says { return (@read_header, [ send => "@_" ], [ drain => 9 ]) }
sub offers { return says("$header<stream:features>@_</stream:features>") }

# The same, in answer to <auth/>.
sub answers { return (@asked, [ send => "@_" ], [ drain => 9 ]) }

my @case = (
    # Closing and resetting at each step.
    [ 'closes at once', qr/(?:$closed|\Q$reset\E)/, [ 'close' ] ],
    [ 'closes on our header', $closed, @read_header, [ 'close' ] ],
    [ 'closes in its declaration', $closed,
      @read_header, [ send => "<?xml vers" ], [ 'close' ] ],
    [ 'closes in its header', $closed,
      @read_header, [ send => substr $header, 0, 60 ], [ 'close' ] ],
    [ 'closes behind its header', $closed, @greeting, [ 'close' ] ],
    [ 'closes in its features', $closed,
      @greeting, [ send => '<stream:features><mecha' ], [ 'close' ] ],
    [ 'closes on our <auth/>', $closed, @asked, [ 'close' ] ],
    [ 'closes in <success/>', $closed,
      @asked, [ send => "<success $sasl" ], [ 'close' ] ],
    [ 'closes before the end of <failure/>', $closed,
      @asked, [ send => "<failure $sasl><not-authorized/>" ], [ 'close' ] ],
    [ 'sends no more', $closed, @greeting, [ 'half' ], [ drain => 9 ] ],
    [ 'resets on our header', $reset, @read_header, [ 'reset' ] ],
    [ 'resets in its features', $reset, @greeting,
      [ send => '<stream:features>' ], [ sleep => 0.05 ], [ 'reset' ] ],
    [ 'resets on our <auth/>', $reset, @asked, [ 'reset' ] ],

    # No PLAIN.
    [ 'offers nothing', $no_plain, offers('') ],
    [ 'offers nothing in an empty element', $no_plain,
      says("$header<stream:features/>") ],
    [ 'offers other mechanisms', $no_plain,
      offers("<mechanisms $sasl><mechanism>SCRAM-SHA-1</mechanism>"
             . '<mechanism>X-PLAIN</mechanism><mechanism>PLAINER</mechanism>'
             . '<mechanism>plain</mechanism><mechanism/></mechanisms>') ],
    [ 'offers an empty list', $no_plain, offers("<mechanisms $sasl/>") ],
    [ 'wants STARTTLS', $no_plain,
      offers("<starttls $tls><required/></starttls>") ],
    [ 'offers PLAIN in another namespace', $no_plain,
      offers("<mechanisms xmlns='urn:xmpp:sasl:2'>"
             . '<mechanism>PLAIN</mechanism></mechanisms>') ],
    [ 'offers PLAIN in another namespace within the list', $no_plain,
      offers("<mechanisms $sasl><mechanism xmlns='urn:other'>PLAIN</mechanism>"
             . '</mechanisms>') ],
    [ 'offers PLAIN deeper down', $no_plain,
      offers("<x xmlns='urn:x'><mechanisms $sasl><mechanism>PLAIN</mechanism>"
             . '</mechanisms></x>') ],
    [ 'offers PLAIN outside of the list', $no_plain,
      offers("<mechanisms $sasl/><mechanism $sasl>PLAIN</mechanism>") ],
    [ 'offers PLAIN with more inside', $no_plain,
      offers("<mechanisms $sasl><mechanism>PLAIN<x/></mechanism>"
             . '</mechanisms>') ],
    [ 'has features in another namespace', $closed,
      @greeting, [ send => "<features><mechanisms $sasl>"
                   . '<mechanism>PLAIN</mechanism></mechanisms></features>' ],
      [ 'close' ] ],

    # Not XML, or not the XML of a stream.
    [ 'speaks HTTP', "$invalid: not-well-formed",
      says("HTTP/1.1 400 Bad Request\r\n\r\n") ],
    [ 'speaks first and in IMAP', "$invalid: not-well-formed",
      [ send => "* OK ready\r\n" ], [ drain => 9 ] ],
    [ 'has no quotes', "$invalid: not-well-formed",
      says('<stream:stream version=1.0>') ],
    [ 'closes the wrong element', "$invalid: not-well-formed",
      offers('<a></b>') ],
    [ 'has an attribute twice', "$invalid: not-well-formed",
      offers("<a b='1' b='2'/>") ],
    [ 'has a control character', "$invalid: not-well-formed",
      offers("<a>\x01</a>") ],
    [ 'has a NUL before the header', "$invalid: unsupported-encoding",
      says("\0$header") ],
    [ 'is not UTF-8', "$invalid: unsupported-encoding",
      offers("<a>\xe4\xf6</a>") ],
    [ 'declares another encoding', "$invalid: unsupported-encoding",
      says("<?xml version='1.0' encoding='ISO-8859-1'?>") ],
    [ 'has a DTD', "$invalid: restricted-xml", says('<!DOCTYPE stream>') ],
    [ 'has a comment', "$invalid: restricted-xml", offers('<!-- hello -->') ],
    [ 'has an instruction', "$invalid: restricted-xml", offers('<?php ?>') ],
    [ 'has an entity of its own', "$invalid: restricted-xml",
      offers('<a>&nbsp;</a>') ],
    [ 'has an unbound prefix', "$invalid: bad-namespace-prefix",
      says('<stream:stream version="1.0">') ],
    [ 'has text between elements', "$invalid: bad-format", says("$header OK") ],
    [ 'is too deep', "$invalid: policy-violation", offers('<a>' x 40) ],
    [ 'has too many attributes', "$invalid: policy-violation",
      offers('<a', map({ "a$_='1'" } 1 .. 40), '/>') ],
    [ 'has another stream namespace', 'upstream sent invalid stream header',
      says("<stream:stream xmlns='jabber:client'"
           . " xmlns:stream='http://etherx.jabber.org/stream' version='1.0'>") ],
    [ 'has no stream namespace', 'upstream sent invalid stream header',
      says("<stream version='1.0'>") ],
    [ 'has a header of another name', 'upstream sent invalid stream header',
      says("<stream:streams $stream version='1.0'>") ],
    [ 'has no version', $old, says("<stream:stream $stream id='1'>") ],
    [ 'is older than 1.0', $old,
      says("<stream:stream $stream id='1' version='0.9'>") ],
    [ 'has a version that is no number', $old,
      says("<stream:stream $stream id='1' version='new'>") ],
    [ 'has features instead of a header', 'upstream sent invalid stream header',
      says("<stream:features $stream/>") ],

    # Too much at once: the buffer has 4096 bytes.
    [ 'has a large declaration', $large,
      says("<?xml version='1.0'", ' ' x 4096) ],
    [ 'has a large header', $large,
      says("<stream:stream $stream xmlns:a='", 'x' x 4096) ],
    [ 'has large features', $large,
      offers(map { "<feature xmlns='urn:feature:$_'/>" } 1 .. 150) ],
    [ 'has a large text', $large, offers('<a>', 'x' x 4096) ],
    [ 'has a large failure', $large,
      answers("<failure $sasl><text>", 'x' x 4096) ],

    # In the wrong place.
    [ 'ends the stream in place of features', 'upstream closed stream',
      says("$header</stream:stream>") ],
    [ 'ends the stream in its header', 'upstream closed stream',
      says("<stream:stream $stream version='1.0'/>") ],
    [ 'ends the stream on <auth/>', 'upstream closed stream',
      answers('</stream:stream>') ],
    [ 'has success for features', $unexpected,
      says("$header<success $sasl/>") ],
    [ 'has failure for features', $unexpected,
      says("$header<failure $sasl><not-authorized/></failure>") ],
    [ 'has success right behind its features', $unexpected,
      says("$header$features<success $sasl/>") ],
    [ 'has failure right behind its features', $unexpected,
      says("$header$features<failure $sasl><not-authorized/></failure>") ],
    [ 'has a challenge', $unexpected, answers("<challenge $sasl>YQ==</challenge>") ],
    [ 'has features twice', $unexpected, answers($features) ],
    [ 'has success in another namespace', $closed,
      @asked, [ send => '<success/>' ], [ 'close' ] ],

    # Errors of the stream.
    [ 'has a stream error behind the header',
      'upstream sent stream error: host-unknown',
      says("$header<stream:error><host-unknown $streams/>"
           . '</stream:error></stream:stream>') ],
    [ 'has a stream error with a text',
      'upstream sent stream error: conflict',
      says("$header<stream:error><text $streams>gone</text>"
           . "<conflict $streams/></stream:error></stream:stream>") ],
    [ 'has a stream error on <auth/>',
      'upstream sent stream error: system-shutdown',
      answers("<stream:error><system-shutdown $streams/></stream:error>") ],
);

# Those who are silent need time, and wait at once.
my @silent = (
    [ 'is silent' ],
    [ 'is silent behind its header', @greeting ],
    [ 'is silent in its features', @greeting, [ send => '<stream:features>' ] ],
    [ 'is silent on <auth/>', @asked ],
);

plan tests => 2 * (2 * (1 + @case + @silent)) + 1;

my $t = XMPP::Nginx->new;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    proxy_buffer 4k;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{hasty_port};
        protocol xmpp;
        timeout %{1s};
    }
}
END

my $failure = refused('temporary-auth-failure');
my $connection = 0;

sub line {
    my ($message, $server, $port) = @_;

    return "error: $message, client: 127.0.0.1, server: 127.0.0.1:" . $t->port($server)
           . ', login: "alice@example.test", upstream: 127.0.0.1:'
           . $t->port($port);
}

sub logged {
    my ($message, $name, $port) = @_;

    $name .= ', one byte at a time' if $XMPP::Client::one_at_a_time;

    if (ref $message) {
        my $context = line('', 'client', $port) =~ s/^error: //r;
        like(join("\n", errors($t)), qr/\Aerror: $message\Q$context\E\z/, $name);
        return;
    }

    is(join("\n", errors($t)), line($message, 'client', $port), $name);
}

twice {
    $auth->answer('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                  'Auth-Port' => $t->port('nobody'));

    my $c = login($t);

    $c->expect_end($failure, 'is not there: the client is told');
    logged(qr/(?:connect|recv)\(\) failed \(111: Connection refused\)/,
           'is not there: logged', 'nobody');
};

for my $case (@case) {
    my ($name, $message, @script) = @$case;

    twice {
        $backend->script(@script);

        my $c = login($t);

        $c->expect_end($failure, "$name: the client is told");
        logged($message, "$name: logged", 'backend');
        $connection++;
    };
}

twice {
    my @c;

    for (@silent) {
        my ($name, @script) = @$_;

        $backend->script(@script, [ drain => 9 ]);
        push @c, login($t, port => 'hasty');
        $backend->wait_count(++$connection) or die "no connection\n";
    }

    for (@silent) {
        my $c = shift @c;
        $c->expect_end($failure, "$_->[0]: the client is told");
    }

    my @line = errors($t);

    for (@silent) {
        my $name = "$_->[0]: logged";
        $name .= ', one byte at a time' if $XMPP::Client::one_at_a_time;

        is(shift @line,
           line('upstream timed out (110: Connection timed out)', 'hasty',
                'backend'), $name);
    }
};

$t->finish;
