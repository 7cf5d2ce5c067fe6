#!/usr/bin/perl

# What "nginx -t" says of a configuration, and where a directive counts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;

my ($crt, $key) = $t->certs->server;

sub mail {
    my ($main, $server) = @_;

    return "mail {\n    auth_http 127.0.0.1:%{auth_port}/auth;\n    $main\n"
           . "    server {\n        $server\n    }\n}\n";
}

my $xmpp = 'listen 127.0.0.1:%{try_port}; protocol xmpp;';

my @good = (
    map({ [ "xmpp_auth $_", mail('', "$xmpp xmpp_auth $_;") ] }
        qw(plain login cram-md5 external), 'plain login cram-md5 external',
        'external plain'),
    [ 'xmpp_auth in mail', mail('xmpp_auth login;', $xmpp) ],
    [ 'xmpp_client_buffer', mail('xmpp_client_buffer 16k;',
                                 "$xmpp xmpp_client_buffer 1024;") ],
    [ 'xmpp_relay_buffer', mail('xmpp_relay_buffer 64k;',
                                "$xmpp xmpp_relay_buffer 1;") ],
    [ 'auth_http_keepalive', mail('auth_http_keepalive 16;',
        "$xmpp auth_http_keepalive 0; auth_http_keepalive_timeout 10s;") ],
    map({ [ "xmpp_domain $_", mail('', "$xmpp xmpp_domain $_;") ] }
        'example.test', 'example.test other.test', 'localhost', 'EXAMPLE.test',
        'example.test.', 'münchen.example', 'xn--mnchen-3ya.example',
        '192.0.2.1', '[2001:db8::1]', 'a' x 63 . '.test'),
    [ 'xmpp_domain twice',
      mail('', "$xmpp xmpp_domain example.test; xmpp_domain other.test;") ],
    [ 'xmpp_domain in mail', mail('xmpp_domain example.test;', $xmpp) ],
    [ 'all for mail, another protocol',
      mail('xmpp_auth plain; xmpp_domain example.test; xmpp_client_buffer 4k;',
           'listen 127.0.0.1:%{try_port}; protocol imap;') ],
    [ 'direct TLS', mail("ssl_certificate $crt; ssl_certificate_key $key;",
                         "$xmpp listen 127.0.0.1:%{more_port} ssl;") ],
    [ 'STARTTLS', mail("ssl_certificate $crt; ssl_certificate_key $key;",
                       "$xmpp starttls only;") ],
);

my $unknown = 'unknown mail protocol for server';

my @bad = (
    [ 'an unknown mechanism', mail('', "$xmpp xmpp_auth scram-sha-1;"),
      'invalid value "scram-sha-1"' ],
    [ 'one in capitals', mail('', "$xmpp xmpp_auth DIGEST-MD5 plain;"),
      'invalid value "DIGEST-MD5"' ],
    [ 'no mechanism', mail('', "$xmpp xmpp_auth;"),
      'invalid number of arguments in "xmpp_auth" directive' ],
    [ 'apop is of POP3', mail('', "$xmpp xmpp_auth apop;"),
      'invalid value "apop"' ],
    [ 'no domain', mail('', "$xmpp xmpp_domain;"),
      'invalid number of arguments in "xmpp_domain" directive' ],
    map({ [ "domain \"$_\"", mail('', "$xmpp xmpp_domain good.test \"$_\";"),
            'invalid domain "' ] }
        '', '.', '.test', 'a..test', 'a b.test', 'user@example.test',
        'example.test/home', 'a<b.test', "a\xff.test", 'a' x 1024,
        '[2001:db8::1', "a'b"),
    [ 'no size', mail('', "$xmpp xmpp_client_buffer;"),
      'invalid number of arguments in "xmpp_client_buffer" directive' ],
    [ 'a size that is none', mail('', "$xmpp xmpp_client_buffer big;"),
      '"xmpp_client_buffer" directive invalid value' ],
    [ 'a buffer of nothing', mail('', "$xmpp xmpp_relay_buffer 0;"),
      'value must be equal to or greater than 1' ],
    [ 'connections that are no number',
      mail('', "$xmpp auth_http_keepalive on;"), 'invalid number' ],
    [ 'a size twice', mail('', "$xmpp xmpp_client_buffer 1k;"
                               . ' xmpp_client_buffer 2k;'),
      '"xmpp_client_buffer" directive is duplicate' ],
    [ 'outside of mail', "xmpp_auth plain;\n" . mail('', $xmpp),
      '"xmpp_auth" directive is not allowed here' ],
    [ 'another case', mail('', 'listen 127.0.0.1:%{try_port};'
                               . ' protocol XMPP;'),
      'unknown protocol "XMPP"' ],
    [ 'STARTTLS without a certificate', mail('', "$xmpp starttls on;"),
      'no "ssl_certificate" is defined for the "starttls" directive' ],
    [ 'no auth service', "mail {\n server {\n $xmpp\n }\n}\n",
      'no "auth_http" is defined for server' ],
    map({ [ "port $_ is of no protocol",
            mail('', "listen 127.0.0.1:$_;"), $unknown ] }
        5220, 5221, 5224, 5268, 5270),
);

# Those above are not known; "nginx -t" does not mind if a port is in use.
my @port = (5222, 5223, 5269);

plan tests => @good + @bad + @port + 6 * 2 + 1;

for (@good) {
    my ($name, $conf) = @$_;

    is($t->conf_error($conf), undef, $name);
}

for (@bad) {
    my ($name, $conf, $want) = @$_;

    like($t->conf_error($conf), qr/\[emerg\] [^\n]*\Q$want\E/, $name);
}

for my $port (@port) {
    is($t->conf_error(mail('', "listen 127.0.0.1:$port;")), undef,
       "port $port is of XMPP");
}

# From mail to its servers.
$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    xmpp_auth login cram-md5;
    xmpp_domain example.test;
    xmpp_client_buffer 512;

    server {
        listen 127.0.0.1:%{heir_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{own_port};
        protocol xmpp;
        xmpp_auth plain;
        xmpp_domain own.test;
        xmpp_client_buffer 4096;
    }
}
END

my $large = 'x' x 600;

talk($t->port('heir'), 'xmpp_auth of mail',
     open_stream()
     => header() . features(mechanisms => [ 'CRAM-MD5', 'LOGIN' ]));
talk($t->port('own'), 'xmpp_auth of the server',
     open_stream(to => 'own.test')
     => header(from => 'own.test') . features(mechanisms => [ 'PLAIN' ]));
talk_to_end($t->port('heir'), 'xmpp_domain of mail',
            open_stream(to => 'own.test')
            => header(from => undef) . stream_error('host-unknown'));
talk_to_end($t->port('own'), 'xmpp_domain of the server', open_stream()
            => header(from => undef) . stream_error('host-unknown'));
talk_to_end($t->port('heir'), 'xmpp_client_buffer of mail',
            open_stream(id => $large)
            => header(from => undef) . stream_error('policy-violation'));
talk($t->port('own'), 'xmpp_client_buffer of the server',
     open_stream(to => 'own.test', id => $large)
     => header(from => 'own.test') . features(mechanisms => [ 'PLAIN' ]));

$t->finish;
