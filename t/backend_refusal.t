#!/usr/bin/perl

# A backend that refuses the login: its condition reaches the client, its text
# only with proxy_pass_error_message.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Login;
use XMPP::Nginx;
use XMPP::Wire;

my $ns = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

# What the backend says, the condition and the text for the client.
my @case = (
    map({ [ "<failure $ns><$_/></failure>", $_ ] }
        qw(aborted account-disabled credentials-expired encryption-required
           incorrect-encoding invalid-authzid invalid-mechanism
           malformed-request mechanism-too-weak not-authorized
           temporary-auth-failure)),

    # Nothing that is not in the list goes to the client.
    [ "<failure $ns><bad-protocol/></failure>", 'not-authorized' ],
    [ "<failure $ns><Not-Authorized/></failure>", 'not-authorized' ],
    [ "<failure $ns><not-authorized-/></failure>", 'not-authorized' ],
    [ "<failure $ns/>", 'not-authorized' ],
    [ "<failure $ns></failure>", 'not-authorized' ],
    [ "<failure $ns>account-disabled</failure>", 'not-authorized' ],

    # The text.
    [ "<failure $ns><account-disabled/><text>Closed</text></failure>",
      'account-disabled', 'Closed' ],
    [ "<failure $ns><text xml:lang='en'>Closed</text>"
      . '<account-disabled></account-disabled></failure>',
      'account-disabled', 'Closed' ],
    [ "<failure $ns><x/><text>Why</text></failure>", 'not-authorized', 'Why' ],
    [ "<failure $ns><text>Why</text></failure>", 'not-authorized', 'Why' ],
    [ "<failure $ns><aborted/><text/></failure>", 'aborted' ],
    [ "<failure $ns><aborted/><text></text></failure>", 'aborted' ],
    [ "<failure $ns><aborted/><text xmlns='urn:x'>no</text></failure>",
      'aborted' ],
    [ "<failure $ns><aborted/><a><text $ns>no</text></a></failure>", 'aborted' ],
    [ "<failure $ns><aborted/><text>&lt;b a=&quot;1&quot;&gt; &amp;amp; it&apos;s"
      . '</text></failure>',
      'aborted', '&lt;b a=&quot;1&quot;&gt; &amp;amp; it&apos;s' ],
    [ "<failure $ns><aborted/><text><![CDATA[</failure><a&b>]]></text></failure>",
      'aborted', '&lt;/failure&gt;&lt;a&amp;b&gt;' ],
    [ "<failure $ns><aborted/><text>&#xe4;\xc3\xb6\xf0\x9f\x98\x80</text></failure>",
      'aborted', "\xc3\xa4\xc3\xb6\xf0\x9f\x98\x80" ],
    [ "<failure $ns><aborted/><text>a&#13;&#10;b&#9;c</text></failure>",
      'aborted', 'a&#13;&#10;b&#9;c' ],

    # Forms of the element.
    [ "<f:failure xmlns:f='urn:ietf:params:xml:ns:xmpp-sasl'>"
      . '<f:account-disabled/><f:text>Closed</f:text></f:failure>',
      'account-disabled', 'Closed' ],
    [ "\n<failure\n$ns >\n <account-disabled />\n <text >Closed</text >\n</failure >"
      . '</stream:stream>', 'account-disabled', 'Closed' ],
    [ "<failure $ns><credentials-expired/><retry xmlns='urn:x'/></failure>",
      'credentials-expired' ],
);

plan tests => @case * 2 * 2 + @case * 2 + 1;

my $t = XMPP::Nginx->new;

my $auth = XMPP::Auth->new($t);
my $backend = XMPP::Backend->new($t);

$t->start(<<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/auth;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }

    server {
        listen 127.0.0.1:%{verbose_port};
        protocol xmpp;
        proxy_pass_error_message on;
    }
}
END

my $seen = 0;

for my $case (@case) {
    my ($bytes, $condition, $text) = @$case;
    my $name = substr $bytes =~ s/[^\x21-\x7e]+/ /gr, 0, 90;

    for my $pass (0, 1) {
        twice {
            $backend->script([ 'header' ], [ features => 'PLAIN' ],
                             [ expect => '</auth>' ],
                             [ $XMPP::Client::one_at_a_time
                               ? (pieces => $bytes, 1, 0)
                               : (send => $bytes) ],
                             [ drain => 9 ]);

            my $c = login($t, port => $pass ? 'verbose' : 'client');

            $c->expect_end(refused($condition, $pass ? $text : undef),
                           $name . ($pass ? ' (with its text)' : ''));
        };

        # One line a refusal; it is not an error of anything.
        my @line = grep { /upstream refused login/ }
                   split /\n/, substr $t->log, $seen;
        $seen = length $t->log;

        my $port = $t->port($pass ? 'verbose' : 'client');
        my $want = "upstream refused login: $condition, client: 127.0.0.1,"
            . " server: 127.0.0.1:$port, login: \"alice\@example.test\","
            . ' upstream: 127.0.0.1:' . $t->port('backend');

        s/^.*(\[info\]) \S+ \*\d+ (.*?) while [^,]+/$1 $2/ for @line;
        is_deeply(\@line, [ ("[info] $want") x 2 ], 'logged');
    }
}

$t->finish;
