#!/usr/bin/perl

# The other mail protocols in the same nginx: they log in and fail as before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use MIME::Base64;
use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $t = XMPP::Nginx->new;

my $auth = XMPP::Auth->new($t);
my %backend = map { $_ => XMPP::Backend->new($t, name => $_) }
                  qw(imapd pop3d smtpd backend);

my $servers = servers($t, '');

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    server_name mail.example.test;
    starttls on;
    $servers

    server {
        listen 127.0.0.1:%{imap_port};
        protocol imap;
        imap_auth plain login cram-md5;
    }

    server {
        listen 127.0.0.1:%{pop3_port};
        protocol pop3;
        pop3_auth plain;
    }

    server {
        listen 127.0.0.1:%{smtp_port};
        protocol smtp;
        smtp_auth plain login none;
    }

    server {
        listen 127.0.0.1:%{quick_port};
        protocol imap;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{closed_port};
        protocol imap;
        auth_http 127.0.0.1:%{nobody_port}/auth;
    }
}
END

my $plain = encode_base64("\0alice\0secret", '');
my $imap = '* OK IMAP4 ready';
my $pop3 = '+OK POP3 ready';
my $smtp = '220 mail.example.test ESMTP ready';

# Each is what the client is told first, how it starts TLS, what it says to log
# in, and the conversation of nginx with a backend, which is told the rest.
my %protocol = (
    imap => {
        greeting => "$imap\r\n",
        starttls => [ "a STARTTLS\r\n" => "a OK completed\r\n" ],
        login => [ "b LOGIN alice secret\r\n" => "b OK in\r\n" ],
        backend => [ [ send => "* OK hello\r\n" ],
                     [ expect => 'b LOGIN \{5\}\r\n' ],
                     [ send => "+ go on\r\n" ],
                     [ expect => 'alice \{6\}\r\n' ],
                     [ send => "+ go on\r\n" ], [ expect => 'secret\r\n' ],
                     [ send => "b OK in\r\n" ], [ 'echo' ] ],
        told => "b LOGIN {5}\r\nalice {6}\r\nsecret\r\n",
        refusal => [ "b LOGIN alice wrong\r\n" => "b NO Invalid login\r\n" ],
        down => "* BAD internal server error\r\n",
    },
    pop3 => {
        greeting => "$pop3\r\n",
        starttls => [ "STLS\r\n" => "+OK\r\n" ],
        login => [ "USER alice\r\n" => "+OK\r\n",
                   "PASS secret\r\n" => "+OK in\r\n" ],
        backend => [ [ send => "+OK hello\r\n" ],
                     [ expect => 'USER alice\r\n' ], [ send => "+OK\r\n" ],
                     [ expect => 'PASS secret\r\n' ],
                     [ send => "+OK in\r\n" ], [ 'echo' ] ],
        told => "USER alice\r\nPASS secret\r\n",
        refusal => [ "USER alice\r\n" => "+OK\r\n",
                     "PASS wrong\r\n" => "-ERR Invalid login\r\n" ],
        down => "-ERR internal server error\r\n",
    },
    smtp => {
        greeting => "$smtp\r\n",
        starttls => [ "STARTTLS\r\n" => "220 2.0.0 OK\r\n" ],
        login => [ "EHLO me\r\n" => undef,
                   "AUTH PLAIN $plain\r\n"
                   => "235 2.0.0 OK\r\n" ],
        backend => [ [ send => "220 hello\r\n" ],
                     [ expect => 'EHLO mail\.example\.test\r\n' ],
                     [ send => "250-hello\r\n250 XCLIENT\r\n" ],
                     [ expect => 'XCLIENT [^\r]*\r\n' ],
                     [ send => "220 hello\r\n" ],
                     [ expect => 'EHLO me\r\n' ],
                     [ send => "250 hello\r\n" ], [ 'echo' ] ],
        told => "EHLO mail.example.test\r\n"
                . "XCLIENT ADDR=127.0.0.1 LOGIN=alice NAME=[UNAVAILABLE]\r\n"
                . "EHLO me\r\n",
        refusal => [ "EHLO me\r\n" => undef,
                     'AUTH PLAIN ' . encode_base64("\0alice\0wrong", '')
                     . "\r\n" => "535 5.7.0 Invalid login\r\n" ],
        down => "451 4.3.2 Internal server error\r\n",
    },
);

my @name = sort keys %protocol;

plan tests => @name * (2 * 2 * 5 + 2 * 3 + 2 * 2) + 3 * 2 + 2 * 2 + 2 + 2 + 1;

# The auth service says yes and where to, once.
sub accept {
    my ($name) = @_;

    $auth->answer('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                  'Auth-Port' => $t->port($name));
}

# A conversation; an answer that is undef is not looked at.
sub say {
    my ($c, @pair) = @_;

    my $got = '';

    while (my ($send, $want) = splice @pair, 0, 2) {
        $c->send($send);
        $got = $c->read_until(defined $want ? qr/\r\n\z/ : qr/^\d+ .*\r\n\z/m);
        return $got if defined $want && $got ne $want;
    }

    return $got;
}

for my $name (@name) {
    my $protocol = $protocol{$name};
    my $backend = $backend{"${name}d"};

    for my $tls (0, 1) {
        my $how = $tls ? "$name, STARTTLS" : $name;

        twice {
            my ($n, $m) = ($backend->count + 1, $auth->count + 1);

            &accept("${name}d");
            $backend->script(@{ $protocol->{backend} });

            my $c = XMPP::Client->new($t->port($name));
            my $one = $c->{one} ? ', one byte at a time' : '';

            is($c->read_until(qr/\r\n/), $protocol->{greeting},
               "$how: greeting$one");

            if ($tls) {
                say($c, "EHLO me\r\n" => undef) if $name eq 'smtp';
                say($c, @{ $protocol->{starttls} });
                $c->starttls or die $c->error;
            }

            is(say($c, @{ $protocol->{login} }), $protocol->{login}[-1],
               "$how: logged in$one");
            is($backend->bytes($n), $protocol->{told},
               "$how: the backend is told$one");

            my $header = $auth->request($m)->{header};

            is(join(' ', map { $header->{"auth-$_"} }
                             qw(method user pass protocol)),
               "plain alice secret $name", "$how: the service is told$one");

            $c->send("NOOP\r\n");
            is($c->read_until(qr/\r\n/), "NOOP\r\n", "$how: relayed$one");
            $c->close;
        };
    }

    # Refused by the auth service.
    twice {
        $auth->answer('Auth-Status' => 'Invalid login',
                      $name eq 'smtp' ? ('Auth-Error-Code' => '535 5.7.0')
                                      : ());

        my $c = XMPP::Client->new($t->port($name));
        my $one = $c->{one} ? ', one byte at a time' : '';
        my $m = $auth->count;

        $c->read_until(qr/\r\n/);
        is(say($c, @{ $protocol->{refusal} }), $protocol->{refusal}[-1],
           "$name: refused$one");
        is($c->read_to_end, '', "$name: and closed$one");
        unlike($auth->request($m + 1)->{raw}, qr/XMPP/i,
               "$name: no word of XMPP$one");
    };

    # A backend that goes away.
    twice {
        &accept("${name}d");
        $backend{"${name}d"}->script([ 'close' ]);

        my $c = XMPP::Client->new($t->port($name));
        my $one = $c->{one} ? ', one byte at a time' : '';
        my @login = @{ $protocol->{login} };

        $login[-1] = $protocol->{down};
        $c->read_until(qr/\r\n/);
        is(say($c, @login), $protocol->{down}, "$name: no backend$one");
        is($c->read_to_end, '', "$name: no backend, and closed$one");
    };
}

# Errors that nginx itself finds.
for ([ imap => "a NOTHING\r\n" => "a BAD invalid command\r\n" ],
     [ pop3 => "NOTHING\r\n" => "-ERR invalid command\r\n" ],
     [ smtp => "NOTHING\r\n" => "500 5.5.1 Invalid command\r\n" ])
{
    my ($name, $send, $want) = @$_;

    twice {
        my $c = XMPP::Client->new($t->port($name));
        my $one = $c->{one} ? ', one byte at a time' : '';

        $c->read_until(qr/\r\n/);
        is(say($c, $send => $want), $want, "$name: an unknown command$one");
    };
}

# The auth service is not there.
twice {
    my $c = XMPP::Client->new($t->port('closed'));
    my $one = $c->{one} ? ', one byte at a time' : '';

    my $down = "* BAD internal server error\r\n";

    $c->read_until(qr/\r\n/);
    is(say($c, "b LOGIN alice secret\r\n" => $down), $down,
       "no auth service$one");
    is($c->read_to_end, '', "no auth service, and closed$one");
};

# Time is over.
{
    my $c = XMPP::Client->new($t->port('quick'));

    is($c->read_to_end, "$imap\r\n", 'imap: timeout');
    like($t->log, qr/client timed out \(110: /, 'imap: timeout, logged');
}

# XMPP beside them.
for ([ 'plain' ], [ 'STARTTLS', starttls => {} ]) {
    my ($name, %way) = @$_;
    my $c = enter($t, %way);

    $c->send('<r/>');
    $c->expect('<r/>', "xmpp, $name: relayed");
}

$t->finish;
