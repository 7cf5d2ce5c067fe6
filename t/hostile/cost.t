#!/usr/bin/perl

# A small cheap input never costs disproportionate work: what the worker does
# for a byte of an attack is within a factor of what it does for any byte, and
# does not grow with the length of the attack.

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

# How much more a byte of an attack may cost than one of ordinary elements, and
# how much more in an attack that is four times as long.  Five at most was seen
# of the first and one of the second, but the processor is shared with other
# things.
use constant { FACTOR => 8, GROWTH => 3 };

my $t = XMPP::Nginx->new(log => 'error');
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

# A buffer as large as an attacker could wish for.
$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    timeout 600s;
    xmpp_client_buffer 64k;
    proxy_buffer 64k;
    max_errors 1000000;
    xmpp_auth plain login;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

my $pid = worker($t);
my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $no = "<auth $sasl mechanism='NO'";
my $features = qr{</stream:features>};

# Inputs that end in a failure of a login, as long as asked for.
my %input = (
    'text' => sub { "$no>" . 'abcd ' x ($_[0] / 5) . '</auth>' },
    'base64' => sub { "<auth $sasl mechanism='LOGIN'>"
                      . 'QUFB' x ($_[0] / 4) . '</auth>' . ABORT },
    'a long value' => sub { "$no a='" . 'x' x $_[0] . "'/>" },
    'a long name' => sub { "$no><" . 'x' x $_[0] . '/></auth>' },
    'a long name, twice' => sub { my $x = 'x' x ($_[0] / 2);
                                  "$no><$x></$x></auth>" },
    'a long namespace' => sub { "$no xmlns:a='" . 'u' x $_[0] . "'/>" },
    'entities' => sub { "$no>" . '&amp;' x ($_[0] / 5) . '</auth>' },
    'entities in a value' => sub { "$no a='" . '&lt;' x ($_[0] / 4)
                                   . "'/>" },
    'character references' => sub { "$no>" . '&#1234;' x ($_[0] / 7)
                                    . '</auth>' },
    'zeros of a reference' => sub { "$no>&#" . '0' x $_[0] . '65;</auth>' },
    'entities in the mechanism' => sub { "<auth $sasl mechanism='"
                                     . '&lt;' x ($_[0] / 4) . "'/>" },
    'CDATA sections' => sub { "$no>" . '<![CDATA[x]]>' x ($_[0] / 13)
                              . '</auth>' },
    'brackets' => sub { "$no>" . ']' x $_[0] . '</auth>' },
    'brackets in CDATA' => sub { "$no><![CDATA[" . ']' x $_[0]
                                 . ']]></auth>' },
    'letters of four bytes' => sub { "$no>" . "\xf0\x9f\xa6\x8a"
                                     x ($_[0] / 4) . '</auth>' },
    'empty elements' => sub { "$no>" . '<a/>' x ($_[0] / 4) . '</auth>' },
    'elements with an end' => sub { "$no>" . '<a></a>' x ($_[0] / 7)
                                    . '</auth>' },
    'levels' => sub { "$no>" . ('<a>' x 30 . '</a>' x 30) x ($_[0] / 210)
                      . '</auth>' },
    'attributes' => sub { my $a = '<a ' . join(' ', map { "a$_=''" } 1 .. 32)
                                  . '/>';
                          "$no>" . $a x ($_[0] / length $a) . '</auth>' },
    'attributes whose names are alike' => sub {
        my $a = '<a ' . join(' ', map { 'a' x 30 . chr(64 + $_) . "=''" }
                             1 .. 26) . '/>';
        "$no>" . $a x ($_[0] / length $a) . '</auth>' },
    'prefixes' => sub { my $a = '<a ' . join(' ', map { "xmlns:a$_='u'" }
                                             1 .. 28) . '/>';
                        "$no>" . $a x ($_[0] / length $a) . '</auth>' },
    'prefixes, and their use' => sub {
        my $a = '<a ' . join(' ', map { "xmlns:a$_='u$_'" } 1 .. 16) . ' '
                . join(' ', map { "a$_:x=''" } 1 .. 16) . '/>';
        "$no>" . $a x ($_[0] / length $a) . '</auth>' },
    'namespaces that are compared' => sub {
        my $u = 'u' x ($_[0] / 32);
        "$no>" . '<a ' . join(' ', map { "xmlns:a$_='$u$_'" } 10 .. 25) . ' '
        . join(' ', map { "a$_:x=''" } 10 .. 25) . '/></auth>' },
    'namespaces with references' => sub {
        my $a = '<a ' . join(' ', map { "xmlns:a$_='&#117;&#x3a;$_'" } 1 .. 14)
                . ' ' . join(' ', map { "a$_:x=''" } 1 .. 14) . '/>';
        "$no>" . $a x ($_[0] / length $a) . '</auth>' },
    'namespaces that are compared by each child' => sub {
        my $u = 'u' x ($_[0] / 2 / 12);
        my $a = '<a ' . join(' ', map { ("p$_:x=''", "p$_:y=''") } 10 .. 21)
                . '/>';
        "$no><a " . join(' ', map { "xmlns:p$_='$u$_'" } 10 .. 21) . '>'
        . $a x ($_[0] / 2 / length $a) . '</a></auth>' },
    'namespaces with references, compared by each child' => sub {
        my $u = '&#117;' x ($_[0] / 2 / 6 / 12);
        my $a = '<a ' . join(' ', map { ("p$_:x=''", "p$_:y=''") } 10 .. 21)
                . '/>';
        "$no><a " . join(' ', map { "xmlns:p$_='$u$_'" } 10 .. 21) . '>'
        . $a x ($_[0] / 2 / length $a) . '</a></auth>' },
    'a namespace that is compared with many, by each child' => sub {
        my $u = 'u' x 150;
        my $a = "<a xmlns='$u'/>";
        "$no><a " . join(' ', map { "xmlns:p$_='$u&#$_;'" } 40 .. 65) . '>'
        . $a x (($_[0] - 26 * 170) / length $a) . '</a></auth>' },
    'space in tags' => sub { "$no" . ' ' x $_[0] . '/>' },
    'space in the stream' => sub { "\n" x $_[0] . "$no/>" },
);

# Many inputs of the same kind, one behind the other, before anything is read.
my %pipeline = (
    'logins that fail' => auth('PLAIN', 'x'),
    'mechanisms that are unknown' => auth('NO'),
    'exchanges that are given up' => auth('LOGIN') . ABORT,
    'aborts' => ABORT,
    'responses to nothing' => response(''),
);

# What a backend may send before its features.
my %upstream = (
    'elements' => '<x/>',
    'elements in elements' => '<x><y/></x>',
    'space' => ' ',
    'attributes' => '<x ' . join(' ', map { "a$_=''" } 1 .. 32) . '/>',
    'long elements' => '<x>' . 'y' x 900 . '</x>',
);

plan tests => 2 * keys(%input) + keys(%pipeline) * 2 + keys(%upstream)
              + 2 + 1;

# The measure: what might be in anybody's stream.
my $unit = spent(sub {
    "$no>" . "<a xmlns='urn:x' b='c'><d>hello</d></a>" x ($_[0] / 39)
    . '</auth>' }, 50_000);

note(sprintf 'a byte: %.1f ns', $unit * 1e9);

for my $name (sort keys %input) {
    my $short = spent($input{$name}, 12_500);
    my $long = spent($input{$name}, 50_000);

    note(sprintf '%s: %.1f ns, then %.1f ns a byte', $name, $short * 1e9,
         $long * 1e9);

    ok($long < FACTOR * $unit, "$name: no more than other bytes")
        or diag($long / $unit);
    ok($long < GROWTH * $short, "$name: no more if it is longer")
        or diag($long / $short);
}

# Each of these is answered: the measure is the shortest of them, alone.
my $answer = replies(auth('NO'), 1);

for my $name (sort keys %pipeline) {
    my $few = replies($pipeline{$name}, 50);
    my $many = replies($pipeline{$name}, 200);

    note(sprintf '%s: %.1f us, then %.1f us each', $name, $few * 1e6,
         $many * 1e6);

    ok($many < 3 * $answer, "$name in a row: no more than one by one")
        or diag($many / $answer);
    ok($many < GROWTH * $few, "$name in a row: no more if there are more")
        or diag($many / $few);
}

for my $name (sort keys %upstream) {
    my $bytes = $upstream{$name};
    my $each = served($bytes x int(1000 / length($bytes) + 1));

    note(sprintf 'backend, %s: %.1f ns a byte', $name, $each * 1e9);

    ok($each < FACTOR * $unit, "backend, $name: no more than other bytes")
        or diag($each / $unit);
}

# One byte a write is as expensive as it gets: an event for each.  A long
# element that is not complete does not make it worse.
{
    my $short = alone(100);
    my $long = alone(40_000);

    note(sprintf 'a byte in a write: %.1f us, then %.1f us', $short * 1e6,
         $long * 1e6);

    cmp_ok($short, '<', 1e-3 * $t->scale, 'a byte in a write of its own');
    ok($long < GROWTH * $short, 'the same in a long element')
        or diag($long / $short);
}

$t->finish;


# Seconds for a byte of an input, the best of a few times: of the same amount,
# however long the input is.

sub spent {
    my ($make, $size) = @_;

    my $input = $make->($size);
    my $times = int(200_000 / $size);

    return best(sub {
        my ($c) = @_;

        for (1 .. $times) {
            $c->send($input);
            $c->read_until(qr{</failure>}) // die "no answer\n";
        }
    }) / $times / length $input;
}


# Seconds for an answer, when all that is to be answered comes at once.

sub replies {
    my ($bytes, $n) = @_;

    my $all = $bytes x $n;

    return best(sub {
        my ($c) = @_;

        $c->send($all);
        $c->read_until(qr{\A(?:(?:(?!</failure>).)*+</failure>){$n}}s)
            // die "no answer\n";
    }) / $n;
}


# Seconds for a byte that comes alone, when so many have come before.

sub alone {
    my ($n) = @_;

    return best(sub {
        my ($c) = @_;

        $c->{one} = 1;
        $c->send('x' x 300);
    }, "$no>" . 'x' x $n) / 300;
}


sub best {
    my ($code, $first) = @_;

    my $best;

    for (1 .. 5) {
        my $c = XMPP::Client->new($t->port('client'));

        $c->send(open_stream());
        $c->read_until($features) // die "no features\n";
        $c->send($first // '');

        my $before = quiet($pid);
        $code->($c);
        my $spent = quiet($pid) - $before;

        $best = $spent if !defined $best || $spent < $best;
        $c->close;
    }

    return $best;
}


# Seconds for a byte of what a backend says before its features.

sub served {
    my ($bytes) = @_;

    my $best;

    for (1 .. 3) {
        $backend->script([ expect => '<stream:stream[^>]*>' ],
            [ send => "<stream:stream xmlns='jabber:client' version='1.0'"
              . " xmlns:stream='http://etherx.jabber.org/streams'>" ],
            [ again => $bytes, 0, 1000 ], [ send => CLOSE ], [ drain => 9 ]);

        my $c = XMPP::Client->new($t->port('client'));
        my $before = quiet($pid);

        $c->send(open_stream() . auth('PLAIN', plain('alice', 'wonder')));
        $c->read_to_end =~ /temporary-auth-failure/ or die "no answer\n";

        my $spent = (quiet($pid) - $before) / length($bytes) / 1000;

        $best = $spent if !defined $best || $spent < $best;
    }

    return $best;
}
