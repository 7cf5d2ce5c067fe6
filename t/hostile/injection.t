#!/usr/bin/perl

# Names, passwords, domains, languages, certificates and the answers of the
# auth service with whatever has a meaning in HTTP, in XML, in base64, in the
# log or on a terminal.  The request to the auth service, the stream to the
# backend and the answer to the client are compared to the byte, and each line
# of the log has to be one of nginx, without control characters.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use MIME::Base64;
use Test::More;
use XML::LibXML;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Der;
use XMPP::Hostile qw(worker);
use XMPP::Injection;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);
my ($crt, $key) = $certs->client('alice');
my $alice = { cert => $crt, key => $key };

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth external cram-md5 plain login;
    server_name mail.example.test;
    xmpp_client_buffer 256k;
    proxy_buffer 256k;
    max_errors 1000;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.3;
    ssl_client_certificate ca.crt;
    ssl_verify_client optional_no_ca;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{small_port};
        protocol xmpp;
        xmpp_client_buffer 4k;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{told_port};
        protocol xmpp;
        proxy_pass_error_message on;
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
}
END

my $mechanisms = features(mechanisms => [ qw(CRAM-MD5 PLAIN LOGIN) ]);
my $broken = refused('temporary-auth-failure');
my $digest = '0123456789abcdef' x 2;


# The request, to the letter.
sub request {
    my (%header) = ('Auth-Method' => 'plain',
                    'Auth-User' => 'alice@example.test',
                    'Auth-Pass' => 'secret',
                    'Auth-XMPP-Domain' => 'example.test', @_);

    my @line = ([ 'Auth-Protocol' => 'xmpp' ], [ 'Auth-Login-Attempt' => 1 ],
                [ 'Client-IP' => '127.0.0.1' ]);
    my @stream = [ 'Auth-XMPP-Stream' => $header{stream} // 'c2s' ];

    for my $name (qw(Auth-Salt Auth-Pass Auth-User Auth-Method)) {
        unshift @line, [ $name => $header{$name} ] if defined $header{$name};
    }

    for my $name (qw(Auth-XMPP-From Auth-XMPP-Domain)) {
        unshift @stream, [ $name => $header{$name} ]
            if defined $header{$name};
    }

    return join "\r\n", 'GET /auth HTTP/1.0', 'Host: 127.0.0.1',
        (map { "$_->[0]: $_->[1]" } @line, @{ $header{ssl} || [] }, @stream),
        '', '';
}

sub ready { return header(@_) . $mechanisms }


# The cases: the client sends "send" and gets "want"; the auth service is asked
# "request" if there is one, and answers with the headers of "answer"; the
# backend is told the domain, user and password of "login", if any.
my @case;

sub add { push @case, { name => shift, @_ } }

sub login { return (want => ready() . SUCCESS, login => [ @_ ]) }


# Passwords.

my %password = (%hostile,
    '64 KB' => 'x' x 65536,
    '64 KB of CR LF' => "\r\n" x 32768,
    '64 KB of percent signs' => '%' x 65536,
    'all of ASCII' => join('', map { chr } 1 .. 127),
);

for (sort keys %password) {
    my $password = $password{$_};
    my $good = $password !~ /\0/ && defined utf8($password);

    my %told = (request => request('Auth-Pass' => escaped($password)),
                login => [ 'example.test', 'alice', $password ]);

    add("password, PLAIN: $_",
        send => open_stream() . auth('PLAIN', "\0alice\0$password"),
        want => ready() . ($good ? SUCCESS : failure('malformed-request')),
        $good ? %told : ());

    add("password, LOGIN: $_",
        send => open_stream() . auth('LOGIN', 'alice') . response($password),
        want => ready() . challenge('Password:')
                . ($good ? SUCCESS : failure('malformed-request')),
        $good ? %told : ());
}

add('a password of 64 KB, a small buffer', port => 'small',
    send => open_stream() . auth('PLAIN', plain('alice', 'x' x 65536)),
    want => ready() . stream_error('policy-violation'));


# Users.

my %user = (%hostile, '1021 bytes more' => 'x' x 1021,
            '1022 bytes more' => 'x' x 1022, '64 KB' => 'x' x 65536);

for (sort keys %user) {
    my $user = "a$user{$_}b";
    my $good = is_local($user);
    my $bad = failure($user =~ /\@/ ? 'not-authorized' : 'malformed-request');
    my $asked = escaped($user) . '@example.test';
    my %told = (login => [ 'example.test', $user, 'secret' ]);

    add("user, PLAIN: $_",
        send => open_stream() . auth('PLAIN', "\0$user\0secret"),
        want => ready() . ($good ? SUCCESS : $user =~ /\0/
                           ? failure('malformed-request') : $bad),
        $good ? (%told, request => request('Auth-User' => $asked)) : ());

    add("user, LOGIN: $_",
        send => open_stream() . auth('LOGIN', $user) . response('secret'),
        want => ready() . challenge('Password:') . ($good ? SUCCESS : $bad),
        $good ? (%told, request => request('Auth-User' => $asked)) : ());

    add("user, CRAM-MD5: $_",
        challenge => 1, send => response("$user $digest"),
        want => $good ? SUCCESS : $bad,
        $good ? (request => sub {
                     request('Auth-User' => $asked, 'Auth-Salt' => $_[0],
                             'Auth-Method' => 'cram-md5',
                             'Auth-Pass' => $digest)
                 },
                 answer => [ 'Auth-Pass' => 'other' ],
                 login => [ 'example.test', $user, 'other' ]) : ());

    add("authzid: $_",
        send => open_stream() . auth('PLAIN', "$user\0alice\0secret"),
        want => ready() . failure($user =~ /\0/ ? 'malformed-request'
                                                : 'invalid-authzid'));

    add("the name of EXTERNAL: $_", tls => 1,
        send => open_stream() . auth('EXTERNAL', $user),
        want => header() . features(mechanisms => [ qw(EXTERNAL CRAM-MD5 PLAIN
                                                       LOGIN) ])
                . failure('invalid-authzid'))
        if !$good;

    add("mechanism: $_",
        send => open_stream()
                . "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='"
                 . xml("PLAIN$user{$_}") . "'>AGEAYg==</auth>",
        want => ready() . failure('invalid-mechanism'))
        if is_xml($user);
}


# The header of the stream, as far as it is one.

my %address = (%hostile, '64 KB' => 'x' x 65536, '1000 bytes' => 'x.' x 500);

for (sort grep { is_xml($address{$_}) } keys %address) {
    my $domain = "a$address{$_}b.test";
    my $good = is_domain($domain);

    add("to: $_",
        send => open_stream(to => xml($domain))
                . auth('PLAIN', plain('alice', 'secret')),
        want => $good ? ready(from => $domain) . SUCCESS
                      : header(from => undef)
                        . stream_error('improper-addressing'),
        $good ? (login => [ $domain, 'alice', 'secret' ],
                 request => request('Auth-XMPP-Domain' => $domain,
                                    'Auth-User' => "alice\@$domain")) : ());

    my $from = "a$address{$_}b\@peer.test/$address{$_}";
    my $bare = $from =~ s{/.*}{}sr;
    my ($local, $peer) = $bare =~ /\A(?:([^@]*)@)?(.*)\z/s;
    my $known = (!defined $local || is_local($local)) && is_domain($peer);

    add("from: $_",
        send => open_stream(from => xml($from))
                . auth('PLAIN', plain('alice', 'secret')),
        want => ready($known ? (to => $bare) : ()) . SUCCESS,
        login => [ 'example.test', 'alice', 'secret' ],
        request => request($known ? ('Auth-XMPP-From' => escaped($bare))
                                  : ()));

    add("language and id: $_",
        send => open_stream('xml:lang' => xml($address{$_}),
                            id => xml($address{$_}), lang => 'x')
                . auth('PLAIN', plain('alice', 'secret')),
        want => ready() . SUCCESS, request => request(),
        login => [ 'example.test', 'alice', 'secret' ]);

    # a resource is left out, as it is by the backend
    my $server = $domain =~ s{/.*}{}sr;
    $good = is_domain($server);

    add("another server: $_", port => 'server',
        send => open_server(from => xml($domain)),
        want => $good ? server_header(to => $server)
                        . stream_error('not-authorized', 'no')
                      : server_header() . stream_error('invalid-from'),
        $good ? (answer => [ 'Auth-Status' => 'no' ],
                 request => request(stream => 's2s', 'Auth-Method' => 'none',
                                    'Auth-User' => '', 'Auth-Pass' => '',
                                    'Auth-XMPP-From' => $server)) : ());
}


# The answers of the auth service.  A line feed would be the end of a header,
# other control characters are not taken for one.

my %answer = (map({ $hostile{$_} =~ /\n/ ? () : ($_ => $hostile{$_}) }
                  keys %hostile),
              '64 KB' => 'x' x 65536);

for (sort keys %answer) {
    my $value = "a$answer{$_}b";
    my $header = $value !~ /[\0-\x08\x0a-\x1f\x7f]/ && length $value < 1000;
    my @asked = (send => open_stream()
                         . auth('PLAIN', plain('alice', 'secret')),
                 request => request());
    my @broken = (want => ready() . $broken, @asked);

    add("Auth-Status: $_", @asked, answer => [ 'Auth-Status' => $value ],
        want => ready() . ($header ? refused('not-authorized', text($value))
                                   : $broken));

    add("Auth-Error-Code: $_", @asked,
        answer => [ 'Auth-Status' => 'no', 'Auth-Error-Code' => $value ],
        want => ready() . ($header ? refused('not-authorized', 'no')
                                   : $broken));

    my ($user, $domain) = split /\@/, $value, 2;
    my $good = $header && $value !~ m{/} && is_local($user)
               && (!defined $domain || is_domain($domain));

    add("Auth-User: $_", @broken, answer => [ 'Auth-User' => $value ],
        $good ? login($domain // 'example.test', $user, 'secret') : ());

    $good = $header && $value !~ /\0/;

    add("Auth-Pass: $_", @broken, answer => [ 'Auth-Pass' => $value ],
        $good ? login('example.test', 'alice', $value) : ());

    add("Auth-Server: $_", @broken,
        answer => [ 'Auth-Server' => "127.0.0.1$answer{$_}." ]);
    add("Auth-Port: $_", @broken, answer => [ 'Auth-Port' => "1$value" ]);

    $good = $header && $value !~ /[\0-\x20\x7f]/;

    add("Auth-XMPP-Location: $_", port => 'pass', send => open_stream(),
        answer => [ 'Auth-Status' => 'no', 'Auth-XMPP-Location' => $value,
                    'Auth-Error-Code' => 'see-other-host' ],
        want => header()
                . (!$header ? stream_error('remote-connection-failed')
                   : $good ? stream_error('see-other-host', 'no', text($value))
                   : stream_error('not-authorized', 'no')),
        request => request('Auth-Method' => 'none', 'Auth-User' => '',
                           'Auth-Pass' => ''));
}


# The texts of the backend.

for (sort grep { is_xml($hostile{$_}) } keys %hostile) {
    my $text = "a$hostile{$_}b";

    add("a text of the backend: $_", port => 'told',
        send => open_stream() . auth('PLAIN', plain('alice', 'secret')),
        request => request(), login => [ 'example.test', 'alice', 'secret' ],
        text => xml($text),
        want => ready() . refused('not-authorized', text($text)));
}


# Certificates of the client.

for (sort grep { defined utf8($hostile{$_}) } keys %hostile) {
    my $value = "a$hostile{$_}b";

    # IA5 has no more than ASCII, but is read as Latin-1
    my $latin1 = "x$value";
    utf8::encode($latin1);

    add("a certificate: $_",
        subject => name([ CN, UTF8, $value ], [ O, UTF8, $value ]),
        issuer => name([ O, UTF8, $value ], [ EMAIL, IA5, "x$value" ]),
        dn => [ 'O=' . dn($value) . ',CN=' . dn($value),
                'emailAddress=' . dn($latin1) . ',O=' . dn($value) ]);
}

add('a certificate of 40 KB',
    subject => name([ CN, UTF8, 'x' x 40_000 ]),
    issuer => name([ CN, UTF8, "\r\n" x 5_000 ]),
    dn => [ 'CN=' . 'x' x 40_000, 'CN=' . '\\0D\\0A' x 5_000 ]);

my $serial = "\x7f" . "\xab" x 99;

add('a certificate with a long serial number', serial => $serial,
    subject => name([ CN, UTF8, 'a' ]), issuer => name([ CN, UTF8, 'b' ]),
    dn => [ 'CN=a', 'CN=b' ]);


# What is said to be XML has to be: the stream that the backend was sent.
sub told {
    my $n = connection($backend) or return 'no connection';

    $backend->wait_bytes($n, qr{</auth>}) or return 'no login';

    my $bytes = $backend->bytes($n) . '</stream:stream>';
    utf8::downgrade($bytes);
    my $xml = eval { XML::LibXML->load_xml(string => $bytes, huge => 1) }
        or return "$bytes: $@";
    my $stream = $xml->documentElement;
    my ($auth, @more) = $stream->childNodes;
    my $data = $auth->textContent;

    return $bytes
        if @more || $auth->nodeName ne 'auth' || $auth->childNodes->size != 1
           || join(' ', sort map { $_->nodeName } $auth->attributes)
              ne 'mechanism xmlns'
           || join(' ', sort map { $_->nodeName } $stream->attributes)
              ne 'to version xml:lang xmlns xmlns:stream'
           || $data !~ m{^[A-Za-z0-9+/]+=*\z};

    my ($authzid, @field) = split /\0/, decode_base64($data), -1;
    my $to = $stream->getAttribute('to');
    utf8::encode($to);

    return [ $to, @field, $authzid eq '' ? () : $authzid ];
}

# Certificates come with the header of an EXTERNAL without a name.
my $certificates = 0;

sub certified {
    my ($case) = @_;

    my ($crt) = certificate($t->dir . '/hostile' . ++$certificates,
                            key => $key,
                            map { $_ => $case->{$_} }
                            qw(subject issuer serial));
    my $sum = `openssl x509 -in "$crt" -outform DER | openssl sha1 -r`;
    my $number = uc unpack 'H*', $case->{serial} // "\x01";

    $number =~ s/(.{70})(?=.)/$1\\%0A/g;

    @$case{qw(send want)} = (
        open_stream() . auth('EXTERNAL', ''),
        header() . features(mechanisms => [ qw(EXTERNAL CRAM-MD5 PLAIN
                                               LOGIN) ])
        . refused('not-authorized', 'no'));

    $case->{answer} = [ 'Auth-Status' => 'no' ];
    $case->{request} = request(
        'Auth-Method' => 'external', 'Auth-User' => '', 'Auth-Pass' => '',
        ssl => [
            [ 'Auth-SSL' => 'on' ],
            [ 'Auth-SSL-Protocol' => 'TLSv1.3' ],
            [ 'Auth-SSL-Cipher' => 'TLS_AES_256_GCM_SHA384' ],
            [ 'Auth-SSL-Verify' =>
              'FAILED:unable to verify the first certificate' ],
            [ 'Auth-SSL-Subject' => $case->{dn}[0] ],
            [ 'Auth-SSL-Issuer' => $case->{dn}[1] ],
            [ 'Auth-SSL-Serial' => $number ],
            [ 'Auth-SSL-Fingerprint' => substr $sum, 0, 40 ] ]);

    return { cert => $crt, key => $key };
}


# The connection of this case.
sub connection {
    my ($service) = @_;

    $service->wait_count(1) or return;

    return (grep { $_->{event} eq 'accept' } $service->events)[0]{connection};
}


plan tests => 3 * @case + 3;

for my $case (@case) {
    my $tls = $case->{dn} ? certified($case) : $case->{tls} ? $alice : undef;
    my ($name, $want, $login) = @$case{qw(name want login)};

    $auth->accept(@{ $case->{answer} }) if $case->{answer};

    $backend->script([ 'header' ], [ features => 'PLAIN' ],
        [ expect => '</auth>' ],
        [ send => "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                  . "<not-authorized/><text>$case->{text}</text></failure>" ],
        [ drain => 5 ]) if defined $case->{text};

    my $c = XMPP::Client->new(
        $t->port($tls ? 'direct' : $case->{port} // 'client'),
        $tls ? (tls => $tls) : ());

    die $c->error if $c->error;

    my $challenge;

    if ($case->{challenge}) {
        $c->send(open_stream() . auth('CRAM-MD5'));
        ($challenge) = $c->read_until(qr{</challenge>})
                       =~ m{>([^<]*)</challenge>\z};
    }

    my $judge = $want =~ m{</stream:stream>\z} ? 'expect_end' : 'expect';

    $c->send($case->{send});
    $c->$judge($want, "$name: the client");

    if (my $request = $case->{request}) {
        $request = $request->(decode_base64($challenge)) if ref $request;
        my $n = connection($auth);
        is($n && $auth->request($n)->{raw}, $request,
           "$name: the auth service");
    } else {
        is($auth->count, 0, "$name: the auth service");
    }

    if ($login) {
        is_deeply(told(), $login, "$name: the backend");
    } else {
        is($backend->count, 0, "$name: the backend");
    }

    $c->close;

    # What came is compared; the next case finds its own only.
    -e $_ and truncate $_, 0 for map { $_->{record} } $auth, $backend;
}


# The log.

my @pid = ($t->pid, worker($t));

$t->finish;

my @line = split /(?<=\n)/, $t->log;
my $by = join '|', @pid;

sub shown { return join "\n", map { s/([^ -~\n])/sprintf '\x%02x', ord $1/ger }
                              splice @_, 0, 10 }

my $form = qr{\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] (?:$by)\#\d+: };

is(shown(grep { !/\A$form/ } @line), '',
   'each line of the log is one of nginx');
is(shown(grep { /[\0-\x08\x0b-\x1f\x7f]/ } @line), '',
   'no control characters in the log but tabulators');
