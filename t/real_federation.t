#!/usr/bin/perl

# Prosody behind nginx and ejabberd behind another nginx, as domains that talk
# to each other.  Each nginx has conf/nginx-federation.conf; the servers are
# set up as docs/federation.md says.
#
#   address    port 5269, 5270      domains
#   127.0.0.2  nginx to "strict"    p1 to p7      TLS is required
#   127.0.0.3  nginx to ejabberd    e1 to e9      TLS is required
#   127.0.0.4  nginx to "open"      o1, o2        STARTTLS is offered
#   127.0.0.5  "plain" itself       c1, c2        c1 knows no TLS
#   127.0.0.6  XMPP::Legacy         old
#   127.0.0.7  nginx to "strict"    s1            with a certificate only
#   127.0.0.8  nginx to ejabberd    s2            the same
#   127.0.0.9  nginx to ejabberd    v1            ssl_verify_client on
#   127.0.0.10 nginx to ejabberd    o3            STARTTLS is offered
#
# "strict", "open" and "plain" are Prosodies.  Clients come through one more
# nginx.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::Namespace;

use Test::More tests => 160;
use Time::HiRes qw(sleep time);

use XMPP::Client;
use XMPP::Dns;
use XMPP::Ejabberd;
use XMPP::Federation;
use XMPP::Legacy;
use XMPP::Files;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Prosody;

my %password = (alice => 'wonder & land', bob => 'b:o"b');

# In UTF-8, all that has to be escaped or encoded.
my $text = q{<b a="1" c='2'>&amp; ]]> &#0;</b> caf}
           . "\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80";

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my ($dir, $ca) = ($t->dir, $certs->ca);

my %at = (left => '127.0.0.2', right => '127.0.0.3', offer => '127.0.0.4',
          plain => '127.0.0.5', past => '127.0.0.6', sure1 => '127.0.0.7',
          sure2 => '127.0.0.8', verify => '127.0.0.9', offer3 => '127.0.0.10');

my %domains = (left => [ qw(p1 p2 p3 p4 p5 p6 p7) ],
               right => [ qw(e1 e2 e8 e9) ],
               offer => [ qw(o1 o2) ], plain => [ qw(c1 c2) ],
               past => [ 'old' ], sure1 => [ 's1' ], sure2 => [ 's2' ],
               verify => [ 'v1' ], offer3 => [ 'o3' ]);

# Which XMPP server it is, and its port behind nginx.
my %backend = (left => [ 'strict', 5369 ], sure1 => [ 'strict', 5369 ],
               right => [ 'ejabberd', 5469 ], sure2 => [ 'ejabberd', 5469 ],
               verify => [ 'ejabberd', 5469 ], offer3 => [ 'ejabberd', 5469 ],
               offer => [ 'open', 5569 ], plain => [ 'plain', 5269 ]);

my ($dns, %place, %server, %front);

for my $place (keys %domains) {
    $_ = "$_.example" for @{ $domains{$place} };
    $place{$_} = $place for @{ $domains{$place} };
}

is(as_it_is(), undef, 'conf/nginx-federation.conf passes "nginx -t"');

names();
servers();
fronts();

XMPP::Federation::entrance($t, $certs, map { $_ => port_of($_) }
                           grep { $place{$_} ne 'past' } keys %place);


# Both kinds of TLS.  The names of p1 and e1 lead to STARTTLS only, those of p2
# and e2 to direct TLS only.

for my $case ([ 1, 'starttls' ], [ 2, 'direct' ]) {
    my ($number, $way) = @$case;
    my ($p, $e) = ("p$number.example", "e$number.example");

    befriend($p, $e);

    passed($p, $e, way => $way, verify => 'SUCCESS', names => $e);
    passed($e, $p, way => $way, verify => 'SUCCESS', names => $p);

    logged('strict', qr/asking \Q$e\E if key \w+ belongs to them/,
           "$p asks for the key of $e");
    logged('strict', qr/: <db:verify(?=.* to='\Q$e\E')(?=.* type='valid')/,
           "$p knows its key again");
    logged('strict', qr/Incoming s2s connection \Q$e->$p\E complete/,
           "$p has let in $e");
    logged('strict', qr/Outgoing s2s connection \Q$p->$e\E complete/,
           "$p was let in by $e");

    my $accepted = 's2s dialback authentication';

    logged('ejabberd', qr/Accepted inbound $accepted \Q$p -> $e\E/,
           "$e has let in $p");
    logged('ejabberd',
           qr/\(tls\|.*\) Accepted outbound $accepted \Q$e -> $p\E/,
           "$e was let in by $p, with TLS");
}

like($front{left}->log, qr/server: 127\.0\.0\.2:5269/, 'port 5269 was used');
like($front{left}->log, qr/server: 127\.0\.0\.2:5270/, 'port 5270 was used');

my %asked = map { $_ => 1 } $dns->asked;

ok($asked{"SRV _xmpp-server._tcp.$_.example"}, "$_ was looked up")
    for qw(p1 e1);
ok($asked{"SRV _xmpps-server._tcp.$_.example"}, "$_ was looked up")
    for qw(p2 e2);


# STARTTLS that is offered: who can do TLS does it, who can not is let in.

befriend('o1.example', 'c1.example');
passed('o1.example', 'c1.example', tls => '-');

befriend('o1.example', 'p1.example');
passed('o1.example', 'p1.example', way => 'starttls', names => 'p1.example');
passed('p1.example', 'o1.example', way => 'starttls');

befriend('o1.example', 'e1.example');
passed('o1.example', 'e1.example', way => 'starttls', names => 'e1.example');

# This Prosody does not offer it, nginx does.
befriend('o2.example', 'c2.example');
passed('o2.example', 'c2.example', way => 'starttls', names => 'c2.example');


# Certificates.

befriend('s1.example', 'e1.example');
passed('s1.example', 'e1.example', verify => 'SUCCESS', names => 'e1.example');

befriend('s2.example', 'p1.example');
passed('s2.example', 'p1.example', verify => 'SUCCESS', names => 'p1.example');

befriend('s2.example', 'p3.example');
passed('s2.example', 'p3.example', names => 'other.example, p3.example');

befriend('s2.example', 'p4.example');
passed('s2.example', 'p4.example', names => '_xmpp-server.p4.example');

befriend('v1.example', 'p1.example');
passed('v1.example', 'p1.example', verify => 'SUCCESS', names => 'p1.example');

# e9 shows a certificate of others, e8 has its own by an unknown authority; and
# the same with p5 and p6.  p7 has none.
my $why = 'your certificate does not prove that you are this domain';

refused('e9.example', 's1.example', 'SUCCESS',
        "Stream closed by peer: $why (policy-violation)");
refused('e8.example', 's1.example', qr/^FAILED:/,
        "Stream closed by peer: $why (policy-violation)");
refused('p5.example', 's2.example', 'SUCCESS',
        "closed by remote with error: policy-violation ($why)");
refused('p6.example', 's2.example', qr/^FAILED:/,
        "closed by remote with error: policy-violation ($why)");
refused('p7.example', 's2.example', 'NONE',
        "closed by remote with error: policy-violation ($why)");

# Nginx itself asks no one about this one.
refused('p6.example', 'v1.example', undef,
        'closed by remote with error: not-authorized');

# Where certificates do not matter, dialback alone lets them in.
befriend('p5.example', 'e1.example');
passed('e1.example', 'p5.example', verify => 'SUCCESS',
       names => 'other.example');


# A server from before XMPP 1.0.

for my $domain ('o1.example', 'o3.example') {
    my $old = XMPP::Legacy->new('old.example', $at{past});
    my $alice = client($domain, 'alice');

    $old->knows($domain => $at{$place{$domain}});
    $old->send($domain, "<message from='carol\@old.example' type='chat'"
                        . " to='alice\@$domain'><body>from the past</body>"
                        . '</message>');

    ok($old->wait(sub { $alice->said =~ /^message carol\S+ from the past$/m }),
       "$domain: a message from a server without a version");

    $alice->say('send carol@old.example to the past');

    ok($old->wait(sub { join('', $old->stanzas) =~ />to the past</ }),
       "$domain: and the answer");
    is(join(' ', keys %{ { map { $_ => 1 } $old->verified } }), $domain,
       "$domain: dialback the other way");
    is(scalar(grep { /\sversion=/ } $old->headers), 0,
       "$domain: nothing is offered");

    passed($domain, 'old.example', tls => '-');
    leave($alice);
}

{
    my $c = XMPP::Client->new(5269, host => $at{left}, one => 0);

    $c->send("<stream:stream xmlns='jabber:server' to='p1.example'"
             . " xmlns:db='jabber:server:dialback' from='old.example'"
             . " xmlns:stream='http://etherx.jabber.org/streams'>");
    like($c->read_to_end, qr/<policy-violation /,
         'not where TLS is required');
}

# Servers keep their streams open.
$_->{process}->stop for values %server;
$_->finish for values %front;
$t->finish;


# The error, if nginx finds one in the example without any change.
sub as_it_is {
    my $folder = "$dir/as_it_is";

    mkdir $_ or die "$_: $!\n" for $folder, "$folder/logs";
    write_file("$folder/nginx.conf",
               read_file($t->top . '/conf/nginx-federation.conf'));

    my ($crt, $key) = $certs->server;
    write_file("$folder/example.org.crt", read_file($crt));
    write_file("$folder/example.org.key", read_file($key));

    my $main = join '', map { "load_module $_; " }
                        grep { defined } @$t{qw(module stream)};

    open my $out, '-|', $t->{binary}, '-t', '-q', '-e', '/dev/stdout',
         '-p', "$folder/", '-c', "$folder/nginx.conf",
         '-g', "${main}pid nginx.pid;" or die "nginx: $!\n";

    my $said = do { local $/; <$out> };

    return close($out) ? undef : $said;
}


sub names {
    my %service;

    for my $domain (keys %place) {
        my $host = "$place{$domain}.host.example";

        $service{$domain} = $domain =~ /^[pe]2/
                            ? { 'server-tls' => [ $host, 5270 ] }
                            : { server => [ $host, 5269 ] };
    }

    $dns = XMPP::Dns->new($t, %service,
        map { ("$_.host.example" => $at{$_}) } keys %at);
}


sub servers {
    mkdir "$dir/modules" or die "$dir/modules: $!\n";
    write_file("$dir/modules/mod_s2s_front.lua",
               XMPP::Federation::document(qr/^-- mod_s2s_front/));

    my %own = (
        'p3.example' => { alt => 'DNS:other.example,'
                          . 'otherName:1.3.6.1.5.5.7.8.5;UTF8:p3.example' },
        'p4.example' => { alt => 'otherName:1.3.6.1.5.5.7.8.7;'
                          . 'IA5STRING:_xmpp-server.p4.example' },
        'p5.example' => { alt => 'DNS:other.example' },
        'p6.example' => { ca => 0 },
        'e8.example' => { ca => 0 },

        # ejabberd finds it by the subject, CN=e9.example.
        'e9.example' => { alt => 'DNS:other.example' },
    );

    my %host = map { $_ => prosody_host($_, %{ $own{$_} || {} }) }
               map { @{ $domains{$_} } } qw(left sure1 offer plain);

    my %prosody = (
        strict => [ [ qw(left sure1) ],
            s2s_ports => '{ 5369 }', s2s_front_ports => '{ 5369 }',
            s2s_require_encryption => 'true', s2s_secure_auth => 'true' ],
        open => [ [ 'offer' ],
            s2s_ports => '{ 5569 }', s2s_require_encryption => 'false' ],
        plain => [ [ 'plain' ],
            s2s_interfaces => qq{{ "$at{plain}" }}, s2s_ports => '{ 5269 }',
            s2s_require_encryption => 'false' ],
    );

    # These two do without TLS, altogether.
    $host{$_} .= qq{modules_disabled = { "tls" }\n}
        for qw(c1.example o2.example);

    for my $name (sort keys %prosody) {
        my ($places, %set) = @{ $prosody{$name} };

        $server{$name} = XMPP::Prosody->new($t, \%password, name => $name,
            port => $name, modules => [ qw(s2s dialback tls s2s_front) ],
            domains => { map { $_ => $host{$_} }
                         map { @{ $domains{$_} } } @$places },
            set => { modules_disabled => '{ "offline" }',
                     plugin_paths => qq{{ "$dir/modules" }},
                     log => '{ { levels = { min = "debug" }, to = "console",'
                            . ' timestamps = true } }', %set });
    }

    my @domain = map { @{ $domains{$_} } } qw(right sure2 verify offer3);
    my $files = join ', ', map { pem($_, %{ $own{$_} || {} }) } @domain;

    $server{ejabberd} = XMPP::Ejabberd->new($t, \%password,
        port => 'ejabberd', domains => { map { $_ => '' } @domain },
        set => { s2s_use_starttls => 'optional', ca_file => qq{"$ca"},
                 certfiles => "[ $files ]", s2s_max_retry_delay => 1 },
        modules => "mod_s2s_dialback: {}\n", more => <<'END');
- port: 5469
  ip: "127.0.0.1"
  module: ejabberd_s2s_in
END
}


sub fronts {
    my $port = 9000;

    # What is changed in conf/nginx-federation.conf.
    my $offered = sub { s/starttls  \Konly;/on;/ or die };
    my $sure = sub { s{auth_http    \S+/s2s\K;}{/certificate;} or die };
    my $verify = sub {
        s/ssl_verify_client        \Koptional_no_ca;/on;/ or die;
        s/ssl_trusted_certificate /ssl_client_certificate/ or die;
    };

    my %edit = (offer => $offered, offer3 => $offered, sure1 => $sure,
                sure2 => $sure, verify => $verify);

    for my $name (qw(left right offer offer3 sure1 sure2 verify)) {
        $front{$name} = XMPP::Federation::front($certs, name => $name,
            address => $at{$name}, auth => $port++, s2s => $backend{$name}[1],
            domains => $domains{$name}, edit => $edit{$name});
    }
}


sub port_of {
    my ($domain) = @_;

    return $t->port($backend{$place{$domain}}[0]);
}


# ejabberd writes its log a little later.
sub logged {
    my ($name, $regex, $what) = @_;

    my $end = time + XMPP::Process::timeout();

    sleep 0.02 until $server{$name}->said =~ $regex || time > $end;

    like($server{$name}->said, $regex, $what);
}


sub prosody_host {
    my ($domain, %option) = @_;

    return qq{ssl = { cafile = "$ca" }\n} if $domain eq 'p7.example';

    my ($crt, $key) = $certs->leaf($domain, alt => "DNS:$domain", %option);

    return qq{ssl = { certificate = "$crt", key = "$key", cafile = "$ca" }\n};
}


# In one file, as ejabberd wants it.
sub pem {
    my ($domain, %option) = @_;

    my $text = join '', map { read_file($_) }
               $certs->leaf($domain, alt => "DNS:$domain", %option);

    write_file("$dir/$domain.pem", $text);

    return qq{"$dir/$domain.pem"};
}


sub client {
    my ($domain, $user) = @_;

    my $client = XMPP::Federation::client($t, "$user\@$domain",
                                          $password{$user});

    $client->wait_said(qr/^online \Q$user\E\@/m)
        or die "$user\@$domain is not logged in\n";

    return $client;
}


sub leave {
    for (@_) {
        $_->finish_writing;
        $_->wait_end;
    }
}


# Presence and messages, both ways.
sub befriend {
    my ($one, $other) = @_;

    my $alice = client($one, 'alice');
    my $bob = client($other, 'bob');

    # ejabberd 24.12 gives up a direct TLS handshake now and then, on a busy
    # machine, and what was to go there comes back.
    my $end = time + XMPP::Process::timeout();
    my $again = 0;

    until (time > $end || 2 == grep { $_->said =~ /^subscribed /m }
                               $alice, $bob)
    {
        if ($again < time) {
            $alice->say("subscribe bob\@$other")
                if $alice->said !~ /^subscribed /m;
            $bob->say("subscribe alice\@$one")
                if $again && $bob->said !~ /^subscribed /m;
            $again = time + 3;
        }
        sleep 0.02;
    }

    ok($alice->wait_said(qr/^subscribed bob\@\Q$other\E$/m),
       "$one: alice is subscribed to bob\@$other");
    ok($bob->wait_said(qr/^subscribed alice\@\Q$one\E$/m),
       "$other: bob is subscribed to alice\@$one");

    $alice->say("status from $one");
    ok($bob->wait_said(qr{^presence alice\@\Q$one\E/\S+ from \Q$one\E$}m),
       "$other: bob sees her presence");
    $bob->say("status from $other");
    ok($alice->wait_said(qr{^presence bob\@\Q$other\E\S+ from \Q$other\E$}m),
       "$one: alice sees his presence");

    $alice->say("send bob\@$other $text");
    ok($bob->wait_said(qr{^message alice\@\Q$one\E/\S+ \Q$text\E$}m),
       "$other: bob has a message");
    $bob->say("send alice\@$one to you, $text");
    ok($alice->wait_said(
           qr{^message bob\@\Q$other\E\S+ to you, \Q$text\E$}m),
       "$one: alice has the answer");

    leave($alice, $bob);
}


# The streams from $from to $to went through the nginx of $to.  Each has TLS,
# or none, and what else is wanted.
sub passed {
    my ($to, $from, %want) = @_;

    my @request = XMPP::Federation::requests($front{$place{$to}}, $from, $to);

    # Where STARTTLS is offered, what came before TLS was asked for too.
    @request = grep { $_->{tls} ne '-' } @request
        if $place{$to} =~ /^offer/ && !$want{tls};

    my %wrong;

    for my $request (@request) {
        my %is = (stream => 's2s', client => '127.0.0.1', %want);

        $is{tls} //= $request->{tls} =~ /^TLSv1\.[23]$/ ? $request->{tls}
                     : 'TLS';
        $wrong{"$_ $request->{$_}"} = 1
            for grep { $request->{$_} ne $is{$_} } keys %is;
    }

    cmp_ok(scalar @request, '>', 0, "$from -> $to: went through nginx");
    is(join(', ', sort keys %wrong), '',
       "$from -> $to: " . join ', ', map { "$_ $want{$_}" } sort keys %want);
}


sub refused {
    my ($from, $to, $verify, $logged) = @_;

    my $bob = client($from, 'bob');

    $bob->say("send alice\@$to not to be delivered");
    ok($bob->wait_said(qr/^error alice\@\Q$to\E remote-server-\S+$/m),
       "$from -> $to: the message comes back");
    leave($bob);

    logged($backend{$place{$from}}[0], qr/\Q$logged\E/,
           "$from -> $to: the server is told why");

    my ($request) = XMPP::Federation::requests($front{$place{$to}},
                                               $from, $to);

    if (defined $verify) {
        like($request->{verify}, ref $verify ? $verify : qr/^\Q$verify\E$/,
             "$from -> $to: what nginx found");
    } else {
        is($request, undef, "$from -> $to: the auth service was not asked");
    }
}
