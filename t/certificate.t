#!/usr/bin/perl

# Auth-SSL-XMPP-Addr: the names in the certificate of a client or a server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

use constant {
    XMPP_ADDR => [ 1, 3, 6, 1, 5, 5, 7, 8, 5 ],
    SRV_NAME  => [ 1, 3, 6, 1, 5, 5, 7, 8, 7 ],

    # types of strings
    UTF8 => 0x0c, IA5 => 0x16, PRINTABLE => 0x13, T61 => 0x14, BMP => 0x1e,
    OCTETS => 0x04,
};


# What a subjectAltName holds, byte by byte: openssl would not write all this.

sub der {
    my ($tag, @content) = @_;

    my $content = join '', @content;
    my $n = length $content;

    return pack('CC', $tag, $n) . $content if $n < 128;
    return pack('CCn', $tag, 0x82, $n) . $content;
}


sub oid {
    my ($first, $second, @rest) = @{ $_[0] };

    return der(0x06, pack 'C w*', $first * 40 + $second, @rest);
}


sub other {
    my ($oid, $type, $value) = @_;

    return der(0xa0, oid($oid), der(0xa0, der($type, $value)));
}


sub xmpp { other(XMPP_ADDR, UTF8, $_[0]) }
sub srv  { other(SRV_NAME, IA5, $_[0]) }
sub dns  { der(0x82, $_[0]) }

my $mail = der(0x81, 'alice@example.test');
my $uri = der(0x86, 'xmpp:alice@example.test');
my $address = der(0x87, pack 'C4', 192, 0, 2, 1);
my $number = der(0x88, pack 'C*', 42, 3, 4);

# CN=a.test
my $directory = der(0xa4, der(0x30, der(0x31, der(0x30, oid([ 2, 5, 4, 3 ]),
                                                  der(UTF8, 'a.test')))));

my @many = map { sprintf 'host-%04d.peer.test', $_ } 1 .. 600;
my $inject = "\r\nX-Injected: 1\r\nAuth-XMPP-From: evil.test";
my ($u, $o) = ("\xc3\xbc", "\xc3\xb6");     # in UTF-8

# A certificate's names, and what the auth service is told: undef if nothing.
my @case = (
    [ 'an address', [ xmpp('alice@example.test') ], 'alice@example.test' ],
    [ 'all kinds in their order',
      [ dns('peer.test'), srv('_xmpp-server.peer.test'),
        xmpp('alice@example.test'), dns('*.peer.test'),
        srv('_xmpp-client.peer.test'), xmpp('peer.test') ],
      'peer.test, _xmpp-server.peer.test, alice@example.test, *.peer.test,'
      . ' _xmpp-client.peer.test, peer.test' ],
    [ 'twice the same', [ dns('a.test'), dns('a.test') ], 'a.test, a.test' ],
    [ 'capitals', [ dns('A.Test'), xmpp('Alice@Example.test') ],
      'A.Test, Alice@Example.test' ],
    [ 'A-labels', [ dns('xn--mnchen-3ya.test') ], 'xn--mnchen-3ya.test' ],
    [ 'UTF-8', [ xmpp("j${o}rg\@m${u}nchen.test") ],
      "j${o}rg\@m${u}nchen.test" ],
    [ 'addresses of machines', [ xmpp('[2001:db8::1]'), xmpp('192.0.2.1') ],
      '[2001:db8::1], 192.0.2.1' ],
    [ 'what separates headers', [ xmpp('a=b;c,d%0d%@a.test') ],
      'a=b;c%2Cd%250d%25@a.test' ],
    [ 'a long one', [ xmpp('a' x 1000 . '@a.test') ], 'a' x 1000 . '@a.test' ],

    [ 'other kinds', [ $mail, $uri, $address, $number, $directory ], undef ],
    [ 'other kinds among ours',
      [ $mail, dns('a.test'), $uri, $address, srv('_xmpp-server.a.test'),
        $number, $directory, xmpp('a.test') ],
      'a.test, _xmpp-server.a.test, a.test' ],
    [ 'nothing', [], undef ],

    # One that is left out does not end the list.
    map({ [ "address \"" . shown($_) . '"', [ xmpp($_), dns('b.test') ],
            'b.test' ] }
        '', '@', '@a.test', 'alice@', 'a b@a.test', "a\tb\@a.test",
        "a.test$inject", "a$inject\@a.test", "a\n\@a.test", "a\r\@a.test",
        "a\0\@a.test", "a.test\0", "a.test\0.b.test", "a\x7f\@a.test",
        'a@b@a.test', 'alice@a.test/home', 'a.test/', 'a..test', '-a.test',
        'a,b.test', 'a%00.test', 'a"b@a.test', "a\xff\@a.test",
        "a\xc0\x80\@a.test", "a\xed\xa0\x80\@a.test", "a\xc3",
        "a\xc2\x85\@a.test", "a\xe2\x80\xa8\@a.test",
        "a\xf4\x90\x80\x80\@a.test", 'a' x 1024 . '@a.test',
        'a' x 9000 . '@a.test', '[2001:db8::1', '['),
    map({ [ 'DNS "' . shown($_) . '"', [ dns($_), dns('b.test') ], 'b.test' ] }
        '', 'a,b.test', 'a b.test', ' ', 'a%2e.test', "a.test$inject",
        "a.test\r", "a.test\n", "a.test\0.b.test", "\0", "m${u}nchen.test",
        "a\x7f.test", 'a/b.test', 'a:5269', 'alice@a.test',
        '_xmpp-server.a.test'),
    map({ [ 'SRV "' . shown($_) . '"', [ srv($_), dns('b.test') ], 'b.test' ] }
        '', 'a.test', "_xmpp-server.a.test$inject", '_xmpp-server.a,b',
        "_xmpp-server.a.test\0", "_xmpp-server.m${u}nchen.test",
        '_xmpp-server.a test'),

    map({ [ "address of the type $_->[0]",
            [ other(XMPP_ADDR, @$_), dns('b.test') ], 'b.test' ] }
        [ IA5, 'a.test' ], [ PRINTABLE, 'a.test' ], [ T61, 'a.test' ],
        [ BMP, "\0a\0.\0t" ], [ OCTETS, 'a.test' ], [ 0x1a, 'a.test' ],
        [ 0x30, der(UTF8, 'a.test') ], [ 0x02, 'a' ], [ 0x01, "\xff" ],
        [ 0x05, '' ], [ 0x03, "\0a.test" ], [ 0x06, 'a' ]),
    map({ [ "SRV of the type $_->[0]",
            [ other(SRV_NAME, @$_), dns('b.test') ], 'b.test' ] }
        [ UTF8, '_xmpp-server.a.test' ], [ OCTETS, '_xmpp-server.a.test' ],
        [ BMP, "\0_\0a" ], [ 0x05, '' ]),
    map({ my $oid = $_; [ 'another object, ' . shown("@$_"),
            [ map({ other($oid, $_, 'a.test') } UTF8, IA5), dns('b.test') ],
            'b.test' ] }
        [ 1, 3, 6, 1, 4, 1, 311, 20, 2, 3 ], [ 1, 3, 6, 1, 5, 5, 7, 8, 9 ],
        [ 1, 3, 6, 1, 5, 5, 7, 8, 50 ], [ 1, 3, 6, 1, 5, 5, 7, 8 ],
        [ 1, 3, 6, 1, 5, 5, 7, 8, 5, 1 ],
        [ 1, 3, 6, 1, 5, 5, 7, 8, 5 + 2**32 ],
        [ 1, 3, 6, 1, 5, 5, 7, 8, 5, (1) x 200 ]),
);


sub shown {
    my ($name) = @_;

    $name = substr($name, 0, 20) . '...' if length $name > 60;

    return $name =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ger;
}


my @way = qw(direct starttls);
my @verify = qw(on optional optional_no_ca off);
my @kind = qw(external plain none server);

plan tests => @case * 2 + 6 + @way * @verify * @kind * 4 + 2 * 3 + 2;

my $t = XMPP::Nginx->new(log => 'info');
my $dir = $t->dir;
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);

# Nobody gets in: what counts is what the auth service is told.
$auth->default([ 'request' ],
               [ send => XMPP::Auth::http('Auth-Status' => 'no') ],
               [ drain => 5 ]);

my $servers = join '', map {
    my ($way, $verify, $login) = @$_;

    "server { listen 127.0.0.1:%{${way}_${verify}_${login}_port}"
    . ($way eq 'direct' ? ' ssl' : '')
    . "; protocol xmpp; xmpp_stream any; starttls only; xmpp_auth $login"
    . ($login eq 'external' ? ' plain' : '')
    . "; ssl_verify_client $verify; }\n"
} map { my $way = $_;
        map { [ $way, $_, 'external' ], [ $way, $_, 'none' ] } @verify } @way;

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command NumTickets 1;
    ssl_client_certificate ca.crt;
    ssl_session_cache shared:ssl:1m;

    $servers
}
END


# A certificate with these names, or without the extension.
my $made = 0;

sub certificate {
    my ($names, %option) = @_;

    my $alt = $names && 'DER:' . unpack 'H*', der(0x30, @$names);
    my ($cert, $key) = $certs->leaf('c' . ++$made, alt => $alt, %option);

    return { cert => $cert, key => $key };
}


# What the auth service is told; if it is not asked, what the client is told.
my $asked = 0;

sub told {
    my ($way, $verify, $kind, $tls) = @_;

    my $login = $kind eq 'none' ? 'none' : 'external';
    my $header = $kind eq 'server' ? open_server() : open_stream();
    # What was recorded before is of no use, and would be read each time.
    truncate "$dir/auth.record", 0;

    my $c = XMPP::Client->new($t->port("${way}_${verify}_$login"));

    if ($way eq 'starttls') {
        $c->send($header);
        $c->read_until(qr/<\/stream:features>/) or die "no features\n";
        $c->send(STARTTLS);
        $c->read_until(qr/<proceed[^>]*>/) or die "no proceed\n";
    }

    $c->starttls(ca => $certs->ca, name => 'example.test', %$tls)
        or diag $c->error;
    $c->send($header);
    $c->send(auth('EXTERNAL', '')) if $kind eq 'external';
    $c->send(auth('PLAIN', plain('alice', 'wonder'))) if $kind eq 'plain';

    my $said = $c->read_to_end;
    my $told = $auth->count ? $auth->request(++$asked)
                            : { said => $said, header => {} };

    $told->{tls} = $c->tls;

    return $told;
}


sub names { $_[0]{header}{'auth-ssl-xmpp-addr'} }


# Each of the names above, and not a line more than that.

my $without = told('direct', 'on', 'server', certificate(undef));
my %line = map { $_ => 1 } @{ $without->{names} };

is(names($without), undef, 'no subjectAltName');

for (@case) {
    my ($name, $names, $want) = @$_;

    my $told = told('direct', 'on', 'server', certificate($names));

    is(names($told), $want, $name);
    is_deeply([ grep { !$line{$_} } @{ $told->{names} } ],
              [ defined $want ? 'Auth-SSL-XMPP-Addr' : () ],
              "$name: no other line");
}


# More than the value may hold: whole names from the beginning, and a word in
# the log.

for my $case ([ 'many names', dns($many[0]), map { dns($_) } @many ],
              [ 'many that are escaped', dns($many[0]),
                map { xmpp('%%%%%%%%@' . $_) } @many ])
{
    my ($name, @names) = @$case;

    my $all = join ', ', $many[0],
              map { $name =~ /escaped/ ? '%25' x 8 . "\@$_" : $_ } @many;
    my $got = names(told('direct', 'on', 'server', certificate(\@names)));
    my $length = length $got;

    ok($length <= 4096 && $length > 3900, "$name: $length bytes");
    ok(index($all, "$got, ") == 0, "$name: whole names");
}

like($t->log, qr/client certificate has too many names/, 'many: logged');


# Who verifies what, and who is told.

my @names = (xmpp('alice@example.test'), dns('a.test'));
my $names = 'alice@example.test, a.test';

my %cert = (none => {}, good => certificate(\@names),
            self => certificate(\@names, ca => 'self'),
            stranger => certificate(\@names, ca => 0));

my %failed = (self => qr/^FAILED:self.signed certificate/,
              stranger => qr/^FAILED:unable to/);

my %fault = (none => 'No required SSL certificate',
             map { $_ => 'SSL certificate error' } qw(self stranger));

for my $way (@way) {
    for my $verify (@verify) {
        for my $kind (@kind) {
            for my $cert (sort keys %cert) {
                my $name = "$way, ssl_verify_client $verify, $kind,"
                           . " certificate: $cert";

                # Not offered.
                my $as = $kind eq 'external'
                         && ($cert eq 'none' || $verify eq 'off')
                         ? 'plain' : $kind;

                my $told = told($way, $verify, $as, $cert{$cert});
                my $got = [ @{ $told->{header} }{qw(auth-method
                                auth-xmpp-stream auth-ssl-verify
                                auth-ssl-xmpp-addr)} ];

                if ($cert eq 'none' ? $verify eq 'on'
                    : $cert ne 'good' && $verify =~ /^(?:on|optional)$/)
                {
                    is($told->{said} =~ s/ id='\w{32}'/ id='ID'/r,
                       greeting($way, $kind)
                       . stream_error('not-authorized', $fault{$cert}),
                       "$name: refused");
                    next;
                }

                my @want = ($as eq 'server' ? 'none' : $as,
                            $as eq 'server' ? 's2s' : 'c2s');

                if ($verify eq 'off') {
                    push @want, undef, undef;

                } elsif ($cert eq 'none') {
                    push @want, 'NONE', undef;

                } elsif ($cert eq 'good') {
                    push @want, 'SUCCESS', $names;

                } else {
                    $got->[2] = 'FAILED' if $got->[2] =~ $failed{$cert};
                    push @want, 'FAILED', $names;
                }

                is_deeply($got, \@want, $name);
            }
        }
    }
}


# With direct TLS the error comes before the client's header was read.
sub greeting {
    my ($way, $kind) = @_;

    return header(from => undef) if $way eq 'direct';
    return $kind eq 'server' ? server_header(to => 'peer.test') : header();
}


# A resumed session has the certificate of the first one.

for my $version ('1.2', '1.3') {
    my %tls = (%{ $cert{good} }, version => $version);

    my $first = told('direct', 'optional', 'server', \%tls);
    my $told = told('direct', 'optional', 'server',
                    { %tls, session => $first->{tls}->session });

    is($told->{tls}->reused, 1, "$version: resumed");
    is($told->{header}{'auth-ssl-verify'}, 'SUCCESS', "$version: verified");
    is(names($told), $names, "$version: the names");
}


# The subject is nginx's own header.
{
    my $told = told('direct', 'on', 'server',
                    certificate(undef, cn => "a$inject"));

    is_deeply([ grep { !$line{$_} } @{ $told->{names} } ], [],
              'a subject adds no line');
}

$t->finish;
