package XMPP::Real;

# Real clients, through nginx, to a real server.
#
#   XMPP::Real::run('XMPP::Prosody');       # a whole test
#
# The server has alice and bob.  Bob, a slixmpp, stays logged in; alice comes
# with each client over STARTTLS and over direct TLS, the certificate checked.
# The clients share no code: slixmpp (Python), libstrophe (C; profanity, xmppc),
# go-sendxmpp (Go), sendxmpp (Perl, Net::XMPP).
#
# nginx itself is the auth service, as in a first set-up.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Nginx;
use XMPP::Process;

my %password = (alice => 'wonder & land', bob => 'b:o"b');
my @ways = qw(starttls direct);

# In UTF-8, all that has to be escaped or encoded.
my $text = q{<b a="1" c='2'>&amp; ]]> &#0;</b> caf}
           . "\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80";

my %client = (
    slixmpp => {
        command => sub {
            ('/usr/bin/python3', XMPP::Nginx->top . '/t/real/client.py', @_)
        },
        refused => qr/^failed not-authorized$/m,
        distrust => qr/^failed .*CERTIFICATE_VERIFY_FAILED/m,
        talks => 1,
    },

    strophe => {
        command => sub { ('./strophe', @_) },
        refused => qr/^failed SASL PLAIN auth failed$/m,
        distrust => qr/^failed .*certificate verify failed/m,
        talks => 1,
    },

    'go-sendxmpp' => {
        command => sub {
            my ($host, $port, $way, $ca, $jid, $password) = @_;

            return ('env', "SSL_CERT_FILE=$ca", 'SSL_CERT_DIR=/nowhere',
                    'go-sendxmpp', '-u', $jid, '-p', $password,
                    '-j', "$host:$port", $way eq 'direct' ? '-t' : (),
                    _allow_plain());
        },
        refused => qr/not-authorized/,
        distrust => qr/x509: certificate signed by unknown authority/,
        listen => [ '-l' ],
    },

    sendxmpp => {
        command => sub {
            my ($host, $port, $way, $ca, $jid, $password) = @_;
            my ($user, $domain) = split /@/, $jid;

            return ('sendxmpp', '-u', $user, '-o', $domain, '-p', $password,
                    '-j', "$host:$port", '-a', $ca,
                    $way eq 'direct' ? '-e' : '-t');
        },

        # With the end of the stream right behind it, the reason may get lost.
        refused => qr/not-authorized|^Error 'AuthSend'/m,
    },
);

my ($t, $bob, $started, $help);



sub run {
    my ($server) = @_;

    plan tests => 54;

    $t = XMPP::Nginx->new;

    $t->certs->client('mallory', ca => 0);
    system('cc', '-o', $t->dir . '/strophe', $t->top . '/t/real/client.c',
           '-lstrophe') == 0
        or die "could not compile t/real/client.c\n";

    eval "require $server" or die $@;
    my $backend = $server->new($t, \%password);

    $t->start(_configuration());

    $bob = _start('slixmpp', 'starttls', user => 'bob');
    ok($bob->wait_said(qr/^online bob\@/m), 'bob is logged in');

    for my $name (sort keys %client) {
        for my $way (@ways) {
            $client{$name}{talks} ? _talk($name, $way) : _write($name, $way);
            _refused($name, $way);
        }

        _listen($name) if $client{$name}{listen};
        _distrust($name) if $client{$name}{distrust};
    }

    _features();
    _ipv6();

    $bob->finish_writing;
    is($bob->wait_end, 0, 'bob has logged out');

    _auth_requests();

    $t->finish;
}


sub _configuration {
    return <<'END';
http {
    log_format auth '$http_auth_method $http_auth_protocol $http_auth_user'
                    ' $http_client_ip';
    access_log auth.log auth;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;

    server {
        listen 127.0.0.1:%{auth_port};

        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port %{backend_port};
            return 204;
        }

        location /6 {
            add_header Auth-Status OK;
            add_header Auth-Server ::1;
            add_header Auth-Port %{backend_port};
            return 204;
        }
    }
}

mail {
    auth_http 127.0.0.1:%{auth_port}/;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    xmpp_domain example.test;

    server {
        listen 127.0.0.1:%{starttls_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen [::1]:%{six_port};
        protocol xmpp;
        starttls only;
        auth_http 127.0.0.1:%{auth_port}/6;
    }
}
END
}


# Newer releases of go-sendxmpp do not use PLAIN unless told to.
sub _allow_plain {
    $help //= `go-sendxmpp --help 2>&1`;

    return $help =~ /--allow-plain/ ? '--allow-plain' : ();
}


sub _start {
    my ($name, $way, %option) = @_;

    my $user = $option{user} || 'alice';
    my @command = $client{$name}{command}->(
        $option{host} || '127.0.0.1', $t->port($option{port} || $way), $way,
        $option{ca} || $t->certs->ca, "$user\@example.test",
        $option{password} // $password{$user});

    return XMPP::Process->start($t, "$user-" . ++$started,
                                [ @command, @{ $option{more} || [] } ],
                                LC_ALL => 'C.UTF-8');
}


# Both directions, in one session.
sub _talk {
    my ($name, $way) = @_;

    my $alice = _start($name, $way);
    my $jid = $alice->wait_said(qr{^online (alice\@example\.test/\S+)}m)
              // 'nobody';

    $alice->say("send bob\@example.test $name $way $text");
    ok($bob->wait_said(qr/^message \Q$jid $name $way $text\E$/m),
       "$name, $way: bob has the message");

    $bob->say("send $jid to $name $way $text");
    ok($alice->wait_said(qr/^message \S+ \Qto $name $way $text\E$/m),
       "$name, $way: alice has the answer");

    $alice->finish_writing;
    is($alice->wait_end, 0, "$name, $way: alice has logged out");
}


# A program that sends one message and ends.
sub _write {
    my ($name, $way) = @_;

    my $alice = _start($name, $way, more => [ 'bob@example.test' ]);

    $alice->say("$name $way $text");
    $alice->finish_writing;

    ok($bob->wait_said(qr/^message \S+ \Q$name $way $text\E(?:\\n)?$/m),
       "$name, $way: bob has the message");
    is($alice->wait_end, 0, "$name, $way: alice has logged out");
}


# A program that prints what comes and does not tell when it has logged in: so
# it is written to until it has.
sub _listen {
    my ($name) = @_;

    for my $way (@ways) {
        my $alice = _start($name, $way, more => $client{$name}{listen});
        my $end = time + XMPP::Process::timeout();
        my $heard;

        until ($heard = $alice->said =~ /bob\S* \Q$text\E$/m or time > $end) {
            $bob->say("send alice\@example.test $text");
            sleep 0.2;
        }

        ok($heard, "$name, $way: alice has the message");
        $alice->stop;
    }
}


# A login that is to fail, with a message where the client needs one.
sub _try {
    my ($name, $way, %option) = @_;

    return _start($name, $way, %option) if $client{$name}{talks};

    my $alice = _start($name, $way, %option, more => [ 'bob@example.test' ]);

    $alice->say('not to be sent');
    $alice->finish_writing;

    return $alice;
}


sub _refused {
    my ($name, $way) = @_;

    my $alice = _try($name, $way, password => 'wrong');

    ok($alice->wait_said($client{$name}{refused}),
       "$name, $way: a wrong password is refused");
    isnt($alice->wait_end // 0, 0, "$name, $way: and that is its exit status");
}


# The logins above would mean less if the certificate did not matter.
sub _distrust {
    my ($name) = @_;

    my $alice = _try($name, 'starttls', ca => $t->dir . '/stranger.crt');

    ok($alice->wait_said($client{$name}{distrust}),
       "$name: does not trust a strange certificate");
}


# Nginx does not know these, they are between the client and the server.
sub _features {
    my $alice = _start('slixmpp', 'direct');
    my $jid = $alice->wait_said(qr/^online (\S+)/m) // 'nobody';

    $alice->say('roster bob@example.test');
    ok($alice->wait_said(qr/^roster bob\@example\.test$/m), 'roster');

    # What is written while the connection is gone comes when it is back.
    $alice->say('drop');
    $alice->wait_said(qr/^dropped$/m);
    $bob->say("send $jid while away");
    $alice->say('return');
    ok($alice->wait_said(qr/^resumed$/m), 'a stream is resumed');
    ok($alice->wait_said(qr/^message \S+ while away$/m),
       'the message from in between has come');

    $alice->finish_writing;
    is($alice->wait_end, 0, 'alice has logged out of the resumed stream');
}


sub _ipv6 {
    my $alice = _start('strophe', 'starttls', host => '::1', port => 'six');

    ok($alice->wait_said(qr/^online /m), 'IPv6: alice is logged in');
    $alice->say('send bob@example.test six');
    ok($bob->wait_said(qr/^message \S+ six$/m), 'IPv6: bob has the message');

    $alice->finish_writing;
    is($alice->wait_end, 0, 'IPv6: alice has logged out');
}


sub _auth_requests {
    open my $file, '<', $t->dir . '/auth.log' or die "auth.log: $!\n";
    my @line = <$file>;
    close $file;

    is(scalar(grep { $_ eq "plain xmpp bob\@example.test 127.0.0.1\n" } @line),
       1, 'the auth service was asked once for one login');
    is(scalar(grep { $_ eq "plain xmpp alice\@example.test ::1\n" } @line),
       1, 'and once over IPv6');

    my @other = grep { !/^plain xmpp (?:alice|bob)\@example\.test \S+$/ } @line;
    is("@other", '', 'and for no one else');
}

1;
