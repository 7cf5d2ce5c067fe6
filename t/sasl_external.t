#!/usr/bin/perl

# SASL EXTERNAL and client certificates.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 142;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

my $servers = join '', map {
    my ($name, $listen, $verify) = @$_;
    "server { listen 127.0.0.1:%{${name}_port}$listen;"
    . " protocol xmpp; ssl_verify_client $verify; }\n"
} [ 'on', ' ssl', 'on' ], [ 'optional', ' ssl', 'optional' ],
  [ 'any', ' ssl', 'optional_no_ca' ], [ 'off', ' ssl', 'off' ],
  [ 'starttls', '', 'on' ];

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    xmpp_auth external plain;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_client_certificate ca.crt;
    starttls only;

    $servers
}
END

my @both = ([ 'EXTERNAL', 'PLAIN' ], [ 'PLAIN' ]);
my ($with, $without) = map { header() . features(mechanisms => $_) } @both;

my %tls = (ca => $certs->ca, name => 'example.test');

sub cert {
    my ($cert, $key) = $certs->client(@_);
    return { %tls, cert => $cert, key => $key };
}

my $alice = cert('alice');
my $old = cert('old', days => 0);
my $stranger = cert('stranger-user', ca => 0);

# Its end is the second in which it was made; OpenSSL makes none of the past.
sleep 2;


# Logins.

for my $server (qw(on optional any)) {
    for my $case ([ 'empty response', '', '' ],
                  [ 'the bare JID', 'alice@example.test',
                    'alice@example.test' ],
                  [ 'the name', 'alice', 'alice@example.test' ])
    {
        my ($name, $data, $user) = @$case;

        twice {
            my $n = $auth->count + 1;
            $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => 'master');

            my $c = XMPP::Client->new($t->port($server), tls => $alice);
            $c->send(open_stream());
            $c->expect($with, "$server, $name: offered");
            $c->send(auth('EXTERNAL', $data));
            $c->expect(SUCCESS, "$server, $name: success");

            my $header = $auth->request($n)->{header};
            my $login = $backend->login($n);

            is_deeply([ @$header{qw(auth-method auth-user auth-pass auth-ssl
                                    auth-ssl-verify auth-ssl-subject
                                    auth-ssl-issuer)},
                        @$login{qw(user password)} ],
                      [ 'external', $user, '', 'on', 'SUCCESS', 'CN=alice',
                        'CN=test ca', 'alice', 'master' ],
                      "$server, $name: what the auth service is told");
            like($header->{'auth-ssl-fingerprint'}, qr/^[0-9a-f]{40}$/,
                 "$server, $name: fingerprint");
        };
    }
}

# Without an initial response it is asked for.

twice {
    $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => 'master');
    my $c = XMPP::Client->new($t->port('on'), tls => $alice);
    $c->send(open_stream() . auth('EXTERNAL'));
    $c->expect($with . challenge(''), 'no initial response');
    $c->send(response(''));
    $c->expect(SUCCESS, 'empty response');
};

twice {
    $auth->accept('Auth-Pass' => 'master');
    my $c = XMPP::Client->new($t->port('on'), tls => $alice);
    $c->send(open_stream() . auth('EXTERNAL'));
    $c->expect($with . challenge(''), 'no initial response');
    $c->send(response('alice@example.test'));
    $c->expect(SUCCESS, 'response with a name');
};

twice {
    my $c = XMPP::Client->new($t->port('starttls'));
    $c->send(open_stream());
    $c->expect(header() . features(starttls => 'required'), 'STARTTLS');
    $c->send(STARTTLS);
    $c->read_until(qr/proceed[^>]*>/);
    $c->starttls(%$alice) or diag $c->error;
    $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => 'master');
    $c->send(open_stream() . auth('EXTERNAL', ''));
    $c->expect($with . SUCCESS, 'STARTTLS: login');
};


# The auth service says who this is, and gives a password.

twice {
    $auth->accept('Auth-Pass' => 'master');
    my $c = XMPP::Client->new($t->port('on'), tls => $alice);
    $c->send(open_stream() . auth('EXTERNAL', ''));
    $c->expect_end($with . refused('temporary-auth-failure'), 'no Auth-User');
};

twice {
    $auth->accept('Auth-User' => 'alice');
    my $c = XMPP::Client->new($t->port('on'), tls => $alice);
    $c->send(open_stream() . auth('EXTERNAL', ''));
    $c->expect_end($with . refused('temporary-auth-failure'), 'no Auth-Pass');
};

twice {
    $auth->answer('Auth-Status' => 'not you',
                  'Auth-Error-Code' => 'invalid-authzid');
    my $c = XMPP::Client->new($t->port('on'), tls => $alice);
    $c->send(open_stream() . auth('EXTERNAL', 'bob'));
    $c->expect_end($with . refused('invalid-authzid', 'not you'), 'refused');
};


# Failures.

my $asked = $auth->count;

for my $name ('alice@other.test', 'a b', 'alice@example.test/home', "\0") {
    my $shown = $name =~ s/\0/\\0/r;
    talk({ tls => $alice }, $t->port('on'), "authzid \"$shown\"",
         open_stream() . auth('EXTERNAL', $name)
         => $with . failure('invalid-authzid'));
}

talk({ tls => $alice }, $t->port('on'), 'not base64',
     open_stream() . auth('EXTERNAL', 'a') =~ s/>[^<]+</>a</r
     => $with . failure('incorrect-encoding'));

talk({ tls => $alice }, $t->port('on'), 'abort', open_stream() => $with,
     auth('EXTERNAL') => challenge(''), ABORT() => failure('aborted'));


# No certificate, or none that is looked at: not offered, not accepted.

for my $case ([ 'optional', \%tls ], [ 'any', \%tls ], [ 'off', \%tls ],
              [ 'off', $alice ])
{
    my ($server, $tls) = @$case;
    my $name = "$server, " . ($tls->{cert} ? 'a' : 'no') . ' certificate';

    talk({ tls => $tls }, $t->port($server), $name, open_stream() => $without,
         auth('EXTERNAL', '') => failure('invalid-mechanism'));
}

is($auth->count, $asked, 'nobody was asked about any of these');


# Certificates that are not good enough.  One that nobody checked is reported
# to the auth service, which has to decide.

for my $version ('1.2', '1.3') {
    for my $case ([ 'on', 'no certificate', \%tls ],
                  [ 'on', 'an expired one', $old ],
                  [ 'on', 'one of a stranger', $stranger ],
                  [ 'optional', 'an expired one', $old ],
                  [ 'optional', 'one of a stranger', $stranger ])
    {
        my ($server, $name, $tls) = @$case;

        my $c = XMPP::Client->new($t->port($server),
                                  tls => { %$tls, version => $version });
        my $text = $name =~ /^no/ ? 'No required SSL certificate'
                                  : 'SSL certificate error';
        $c->expect_end(header(from => undef)
                       . stream_error('not-authorized', $text),
                       "$version, $server, $name");
    }
}

twice {
    my $n = $auth->count + 1;
    $auth->accept('Auth-User' => 'alice', 'Auth-Pass' => 'master');
    my $c = XMPP::Client->new($t->port('any'), tls => $stranger);
    $c->send(open_stream() . auth('EXTERNAL', 'alice'));
    $c->expect($with . SUCCESS, 'a stranger where any is taken');
    like($auth->request($n)->{header}{'auth-ssl-verify'}, qr/^FAILED/,
         'but the auth service knows');
};

talk({ tls => $alice }, $t->port('on'), 'PLAIN beside it',
     open_stream() => $with,
     auth('PLAIN', plain('alice', 'wonder')) => SUCCESS);

$t->finish;
