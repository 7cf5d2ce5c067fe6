#!/usr/bin/perl

# The client's stream: headers, what opens and closes a stream, and what may
# not stand in it before the login.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 183;

use XMPP::Auth;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $auth = XMPP::Auth->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{any_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{served_port};
        protocol xmpp;
        xmpp_domain example.test Other.Test münchen.example;
    }

    server {
        listen 127.0.0.1:%{small_port};
        protocol xmpp;
        xmpp_client_buffer 1k;
    }
}
END

my ($any, $served, $small) = map { $t->port($_) } qw(any served small);

my $streams = "xmlns:stream='http://etherx.jabber.org/streams'";
my $offer = features(mechanisms => [ 'PLAIN' ]);
my $ready = header() . $offer;

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";


# Faults of the header.  The domain is in our header when it was understood.

my @fault = (
    'no "to"', { to => undef }, undef, 'improper-addressing',
    'empty "to"', { to => '' }, undef, 'improper-addressing',
    '"to" with a space', { to => 'example test' }, undef,
        'improper-addressing',
    '"to" with a hyphen at the start', { to => '-example.test' }, undef,
        'improper-addressing',
    '"to" with two dots', { to => 'example..test' }, undef,
        'improper-addressing',
    '"to" with a user', { to => 'alice@example.test' }, undef,
        'improper-addressing',
    '"to" with a resource', { to => 'example.test/home' }, undef,
        'improper-addressing',
    '"to" with markup', { to => '&lt;example&gt;.test' }, undef,
        'improper-addressing',
    '"to" longer than 1023 bytes',
        { to => join '.', ('a' x 60) x 17 }, undef, 'improper-addressing',
    '"to" with a label longer than 63 bytes',
        { to => 'a' x 64 . '.test' }, undef, 'improper-addressing',

    'no version', { version => undef }, 'example.test', 'unsupported-version',
    'version 0.9', { version => '0.9' }, 'example.test', 'unsupported-version',
    'empty version', { version => '' }, 'example.test', 'unsupported-version',
    'version without minor number', { version => '1' }, 'example.test',
        'unsupported-version',
    'version in words', { version => 'one.zero' }, 'example.test',
        'unsupported-version',

    'unknown namespace of the stream',
        { 'xmlns:stream' => 'http://etherx.jabber.org/stream' }, undef,
        'invalid-namespace',
    'default namespace of servers', { xmlns => 'jabber:server' }, undef,
        'invalid-namespace',
    'no default namespace', { xmlns => undef }, undef, 'invalid-namespace',
    'empty default namespace', { xmlns => '' }, undef, 'invalid-namespace',
);

while (my ($name, $attribute, $from, $condition) = splice @fault, 0, 4) {
    talk_to_end($any, $name, open_stream(%$attribute),
                header(from => $from) . stream_error($condition));
}

talk_to_end($any, 'stream without prefix, in no namespace of clients',
            "<stream xmlns='http://etherx.jabber.org/streams'"
            . " to='example.test' version='1.0'>",
            header(from => undef) . stream_error('invalid-namespace'));


# Headers as clients write them.

my $client = "xmlns='jabber:client'";

my @good = (
    'double quotes', '<?xml version="1.0"?><stream:stream'
        . ' xmlns="jabber:client"'
        . ' xmlns:stream="http://etherx.jabber.org/streams"'
        . ' to="example.test" version="1.0">', {},
    'newline behind the declaration', "<?xml version='1.0'?>\n"
        . "<stream:stream to='example.test' $client $streams version='1.0'>",
        {},
    'space in the declaration, double spaces', "<?xml version='1.0' ?>"
        . "<stream:stream to='example.test'  $client  $streams"
        . "  xml:lang='en' version='1.0'>", {},
    'encoding', "<?xml version='1.0' encoding='UTF-8'?>"
        . "<stream:stream version='1.0' $client $streams to='example.test'>",
        {},
    'encoding in small letters, standalone',
        "<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes'?>"
        . "<stream:stream version='1.0' $client $streams to='example.test'>",
        {},
    'no declaration', "<stream:stream to='example.test' $streams $client"
        . " xml:lang='en' version='1.0'>", {},
    'white space before it', "\n <stream:stream to='example.test' $streams"
        . " $client version='1.0'>", {},
    'white space before the declaration', "\n " . open_stream(), {},
    'newlines and tabs between attributes', "<stream:stream\n\t$client\r\n"
        . "$streams\tversion = '1.0'\nto\n=\n'example.test'\n>", {},
    'space before the end, from=localhost', "<?xml version='1.0'?>"
        . "<stream:stream version='1.0' $streams $client to='example.test'"
        . " from='localhost' xml:lang='en' >", { to => 'localhost' },
    'another prefix', "<s:stream xmlns:s='http://etherx.jabber.org/streams'"
        . " $client to='example.test' version='1.0'>", {},
    'unknown attributes', "<stream:stream $streams $client x:a='1'"
        . " xmlns:x='urn:x' to='example.test' b='>' version='1.0'>", {},
    'version with leading zeros', open_stream(version => '01.00'), {},
    'version 1.1', open_stream(version => '1.1'), {},
    'version 2.0', open_stream(version => '2.0'), {},

    'from: a bare JID', open_stream(from => 'alice@example.test'),
        { to => 'alice@example.test' },
    'from: a full JID', open_stream(from => 'alice@example.test/a b'),
        { to => 'alice@example.test' },
    'from: no JID', open_stream(from => 'al ice@example.test'), {},
    'from: markup', open_stream(from => '&lt;a&gt;@example.test'), {},
    'from: empty', open_stream(from => ''), {},
    'from: with other letters', open_stream(from => 'żółć@example.test'),
        { to => 'żółć@example.test' },

    'to: capitals', open_stream(to => 'EXAMPLE.Test'), {},
    'to: a dot at the end', open_stream(to => 'example.test.'), {},
    'to: character references', open_stream(to => 'ex&#97;mple&#x2e;test'),
        {},
    'to: an IDN', open_stream(to => 'münchen.example'),
        { from => 'münchen.example' },
    'to: an IDN, encoded', open_stream(to => 'xn--mnchen-3ya.example'),
        { from => 'xn--mnchen-3ya.example' },
    'to: an IPv4 address', open_stream(to => '127.0.0.1'),
        { from => '127.0.0.1' },
    'to: an IPv6 address', open_stream(to => '[::1]'), { from => '[::1]' },
);

while (my ($name, $header, $answer) = splice @good, 0, 3) {
    talk($any, $name, $header => header(%$answer) . $offer);
}


# Domains that are served.

for my $domain ('example.test', 'other.test', 'münchen.example') {
    talk($served, "domain $domain",
         open_stream(to => $domain) => header(from => $domain) . $offer);
}

talk($served, 'served domain in capitals',
     open_stream(to => 'OTHER.test') => header(from => 'other.test') . $offer);

for my $domain ('test', 'example.tes', 'example.test.x', 'an.example.test',
                'MÜNCHEN.example')
{
    talk_to_end($served, "domain $domain is not served",
                open_stream(to => $domain)
                => header(from => undef) . stream_error('host-unknown'));
}

talk_to_end($served, 'a domain that is not served, and no version',
            open_stream(to => 'example.com', version => undef)
            => header(from => undef) . stream_error('host-unknown'));

talk_to_end($served, 'no "to"', open_stream(to => undef)
            => header(from => undef) . stream_error('improper-addressing'));

talk_to_end($any, 'a root element that is no stream',
            "<stream:iq $streams $client to='example.test' version='1.0'>"
            => header(from => undef) . stream_error('bad-format'));


# The stream and its end.

talk_to_end($any, 'end of the stream', open_stream() => $ready,
            CLOSE() => CLOSE);

talk_to_end($any, 'header and end in one packet',
            open_stream() . CLOSE() => $ready . CLOSE);

talk_to_end($any, 'empty stream', open_stream() =~ s{>$}{/>}r
            => $ready . CLOSE);

talk_to_end($any, 'white space in the stream',
            open_stream() . "\n \t\r\n" => $ready, ' ' x 10_000 => '',
            "\n" . CLOSE() => CLOSE);

talk($any, 'several elements in one packet',
     open_stream() . "<auth $sasl mechanism='NO'/>\n<abort $sasl/> "
     . STARTTLS() => $ready . failure('invalid-mechanism') . failure('aborted')
        . TLS_FAILURE);

twice {
    my $c = XMPP::Client->new($any);
    $c->expect_silence(0.3, 'nothing is said before the client speaks');
};

talk_to_end($any, 'a header in the stream', open_stream() => $ready,
            "<stream:stream $streams $client to='example.test' version='1.0'>"
            => stream_error('unsupported-stanza-type'));


# Before login.

my @stanza = (
    "<message to='bob\@example.test'><body>hi</body></message>",
    '<presence/>',
    "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
    "<c:iq xmlns:c='jabber:client' type='get'/>",
);

talk_to_end($any, "stanza $_", open_stream() . $_
            => $ready . stream_error('not-authorized')) for @stanza;

my @unknown = (
    '<unknown/>',
    "<iq xmlns='jabber:server' type='get'/>",
    "<enable xmlns='urn:xmpp:sm:3'/>",
    "<auth mechanism='PLAIN'>AGEAYQ==</auth>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<compress xmlns='http://jabber.org/protocol/compress'/>",
);

talk_to_end($any, "unknown $_", open_stream() . $_
            => $ready . stream_error('unsupported-stanza-type'))
    for @unknown;


# Sizes.

talk_to_end($any, 'header larger than a page',
            open_stream(x => 'x' x 5000)
            => header(from => undef) . stream_error('policy-violation'));

talk_to_end($any, 'element larger than a page', open_stream() => $ready,
            "<auth $sasl mechanism='PLAIN'>" . 'A' x 5000
            => stream_error('policy-violation'));

talk_to_end($small, 'header larger than xmpp_client_buffer',
            open_stream(x => 'x' x 1000)
            => header(from => undef) . stream_error('policy-violation'));

talk($small, 'elements that fit one by one', open_stream() => $ready,
     map { ("<auth $sasl mechanism='NO'>" . 'A' x 600 . '</auth>')
           => failure('invalid-mechanism') } 1 .. 3);


# Identifiers: XMPP::Client saw to it that none came twice.

my @nibble;

for (1 .. 100) {
    my $c = XMPP::Client->new($any);
    $c->send(open_stream());
    my ($id) = $c->read_until(qr/<stream:features>/) =~ / id='([^']*)'/;
    $nibble[$_]{substr $id, $_, 1} = 1 for 0 .. length($id) - 1;
    $c->close;
}

is(scalar @nibble, 32, 'digits of an identifier');
is(scalar(grep { keys %$_ < 8 } @nibble), 0, 'all of its digits change');


# A client that goes away in the middle of anything.

for my $end (qw(close reset)) {
    for my $bytes (map { substr open_stream(), 0, $_ } 0, 1, 30, 150) {
        my $c = XMPP::Client->new($any);
        $c->send($bytes);
        $c->$end;
    }

    my $c = XMPP::Client->new($any);
    $c->send(open_stream());
    is($c->read_until(qr/<stream:features>/) ? 'alive' : 'dead', 'alive',
       "after clients that went away with $end");
}

$t->finish;
