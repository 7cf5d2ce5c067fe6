package XMPP::Refuse;

# An nginx whose calls of libc fail when they are told to, and the kinds of
# sessions in which they do.
#
#   my $r = XMPP::Refuse->new;          # compiles the library, starts nginx
#   XMPP::Refuse::sessions()            # names of the kinds of sessions
#   my $n = $r->calls($session, $call)  # how many calls such a session takes;
#                                       # dies unless it comes to its end
#   my $fault = $r->try($session, $call, $n, $last);
#                   # one more of these sessions, in which the $n-th call to the
#                   # $last-th are refused; what is wrong then, or undef
#   $r->refusals                        # how many calls were, so far
#   $r->nginx                           # the XMPP::Nginx
#   XMPP::Refuse::step()                # every how many-th call to refuse
#
# Calls are named as in t/hostile/no_memory/refuse.c.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use XMPP::Auth;
use XMPP::Backend;
use XMPP::Client;
use XMPP::Hostile qw(quiet worker);
use XMPP::Nginx;
use XMPP::Wire;

my %call;
@call{qw(memory recv send recv_later send_later connect socket epoll_ctl
         setsockopt shutdown)} = 1 .. 10;

my $peer = "<?xml version='1.0'?><stream:stream xmlns='jabber:server'"
    . " xmlns:stream='http://etherx.jabber.org/streams' id='abc'"
    . " from='example.test' version='1.0'>";
my $dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>";
my $header = open_stream();
my $server = open_server();
my $features = qr{</stream:features>};
my $success = qr/<success[^>]*>/;
my $proceed = qr/<proceed[^>]*>/;
my @echo = ("<r xmlns='jabber:client'/>", qr/<r [^>]*>/);
my $plain = auth('PLAIN', plain('alice', 'secret'));

# Each: the port, then what is sent and what has to come; "tls" is a handshake.
my %session = (
    'PLAIN' => [ plain => $header, $features, $plain, $success, @echo ],

    'LOGIN' => [ plain => $header, $features, auth('LOGIN'), qr/<challenge.*>/,
        response('alice'), qr/<challenge.*>/, response('secret'), $success,
        @echo ],

    'CRAM-MD5' => [ told => $header, $features, auth('CRAM-MD5'),
        qr/<challenge.*>/, response('alice ' . 'a' x 32), $success, @echo ],

    'PLAIN, all at once' => [ plain => "$header$plain", $success, @echo,
        CLOSE, qr{</stream:stream>} ],

    'errors, all at once' => [ plain => $header . ABORT x 3 . CLOSE,
        qr{</stream:stream>} ],

    'STARTTLS, all at once' => [ starttls => $header . STARTTLS . "\n\n",
        $proceed, tls => $header . $plain, $success, @echo ],

    'STARTTLS' => [ starttls => $header, $features, STARTTLS, $proceed, tls =>
        $header, $features, $plain, $success, @echo ],

    'direct TLS' => [ direct => tls => $header, $features, $plain, $success,
        @echo ],

    'EXTERNAL' => [ certificate => tls => $header, $features,
        auth('EXTERNAL', ''), $success, @echo ],

    'an unknown mechanism' => [ plain => $header, $features,
        auth('X-UNKNOWN', 'x'), qr{</failure>}, $plain, $success ],

    'an unknown domain' => [ plain => open_stream(to => 'unknown.test'),
        qr{</stream:stream>} ],

    'a refusal' => [ refused => $header, $features, $plain, qr{</failure>},
        CLOSE, qr{</stream:stream>} ],

    'passed on' => [ none => $header, $features,
        auth('SCRAM-SHA-1', 'n,,n=alice,r=x'), qr/<auth.*>/ ],

    'passed on behind TLS' => [ offered => $header, $features, STARTTLS,
        $proceed, tls => $header, $features, @echo ],

    'passed on, STARTTLS not used' => [ offered => $header, $features, @echo ],

    'a server' => [ server => $server, $features, @echo ],

    'passed on, all at once' => [ offered => "$header$echo[0]", @echo[1 .. 1] ],

    'a server behind TLS' => [ secured => $server, $features, STARTTLS,
        $proceed, tls => $server, $features, @echo ],

    'STARTTLS, and more white space than is read at once' => [ starttls =>
        $header . STARTTLS . "\n" x 1024, $proceed, tls => $header . $plain,
        $success, @echo ],

    'a client that tells its name' => [ plain =>
        open_stream(from => 'alice@example.test'), $features,
        CLOSE, qr{</stream:stream>} ],

    'PLAIN, a long password' => [ plain => $header, $features,
        auth('PLAIN', plain('alice', 'x' x 600)), $success, @echo ],

    'PLAIN, PROXY protocol' => [ proxied => $header, $features, $plain,
        $success, @echo ],

    'a refusal of the backend' => [ refusing => $header, $features, $plain,
        qr{</stream:stream>} ],

    'a backend that does not wait' => [ early => $header, $features,
        auth('PLAIN', plain('alice', 'x' x 600)), qr{</stream:stream>} ],

    'passed on, the backend goes on' => [ going => $header, $features, '',
        qr/<r [^>]*>/, @echo ],

    'a refused server' => [ banned => $server, qr{</stream:stream>} ],
);

# What may be said to a client: elements of a session that goes well, and in
# the end an error.
my $good = qr{<\?xml[ ]version='1\.0'\?><stream:stream[ ][^>]*>
    | <stream:features>.*?</stream:features> | <proceed[ ][^>]*>
    | <challenge[ ][^>]*> (?:[^<]*</challenge>)? | <success[ ][^>]*>
    | <r[ ][^>]*> | <auth[ ].*?</auth>}xs;
my $failure = qr{<failure[ ][^>]*>
                 (?:<[a-z-]+/>(?:<text[^>]*>[^<]*</text>)?</failure>)?}x;
my $error = qr{<stream:error><[a-z-]+[ ][^>]*/>(?:<text[^>]*>[^<]*</text>)?
               </stream:error>}x;
my $said = qr{^(?:$good | $failure)* (?:$error)? (?:</stream:stream>)?\z}x;


sub sessions { return sort keys %session }


sub new {
    my ($class) = @_;

    my $t = XMPP::Nginx->new;
    my $dir = $t->dir;
    my $source = $t->top . '/t/hostile/no_memory/refuse.c';
    my $library = "$dir/refuse.so";
    my $plan = "$dir/plan";

    system('cc', '-O1', '-g', '-Wall', '-Wextra', '-Werror',
           '-Wno-unused-parameter', '-shared', '-fPIC', '-o', $library,
           $source) == 0 or die "could not compile $source\n";

    open my $file, '+>', $plan or die "$plan: $!\n";
    $file->autoflush(1);
    syswrite $file, pack 'L5', (0) x 5;

    my $self = bless { t => $t, plan => $file }, $class;

    $self->_services;
    my $conf = $self->_conf;

    # What the test refuses is logged.
    $t->allow(qr/ failed \(12: Cannot allocate memory\)/);
    $t->allow(qr/ failed \(105: No buffer space available\)/);

    local $ENV{LD_PRELOAD} = $library;
    local $ENV{REFUSE_PLAN} = $plan;

    # A sanitizer's own malloc() comes behind ours then, and so does valgrind's.
    local $ENV{ASAN_OPTIONS} = "$ENV{ASAN_OPTIONS}:verify_asan_link_order=0";
    local $ENV{TEST_NGINX_VALGRIND} = "$ENV{TEST_NGINX_VALGRIND}"
        . ' --soname-synonyms=somalloc=none' if $ENV{TEST_NGINX_VALGRIND};

    $t->start($conf);

    $self->{worker} = worker($t);

    # This one is over when the client's connection is closed, and then all that
    # the worker has open it has since it started.
    $self->calls('an unknown domain', 'memory');
    quiet($self->{worker});
    $self->{sockets} = $self->_sockets;

    # The first sessions have to do more than those that come after.
    for (1 .. 2) {
        $self->calls($_, 'memory') for sessions();
    }

    return $self;
}


sub nginx    { $_[0]{t} }
sub refusals { $_[0]{refused} }

# Under valgrind all of them would take half an hour.
sub step     { $ENV{TEST_NGINX_VALGRIND} ? 3 : 1 }


sub _services {
    my ($self) = @_;

    my $t = $self->{t};

    $self->{certs} = $t->certs;
    $self->{tls} = { ca => $self->{certs}->ca, name => 'example.test' };
    @{ $self->{certified} = { %{ $self->{tls} } } }{qw(cert key)}
        = $self->{certs}->client('alice');

    my $backend = XMPP::Backend->new($t);
    my $client = XMPP::Backend->new($t, name => 'client_backend');
    my $server = XMPP::Backend->new($t, name => 'server_backend');

    $client->default([ 'header' ], [ features => 'SCRAM-SHA-1' ], [ 'echo' ]);
    $server->default([ expect => '<stream:stream[^>]*>' ],
                     [ send => "$peer<stream:features>$dialback"
                               . '</stream:features>' ], [ 'echo' ]);

    my $proxied = XMPP::Backend->new($t, name => 'proxied_backend',
                                     proxy_protocol => 1);
    my $refusing = XMPP::Backend->new($t, name => 'refusing_backend');
    my $going = XMPP::Backend->new($t, name => 'going_backend');
    my $early = XMPP::Backend->new($t, name => 'early_backend');

    $refusing->default([ 'header' ], [ features => 'PLAIN' ],
                       [ expect => '</auth>' ],
                       [ send => failure('not-authorized', 'x' x 1000) ],
                       [ 'drain' ]);
    $early->default([ expect => '<stream:stream[^>]*>' ],
                    [ send => header() . features(mechanisms => [ 'PLAIN' ])
                              . SUCCESS ], [ 'echo' ]);
    $going->default([ 'header' ], [ features => 'SCRAM-SHA-1' ],
                    [ sleep => 0.02 ],
                    [ send => "<r xmlns='jabber:client' x='"
                              . 'x' x 1000 . "'/>" ], [ 'echo' ]);

    my $asked = XMPP::Auth->new($t);
    my %other = (
        proxied => [ 'proxied_backend' ],
        refusing => [ 'refusing_backend' ],
        going => [ 'going_backend' ],
        early => [ 'early_backend' ],
        told => [ backend => 'Auth-User' => 'alice', 'Auth-Pass' => 'wonder' ],
        none => [ 'client_backend' ],
        server => [ 'server_backend' ],
        no => [],
    );

    $self->{own} = [ $backend, $client, $server, $proxied, $refusing, $going,
                    $early, $asked ];

    for my $name (keys %other) {
        my ($to, @header) = @{ $other{$name} };
        my $auth = XMPP::Auth->new($t, name => $name);

        $auth->default([ 'request' ], [ send => XMPP::Auth::http(
            $to ? ('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
                   'Auth-Port' => $t->port($to), @header)
                : ('Auth-Status' => 'no such user')) ], [ 'drain' ]);

        push @{ $self->{own} }, $auth;
    }
}


sub _conf {
    my ($self) = @_;

    my @server = (
        [ plain => 'auth', '', 'starttls off;' ],
        [ told => 'told', '', 'starttls off;' ],
        [ refused => 'no', '', 'starttls off;' ],
        [ starttls => 'auth', '', 'starttls only; xmpp_client_buffer 1k;' ],
        [ direct => 'auth', ' ssl', 'proxy_protocol off;' ],
        [ certificate => 'told', ' ssl', 'xmpp_auth external;'
          . ' ssl_verify_client on; ssl_client_certificate ca.crt;' ],
        [ none => 'none', '', 'xmpp_auth none; starttls off;' ],
        [ offered => 'none', '', 'xmpp_auth none; starttls on;' ],
        [ proxied => 'proxied', '', 'starttls off; proxy_protocol on;' ],
        [ refusing => 'refusing', '', 'starttls off;'
          . ' proxy_pass_error_message on;' ],
        [ early => 'early', '', 'starttls off;' ],
        [ going => 'going', '', 'xmpp_auth none; starttls on;' ],
        [ server => 'server', '', 'xmpp_stream server; starttls off;' ],
        [ secured => 'server', '', 'xmpp_stream server; starttls only;' ],
        [ banned => 'no', '', 'xmpp_stream server; starttls off;' ],
    );

    my $servers = join '', map {
        my ($name, $auth, $listen, $more) = @$_;

        "    server {\n        listen 127.0.0.1:%{listen_${name}_port}$listen;"
        . "\n        protocol xmpp;\n"
        . "        auth_http 127.0.0.1:%{${auth}_port}/auth;\n"
        . "        $more\n    }\n";
    } @server;

    return <<"END";
mail {
    xmpp_auth plain login cram-md5;
    xmpp_domain example.test;

    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;

$servers}
END
}


# Sockets and files of the worker.
sub _sockets {
    my ($self) = @_;

    return scalar(() = glob "/proc/$self->{worker}/fd/*");
}


sub _arm {
    my ($self, @plan) = @_;

    sysseek $self->{plan}, 0, 0;
    syswrite $self->{plan}, pack 'L5', @plan, 0, 0;
}


# How many calls there were, how many of them were refused.
sub _disarm {
    my ($self) = @_;

    sysseek $self->{plan}, 0, 0;
    syswrite $self->{plan}, pack 'L', 0;

    sysseek $self->{plan}, 12, 0;
    sysread $self->{plan}, my $counted, 8;

    return unpack 'L2', $counted;
}


sub calls {
    my ($self, $session, $call) = @_;

    $self->_arm($call{$call}, 0, 0);

    my ($done, $fault) = $self->_play($session);
    my ($calls) = $self->_disarm;

    $fault ||= 'it did not come to its end' if !$done;
    die "$session: $fault\n" if $fault;

    return $calls;
}


sub try {
    my ($self, $session, $call, $first, $last) = @_;

    $self->_arm($call{$call}, $first, $last);

    my ($done, $fault) = $self->_play($session);
    my (undef, $refused) = $self->_disarm;

    $self->{refused} += $refused;

    # nothing has failed
    $fault ||= 'it did not come to its end' if !$done && $call =~ /_later/;

    return $fault;
}


# Returns whether it came to its end, and what is wrong.
sub _play {
    my ($self, $session) = @_;

    my ($port, @step) = @{ $session{$session} };
    my $c = XMPP::Client->new($self->{t}->port("listen_$port"));
    my $tls = $port eq 'certificate' ? 'certified' : 'tls';
    my $all = '';
    my $done = 1;
    my ($fault, $missing);

    while ($done && @step) {
        my $send = shift @step;

        if ($send eq 'tls') {
            $done = $c->starttls(%{ $self->{$tls} });
            next;
        }

        # Without memory STARTTLS that is optional is not offered.
        if ($send eq STARTTLS && $all !~ /<starttls/) {
            $missing = 1;
            last;
        }

        $c->send($send);
        $done = _await($c, shift @step, \$all);
    }

    if ($missing && $port !~ /^(?:offered|going)$/) {
        $fault = "no STARTTLS in \"$all\"";

    } elsif (!$done && !$c->ended && $all !~ m{</failure>\z}) {
        $fault = "still open after \"$all\"";

    } elsif ($all !~ $said) {
        $fault = "the client got \"$all\"";
    }

    $c->close;

    return ($done && !$missing, $fault // $self->_settled);
}


# Bytes up to those that match; if they can not come any more, all bytes.
sub _await {
    my ($c, $regex, $all) = @_;

    my $end = time + $c->{timeout};

    for ( ;; ) {
        if ($c->{input} =~ $regex) {
            $$all .= $c->_take($+[0]);
            return 1;
        }

        # A client may try again after a failure, unless it was about to leave.
        next if ($regex =~ /stream:stream/ || $c->{input} !~ m{</failure>\z})
                && time < $end && $c->_fill($end - time);

        next if $c->{input} =~ $regex;

        $$all .= $c->_take(length $c->{input});
        return 0;
    }
}


# What the session has left behind.
sub _settled {
    my ($self) = @_;

    my $end = time + $self->{t}->timeout;

    for ( ;; ) {
        my $sockets = $self->_sockets;

        if (!$sockets) {
            $self->{worker} = worker($self->{t});
            return 'the worker has died';
        }

        return if $sockets == ($self->{sockets} // $sockets);
        return "$sockets sockets, $self->{sockets} before" if time > $end;

        sleep 0.002;
    }
}

1;
