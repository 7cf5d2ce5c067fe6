#!/usr/bin/perl

# Attacks on the XML parser, at each place where somebody else's XML is read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile;
use XMPP::Nginx;
use XMPP::Wire;

my $sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
my $names = "xmlns='jabber:client'"
            . " xmlns:stream='http://etherx.jabber.org/streams'";
my $rest = "to='example.test' version='1.0'";

my $declaration = "<?xml version='1.0'?>";
my $header = "<stream:stream $names $rest>";
my $no = "<auth $sasl mechanism='NO'";
my $failed = failure('invalid-mechanism');

# A place: what comes before the attack, where that is, what stands around it.
# The conditions are those of the place or the one next to it.

my %between = (
    'before the header'      => [ '', 'prolog', '', $header ],
    'behind the declaration' => [ $declaration, 'declared', '', $header ],
    'in the stream'          => [ $header, 'stream', '', '' ],
    'beside <auth/>'         => [ "$header$no/>", 'stream', '', '' ],
    'in <auth/>'             => [ $header, 'element', "$no>", '</auth>' ],
    'in a child of <auth/>'  => [ $header, 'element', "$no>x<a>",
                                  '</a></auth>' ],
);

my %value = (
    'in the header' => [ '', 'root', "<stream:stream $names a='",
                         "' $rest>" ],
    'in "from"'     => [ '', 'root', "<stream:stream $names from='a b",
                         "' $rest>" ],
    'in <auth/>'    => [ $header, 'stream', "$no a='", "'/>" ],
    'in a child'    => [ $header, 'element', "$no><a b='", "'/></auth>" ],
);

my %tag = (
    'in the header' => [ '', 'root', "<stream:stream $names ", " $rest>" ],
    'in <auth/>'    => [ $header, 'stream', "$no ", '/>' ],
    'in a child'    => [ $header, 'element', "$no><a ", '/></auth>' ],
);

my %name = (
    'the header' => [ '', 'root', '<', " $names $rest>" ],
    'a child of the stream' => [ $header, 'stream', '<', '/>' ],
    'a child of <auth/>'    => [ $header, 'element', "$no><", '/></auth>' ],
);

# The same of a backend; 1: not all of them.

my $hello = "<stream:stream $names id='1' from='example.test' version='1.0'>";
my $offer = "<stream:features><mechanisms $sasl><mechanism>PLAIN</mechanism>"
            . '</mechanisms></stream:features>';

my %upstream_between = (
    'before its header'      => [ 'prolog', '', $hello ],
    'behind its declaration' => [ 'declared', $declaration, $hello, 1 ],
    'before its features'    => [ 'stream', $hello, $offer ],
    'in its features'        => [ 'element', "$hello<stream:features>",
                                  '</stream:features>' ],
    'in a mechanism'         => [ 'element', "$hello<stream:features>"
        . "<mechanisms $sasl><mechanism>", '</mechanism></mechanisms>'
        . '</stream:features>', 1 ],
    'before <success/>'      => [ 'stream', '', "<success $sasl/>", 1 ],
    'in <success/>'          => [ 'element', "<success $sasl>", '</success>' ],
    'in <failure/>'          => [ 'element', "<failure $sasl>", '</failure>',
                                  1 ],
    'in the text of a failure' => [ 'element', "<failure $sasl><aborted/>"
        . '<text>', '</text></failure>', 1 ],
    'in a stream error'      => [ 'element', '<stream:error>',
                                  '</stream:error>', 1 ],
);

my %upstream_value = (
    'in its header'   => [ 'root', "<stream:stream $names a='", "'>" ],
    'in its features' => [ 'stream', "$hello<stream:features a='", "'/>" ],
    'in <success/>'   => [ 'stream', "<success $sasl a='", "'/>", 1 ],
);

my %upstream_tag = (
    'in its header'   => [ 'root', "<stream:stream $names ", '>' ],
    'in its features' => [ 'element', "$hello<stream:features><a ",
                           '/></stream:features>' ],
    'in <failure/>'   => [ 'stream', "<failure $sasl ", '/>' ],
);

# A header, in a namespace or in an encoding that it may not have.

my $whole = "$declaration$header";
my $wide = join '', map { "\0\0\0$_" } split //, $whole;

my @whole = (
    (map { [ $_->[0], $_->[1], 'unsupported-encoding' ] }
        [ 'UTF-16', $whole =~ s/(.)/\0$1/gr ],
        [ 'UTF-16, little endian', $whole =~ s/(.)/$1\0/gr ],
        [ 'UTF-16 with its mark', "\xfe\xff" . $whole =~ s/(.)/\0$1/gr ],
        [ 'UTF-16, little endian, with its mark',
          "\xff\xfe" . $whole =~ s/(.)/$1\0/gr ],
        [ 'UTF-32', $wide ],
        [ 'UTF-32, little endian', $whole =~ s/(.)/$1\0\0\0/gr ],
        [ 'UTF-32 with its mark', "\0\0\xfe\xff$wide" ],
        [ 'UTF-32, little endian, with its mark',
          "\xff\xfe\0\0" . $whole =~ s/(.)/$1\0\0\0/gr ],
        [ 'UTF-16 behind white space', "\n\0<\0?" ],
        (map { [ "declared as \"$_\"",
                 "<?xml version='1.0' encoding='$_'?>$header" ] }
             qw(UTF-16 UTF-32 UTF-7 ISO-8859-1 US-ASCII UTF8 UTF-88 UTF), '',
             'UTF-8 ', 'x' x 300)),

    (map { [ $_->[0], $_->[1], 'not-well-formed' ] }
        [ 'the mark of UTF-8', "\xef\xbb\xbf$whole" ],
        [ 'two marks of UTF-8', "\xef\xbb\xbf\xef\xbb\xbf$whole" ],
        [ 'UTF-7', '+ADw-?xml version+AD0-' ],
        [ 'EBCDIC', "\x4c\x6f\xa7\x94\x93" ],
        [ 'UTF-16 behind a declaration', "$declaration\0<\0s" ],
        [ 'UTF-16, little endian, behind a declaration',
          "$declaration<\0s\0" ],
        [ 'version 1.1', "<?xml version='1.1'?>$header" ],
        [ 'version 1.00', "<?xml version='1.00'?>$header" ],
        [ 'no version', "<?xml encoding='UTF-8'?>$header" ],
        [ 'the encoding twice', "<?xml version='1.0' encoding='UTF-8'"
          . " encoding='UTF-8'?>$header" ],
        [ 'a reference in the declaration', "<?xml version='1&#46;0'?>" ],
        [ 'something else in the declaration',
          "<?xml version='1.0' a='b'?>$header" ],
        [ 'an end tag', '</stream:stream>' ],
        [ 'HTTP', "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n" ],
        [ 'SMTP', "EHLO example.test\r\n" ],
        [ 'a ClientHello', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" ],
        [ 'SSH', "SSH-2.0-x\r\n" ]),

    [ 'zero bytes', "\0" x 300, 'unsupported-encoding' ],

    (map { [ "namespaces: $_->[0]", $_->[1], 'invalid-namespace' ] }
        [ 'none', "<stream $rest>" ],
        [ 'none for clients',
          "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'"
          . " $rest>" ],
        [ 'changed places', "<stream:stream xmlns:stream='jabber:client'"
          . " xmlns='http://etherx.jabber.org/streams' $rest>" ],
        [ 'of servers', $header =~ s/:client/:server/r ],
        [ 'in capitals', $header =~ s/:client/:CLIENT/r ],
        [ 'with a space', $header =~ s/:client/:client /r ],
        [ 'with a slash', $header =~ s{streams'}{streams/'}r ],
        [ 'only a beginning', $header =~ s{streams'}{stream'}r ],
        [ 'with a reference to a space',
          $header =~ s/:client/:client&#32;/r ],
        [ 'of a component',
          $header =~ s/jabber:client/jabber:component:accept/r ],
        [ 'of another prefix', "<s:stream $names xmlns:s='urn:x' $rest>" ]),

    (map { [ "$_->[0] for ever", $_->[1], 'policy-violation' ] }
        [ 'space in the header', '<stream:stream ' . ' ' x 1_000_000 ],
        [ 'attributes in the header', "<stream:stream $names "
          . join '', map { " a$_='1'" } 1 .. 100_000 ],
        [ 'an attribute in the header',
          '<stream:stream ' . 'a' x 1_000_000 ],
        [ 'a value in the header',
          "<stream:stream a='" . 'a' x 1_000_000 ],
        [ 'the name of the header', '<' . 'a' x 1_000_000 ],
        [ 'space in the declaration', '<?xml ' . ' ' x 1_000_000 ],
        [ 'attributes in the declaration', '<?xml'
          . join '', map { " a$_='1'" } 1 .. 100_000 ],
        [ 'space behind the equal sign', '<stream:stream to='
          . "\n" x 1_000_000 ],
        [ 'space behind the declaration, and a header that never ends',
          "$declaration<stream:stream to='" . "\t" x 1_000_000 ]),
);


# Byte by byte only where that does not take long; and how much a script of
# the backend may hold.

use constant { SHORT => 400, MUCH => 20_000 };

my (@client, @upstream);

sub client {
    my ($kind, $place, @attack) = @_;

    for my $where (sort keys %$place) {
        my ($before, $at, $left, $right) = @{ $place->{$where} };

        push @client, map { [ "$kind $where: $_->[0]", $before, $left, $_->[1],
                              $right, $at, $_->[2] ] }
                      grep { tried($_->[2], $at) } @attack;
    }
}


# One attack in five, others at each place, where the parser is in the state
# that it was in at another place as well.

my $place = 0;

sub upstream {
    my ($kind, $places, @attack) = @_;

    for my $where (sort keys %$places) {
        my ($at, $left, $right, $again) = @{ $places->{$where} };
        my $n = $place++;

        push @upstream, map { [ "backend, $kind $where: $_->[0]",
                                $left . substr($_->[1], 0, MUCH) . $right,
                                condition($_->[2], $at) ] }
                        grep { !$again || $n++ % 5 == 0 }
                        grep { tried($_->[2], $at)
                               && condition($_->[2], $at) } @attack;
    }
}


sub short { length $_[0] <= SHORT }

sub often {
    return short($_[0][1])
           && $_[0][0] =~ /before its header|in its features/;
}


sub tried { !ref $_[0] || exists $_[0]{$_[1]} }
sub condition { ref $_[0] ? $_[0]{$_[1]} : $_[0] }


client('between tags', \%between, between());
client('value', \%value, in_values());
client('tag', \%tag, in_tags());
client('name of', \%name, as_names());
push @client, map { [ "whole stream: $_->[0]", '', '', $_->[1], '', 'root',
                      $_->[2] ] } @whole;

upstream('between tags', \%upstream_between, between());
upstream('value', \%upstream_value, in_values());
upstream('tag', \%upstream_tag, in_tags());
push @upstream, map { [ "backend, whole stream: $_->[0]", $_->[1], $_->[2] ] }
                grep { $_->[2] ne 'invalid-namespace' } @whole;

# Some of them are enough to see what is done to memory, which takes long.

if ($ENV{TEST_NGINX_VALGRIND}) {
    my $n = 0;

    @client = grep { $n++ % 4 == 0 } @client;
    @upstream = grep { $n++ % 4 == 0 } @upstream;
}

plan tests => 2 * @client + grep({ short($_->[3]) } @client)
              + @upstream + grep({ often($_) } @upstream) + 2 + 1;

my $t = XMPP::Nginx->new(log => 'info');
my ($crt, $key) = $t->certs->server;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start($t->answer_http(ok => [ 'Auth-Status' => 'OK',
                                  'Auth-Server' => '127.0.0.1',
                                  'Auth-Port' => '%{backend_port}' ])
          . <<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    ssl_certificate $crt;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:ssl:1m;
    xmpp_client_buffer 4k;
    proxy_buffer 4k;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{behind_port};
        protocol xmpp;
        auth_http 127.0.0.1:%{ok_port}/;
    }
}
END

attack_nginx($_, 0) for @client;
attack_nginx($_, 1) for @client;
attack_upstream($_) for @upstream;

is($auth->count, 0, 'no client was taken for a user');
unlike($t->log, qr/client logged in/, 'none was logged in');

$t->finish;


sub attack_nginx {
    my ($case, $tls) = @_;

    my ($name, $before, $left, $attack, $right, $at, $condition) = @$case;

    $name = 'after TLS, ' . $name if $tls;
    $condition = condition($condition, $at);

    my $ready = header() . features(mechanisms => [ 'PLAIN' ],
                                    $tls ? () : (starttls => 'optional'));

    # What is good is a header, or the start of a login that does not exist.
    my $want = $before =~ /<stream/ ? $ready : '';
    $want .= $failed if $before =~ /<auth/;

    if (defined $condition) {
        $want .= header(from => undef) if $want eq '';
        $want .= stream_error($condition);

    } else {
        $want .= $at eq 'root' ? $ready : $failed;
    }

    for my $one (0, 1) {
        next if $one && ($tls || !short($attack));

        my $c = XMPP::Client->new($t->port('client'));

        secured($c) if $tls;

        $c->send($before);
        $c->{one} = $one;

        if ($one) {
            $c->raw($left);
            $c->send($attack);
            $c->raw($right);

        } else {
            $c->send("$left$attack$right");
        }

        defined $condition ? $c->expect_end($want, $name)
                           : $c->expect($want, $name);
        $c->close;
    }
}


my $session;

sub secured {
    my ($c) = @_;

    $c->send($whole . STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/) or die "no <proceed/>\n";

    # A resumed session is a cheap one.
    $c->starttls(version => '1.2', session => $session) or die $c->error;
    $session ||= $c->tls->session;
}


sub attack_upstream {
    my ($case) = @_;

    my ($name, $bytes, $condition) = @$case;

    # What comes later needs what comes before.
    my @before = ([ expect => '<stream:stream[^>]*>' ]);

    push @before, [ send => "$hello$offer" ], [ expect => '</auth>' ]
        if $name =~ /success|failure|stream error/;

    for my $size (0, 1) {
        next if $size && !often($case);

        $backend->script(@before, $size ? [ pieces => $bytes, 1 ]
                                        : [ send => $bytes ], [ drain => 9 ]);

        since($t);

        my $c = XMPP::Client->new($t->port('behind'));
        my $want = header() . features(mechanisms => [ 'PLAIN' ])
                   . refused('temporary-auth-failure');

        $c->send($header . auth('PLAIN', plain('alice', 'wonder')));
        my $got = $c->read_to_end =~ s/ id='[0-9a-f]{32}'/ id='ID'/r;

        # A buffer that is full says so in other words.
        my ($said) = since($t)
                     =~ /\[error\][^\n]* upstream sent (.*?),? while/;
        my $expected = "invalid XML: $condition";

        $expected = 'too large element'
            if $condition eq 'policy-violation'
               && ($said // '') eq 'too large element';

        is_deeply([ $got, $said, well_formed($got) ], [ $want, $expected, '' ],
                  $size ? "$name, one byte at a time" : $name);
        $c->close;
    }
}
