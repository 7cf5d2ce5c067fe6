#!/usr/bin/perl

# Clients that do not wait: what comes behind <auth/> reaches the backend whole
# and in order, but for white space, which belongs to the stream that ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Bulk;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

use constant NUMBERS => 35_000;

my @way = transports();

# Debug lines for each byte would take longer than the tests.
my $t = XMPP::Nginx->new(log => 'info');

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Bulk->new($t);

my $new = open_stream();
my $iq = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
         . '/></iq>';

# What is sent behind <auth/>, and what of it is for the backend.
my @case = (
    [ 'a header', $new ],
    [ 'a header without a declaration', $new =~ s/^<\?.*?\?>//r ],
    [ 'a header and stanzas', "$new$iq<presence/>" ],
    [ 'all of a session', $new . $iq . '<presence/>' . CLOSE ],
    [ 'an end', CLOSE ],
    [ 'white space, a header', " \t\r\n$new", $new ],
    [ 'white space before and behind a header', "\n$new \n", "$new \n" ],
    [ 'no XML', "\0\1\2 <<<&&& \xff\xfe" ],
    [ 'what looks like our answer', SUCCESS . features() ],
);

plan tests => @way * (2 * 2 * @case + 2 * 3 + 2 * 2 + 3 + 1 + 2 * 2) + 2;

my $servers = servers($t, 'auth_http 127.0.0.1:%{auth_port}/auth;'
                          . ' xmpp_client_buffer 1k; xmpp_auth plain login;');

$t->start("mail {\n$servers}\n");

my $connection = 0;
my $auth_re = qr{\A<\?xml.*?<stream:stream[^>]*><auth\b[^>]*>[^<]*</auth>}s;

# What the backend got behind its <auth/>, when all of $want should be there.
sub relayed {
    my ($n, $want) = @_;

    $backend->wait_bytes($n, qr/\Q$want\E\z/);

    return $backend->bytes($n) =~ s/$auth_re//r;
}

# A backend that answers when nginx's kernel has all that the client has sent.
my @patient = ([ 'header' ], [ features => 'PLAIN' ], [ 'await' ],
               [ 'credentials' ], [ 'echo' ]);

sub answer {
    my ($c) = @_;

    settled($c) or die "nginx takes no more\n";
    $backend->go($connection);
}

for (@way) {
    my ($name, %way) = @$_;

    # In one write with <auth/>.
    for (@case) {
        my ($what, $more, $want) = @$_;

        # White space that comes after our answer would be the backend's.
        my $early = defined $want;

        $want //= $more;

        twice {
            $backend->script(@patient) if $early;

            my $c = login($t, %way, more => $more);
            $connection++;

            answer($c) if $early;

            my $one = $c->{one} ? ', one byte at a time' : '';

            # The backend sends all back.
            $c->expect(SUCCESS . $want, "$name: $what, and back")
                if $what !~ /no XML|what looks|an end|all of/;
            is($c->read_until(qr/\Q$want\E\z/), SUCCESS . $want,
               "$name: $what, and back$one")
                if $what =~ /no XML|what looks|an end|all of/;
            is(relayed($connection, $want), $want,
               "$name: $what, to the backend$one");
            $c->close;
        };
    }

    # In writes of their own, while the backend is asked.
    twice {
        $backend->script(@patient);

        my $c = login($t, %way);
        my $one = $c->{one} ? ', one byte at a time' : '';
        $connection++;

        $backend->wait_bytes($connection, qr/<stream:stream/)
            or die "no header\n";
        $c->send($_) for " \n", "\t", $new, "\n", $iq;
        answer($c);

        $c->expect(SUCCESS . "$new\n$iq", "$name: in more than one write");
        is(relayed($connection, "$new\n$iq"), "$new\n$iq",
           "$name: in more than one write, to the backend$one");

        # When the client knows of its success, white space is the backend's.
        $c->send(' ');
        $c->expect(' ', "$name: white space later on");
        $c->close;
    };

    # White space behind <auth/>, and more of it later on.
    twice {
        $backend->script(@patient);

        my $c = login($t, %way, more => "\r\n");
        my $one = $c->{one} ? ', one byte at a time' : '';
        $connection++;

        $backend->wait_bytes($connection, qr/<stream:stream/)
            or die "no header\n";
        $c->send(" \t$new");
        answer($c);

        $c->expect(SUCCESS . $new, "$name: white space twice");
        is(relayed($connection, $new), $new,
           "$name: white space twice, to the backend$one");
        $c->close;
    };

    # Many times the buffer.
    {
        my $large = "$new<message><body>"
                    . join(' ', 1 .. NUMBERS) . '</body></message>';
        my $size = length $large;

        $backend->script(@patient);

        my $c = login($t, %way, more => $large);
        $connection++;

        # More than all the buffers on the way have room for.
        $backend->go($connection);
        is($c->read_until(qr/<success[^>]*>/), SUCCESS, "$name: 200 KB");
        my $back = receive($c, $size);
        is(digest($back), digest($large), "$name: 200 KB, and back");
        is(digest(relayed($connection, '</body></message>')), digest($large),
           "$name: 200 KB, to the backend");
        $c->close;
    }

    # Closed at once: all is delivered, whatever the backend does.
    {
        $backend->script(@patient);

        my $c = login($t, %way, more => $new . $iq . CLOSE);
        $connection++;
        answer($c);
        $c->close;

        is(relayed($connection, CLOSE), $new . $iq . CLOSE,
           "$name: sent and closed");
    }

    # Retries behind failures, and then the session.
    twice {
        my $c = greet($t, %way);
        my $one = $c->{one} ? ', one byte at a time' : '';
        my $n = $auth->count + 1;

        $c->send(auth('X-UNKNOWN') . "\n" . auth('LOGIN') . ABORT
                 . auth('PLAIN', 'no') . auth('PLAIN', plain('bob', 'bobby'))
                 . "\n$new$iq");
        $connection++;

        $c->expect(failure('invalid-mechanism') . challenge('Username:')
                   . failure('aborted') . failure('malformed-request')
                   . SUCCESS . $new . $iq, "$name: retries");
        is($auth->request($n)->{header}{'auth-user'} . ' '
           . relayed($connection, $iq), "bob\@example.test $new$iq",
           "$name: retries, to the backend$one");
        $c->close;
    };
}

is($connection, $backend->count, 'no connection more');

$t->finish;
