#!/usr/bin/perl

# A backend that lies, babbles, stalls or leaves: at each byte of what it has
# to say, and in ways that are no XMPP.  The client is told in XML of nginx's
# own, the log names the backend, and neither time nor memory is lost for long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Client;
use XMPP::Hostile qw(worker private quiet instrumented);
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

# More than can be written into a script.
sub XMPP::Bulk::step_times {
    my ($self, $n, $bytes) = @_;

    $self->step_send($bytes x $n);
}

# A backend that says the same thing till nobody listens any more.
sub XMPP::Bulk::step_forever {
    my ($self, $bytes) = @_;

    $self->step_send($bytes x (1 + 65536 / length $bytes)) for 1 .. 100_000;
}

my $ns = 'urn:ietf:params:xml:ns:xmpp-sasl';
my $sasl = "xmlns='$ns'";
my $streams = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
my $tls = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'";
my $stream = "xmlns:stream='http://etherx.jabber.org/streams'";

my $header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    . " $stream id='1' from='example.test' version='1.0'>";
my $list = "<mechanisms $sasl><mechanism>PLAIN</mechanism></mechanisms>";
my $features = "<stream:features>$list</stream:features>";
my $greeting = $header . $features;
my $success = "<success $sasl/>";

my @read = [ expect => '<stream:stream\b[^>]*>' ];
my @asked = (@read, [ send => $greeting ], [ expect => '</auth>' ]);
my @wait = [ drain => 60 ];

my $closed = 'upstream prematurely closed connection';
my $invalid = 'upstream sent invalid XML';
my $unexpected = 'upstream sent unexpected element';
my $no_plain = 'upstream does not offer PLAIN';
my $large = 'upstream sent too large element';
my $gone = 'upstream sent stream error';
my $reset = 'recv\(\) failed \(104: Connection reset by peer\)';

# Bytes, or [ NUMBER, BYTES ].
sub sends   { return map { [ ref $_ ? (times => @$_) : (send => $_) ] } @_ }
sub says    { return (@read, sends(@_), @wait) }
sub offers  { return says("$header<stream:features>", @_,
                          '</stream:features>') }
sub answers { return (@asked, sends(@_), @wait) }
sub error   { return "<stream:error><$_[0] $streams/>"
                     . "<text $streams>&lt;b>\"'&amp;</text></stream:error>"
                     . '</stream:stream>' }

my $hostile = "</text></failure>\x{7f}&<x a='\"'>%s%n";
my $escaped = $hostile =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr
                       =~ s/'/&apos;/gr =~ s/"/&quot;/gr;

# What it does, what is logged.
my @lie = (
    [ 'offers nothing', $no_plain, says("$header<stream:features/>") ],
    [ 'offers SCRAM', $no_plain, offers($list =~ s/PLAIN/SCRAM-SHA-1/r) ],
    [ 'offers PLAIN in small letters', $no_plain,
      offers($list =~ s/PLAIN/plain/r) ],
    [ 'requires STARTTLS', $no_plain,
      offers("<starttls $tls><required/></starttls>") ],
    [ 'has features in features', $no_plain,
      offers('<stream:features>', $list, '</stream:features>') ],
    [ 'has the list in the list', $no_plain,
      offers("<mechanisms $sasl>$list</mechanisms>") ],
    [ 'has PLAIN in PLAIN', $no_plain,
      offers($list =~ s/PLAIN/<mechanism>PLAIN<\/mechanism>/r) ],
    [ 'has a list in another namespace', $no_plain,
      offers($list =~ s/sasl'/sasl2'/r) ],
    [ 'has its list below 27 others', $no_plain,
      offers('<a>' x 27 . $list . '</a>' x 27) ],
    [ 'has 100 levels in its features', "$invalid: policy-violation",
      offers('<a>' x 100) ],
    [ 'has 1 MB in its features', $large, offers('<a>', [ 1_048_576, 'x' ]) ],
    [ 'has 1 MB of mechanisms', $large,
      offers("<mechanisms $sasl>", [ 40_000, '<mechanism>X</mechanism>' ]) ],
    [ 'has 1 MB in its header', $large,
      says("<stream:stream $stream a='", [ 1_048_576, 'x' ]) ],
    [ 'has 1 MB in its declaration', $large,
      says("<?xml version='1.0'", [ 1_048_576, ' ' ]) ],
    [ 'has 10,000 attributes', "$invalid: policy-violation",
      says(join ' ', '<stream:stream', map { "a$_=''" } 1 .. 10_000) ],

    [ 'has success before its header', 'upstream sent invalid stream header',
      says($success) ],
    [ 'has success in place of its features', $unexpected,
      says("$header$success") ],
    [ 'has success before its features', $unexpected,
      says("$header$success$features") ],
    [ 'has success right behind its features', $unexpected,
      says("$greeting$success") ],
    [ 'has success in its features', $no_plain, offers($success) ],
    [ 'has failure before its features', $unexpected,
      says("$header<failure $sasl><aborted/></failure>") ],
    [ 'has failure right behind its features', $unexpected,
      says("$greeting<failure $sasl><aborted/></failure>") ],
    [ 'has a challenge', $unexpected, answers("<challenge $sasl/>") ],
    [ 'has an answer of ours', $unexpected, answers("<auth $sasl/>") ],
    [ 'has features for an answer', $unexpected, answers($features) ],
    [ 'has a second header', $unexpected,
      answers("<stream:stream $stream version='1.0'>") ],
    [ 'has a second header before its features', $unexpected,
      says($header, $header =~ s/<\?.*?\?>//r, $features) ],
    [ 'has a second declaration', "$invalid: restricted-xml",
      answers($header) ],
    [ 'has success with 1 MB', $large,
      answers("<success $sasl>", [ 1_048_576, 'A' ], '</success>') ],
    [ 'has failure with 1 MB', $large,
      answers("<failure $sasl><text>", [ 1_048_576, 'A' ]) ],
    [ 'has failure with a long condition', $large,
      answers("<failure $sasl><", [ 1_048_576, 'a' ]) ],

    # What is skipped is no answer.
    (map { [ "has $_->[0], and no more", $closed, @asked,
             [ send => $_->[1] ], [ 'close' ] ] }
        [ 'success in no namespace', "<success xmlns=''/>" ],
        [ 'success in another namespace', '<success/>' ],
        [ 'success of SASL2', "<success xmlns='urn:xmpp:sasl:2'/>" ],
        [ 'success at depth 2', "<a>$success</a>" ],
        [ 'success at depth 3', "<a><b>$success</b></a>" ],
        [ 'success in a text', '<a>&lt;success/&gt;</a>' ],
        [ 'success in CDATA', "<a><![CDATA[$success]]></a>" ],
        [ '<proceed/>', "<proceed $tls/>" ],
        [ '<starttls/>', "<starttls $tls/>" ],
        [ 'a stanza', "<message><body>$success</body></message>" ],
        [ 'half of success', "<success $sasl" ],
        [ 'success without an end', "<success $sasl>" ],
        [ 'failure without an end', "<failure $sasl><not-authorized/>" ]),

    (map { my $condition = $_;
           ([ "has the error $_ before its features", "$gone: $_",
              says($header, error($_)) ],
            [ "has the error $_ on <auth/>", "$gone: $_",
              answers(error($_)) ]) }
        qw(host-unknown not-authorized policy-violation
           system-shutdown x-unknown)),
    [ 'has an error before its header', 'upstream sent invalid stream header',
      says("<stream:error $stream/>") ],
    [ 'has an empty error', "$gone: ", answers('<stream:error/>') ],
    [ 'has an error with ten conditions', "$gone: a1",
      answers(join '', '<stream:error>', (map { "<a$_/>" } 1 .. 10),
              '</stream:error>') ],
    [ 'ends the stream before its features', 'upstream closed stream',
      says("$header</stream:stream>") ],
    [ 'ends the stream on <auth/>', 'upstream closed stream',
      answers('</stream:stream>') ],

    [ 'has a DTD', "$invalid: restricted-xml",
      says('<!DOCTYPE x [<!ENTITY a "b">]>') ],
    [ 'has a comment on <auth/>', "$invalid: restricted-xml",
      answers('<!-- -->') ],
    [ 'has an entity in its failure', "$invalid: restricted-xml",
      answers("<failure $sasl><text>&x;</text></failure>") ],
    [ 'has a NUL on <auth/>', "$invalid: bad-format", answers("\0") ],
    [ 'has no UTF-8 on <auth/>', "$invalid: unsupported-encoding",
      answers("<a>\xff</a>") ],
    [ 'has an unbound prefix on <auth/>', "$invalid: bad-namespace-prefix",
      answers("<x:success/>") ],
    [ 'speaks TLS', "$invalid: not-well-formed",
      says("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03") ],
    [ 'speaks HTTP', "$invalid: not-well-formed",
      says("HTTP/1.1 200 OK\r\n\r\n") ],
);

# Refusals, and what becomes of them: the condition, the text.
my @refusal = (
    [ '', 'not-authorized' ],
    [ '<x/>', 'not-authorized' ],
    [ '<account-disabled/>', 'account-disabled' ],
    [ "<account-disabled xmlns='urn:x'/>", 'account-disabled' ],
    [ '<account-disabled/><aborted/>', 'account-disabled' ],
    [ '<x/><account-disabled/>', 'not-authorized' ],
    [ '<x><account-disabled/></x>', 'not-authorized' ],
    [ '<Account-Disabled/>', 'not-authorized' ],
    [ '<account-disabled\x{20}a="&lt;"/>' =~ s/\\x\{20\}/ /r,
      'account-disabled' ],
    [ '<' . 'a' x 3000 . '/>', 'not-authorized' ],
    [ "<\xc3\xa9/>", 'not-authorized' ],
    [ "<aborted/><text>$escaped</text>", 'aborted', $escaped ],
    [ "<text>$escaped</text><aborted/>", 'aborted', $escaped ],
    [ '<aborted/><text>a</text><text>b</text>', 'aborted', 'b' ],
    [ '<aborted/><text>&#13;&#10;&#9;&#127;&#x85;&#x202e;</text>', 'aborted',
      "&#13;&#10;&#9;\x7f\xc2\x85\xe2\x80\xae" ],
    [ '<aborted/><text><![CDATA[]]]]><![CDATA[>]]></text>', 'aborted',
      ']]&gt;' ],
    [ '<aborted/><text>' . '&lt;' x 900 . '</text>', 'aborted',
      '&lt;' x 900 ],
    [ '<aborted/><text>a<b/>c</text>', 'aborted' ],
    [ 'text<aborted/>', 'aborted' ],
);

# No XML at all, the same in each run.
my $random = 20261122;

sub garbage {
    my ($length) = @_;

    return join '', map {
        $random = ($random * 1103515245 + 12345) & 0x7fffffff;
        chr($random >> 16 & 255);
    } 1 .. $length;
}

my @garbage = map { garbage(20 * $_) } 1 .. 25;

# Where it falls silent, or is in no hurry: as far as this.
my @stall = (0, 1, 30, length $header, 20 + length $header,
             length($greeting) - 1);
my @stall_answer = (0, 1, 20, length($success) - 1);

# What it never ends to say.
my @forever = (
    [ 'white space before its header', @read, [ forever => ' ' ] ],
    [ 'white space before its features', @read, [ send => $header ],
      [ forever => " \n" ] ],
    [ 'elements before its features', @read, [ send => $header ],
      [ forever => "<a xmlns='urn:x'>x<b/></a>" ] ],
    [ 'elements in its features', @read,
      [ send => "$header<stream:features>" ], [ forever => '<a b="c"/>' ] ],
    [ 'white space before its answer', @asked, [ forever => "\n" ] ],
    [ 'elements before its answer', @asked, [ forever => '<message/>' ] ],
    [ 'text in a failure', @asked, [ send => "<failure $sasl><text>" ],
      [ forever => 'x' ] ],
    [ 'mechanisms', @read, [ send => "$header<stream:features><mechanisms"
      . " $sasl>" ], [ forever => '<mechanism>X</mechanism>' ] ],
);

my @cut = 0 .. length($greeting) - 1;
my @cut_answer = 0 .. length($success) - 1;
my @cut_reset = grep { $_ % 17 == 0 } @cut;

my %pass = (client => [ \&open_stream, \&header ],
            server => [ \&open_server, \&server_header ]);
my @cut_pass = grep { $_ < 3 || $_ % 5 == 0 || $_ > length($greeting) - 5 }
                    0 .. length($greeting) - 1;
my @bytes_pass = (@garbage[0 .. 9], $header . ' ' x 100_000,
                  "$header<stream:features>" . '<a/>' x 20_000,
                  '<!DOCTYPE x>', error('host-unknown'), $header . $success,
                  "$header<stream:features><a></stream:features>");

plan tests => 2 * (@lie + @garbage + @cut + @cut_answer + @cut_reset)
              + @stall + @stall_answer + 1 + 2 * @refusal + 3 * @forever + 1
              + 3 * 4 + 2 * (@cut_pass + @bytes_pass + 3) + 1;

my $t = XMPP::Nginx->new(log => 'info');
my ($crt, $key) = $t->certs->server;
my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

$t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;
    proxy_buffer 4k;
    ssl_certificate $crt;
    ssl_certificate_key $key;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{hasty_port};
        protocol xmpp;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{told_port};
        protocol xmpp;
        proxy_pass_error_message on;
    }

    server {
        listen 127.0.0.1:%{pass_client_port};
        protocol xmpp;
        xmpp_auth none;
        starttls on;
        timeout %{1s};
    }

    server {
        listen 127.0.0.1:%{pass_server_port};
        protocol xmpp;
        xmpp_stream server;
        starttls on;
        timeout %{1s};
    }
}
END

my $pid = worker($t);
my $failure = refused('temporary-auth-failure');
my $at = 'upstream: 127.0.0.1:' . $t->port('backend');

sub logged {
    my ($name, $line) = @_;

    my $login = 'login: "alice@example.test"';
    my @line = errors($t);

    like(join("\n", @line),
         qr/\Aerror: $line, client: \S+, server: \S+, \Q$login, $at\E\z/,
         "$name: logged");
}

sub fails {
    my ($name, $line, @script) = @_;

    $backend->script(@script);

    my $c = login($t);

    $c->expect_end($failure, $name);
    logged($name, $line);
}


# Lies, and bytes.

fails("a backend that $_->[0]", quotemeta $_->[1], @$_[2 .. $#$_]) for @lie;

fails("garbage $_", "(?:$closed|$invalid: [a-z-]+)",
      @read, [ send => $garbage[$_] ], [ 'close' ]) for 0 .. $#garbage;

fails("closes after $_ bytes", $closed,
      @read, [ send => substr $greeting, 0, $_ ], [ 'close' ]) for @cut;

fails("closes after $_ bytes of success", $closed,
      @asked, [ send => substr $success, 0, $_ ], [ 'close' ]) for @cut_answer;

fails("resets after $_ bytes", $reset,
      @read, [ send => substr $greeting, 0, $_ ], [ 'reset' ]) for @cut_reset;


# Silence: all wait at the same time.

{
    my @c;

    for (map({ [ @read, [ send => substr $greeting, 0, $_ ] ] } @stall),
         map({ [ @asked, [ send => substr $success, 0, $_ ] ] }
             @stall_answer))
    {
        my $n = 1 + $backend->count;

        $backend->script(@$_, @wait);
        push @c, login($t, port => 'hasty');
        $backend->wait_count($n) or die "no connection\n";
    }

    my $lines = @c;

    for (@stall, @stall_answer) {
        (shift @c)->expect_end($failure, "is silent after $_ bytes");
    }

    is(scalar(grep { /upstream timed out .*\Q$at\E$/ } errors($t)), $lines,
       'each silence is logged');
}


# Refusals: told with or without their texts.

for (@refusal) {
    my ($inside, $condition, $text) = @$_;
    my $name = 'failure ' . substr $inside =~ s/[^ -~]/?/gr, 0, 60;

    for my $port (qw(client told)) {
        $backend->script(answers("<failure $sasl>$inside</failure>"));

        my $c = login($t, port => $port);

        $c->expect_end(refused($condition, $port eq 'told' ? $text : undef),
                       "$name, $port");
    }
}


# What never ends, ends.

my $before = private($pid);

for (@forever) {
    my ($name, @script) = @$_;

    $backend->script(@script);

    my $c = login($t, port => 'hasty', timeout => 20 * $t->scale);
    my $begun = time;

    $c->expect_end($failure, "for ever: $name");
    cmp_ok(time - $begun, '<', 10 * $t->scale, "for ever: $name: bounded");
    like(join("\n", errors($t)),
         qr/\Aerror:\ upstream\ (?:timed\ out|sent\ too\ large\ element)
            .*,\ \Q$at\E\z/x,
         "for ever: $name: logged");
}

quiet($pid);
my $more = private($pid) - $before;

# each of them has sent as much as it could
cmp_ok($more, '<', instrumented($t) ? 64 << 20 : 1 << 20,
       'and no memory was needed for it');


# What comes behind <success/> is the client's.

for (0 .. 2) {
    my $bytes = noise(1) . ("<iq id='$_'/>\0\xff" x 20_000);
    my $all = $success . $bytes;

    $backend->script($_ == 1 ? (@read, [ pieces => $greeting, 1, 0 ],
                                [ expect => '</auth>' ]) : @asked,
                     $_ ? ([ pieces => substr($all, 0, 2000), 1, 0 ],
                           [ send => substr $all, 2000 ])
                        : [ send => $all ],
                     $_ == 2 ? [ 'close' ] : [ 'echo' ]);

    my $c = login($t);

    is($c->read_until(qr/<success[^>]*>/), SUCCESS, "pipelined: success, $_");
    ok(receive($c, length $bytes) eq $bytes, "pipelined: all behind it, $_");

    if ($_ < 2) {
        $c->send('<ping/>');
        is($c->read_until(qr/<ping\/>/), '<ping/>', "pipelined: relayed, $_");
        $c->finish_writing;
    } else {
        is($c->read_to_end, '', "pipelined: nothing else, $_");
    }

    is($c->read_to_end, '', "pipelined: the end, $_");
}


# Streams that are passed on: what came from the backend is the client's, to
# the byte, and if nothing did it is told so.

for my $role (sort keys %pass) {
    my ($open, $head) = @{ $pass{$role} };
    my $failed = $head->($role eq 'server' ? (to => 'peer.test') : ())
                 . stream_error('remote-connection-failed');

    my $talk = sub {
        my ($name, $want, @script) = @_;

        $backend->script(@read, @script);

        my $c = XMPP::Client->new($t->port("pass_$role"));

        $c->send($open->());

        return $c->expect_end($failed, "passed on, $role: $name")
            if !defined $want;

        # it is XML as far as the backend's is
        ok($c->read_to_end eq $want, "passed on, $role: $name");
    };

    $talk->("closes after $_ bytes", $_ ? substr($greeting, 0, $_) : undef,
            [ send => substr $greeting, 0, $_ ], [ 'close' ]) for @cut_pass;

    $talk->('says ' . substr($_ =~ s/[^!-~]/?/gr, 0, 40), $_,
            [ send => $_ ], [ 'close' ]) for @bytes_pass;

    $talk->('resets', undef, [ 'reset' ]);
    $talk->('is silent', undef, @wait);
    $talk->('is silent after its header', undef, [ send => $header ], @wait);
}

$t->finish;
