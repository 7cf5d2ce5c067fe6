#!/usr/bin/perl

# More than one domain on one nginx: which backend, as whom, with what.

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
                  qw(backend blue);

# Domain, user, password of the client; backend; what the auth service answers;
# domain, user, password for the backend.
my @case = (
    [ 'one domain', [ qw(example.test alice wonder) ],
      'backend', {}, [ qw(example.test alice wonder) ] ],
    [ 'another domain', [ qw(blue.test alice other) ],
      'blue', {}, [ qw(blue.test alice other) ] ],
    [ 'a domain in capitals', [ qw(BLUE.Test alice other) ],
      'blue', {}, [ qw(blue.test alice other) ] ],
    [ 'a domain with a dot behind it', [ qw(blue.test. alice other) ],
      'blue', {}, [ qw(blue.test alice other) ] ],
    [ 'the whole address for a user',
      [ 'blue.test', 'alice@blue.test', 'other' ],
      'blue', {}, [ qw(blue.test alice other) ] ],
    [ 'an address for a domain', [ qw([::1] alice wonder) ],
      'backend', {}, [ qw([::1] alice wonder) ] ],
    [ 'another user', [ qw(example.test alice wonder) ],
      'backend', { 'Auth-User' => 'bob' }, [ qw(example.test bob wonder) ] ],
    [ 'another user and domain', [ qw(example.test alice wonder) ],
      'blue', { 'Auth-User' => 'bob@blue.test' },
      [ qw(blue.test bob wonder) ] ],
    [ 'another password', [ qw(example.test alice wonder) ],
      'backend', { 'Auth-Pass' => 'm a%s&t<e>r' },
      [ 'example.test', 'alice', 'm a%s&t<e>r' ] ],
    [ 'all of them', [ qw(example.test alice wonder) ],
      'blue', { 'Auth-User' => 'bob@red.test', 'Auth-Pass' => 'master' },
      [ qw(red.test bob master) ] ],
    [ 'a domain that is not ASCII', [ 'münchen.example', 'alice', 'wonder' ],
      'blue', {}, [ 'münchen.example', 'alice', 'wonder' ] ],
    [ 'its ASCII form', [ 'xn--mnchen-3ya.example', 'alice', 'wonder' ],
      'blue', {}, [ 'xn--mnchen-3ya.example', 'alice', 'wonder' ] ],
    [ 'a domain with a character reference',
      [ 'm&#252;nchen.example', 'alice', 'wonder' ],
      'blue', {}, [ 'münchen.example', 'alice', 'wonder' ] ],
    [ 'a user and password that are not ASCII',
      [ 'example.test', 'żółć', 'пароль 🦊' ],
      'backend', {}, [ 'example.test', 'żółć', 'пароль 🦊' ] ],
    [ 'a user that XML would escape', [ 'example.test', 'a+b%c=d', "<&>'\"" ],
      'backend', {}, [ 'example.test', 'a+b%c=d', "<&>'\"" ] ],
    [ 'a long user and password', [ 'example.test', 'u' x 300, 'p' x 900 ],
      'backend', {}, [ 'example.test', 'u' x 300, 'p' x 900 ] ],
    [ 'a password of one character', [ qw(example.test a b) ],
      'backend', {}, [ qw(example.test a b) ] ],
    [ 'spaces about a password', [ 'example.test', 'alice', ' a  b ' ],
      'backend', {}, [ 'example.test', 'alice', ' a  b ' ] ],
);

plan tests => @case * 2 * 4 + 4 * 2 + 2 + 1;

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{some_port};
        protocol xmpp;
        xmpp_domain example.test BLUE.test.;
        xmpp_domain münchen.example;
    }
}
END

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

for (@case) {
    my ($name, $said, $to, $answer, $want) = @$_;
    my ($domain, $user, $password) = @$said;

    # As nginx has it: small letters, no dot, references resolved.
    my $heard = lc($domain) =~ s/\.\z//r =~ s/&#252;/ü/r;
    my $backend = $backend{$to};

    twice {
        my ($n, $m) = ($backend->count + 1, $auth->count + 1);

        $auth->answer('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                      'Auth-Port' => $t->port($to), %$answer);

        my $c = XMPP::Client->new($t->port('client'));
        my $one = $c->{one} ? ', one byte at a time' : '';

        $c->send(open_stream(to => $domain));
        $c->expect(header(from => $heard)
                   . features(mechanisms => [ 'PLAIN' ]),
                   "$name: the client's stream");
        $c->send(auth('PLAIN', plain($user, $password)));
        $c->expect(SUCCESS, "$name: logged in");

        my $plain = encode_base64("\0$want->[1]\0$want->[2]", '');

        is($backend->bytes($n),
           "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
           . " xmlns:stream='http://etherx.jabber.org/streams'"
           . " to='$want->[0]' version='1.0' xml:lang='en'>"
           . "<auth $sasl mechanism='PLAIN'>$plain</auth>",
           "$name: the backend is told$one");

        my $header = $auth->request($m)->{header};
        my $local = $user =~ s/\@.*//r;

        is_deeply([ @$header{qw(auth-user auth-pass auth-xmpp-domain)} ],
                  [ map { escaped($_) } "$local\@$heard", $password, $heard ],
                  "$name: the auth service is told$one");
        $c->close;
    };
}

# Only some domains.
talk({}, $t->port('some'), 'a domain that is served',
     open_stream(to => 'Blue.test')
     => header(from => 'blue.test') . features(mechanisms => [ 'PLAIN' ]));
talk({}, $t->port('some'), 'one that is not ASCII',
     open_stream(to => 'münchen.example')
     => header(from => 'münchen.example')
        . features(mechanisms => [ 'PLAIN' ]));
talk_to_end({}, $t->port('some'), 'one that is not served',
            open_stream(to => 'test')
            => header(from => undef) . stream_error('host-unknown'));
talk_to_end({}, $t->port('some'), 'nor is what is below one',
            open_stream(to => 'a.example.test')
            => header(from => undef) . stream_error('host-unknown'));

# Sessions of two domains at the same time do not meet.
{
    my %c;

    for ([ 'example.test' => 'backend' ], [ 'blue.test' => 'blue' ]) {
        my ($domain, $to) = @$_;

        $auth->answer('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                      'Auth-Port' => $t->port($to));
        $c{$domain} = enter($t, to => $domain);
    }

    $c{$_}->send("<r to='$_'/>") for sort keys %c;
    $c{$_}->expect("<r to='$_'/>", "$_ among others") for sort keys %c;
}

$t->finish;


# As nginx does it for the mail protocols.
sub escaped {
    my ($value) = @_;

    return $value =~ s/([\x00-\x20%])/sprintf '%%%02X', ord $1/ger;
}
