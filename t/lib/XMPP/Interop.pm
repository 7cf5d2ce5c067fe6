package XMPP::Interop;

# Real clients, through nginx, to real servers: see t/interop/README.md.
#
#   my @client = XMPP::Interop::clients(@names);    # all, if none is named
#                   # { name, dir, packages => [...], npm => [...], about => {
#                   #   client, library, version, tls => [...], ... } }
#   my $i = XMPP::Interop->new;
#   $i->runs(@client)           # what is to be done: { client, server, tls,
#                               #   six, except }
#   my $result = $i->run($run)  # { why => undef or what is wrong, said,
#                               #   mechanism }; as another user if
#                               #   $run->{again}
#   $i->record($run)            # the same through a tap, into transcripts/
#   $i->straight($run)          # the same without nginx
#   $i->distrusts($client)      # it comes, but does not log in, where nobody
#                               # knows who has signed the certificate: undef,
#                               # or what is wrong
#   $i->proxied($server)        # true if it logs in through PROXY headers, and
#                               # is known by its address
#   $i->leave                   # at the end: true if all of its own have
#   $i->nginx                   # those that were started

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(sleep time);

use XMPP::Client;
use XMPP::Files;
use XMPP::Interop::Docs;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Wire;

my $folder = XMPP::Nginx->top . '/t/interop';
my $domain = 'example.test';
my $password = 'wonder&land<42>';

# Where nginx finds the server.
my %address = (prosody => '127.0.0.1', ejabberd => '::1', jabberd2 => '::1');

my %class = (prosody => 'XMPP::Interop::Prosody',
             ejabberd => 'XMPP::Interop::Ejabberd',
             jabberd2 => 'XMPP::Jabberd2');

# In UTF-8, what has to be escaped or encoded.
my $text = qq{<b> & "two" 'one' &amp; caf\xc3\xa9 \xe6\xbc\xa2}
           . " \xf0\x9f\x98\x80";


sub clients {
    my @name = @_;

    @name = sort map { m{([^/]+)/about$} } glob "$folder/clients/*/about"
        if !@name;

    return map { _client($_) } @name;
}


sub _client {
    my ($name) = @_;

    my $dir = "$folder/clients/$name";
    my %about = (except => []);

    for (split /\n/, read_file("$dir/about")) {
        my ($key, $value) = /^(\w+): *(.*?) *$/ or die "$dir/about: $_\n";

        if ($key eq 'except') { push @{ $about{except} }, $value }
        else                  { $about{$key} = $value }
    }

    for (qw(client version tls)) {
        defined $about{$_} or die "$dir/about: no \"$_\"\n";
    }

    $about{tls} = [ split ' ', $about{tls} ];

    # Whatever does not take place has a reason.
    die "$dir/about: an exception, and no \"note\"\n"
        if !defined $about{note}
           && (@{ $about{tls} } < 2 || @{ $about{except} } || $about{sends}
               || $about{slow});

    return { name => $name, dir => $dir, about => \%about,
             map { $_ => [ _lines("$dir/$_") ] } qw(packages npm) };
}


sub _lines {
    my ($path) = @_;

    return if !-e $path;
    return grep { /\S/ && !/^#/ } split /\n/, read_file($path);
}


sub new {
    my ($class) = @_;

    my $t = XMPP::Nginx->new;

    $t->certs(key => 'rsa');

    return bless { t => $t, end => {}, started => 0 }, $class;
}


# Both ways in to Prosody, one to the others; once over IPv6.
sub runs {
    my ($self, @client) = @_;

    my @run;

    for my $client (@client) {
        my $about = $client->{about};
        my ($first) = @{ $about->{tls} };

        my @one = map { [ prosody => $_ ] } @{ $about->{tls} };

        push @one, [ ejabberd => $first ], [ jabberd2 => $first ]
            if !$about->{slow};
        push @one, [ prosody => $first, 1 ] if $about->{ipv6};

        for (@one) {
            my ($server, $tls, $six) = @$_;

            push @run, {
                client => $client, server => $server, tls => $tls, six => $six,
                except => scalar grep { $_ eq "$server $tls" }
                                      @{ $about->{except} } };
        }
    }

    # Accounts are made when a server starts.
    push @run, map { { client => $_, server => 'prosody', tls => 'distrust' } }
                   @client;

    for my $run (@run) {
        $self->{users}{ $run->{server} }{ _user($_) } = $password
            for $run, { %$run, again => 1 };
    }

    splice @run, -@client;

    return @run;
}


# Letters only: file names of Prosody's accounts.
sub _user {
    my ($run) = @_;

    my $user = $run->{client}{name} . ($run->{six} ? 'six' : $run->{tls})
               . ($run->{again} ? 'again' : '');

    return $user =~ s/[^a-z0-9]//gr;
}


sub title {
    my ($run) = @_;

    return "$run->{client}{name}, $run->{tls}, $run->{server}"
           . ($run->{six} ? ', IPv6' : '');
}


sub nginx { map { $_->{nginx} // () } values %{ $_[0]{end} } }


# The peers log out; true if all did.
sub leave {
    my ($self) = @_;

    my @peer = map { $_->{peer} } values %{ $self->{end} };

    $_->finish_writing for @peer;

    return !grep { ($_->wait_end // 1) != 0 } @peer;
}


sub run {
    my ($self, $run) = @_;

    my $end = $self->{end}{$run->{server}} ||= $self->_behind($run->{server});

    return $self->_try($run, $end,
                       $end->{ ($run->{six} ? 'six_' : '') . $run->{tls} });
}


sub straight {
    my ($self, $run) = @_;

    my $name = "straight_$run->{server}";
    my $end = $self->{end}{$name} ||= $self->_before($run->{server}, $name);

    return $self->_try($run, $end, $end->{$run->{tls}});
}


sub record {
    my ($self, $run) = @_;

    my $end = $self->{end}{$run->{server}} ||= $self->_behind($run->{server});
    my $name = $run->{client}{name};
    my $file = "$folder/transcripts/$name"
               . ($run->{tls} eq 'direct' ? '.direct' : '') . '.txt';
    my $port = $self->{t}->port('tap' . ++$self->{started});

    my $tap = XMPP::Process->start($self->{t}, "tap-$self->{started}",
        [ '/usr/bin/python3', "$folder/tap", $run->{tls}, $port,
          $end->{$run->{tls}}, $self->{t}->certs->server, "$file.new" ]);

    $tap->wait_said(qr/^ready$/m) or die "no tap\n";

    my $result = $self->_try($run, $end, $port);

    $tap->finish_writing;
    $tap->wait_end;

    if ($result->{why}) { unlink "$file.new" }
    else                { rename "$file.new", $file or die "$file: $!\n" }

    return $result;
}


sub distrusts {
    my ($self, $client) = @_;

    my $run = { client => $client, tls => 'distrust' };
    my $tls = $client->{about}{tls}[0];
    my $end = $self->{end}{prosody} ||= $self->_behind('prosody');
    my $nginx = $end->{nginx};
    my $work = $self->{t}->dir . '/work-' . ++$self->{started};
    my $seen = length $nginx->log;
    my $user = _user($run);

    mkdir $work or die "$work: $!\n";
    $self->{t}->certs->client('mallory', ca => 0) if !$self->{stranger}++;

    my $process = $self->_start($client, "$work.out", {
        $self->_environment($run, $end->{$tls}, $work), XMPP_TLS => $tls,
        XMPP_CA => $self->{t}->dir . '/stranger.crt', XMPP_SEND => 'no',
        XMPP_EXPECT => 'no' });

    # Some end, some try again, some ask.
    my $deadline = time + XMPP::Process::timeout();
    my $new = '';

    until ($new =~ /SSL_\w+\(\) failed|peer closed connection in SSL/
           || ($new =~ / connected to / && !_running($process))
           || time > $deadline)
    {
        sleep 0.05;
        $new = substr $nginx->log, $seen;
        last if !_running($process) && $new !~ / connected to /;
    }

    _stop($process);
    $new = substr $nginx->log, $seen;

    return 'it has not come' if $new !~ / connected to /;
    return 'it has logged in' if $new =~ /login: "\Q$user\E/;
    return;
}


# A server with an nginx before it; proxy => 1: with a PROXY header.
sub _behind {
    my ($self, $name, %option) = @_;

    my $t = $self->{t};
    my ($crt, $key) = $t->certs->server;
    my $nginx = XMPP::Nginx->new(log => 'info');
    my $port = $option{proxy} ? "proxied_$name" : $name;
    my $server = $self->_server($name, $port, %option,
                                address => $address{$name});
    my $backend = $t->port($port);

    my $text = adapted(block('nginx.conf'),
        qr/example\.org(?=;)/ => $domain,
        qr{/etc/nginx/example\.org\.crt} => $crt,
        qr{/etc/nginx/example\.org\.key} => $key,
        qr/listen    (?=\d)/ => 'listen    127.0.0.1:',
        qr/\[::\]/ => '[::1]',
        qr/(?<=[.\]1]:)5222/ => '%{starttls_port}',
        qr/(?<=[.\]1]:)5223/ => '%{direct_port}',
        qr/127\.0\.0\.1:9000/ => '127.0.0.1:%{auth_port}',
        qr/(?<=Auth-Server  )127\.0\.0\.1/ => $address{$name},
        qr/(?<=Auth-Port    )5322/ => $backend,
        qr/access_log  off;/ => <<'CONF');
log_format auth '$http_auth_user $http_auth_method $http_client_ip';
    access_log auth.log auth;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
CONF

    $text = adapted($text, qr/^mail \{\n\K/m =>
                               block('nginx.conf, in mail'))
        if $option{proxy};

    $nginx->start($text);

    my $starttls = $nginx->port('starttls');
    my $direct = $nginx->port('direct');

    my $end = { server => $server, nginx => $nginx, name => $port,
                starttls => $starttls, direct => $direct,
                six_starttls => $starttls, six_direct => $direct };

    return $self->_peer($end);
}


# A login from an address that nginx does not have.
sub proxied {
    my ($self, $name) = @_;

    my $end = $self->{end}{"proxied_$name"}
            = $self->_behind($name, proxy => 1);

    my $c = XMPP::Client->new($end->{direct}, from => '127.0.0.9', tls => {});

    $c->send(open_stream());
    $c->read_until(qr/<\/stream:features>/);
    $c->send(auth('PLAIN', plain('peer', $password)));
    $c->read_until(qr/<success/) or return 0;
    $c->close;

    my $known = qr/127\.0\.0\.9/;
    my $deadline = time + XMPP::Process::timeout();

    until ($end->{server}->said =~ $known || time > $deadline) {
        sleep 0.05;
    }

    return $end->{server}->said =~ $known;
}


# A server that clients come to themselves.
sub _before {
    my ($self, $name, $port) = @_;

    my $server = $self->_server($name, $port, straight => 1);

    my $end = { server => $server, name => $port,
                starttls => $self->{t}->port($port),
                direct => $self->{t}->port("${port}_direct") };

    return $self->_peer($end);
}


sub _server {
    my ($self, $name, $port, %option) = @_;

    eval "require $class{$name}" or die $@;

    return $class{$name}->new($self->{t},
        { peer => $password, %{ $self->{users}{$name} || {} } },
        name => $port, port => $port, %option);
}


# Whom the clients write to; stays logged in.
sub _peer {
    my ($self, $end) = @_;

    my $t = $self->{t};

    $end->{peer} = XMPP::Process->start($t, "peer-$end->{name}",
        [ '/usr/bin/python3', XMPP::Nginx->top . '/t/real/client.py',
          '127.0.0.1', $end->{starttls}, 'starttls', $t->certs->ca,
          "peer\@$domain", $password ], LC_ALL => 'C.UTF-8');

    $end->{peer}->wait_said(qr/^online /m)
        or die "the peer is not online at $end->{name}\n";

    return $end;
}


sub _try {
    my ($self, $run, $end, $port) = @_;

    my $user = _user($run);
    my $n = ++$self->{started};
    my $send = title($run) . " $n $text";
    my $expect = "to $send";
    my $work = $self->{t}->dir . "/work-$n";

    mkdir $work or die "$work: $!\n";

    my $process = $self->_start($run->{client}, "$work.out", {
        $self->_environment($run, $port, $work), XMPP_SEND => $send,
        XMPP_EXPECT => $expect });

    my $had = qr{^message \Q$user\E\@\Q$domain\E(?:/\S+)? \Q$send\E(?:\\n)?$}m;
    my $only = ($run->{client}{about}{sends} // '') eq 'only';
    my $limit = XMPP::Process::timeout();
    my $deadline = time + $limit;
    my $answered;

    for ( ;; ) {
        my $running = _running($process);

        if (!$answered && $end->{peer}->said =~ $had) {
            $answered = 1;
            $end->{peer}->say("send $user\@$domain $expect") if !$only;
        }

        last if !$running && ($answered || time > $process->{ended} + 5);
        last if time > $deadline;
        sleep 0.02;
    }

    my $late = _running($process);
    _stop($process);

    my $said = read_file("$work.out");
    my @why;

    push @why, "still running after $limit seconds" if $late;
    push @why, "ended with status $process->{status}"
        if !$late && $process->{status};

    my @had = $end->{peer}->said =~ /$had/g;
    push @why, 'the peer has not got the message' if !@had;
    push @why, 'the peer has got the message ' . @had . ' times' if @had > 1;
    push @why, 'it has not got the answer'
        if !$only && $said !~ /^received \Q$expect\E$/m;

    my $result = { $said =~ /^connected (\S+)/m ? (mechanism => $1) : () };

    if ($end->{nginx}) {
        my ($method) = read_file($end->{nginx}->dir . '/auth.log')
                       =~ /^\Q$user\E\@\Q$domain\E (\w+) /m;

        if ($method) { $result->{mechanism} //= uc $method }
        else         { push @why, 'it did not log in through nginx' }
    }

    if (@why) {
        $result->{why} = join '; ', @why;
        $result->{said} = "it said:\n$said"
            . (-s "$work.out.err" ? "errors:\n" . read_file("$work.out.err")
                                  : '');
    }

    return $result;
}


sub _environment {
    my ($self, $run, $port, $work) = @_;

    return (
        XMPP_HOST => $run->{six} ? '::1' : '127.0.0.1', XMPP_PORT => $port,
        XMPP_TLS => $run->{tls}, XMPP_DOMAIN => $domain,
        XMPP_USER => _user($run), XMPP_PASSWORD => $password,
        XMPP_PEER => "peer\@$domain", XMPP_CA => $self->{t}->certs->ca,
        XMPP_WORK => $work,
    );
}


# In a process group of its own, with everything that it starts.
sub _start {
    my ($self, $client, $out, $environment) = @_;

    my $work = $environment->{XMPP_WORK};
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        POSIX::setsid();
        delete @ENV{grep { /^(?:XDG_|DBUS_|DISPLAY|WAYLAND|SSL_|LD_)/ }
                         keys %ENV};

        %ENV = (%ENV, HOME => $work, TMPDIR => $work, LC_ALL => 'C.UTF-8',
                LANG => 'C.UTF-8', %$environment);

        $ENV{NODE_PATH} = XMPP::Nginx->top . '/objs/test/interop/node_modules';

        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $out or POSIX::_exit(126);
        open STDERR, '>', "$out.err" or POSIX::_exit(126);
        chdir $work;
        exec { "$client->{dir}/run" } "$client->{dir}/run"
            or POSIX::_exit(127);
    }

    return { pid => $pid };
}


sub _running {
    my ($process) = @_;

    return 0 if defined $process->{status};
    return 1 if waitpid($process->{pid}, POSIX::WNOHANG()) != $process->{pid};

    $process->{status} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    $process->{ended} = time;

    return 0;
}


# The group may have more in it than the program that was started.
sub _stop {
    my ($process) = @_;

    for ([ TERM => 5 ], [ KILL => 5 ]) {
        my ($signal, $seconds) = @$_;
        my $end = time + $seconds;

        kill $signal, -$process->{pid} or last;

        while ((_running($process) || kill 0, -$process->{pid})
               && time < $end)
        {
            sleep 0.02;
        }
    }
}

1;
