package XMPP::PassOn;

# Real clients through "xmpp_auth none" to a real server: SASL is between these
# two, and the server offers nothing but SCRAM.
#
#   XMPP::PassOn::run('XMPP::Prosody');     # a whole test
#
# The server has alice and bob in two domains, example.test for SCRAM-SHA-1 and
# second.example.test for SCRAM-SHA-256.  Bob, an nbxmpp, stays logged in.
# Which mechanism was used is told by the client and by the server's log.

use strict;
use warnings;

use File::Copy qw(copy);
use Test::More;
use Time::HiRes qw(sleep time);

use XMPP::Cable;
use XMPP::Nginx;
use XMPP::PassOn::Server;
use XMPP::Process;

my %password = (alice => 'wonder & land', bob => 'b:o"b');

my %domain = ('SCRAM-SHA-1' => 'example.test',
              'SCRAM-SHA-256' => 'second.example.test',
              'SASL2-SCRAM-SHA-1' => 'sasl2.example.test');

my %client = (
    slixmpp => {
        command => sub {
            ('/usr/bin/python3', XMPP::Nginx->top . '/t/real/client.py', @_)
        },
        binds => [ 'python3-slixmpp', '1.10' ],
        mechanisms => [ 'SCRAM-SHA-1', 'SCRAM-SHA-256' ],
        refused => qr/^failed not-authorized$/m,
        distrust => qr/^failed .*CERTIFICATE_VERIFY_FAILED/m,
    },

    strophe => {
        command => sub { ('./strophe', @_) },
        binds => [ 'libstrophe-dev', '0.14' ],
        mechanisms => [ 'SCRAM-SHA-1', 'SCRAM-SHA-256' ],
        refused => qr/^failed SASL SCRAM-SHA-\d+ auth failed$/m,
        distrust => qr/^failed .*certificate verify failed/m,
    },

    nbxmpp => {
        command => sub {
            ('/usr/bin/python3',
             XMPP::Nginx->top . '/t/real/client_nbxmpp.py', @_)
        },
        mechanisms => [ 'SCRAM-SHA-1', 'SCRAM-SHA-256' ],
        refused => qr/^failed StreamError.SASL not-authorized /m,
        distrust => qr/^failed StreamError.BAD_CERTIFICATE /m,
    },

    # It knows no other SCRAM.  With TLS 1.3 it may read a session ticket and
    # wait for ever for what came with it.  7 is SaslNotAuthorized, 3 is
    # CertInvalid and CertSignerUnknown.
    gloox => {
        command => sub {
            ('env', 'GNUTLS_SYSTEM_PRIORITY_FILE=gnutls.conf', './gloox', @_)
        },
        mechanisms => [ 'SCRAM-SHA-1' ],
        refused => qr/^failed authentication 7$/m,
        distrust => qr/^failed certificate 3$/m,
    },

    # One program for a message, one for what comes.  Debian 12 has it without
    # SCRAM.
    'go-sendxmpp' => {
        command => sub {
            my ($host, $port, $way, $ca, $jid, $password, @more) = @_;

            return ('env', "SSL_CERT_FILE=$ca", 'SSL_CERT_DIR=/nowhere',
                    'go-sendxmpp', '-u', $jid, '-p', $password,
                    '-j', "$host:$port", $way eq 'direct' ? '-t' : (),
                    @more ? @more : 'bob@example.test');
        },
        unable => sub { `go-sendxmpp --help 2>&1` !~ /scram/i },
        writes => 1,
        mechanisms => [ 'SCRAM-SHA-1', 'SCRAM-SHA-256' ],
        refused => qr/auth failure: /,
        distrust => qr/x509: certificate signed by unknown authority/,
    },
);

delete @client{grep { $client{$_}{unable} && $client{$_}{unable}->() }
               keys %client};

my ($t, $bob, $server, $started, @login);

# Requests to the auth service beside the one for each login: for streams
# before STARTTLS, and for registrations.
my ($before, $registered) = (0, 0);



sub run {
    my ($kind) = @_;

    $t = XMPP::Nginx->new;
    $t->certs->client('mallory', ca => 0);

    _write('gnutls.conf', "[overrides]\ndisabled-version = tls1.3\n");
    _compile('client.c', 'strophe', 'cc', '-lstrophe');
    _compile('gloox.cc', 'gloox', 'c++', '-lgloox');

    $server = XMPP::PassOn::Server->new($kind, $t, \%password);

    my %refused = map { $_ => $server->refuses($client{$_}) } keys %client;

    plan tests => 173 + ($server->proxied ? 4 : 0) + ($server->sasl2 ? 4 : 0)
                  + ($client{'go-sendxmpp'} ? 25 : 0)
                  - 26 * (grep { $_ } values %refused)
                  - ($refused{slixmpp} ? 17 : 0);

    _example();
    $t->start(_configuration());

    $bob = _start('nbxmpp', 'starttls', user => 'bob');
    ok($bob->wait_said(qr{^online bob\@example\.test/}m), 'bob is logged in');
    _expect('SCRAM-SHA-1', 'bob@example.test', 'accepted');

    for my $name (sort keys %client) {
        if ($refused{$name}) {
            _refused($name, 'starttls', 'SCRAM-SHA-1',
                     password => $password{alice});
            _distrust($name);
            next;
        }

        for my $mechanism (@{ $client{$name}{mechanisms} }) {
            for my $way (qw(starttls direct)) {
                _talk($name, $way, $mechanism);
                _refused($name, $way, $mechanism);
            }
        }

        _talk($name, 'starttls', 'SCRAM-SHA-1', port => 'offered');
        $before++;
        _distrust($name);
    }

    _talk('nbxmpp', 'direct', 'SCRAM-SHA-256', port => 'six', host => '::1');

    _talk('nbxmpp', 'direct', 'SASL2-SCRAM-SHA-1') if $server->sasl2;

    _account('nbxmpp', 'starttls');

    if ($server->proxied) {
        _limit();
    } else {
        _account('gloox', 'direct');
    }

    _resume('slixmpp', 0) unless $refused{slixmpp};
    _resume('nbxmpp', 1);

    $bob->finish_writing;
    is($bob->wait_end, 0, 'bob has logged out');

    is_deeply([ $server->logins ], \@login,
              'the logins, as the server has logged them');
    unlike($server->stored, qr/wonder/, 'no password is stored');
    _auth_requests();

    $t->finish;
}


# As it is written, with a certificate.
sub _example {
    my $dir = $t->dir . '/example';
    my ($crt, $key) = $t->certs->server;

    mkdir $_ or die "$_: $!\n" for $dir, "$dir/logs";
    link $crt, "$dir/example.org.crt" or die "link: $!\n";
    link $key, "$dir/example.org.key" or die "link: $!\n";
    copy($t->top . '/conf/nginx-pass-on.conf', "$dir/nginx.conf")
        or die "conf/nginx-pass-on.conf: $!\n";

    my $load = $t->{module} ? "load_module $t->{module};" : '';
    my $said = XMPP::Process->start($t, 'example',
        [ $t->{binary}, '-t', '-e', 'stderr', '-p', "$dir/",
          '-c', "$dir/nginx.conf", '-g', "$load pid nginx.pid;" ]);

    $said->wait_end;
    like($said->said, qr/test is successful/, 'conf/nginx-pass-on.conf');
}


sub _write {
    my ($name, $text) = @_;

    open my $file, '>', $t->dir . "/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}


sub _compile {
    my ($source, $program, $compiler, $library) = @_;

    system($compiler, '-o', $t->dir . "/$program",
           $t->top . "/t/real/$source", $library) == 0
        or die "could not compile t/real/$source\n";
}


# Everything that nginx is told of the backend is its address.
sub _configuration {
    return <<'END';
http {
    log_format auth '$http_auth_method "$http_auth_user" "$http_auth_pass"'
                    ' $http_auth_protocol $http_auth_xmpp_stream'
                    ' $http_auth_xmpp_domain $http_auth_ssl $http_client_ip'
                    ' $sent_http_auth_status';
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

        location /told {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port %{told_port};
            return 204;
        }
    }
}

mail {
    auth_http 127.0.0.1:%{auth_port}/;
    xmpp_auth none;
    xmpp_domain example.test second.example.test sasl2.example.test;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;

    server {
        listen 127.0.0.1:%{starttls_port};
        protocol xmpp;
        starttls only;
    }

    server {
        listen 127.0.0.1:%{offered_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }

    server {
        listen [::1]:%{six_port} ssl;
        protocol xmpp;
        auth_http 127.0.0.1:%{auth_port}/6;
    }

    server {
        listen 127.0.0.1:%{proxied_port} ssl;
        protocol xmpp;
        proxy_protocol on;
        auth_http 127.0.0.1:%{auth_port}/told;
    }
}
END
}


sub _start {
    my ($name, $way, %option) = @_;

    my $user = $option{user} || 'alice';
    my $domain = $option{domain} || 'example.test';
    my @command = $client{$name}{command}->(
        $option{host} || '127.0.0.1', $t->port($option{port} || $way), $way,
        $option{ca} || $t->certs->ca, "$user\@$domain",
        $option{password} // $password{$user}, @{ $option{more} || [] });

    return XMPP::Process->start($t, "$user-" . ++$started, \@command,
                                LC_ALL => 'C.UTF-8');
}


# What the server's log is to say of one login; it may not say who was refused.
sub _expect {
    my ($mechanism, $jid, $how) = @_;

    push @login, $how eq 'refused' ? "$mechanism $how"
                                   : "$mechanism $jid $how";
}


# Both directions, in one session.
sub _talk {
    my ($name, $way, $mechanism, %option) = @_;

    return _write_and_listen(@_) if $client{$name}{writes};

    my $what = "$name, " . ($option{port} || $way) . ", $mechanism";
    my $domain = $domain{$mechanism};
    my $alice = _start($name, $way, domain => $domain, %option);
    my $jid = $alice->wait_said(
                  qr{^online (alice\@\Q$domain\E/\S+) (?:\S+ )?$mechanism$}m);

    ok($jid, "$what: alice is logged in");
    _expect($mechanism, "alice\@$domain", 'accepted');

    $alice->say("send bob\@example.test $what");
    ok($bob->wait_said(qr/^message \Q$jid $what\E$/m),
       "$what: bob has the message");

    $bob->say("send $jid to $what");
    ok($alice->wait_said(qr/^message \S+ \Qto $what\E$/m),
       "$what: alice has the answer");

    $alice->finish_writing;
    is($alice->wait_end, 0, "$what: alice has logged out");
}


# The same for a program that does one of them at a time.  It does not tell
# when it listens: it is written to until it does.
sub _write_and_listen {
    my ($name, $way, $mechanism, %option) = @_;

    my $what = "$name, " . ($option{port} || $way) . ", $mechanism";
    my $jid = "alice\@$domain{$mechanism}";
    my @where = (domain => $domain{$mechanism}, %option);

    my $alice = _try($name, $way, $what, @where);
    ok($bob->wait_said(qr/^message \Q$jid\E\S+ \Q$what\E(?:\\n)?$/m),
       "$what: bob has the message");
    is($alice->wait_end, 0, "$what: alice has logged out");
    _expect($mechanism, $jid, 'accepted');

    $alice = _start($name, $way, more => [ '-l' ], @where);
    my $end = time + XMPP::Process::timeout();
    my $heard;

    until ($heard = $alice->said =~ /bob\S* \Qto $what\E$/m or time > $end) {
        $bob->say("send $jid to $what");
        sleep 0.2;
    }

    ok($heard, "$what: alice has the answer");
    $alice->stop;
    _expect($mechanism, $jid, 'accepted');
    $before++ if $option{port};
}


# A login, with a message for a program that logs in for that only.
sub _try {
    my ($name, $way, $text, %option) = @_;

    my $alice = _start($name, $way, %option);

    if ($client{$name}{writes}) {
        $alice->say($text);
        $alice->finish_writing;
    }

    return $alice;
}


sub _refused {
    my ($name, $way, $mechanism, %option) = @_;

    my $domain = $domain{$mechanism};
    my $alice = _try($name, $way, 'not to be sent', domain => $domain,
                     password => 'wrong', %option);

    _expect($mechanism, "alice\@$domain", 'refused');

    ok($alice->wait_said($client{$name}{refused}),
       "$name, $way, $mechanism: a login is refused");
    isnt($alice->wait_end // 0, 0, "$name, $way, $mechanism: exit status");
}


# The logins above would mean less if the certificate did not matter.
sub _distrust {
    my ($name) = @_;

    for my $way (qw(starttls direct)) {
        my $alice = _try($name, $way, 'not to be sent',
                         ca => $t->dir . '/stranger.crt');

        ok($alice->wait_said($client{$name}{distrust}),
           "$name, $way: does not trust a strange certificate");
    }
}


# XEP-0077: a new account, another password for it, its end.
sub _account {
    my ($name, $way, @where) = @_;

    my $what = "$name, $way";
    my %carol = (user => "carol-$name", password => 'the first one', @where);
    my $jid = "$carol{user}\@example.test";
    my $login = sub { _expect('SCRAM-SHA-1', $jid, $_[0]) };

    my $carol = _start($name, $way, %carol, more => [ 'register' ]);
    ok($carol->wait_said(qr/^registered$/m), "$what: a new account");
    $registered++;

    ok($carol->wait_said(qr/^online \Q$jid\E\S+ .*SCRAM-SHA-1$/m),
       "$what: and a login with it");
    $login->('accepted');

    $carol->say("send bob\@example.test $what is new");
    ok($bob->wait_said(qr/^message \Q$jid\E\S+ \Q$what\E is new$/m),
       "$what: bob has its message");

    $carol->say('password the-second-one');
    ok($carol->wait_said(qr/^changed$/m), "$what: another password");
    $carol->finish_writing;
    is($carol->wait_end, 0, "$what: logged out");

    ok(_start($name, $way, %carol)->wait_said($client{$name}{refused}),
       "$what: the first password is refused");
    $login->('refused');

    $carol{password} = 'the-second-one';
    $carol = _start($name, $way, %carol);
    ok($carol->wait_said(qr/^online/m), "$what: the second one is accepted");
    $login->('accepted');

    $carol->say('remove');
    ok($carol->wait_said(qr/^removed$/m), "$what: the account is removed");
    $carol->finish_writing;
    $carol->wait_end;

    ok(_start($name, $way, %carol)->wait_said($client{$name}{refused}),
       "$what: and its login is refused");
    $login->('refused');
}


# A server that limits registrations by address, and that is told the clients'.
# 127.0.0.1 has had one account already.
sub _limit {
    my $limited = $server->limited;
    my $line = XMPP::Cable->new($t, 'proxied', '127.0.0.2');

    _account('gloox', 'direct', port => 'cable');

    my %dora = (user => 'dora', password => 'x', port => 'cable',
                more => [ 'register' ]);

    ok(_start('nbxmpp', 'direct', %dora)->wait_said(qr/^failed $limited$/m),
       'PROXY: the second account from one address is refused');
    $line->stop;

    $line = XMPP::Cable->new($t, 'proxied', '127.0.0.3');

    my $dora = _start('nbxmpp', 'direct', %dora);
    ok($dora->wait_said(qr/^registered$/m), 'PROXY: but not from another one');
    ok($dora->wait_said(qr/^online /m), 'PROXY: and it works');
    _expect('SCRAM-SHA-1', 'dora@example.test', 'accepted');
    $dora->finish_writing;
    is($dora->wait_end, 0, 'PROXY: logged out');

    $registered += 2;
}


# XEP-0198.  The line breaks with messages on it; the stream goes on, and each
# message comes once.  Older slixmpp forget what they have not got through.
sub _resume {
    my ($name, $both_ways) = @_;

    my $cable = XMPP::Cable->new($t, 'direct');
    my $alice = _start($name, 'direct', port => 'cable');
    my $jid = $alice->wait_said(qr{^online (\S+)}m) // 'nobody';
    _expect('SCRAM-SHA-1', 'alice@example.test', 'accepted');
    ok($alice->wait_said(qr/^managed$/m), "$name: stream management");

    my (@to_alice, @to_bob);

    for my $break (qw(cut hang)) {
        my $what = "$name, $break";
        my @down = map { "$what: to alice $_" } 1 .. 4;
        my @up = map { "$what: to bob $_" } 1 .. 3;

        $bob->say("send $jid $down[0]");
        $alice->say("send bob\@example.test $up[0]");
        ok($alice->wait_said(qr/^message \S+ \Q$down[0]\E$/m)
           && $bob->wait_said(qr/^message \S+ \Q$up[0]\E$/m),
           "$what: messages in both directions");

        # These get lost on the way.
        ok($cable->hold, "$what: the line is dead");
        $bob->say("send $jid $down[1]");
        $alice->say("send bob\@example.test $up[1]") if $both_ways;
        $alice->say('expect');
        $alice->wait_said(qr/^expecting$/m);

        ok($cable->$break, "$what: the line is broken");
        ok($alice->wait_said(qr/^dropped$/m), "$what: alice has noticed");
        $bob->say("send $jid $down[2]");

        $alice->say('return');
        ok($alice->wait_said(qr/^resumed$/m), "$what: the stream goes on");
        _expect('SCRAM-SHA-1', 'alice@example.test', 'accepted');

        ok($cable->closed, "$what: nginx has closed the old connection")
            if $break eq 'hang';

        $bob->say("send $jid $down[3]");
        $alice->say("send bob\@example.test $up[2]");
        ok($alice->wait_said(qr/^message \S+ \Q$down[3]\E$/m)
           && $bob->wait_said(qr/^message \S+ \Q$up[2]\E$/m),
           "$what: messages in both directions");

        push @to_alice, @down;
        push @to_bob, $both_ways ? @up : @up[0, 2];
    }

    $alice->finish_writing;
    is($alice->wait_end, 0, "$name: alice has logged out");
    $cable->stop;

    is_deeply([ $alice->said =~ /^message \S+ ($name, .*)$/mg ], \@to_alice,
              "$name: alice has each message once, in their order");
    is_deeply([ $bob->said =~ /^message \S+ ($name, \w+: to bob .*)$/mg ],
              \@to_bob, "$name: and so has bob");
}


sub _auth_requests {
    open my $file, '<', $t->dir . '/auth.log' or die "auth.log: $!\n";
    my @line = <$file>;
    close $file;

    my $domains = join '|', values %domain;
    my $asked = 'none "" "" xmpp c2s (?:' . $domains . ')';

    is(scalar(grep { /^$asked on [\d.:]+ OK$/ } @line), @login + $registered,
       'the auth service was asked for each stream with TLS, with no user');
    is(scalar(grep { /^$asked - 127\.0\.0\.1 OK$/ } @line), $before,
       'and for each stream without');
    is(scalar(@line), @login + $registered + $before, 'and nothing else');
}

1;
