#!/usr/bin/perl

# SASL messages that are none, in the wrong order or much too large: each has
# its condition of RFC 6120, 6.5, the stream goes on where it may, and nobody
# is logged in, nor is the auth service asked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use MIME::Base64;
use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile qw(feed);
use XMPP::Nginx;
use XMPP::Wire;

my $ns = 'urn:ietf:params:xml:ns:xmpp-sasl';
my $sasl = "xmlns='$ns'";
my $digest = '0123456789abcdef' x 2;
my $stanza = stream_error('unsupported-stanza-type');

my $t = XMPP::Nginx->new;
my ($crt, $key) = $t->certs->server;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

# An <auth/> for PLAIN with just this text.
sub raw { return "<auth $sasl mechanism='PLAIN'>$_[0]</auth>" }

# The message in base64, changed by $code.
sub base64 {
    my ($message, $code) = @_;

    local $_ = encode_base64($message, '');
    $code->();

    return raw($_);
}

my $good = "\0alice\0wonder";               # 13 bytes, padded with "=="
my $even = "\0alice\0secret7";              # 14 bytes, "="
my $full = "\0alice\0password";             # 15 bytes, none

my %plain = (
    'malformed-request' => {
        'nothing' => auth('PLAIN', ''),
        'a word' => auth('PLAIN', 'alice'),
        'one NUL' => auth('PLAIN', "\0"),
        'two NULs' => auth('PLAIN', "\0\0"),
        'three NULs' => auth('PLAIN', "\0\0\0"),
        '1000 NULs' => auth('PLAIN', "\0" x 1000),
        'no authzid' => auth('PLAIN', "alice\0wonder"),
        'three fields, and an empty one' => auth('PLAIN', "\0alice\0wonder\0"),
        'four fields' => auth('PLAIN', "\0alice\0won\0der"),
        'five fields' => auth('PLAIN', "a\0alice\0w\0bob\0x"),
        '100 fields' => auth('PLAIN', join "\0", ('alice') x 100),
        'a NUL in front' => auth('PLAIN', "\0\0alice\0wonder"),
        'a NUL in the name' => auth('PLAIN', "\0al\0ice\0wonder"),
        'no name' => auth('PLAIN', "\0\0wonder"),
        'no name, but an authzid' => auth('PLAIN', "alice\0\0wonder"),
        'no password' => auth('PLAIN', "\0alice\0"),
        'only an authzid' => auth('PLAIN', "alice\0\0"),
        'a name of 1024 bytes' => auth('PLAIN', plain('a' x 1024, 'b')),
        'a name with a slash' => auth('PLAIN', plain('alice/home', 'b')),
        'only a domain' => auth('PLAIN', plain('@example.test', 'b')),
        'a name in Latin-1' => auth('PLAIN', plain("caf\xe9", 'b')),
        'a password in Latin-1' => auth('PLAIN', plain('alice', "caf\xe9")),
        'a password with an overlong NUL' =>
            auth('PLAIN', plain('alice', "a\xc0\x80b")),
        'all bytes' => auth('PLAIN', join '', map { chr } 0 .. 255),
        'a child' => raw('<a/>'),
        'a child, and text behind it' => raw('<a/>AGFsaWNlAHdvbmRlcg=='),
        'text, and a child behind it' => raw('AGFsaWNlAHdvbmRlcg==<a/>'),
        'text in a child' => raw('<x>AGFsaWNlAHdvbmRlcg==</x>'),
        '<auth/> in <auth/>' => raw(auth('PLAIN', $good)),
        '<abort/> in <auth/>' => raw(ABORT),
        'a message in a child of another namespace' =>
            raw("<x xmlns='urn:x'>AGFsaWNlAHdvbmRlcg==</x>"),
    },

    'invalid-authzid' => {
        'another user' => auth('PLAIN', plain('alice', 'b', 'bob')),
        'root' => auth('PLAIN', plain('alice', 'b', 'root')),
        'another case' => auth('PLAIN', plain('alice', 'b', 'ALICE')),
        'a part of the name' => auth('PLAIN', plain('alice', 'b', 'alic')),
        'more than the name' => auth('PLAIN', plain('alice', 'b', 'alice2')),
        'another domain' =>
            auth('PLAIN', plain('alice', 'b', 'alice@other.test')),
        'another domain, in both' => auth('PLAIN',
            plain('alice@example.test', 'b', 'alice@other.test')),
        'a full JID' =>
            auth('PLAIN', plain('alice', 'b', 'alice@example.test/x')),
        'a space behind it' => auth('PLAIN', plain('alice', 'b', 'alice ')),
        'no UTF-8' => auth('PLAIN', plain('alice', 'b', "\xff")),
        '4 KB' => auth('PLAIN', plain('alice', 'b', 'a' x 4096)),
        'the domain' => auth('PLAIN', plain('alice', 'b', 'example.test')),
        'an at' => auth('PLAIN', plain('alice', 'b', '@')),
    },

    'not-authorized' => {
        'a user of another domain' =>
            auth('PLAIN', plain('alice@other.test', 'b')),
        'two ats' =>
            auth('PLAIN', plain('alice@other.test@example.test', 'b')),
        'the domain twice' =>
            auth('PLAIN', plain('alice@example.test@example.test', 'b')),
        'a domain that is none' => auth('PLAIN', plain('alice@', 'b')),
        'a resource' => auth('PLAIN', plain('alice@example.test/x', 'b')),
    },

    'incorrect-encoding' => {
        'no base64' => raw('@@@@'),
        'one character' => raw('A'),
        'two characters' => raw('AG'),
        'three characters' => raw('AGE'),
        'five characters' => raw('AGEAY'),
        'a space in front' => base64($good, sub { s/^/ / }),
        'a space behind it' => base64($good, sub { s/$/ / }),
        'a space inside' => base64($good, sub { s/^..../$& / }),
        'four spaces inside' => base64($good, sub { s/^..../$&    / }),
        'a space in place of a character' => base64($good, sub { s/^A/ / }),
        'a newline behind it' => base64($good, sub { s/$/\n/ }),
        'a newline inside' => base64($good, sub { s/^..../$&\n/ }),
        'lines' => raw("\n" . encode_base64('x' x 200) . "\n"),
        'CR LF' => base64($good, sub { s/$/\r\n/ }),
        'a tabulator' => base64($good, sub { s/^../$&\t/ }),
        'a NUL by its code' => base64($good, sub { s/$/&#9;/ }),
        'no padding' => base64($good, sub { s/=//g }),
        'half of the padding' => base64($good, sub { s/=$// }),
        'too much padding' => base64($good, sub { s/$/=/ }),
        'much too much padding' => base64($good, sub { s/$/====/ }),
        'padding where there is none' => base64($full, sub { s/$/=/ }),
        'four of it where there is none' => base64($full, sub { s/$/====/ }),
        'one for two' => base64($good, sub { s/==$/A=/; s/.$/=A/ }),
        'padding in the middle' => base64($full, sub { s/^(....)../$1==/ }),
        'padding in the middle, and more' =>
            base64($good, sub { s/^/AA==/ }),
        'padding in front' => base64($full, sub { s/^/====/ }),
        'a message behind a message' =>
            raw(encode_base64($good, '') . encode_base64($good, '')),
        '==' => raw('=='),
        '===' => raw('==='),
        '====' => raw('===='),
        'two equal signs, and a message' => base64($good, sub { s/^/==/ }),
        'the alphabet of URLs' => raw('AGEAYmI-'),
        'the alphabet of URLs, its other one' => raw('AGEAYmI_'),
        'a full stop' => base64($full, sub { s/.$/./ }),
        'a comma, as in IMAP' => base64($full, sub { s/.$/,/ }),
        'a character above 127' => base64($full, sub { s/.$/\xc3\xa9/ }),
        'a wide character' => base64($full, sub { s/..$/\xef\xbc\xa1/ }),
        'a percent sign' => base64($full, sub { s/.$/%/ }),
        'bits behind the end, two characters' =>
            base64($good, sub { s/.==$/H==/ }),
        'bits behind the end, three characters' =>
            base64($even, sub { s/.=$/H=/ }),
    },

    'invalid-mechanism' => {
        (map { ("\"$_\"" => auth($_, $good)) }
             '', ' ', 'plain', 'Plain', 'PLAI', 'PLAINE', 'PLAIN ', ' PLAIN',
             'PLAIN,LOGIN', 'PLAIN LOGIN', 'PLAIN-PLUS', '*', '=',
             'ANONYMOUS', 'DIGEST-MD5', 'GSSAPI', 'NTLM', 'OAUTHBEARER',
             'X-OAUTH2', 'OTP', 'EXTERNAL', 'SCRAM-SHA-1', 'SCRAM-SHA-1-PLUS',
             'SCRAM-SHA-256', 'SCRAM-SHA-512', 'HT-SHA-256-NONE', 'APOP',
             'cram-md5', 'CRAM-MD5 ', 'NONE', 'none', 'P' x 300,
             '../PLAIN', '%50LAIN', '&lt;PLAIN&gt;'),
        'no mechanism' => "<auth $sasl>AGFsaWNlAHdvbmRlcg==</auth>",
        'a mechanism in another namespace' => "<auth $sasl xmlns:x='urn:x'"
            . " x:mechanism='PLAIN'>AGFsaWNlAHdvbmRlcg==</auth>",
        'SCRAM, as it is' => auth('SCRAM-SHA-1', 'n,,n=alice,r=abc'),
    },
);

# What a client says, step by step, and the answer to each.
my ($for_user, $for_password) = map { challenge($_) } 'Username:', 'Password:';

my %talk = (
    'a response to nothing' => [ response('a') => 'malformed-request' ],
    'an empty response to nothing' => [ response('') => 'malformed-request' ],
    'an abort of nothing' => [ ABORT, 'aborted' ],
    'an abort with a text' => [ "<abort $sasl>x</abort>", 'aborted' ],
    'an abort with children' => [ "<abort $sasl><a><b/></a></abort>",
                                  'aborted' ],

    'an empty response in PLAIN' => [ auth('PLAIN') => challenge(''),
        response('') => 'malformed-request' ],
    'an equal sign in PLAIN' => [ auth('PLAIN') => challenge(''),
        "<response $sasl>=</response>" => 'malformed-request' ],
    'a child in the response' => [ auth('PLAIN') => challenge(''),
        "<response $sasl><a/></response>" => 'malformed-request' ],
    'no base64 in the response' => [ auth('PLAIN') => challenge(''),
        "<response $sasl>@</response>" => 'incorrect-encoding',
        response($good) => 'malformed-request' ],
    'a second response' => [ auth('PLAIN') => challenge(''),
        response('') => 'malformed-request',
        response($good) => 'malformed-request' ],

    'an abort in PLAIN' => [ auth('PLAIN') => challenge(''),
        ABORT, 'aborted', response($good) => 'malformed-request' ],
    'an abort in LOGIN, for the user' => [ auth('LOGIN') => $for_user,
        ABORT, 'aborted', response('alice') => 'malformed-request' ],
    'an abort in LOGIN, for the password' => [ auth('LOGIN') => $for_user,
        response('alice') => $for_password, ABORT, 'aborted',
        response('wonder') => 'malformed-request' ],
    'an abort behind an abort' => [ auth('LOGIN') => $for_user,
        ABORT, 'aborted', ABORT, 'aborted' ],
    'an abort behind a failure' => [ auth('PLAIN', 'x')
        => 'malformed-request', ABORT, 'aborted' ],

    'a second <auth/>' => [ auth('PLAIN') => challenge(''),
        auth('PLAIN') => 'malformed-request',
        response($good) => 'malformed-request' ],
    'a second <auth/>, complete' => [ auth('PLAIN') => challenge(''),
        auth('PLAIN', $good) => 'malformed-request' ],
    'a second <auth/> of another mechanism' => [ auth('LOGIN') => $for_user,
        auth('PLAIN', $good) => 'malformed-request',
        response('alice') => 'malformed-request' ],
    'a second <auth/> of none' => [ auth('LOGIN') => $for_user,
        auth('X') => 'malformed-request',
        response('alice') => 'malformed-request' ],
    'a second <auth/> for the password' => [ auth('LOGIN') => $for_user,
        response('alice') => $for_password,
        auth('LOGIN') => 'malformed-request',
        response('wonder') => 'malformed-request' ],

    'LOGIN without a user' => [ auth('LOGIN') => $for_user,
        response('') => $for_password,
        response('wonder') => 'malformed-request' ],
    'LOGIN without a password' => [ auth('LOGIN') => $for_user,
        response('alice') => $for_password,
        response('') => 'malformed-request' ],
    (map {
        my ($name, $user, $password, $condition) = @$_;
        ("LOGIN: $name" => [ auth('LOGIN') => $for_user,
             response($user) => $for_password,
             response($password) => $condition // 'malformed-request' ]);
     } [ 'a NUL in the user', "ali\0ce", 'wonder' ],
       [ 'a NUL in the password', 'alice', "won\0der" ],
       [ 'a message of PLAIN', $good, $good ],
       [ 'a user of 1024 bytes', 'a' x 1024, 'wonder' ],
       [ 'a user with a slash', 'alice/home', 'wonder' ],
       [ 'Latin-1', "caf\xe9", 'wonder' ],
       [ 'a password in Latin-1', 'alice', "caf\xe9" ],
       [ 'another domain', 'alice@other.test', 'wonder', 'not-authorized' ],
       [ 'two domains', 'alice@other.test@example.test', 'wonder',
         'not-authorized' ]),

    'LOGIN: no base64 for the user' => [ auth('LOGIN') => $for_user,
        "<response $sasl>alice\@</response>" => 'incorrect-encoding' ],
    'LOGIN: no base64 for the password' => [ auth('LOGIN') => $for_user,
        response('alice') => $for_password,
        "<response $sasl>=wonder</response>" => 'incorrect-encoding' ],
    'LOGIN: both in <auth/>' => [ auth('LOGIN', $good) => $for_password,
        ABORT, 'aborted' ],
    'CRAM-MD5: a response before the challenge' =>
        [ auth('CRAM-MD5', "alice $digest") => 'malformed-request',
          response("alice $digest") => 'malformed-request' ],
    'CRAM-MD5: an empty one' =>
        [ auth('CRAM-MD5', '') => 'malformed-request' ],
);

# Responses to a challenge of CRAM-MD5.
my %cram = (
    'nothing' => '', 'a space' => ' ', 'only a digest' => $digest,
    'no user' => " $digest", 'no space' => "alice$digest",
    'no digest' => 'alice ', 'capitals' => 'alice ' . uc $digest,
    'a digest that is too short' => 'alice ' . substr($digest, 1),
    'a digest that is too long' => "alice ${digest}0",
    'a letter that is none' => 'alice g' . substr($digest, 1),
    'a space behind it' => "alice $digest ", 'a tabulator' => "alice\t$digest",
    'a NUL for a space' => "alice\0$digest", 'two spaces' => "alice  $digest",
    'a NUL in the user' => "al\0ice $digest",
    'a message of PLAIN' => $good, 'the challenge' => '<1.2@example.test>',
    'a newline' => "alice $digest\n",
    '64 KB' => 'a' x 65536 . " $digest",
);

# Elements with our names, in the wrong namespace, and of the other side.
my @stranger = (
    '<auth/>', "<auth mechanism='PLAIN'>AGFsaWNlAHdvbmRlcg==</auth>",
    "<auth xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
    "<auth xmlns='$ns ' mechanism='PLAIN'/>",
    "<auth xmlns='URN:IETF:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<auth xmlns='' mechanism='PLAIN'/>", "<Auth $sasl mechanism='PLAIN'/>",
    "<authz $sasl mechanism='PLAIN'/>", "<aut $sasl mechanism='PLAIN'/>",
    '<response/>', '<abort/>', "<challenge $sasl/>", "<success $sasl/>",
    "<failure $sasl><aborted/></failure>", "<mechanisms $sasl/>",
    "<x $sasl/>", "<stream:auth mechanism='PLAIN'/>",
);

my ($plain, $steps) = (0, 0);

$plain += keys %$_ for values %plain;
$steps += @$_ / 2 for values %talk;

plan tests => 2 * $plain + 2 * $steps + 2 * keys(%cram) + 2 * @stranger
              + 2 * (2 + 4 + 2 + 4) + 2 * 2 + 2 * 3 + 3;

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth cram-md5 plain login external;
    xmpp_client_buffer 256k;
    max_errors 100;

    ssl_certificate $crt;
    ssl_certificate_key $key;
    ssl_verify_client optional_no_ca;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{only_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{strict_port};
        protocol xmpp;
        max_errors 3;
    }

    server {
        listen 127.0.0.1:%{large_port};
        protocol xmpp;
        xmpp_client_buffer 2m;
    }

    server {
        listen 127.0.0.1:%{small_port};
        protocol xmpp;
        xmpp_client_buffer 4k;
    }
}
END

my $port = $t->port('client');
my $ready = header()
            . features(mechanisms => [ qw(CRAM-MD5 PLAIN LOGIN) ]);

sub name { return join '', map { s/([^ -~])/sprintf '\x%02x', ord $1/ger } @_ }

for my $condition (sort keys %plain) {
    for (sort keys %{ $plain{$condition} }) {
        talk($port, name("$condition: $_"),
             open_stream() . $plain{$condition}{$_}
             => $ready . failure($condition));
    }
}

for (sort keys %talk) {
    my @pair = @{ $talk{$_} };

    # a condition stands for its failure
    $_ = failure($_) for grep { /\A[a-z-]+\z/ } @pair;
    $pair[0] = open_stream() . $pair[0];
    $pair[1] = $ready . $pair[1];

    talk($port, $_, @pair);
}

for my $name (sort keys %cram) {
    twice {
        local $XMPP::Client::one_at_a_time = 0 if length $cram{$name} > 1000;

        my $c = XMPP::Client->new($port);

        $c->send(open_stream() . auth('CRAM-MD5'));
        $c->read_until(qr{</challenge>});
        $c->send(response($cram{$name}));
        $c->expect(failure('malformed-request'), "CRAM-MD5: $name");
    };
}

talk_to_end($port, name($_), open_stream() . $_ => $ready . $stanza)
    for @stranger;


# Where a mechanism can not be used.

for my $mechanism ('EXTERNAL', 'SCRAM-SHA-1-PLUS') {
    talk({ tls => {} }, $t->port('direct'), "TLS, no certificate: $mechanism",
         open_stream() . auth($mechanism, '')
         => $ready . failure('invalid-mechanism'));
}

my $required = header() . features(starttls => 'required');

for ([ 'PLAIN', 'encryption-required' ], [ 'LOGIN', 'encryption-required' ],
     [ 'CRAM-MD5', 'encryption-required' ], [ 'X-NONE', 'invalid-mechanism' ])
{
    my ($mechanism, $condition) = @$_;

    talk($t->port('only'), "no TLS: $mechanism",
         open_stream() . auth($mechanism) => $required . failure($condition));
}

talk($t->port('only'), 'no TLS: a message',
     open_stream() . auth('PLAIN', $good)
     => $required . failure('encryption-required'),
     response($good) => failure('malformed-request'));


# Too many of them.

my $last = stream_error('policy-violation');

talk_to_end($t->port('strict'), 'max_errors', open_stream() => $ready,
    ABORT, failure('aborted'), auth('X') => failure('invalid-mechanism'),
    auth('PLAIN', '=') => failure('malformed-request') . $last);

is($auth->count, 0, 'the auth service was not asked at all');


# One megabyte.

sub large {
    my ($name, $server, $data, $want) = @_;

    my $c = XMPP::Client->new($t->port($server));

    $c->send(open_stream());
    $c->expect($ready, "$name: features");
    feed($c, raw($data));
    $c->expect($want, $name);
}

large('1 MB of base64', 'large', 'A' x 1_048_576,
      failure('malformed-request'));
large('1 MB of no base64', 'large', '@' x 1_048_576,
      failure('incorrect-encoding'));

# For a small buffer all of it comes, or nothing: who goes on sending to a
# closed connection is told so by the kernel, and may lose the rest.
for my $data ('A', '&#65;') {
    my $c = XMPP::Client->new($t->port('small'));

    $c->send(open_stream());
    $c->expect($ready, "1 MB of $data for a small buffer: features");
    feed($c, raw($data x (1_048_576 / length $data)));

    my $got = $c->read_to_end;
    ok($got eq '' || $got eq $last, "1 MB of $data: what comes is the error");
    ok($c->ended, "1 MB of $data: and the end");
}

is($auth->count, 0, 'the auth service was not asked about these either');
$t->finish;
