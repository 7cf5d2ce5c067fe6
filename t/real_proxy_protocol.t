#!/usr/bin/perl

# The PROXY protocol with real programs: HAProxy before nginx, Prosody (with
# mod_net_proxy) and ejabberd behind it.
#
# Clients and servers come from 192.0.2.1 or 2001:db8::1, so that their address
# is not the one that nginx, HAProxy and the XMPP servers have to each other,
# 127.0.0.1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::NetProxy;

# The last chance to get it.
BEGIN { XMPP::NetProxy::folder() }

use XMPP::Namespace '192.0.2.1/24', '2001:db8::1/128';

use Socket qw(AF_INET AF_INET6 inet_pton);
use Test::More tests => 109;
use Time::HiRes qw(sleep time);

use XMPP::Client;
use XMPP::Dns;
use XMPP::Ejabberd;
use XMPP::Federation;
use XMPP::Files;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Prosody;

my %password = (alice => 'wonder & land', bob => 'b:o"b');

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my ($dir, $ca) = ($t->dir, $certs->ca);

# "a": Prosody, "b": ejabberd.  Behind each domain's first part is the way that
# other servers take to it: straight to nginx, or through HAProxy with version
# 1 or 2 of the protocol.
my %host = (straight => 10, v1 => 11, v2 => 12);
my %number = (a => 0, b => 20);
my @domain = map { my $server = $_;
                   map { "$server.$_.example" } sort keys %host } qw(a b);

# Ports of nginx, and of HAProxy before it.
my %port = (login => 5222, none => 5223, direct => 5224, s2s => 5269);

system('cc', '-o', "$dir/strophe", $t->top . '/t/real/client.c', '-lstrophe')
    == 0 or die "could not compile t/real/client.c\n";

my $public = '192.0.2.1';

# What the XMPP servers listen on for nginx.
my %backend = (a => { c2s => 15222, s2s => 15269 },
               b => { c2s => 25222, s2s => 25269 });

my $dns = XMPP::Dns->new($t, map { ("host.$_" => address($_),
                                $_ => { server => [ "host.$_", 5269 ] }) }
                          @domain);

my ($crt, $key) = $certs->leaf('all', alt => join ',',
                               map { "DNS:$_" } @domain);
my ($clients, $told, %read) = (0, 0);
my %server = (a => prosody(), b => ejabberd());

nginx();

my $haproxy = haproxy();

for my $server (qw(a b)) {
    for my $way (qw(straight v1 v2)) {
        for my $mode (qw(login none direct)) {
            logs_in($server, $way, $mode);
        }

        federates($server, $way);
    }

    logs_in($server, 'straight', $_, six => 1) for qw(login none);
    not_believed($server);
}

# Headers as other balancers may write them.
my $v2 = "\r\n\r\n\0\r\nQUIT\n";
my $tlv = pack 'Cna*', 4, 3, 'any';

for my $case (
    [ 'version 1, TCP4', '203.0.113.9', '203.0.113.9',
      "PROXY TCP4 203.0.113.9 192.0.2.11 40000 5223\r\n" ],
    [ 'version 1, TCP6', '2001:db8::9', '2001:db8::9',
      "PROXY TCP6 2001:db8::9 2001:db8::1 40000 5223\r\n" ],
    [ 'version 1, UNKNOWN', '127.0.0.1', undef, "PROXY UNKNOWN\r\n" ],
    [ 'version 2, TCP4', '203.0.113.9', '203.0.113.9',
      pack 'a* CCn a4 a4 n n', $v2, 0x21, 0x11, 12,
           inet_pton(AF_INET, '203.0.113.9'),
           inet_pton(AF_INET, '192.0.2.11'), 40000, 5223 ],
    [ 'version 2, TCP6, more behind it', '2001:db8::9', '2001:db8::9',
      pack 'a* CCn a16 a16 n n a*', $v2, 0x21, 0x21, 36 + length $tlv,
           inet_pton(AF_INET6, '2001:db8::9'),
           inet_pton(AF_INET6, '2001:db8::1'), 40000, 5223, $tlv ],
    [ 'version 2, LOCAL', '127.0.0.1', undef,
      pack 'a* CCn', $v2, 0x20, 0, 0 ],

    # This one has no say.
    [ 'version 1, from elsewhere', '127.0.0.9', '203.0.113.9',
      "PROXY TCP4 203.0.113.9 192.0.2.11 40000 5223\r\n", '127.0.0.9' ],
) {
    balanced($_, @$case) for qw(a b);
}

$_->{process}->stop for values %server;
$t->finish;


sub address {
    my ($domain) = @_;

    my ($server, $way) = $domain =~ /^(\w)\.(\w+)/;

    return '192.0.2.' . ($host{$way} + $number{$server});
}


sub prosody {
    my $net_proxy = XMPP::NetProxy::folder();

    mkdir "$dir/modules" or die "$dir/modules: $!\n";
    write_file("$dir/modules/mod_s2s_front.lua",
               XMPP::Federation::document(qr/^-- mod_s2s_front/));

    my ($c2s, $s2s) = @{ $backend{a} }{qw(c2s s2s)};

    return XMPP::Prosody->new($t, \%password, name => 'a', port => 'a',
        modules => [ qw(s2s dialback tls net_proxy s2s_front) ],
        domains => { map { $_ => '' } grep { /^a/ } @domain },
        set => {
            modules_disabled => '{ "offline" }',
            plugin_paths => qq{{ "$dir/modules", "$net_proxy" }},
            s2s_ports => '{ }',
            s2s_require_encryption => 'true',
            s2s_front_ports => "{ $s2s }",
            proxy_interfaces => '{ "127.0.0.1" }',
            proxy_port_mappings => qq{{ [$c2s] = "c2s", [$s2s] = "s2s" }},
            ssl => qq{{ certificate = "$crt", key = "$key", cafile = "$ca" }},
            log => '{ { levels = { min = "debug" }, to = "console",'
                   . ' timestamps = true } }',
        });
}


sub ejabberd {
    write_file("$dir/all.pem", read_file($crt) . read_file($key));

    my ($c2s, $s2s) = @{ $backend{b} }{qw(c2s s2s)};

    # slixmpp would bind SCRAM to TLS if only the server could, and says so,
    # for which newer ejabberds refuse it.
    my $without = join ', ', map { qq{"$_"} }
                  qw(DIGEST-MD5 X-OAUTH2 SCRAM-SHA-1 SCRAM-SHA-256
                     SCRAM-SHA-512);

    return XMPP::Ejabberd->new($t, \%password, name => 'b', port => 'b',
        domains => { map { $_ => '' } grep { /^b/ } @domain },
        set => { disable_sasl_mechanisms => "[ $without ]",
                 s2s_use_starttls => 'optional', ca_file => qq{"$ca"},
                 certfiles => qq{[ "$dir/all.pem" ]} },
        modules => "mod_s2s_dialback: {}\n", more => <<"END");
- port: $c2s
  ip: "127.0.0.1"
  module: ejabberd_c2s
  use_proxy_protocol: true
- port: $s2s
  ip: "127.0.0.1"
  module: ejabberd_s2s_in
  use_proxy_protocol: true
END
}


sub nginx {
    my $servers = '';

    for my $server (qw(a b)) {
        for my $mode (keys %port) {
            my $number = $number{$server};
            my $ssl = $mode eq 'direct' ? ' ssl' : '';

            my $what = join "\n        ", 'protocol xmpp;',
                $ssl ? () : 'starttls only;',
                $mode eq 'none' ? 'xmpp_auth none;' : (),
                $mode eq 's2s' ? 'xmpp_stream server;' : (),
                'auth_http_header Port '
                    . $backend{$server}{$mode eq 's2s' ? 's2s' : 'c2s'} . ';';

            my $straight = '192.0.2.' . ($host{straight} + $number);
            my $inside = '127.0.0.' . (10 + $number);
            my $port = $port{$mode};
            my $six = $port + 1000 * !!$number;

            # Ports of the second one are for a balancer: one that is believed,
            # and one that is not.
            $servers .= <<"END";
    server {
        listen $straight:$port$ssl;
        listen [2001:db8::1]:$six$ssl;
        $what
    }

    server {
        listen $inside:${\($port + 100)} proxy_protocol$ssl;
        listen [::1]:${\($port + 100 + $number)} proxy_protocol$ssl;
        set_real_ip_from 127.0.0.1;
        set_real_ip_from ::1;
        $what
    }

    server {
        listen $inside:${\($port + 200)} proxy_protocol$ssl;
        set_real_ip_from 127.0.0.2;
        $what
    }
END
        }
    }

    $t->start(<<"END");
mail {
    auth_http 127.0.0.1:%{auth_port}/;
    proxy_protocol on;
    ssl_certificate all.crt;
    ssl_certificate_key all.key;
    ssl_protocols TLSv1.2 TLSv1.3;

$servers
}

http {
    log_format asked '\$http_client_ip \$http_auth_method'
        ' \$http_auth_xmpp_stream \$http_auth_xmpp_domain'
        ' \$http_proxy_protocol_addr \$http_proxy_protocol_server_addr'
        ':\$http_proxy_protocol_server_port';
    access_log asked.log asked;
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
            add_header Auth-Port \$http_port;
            return 204;
        }
    }
}
END
}


# Where nginx is reached through it with the address believed (100 more) or not
# (200 more, on the same port plus 1000).
sub haproxy {
    my $conf = <<'END';
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
END

    for my $server (qw(a b)) {
        for my $mode (keys %port) {
            my $inside = '127.0.0.' . (10 + $number{$server});

            for (qw(v1 v2)) {
                my $outside = '192.0.2.' . ($host{$_} + $number{$server});
                my $send = $_ eq 'v1' ? 'send-proxy' : 'send-proxy-v2';

                for my $more (0, 1000) {
                    my $from = $port{$mode} + $more;
                    my $to = $port{$mode} + ($more ? 200 : 100);

                    $conf .= <<"END";
listen $server-$mode-$_-$more
    bind $outside:$from
    server nginx $inside:$to $send source 127.0.0.1
END
                }
            }
        }
    }

    write_file("$dir/haproxy.cfg", $conf);

    my $process = XMPP::Process->start($t, 'haproxy',
        [ qw(haproxy -db -V -f), "$dir/haproxy.cfg" ]);

    $process->wait_said(qr/New worker|Available polling|Using epoll/)
        or die "haproxy failed\n";

    return $process;
}


sub client {
    my ($domain, $user, $host, $port, $way) = @_;

    # slixmpp does not connect to an IPv6 address.
    my @program = $host =~ /:/ ? './strophe'
                  : ('/usr/bin/python3', $t->top . '/t/real/contact.py');

    my $client = XMPP::Process->start($t, "$user-" . ++$clients,
        [ @program, $host, $port, $way // 'starttls', $ca, "$user\@$domain",
          $password{$user} ], LC_ALL => 'C.UTF-8');

    $client->wait_said(qr/^online \Q$user\E\@/m)
        or die "$user\@$domain is not logged in\n";

    return $client;
}


# Waits for a line in the log of a server, behind what was waited for before.
sub logged {
    my ($server, $regex, $name) = @_;

    my $end = time + XMPP::Process::timeout();
    my $news;

    for ( ;; ) {
        $news = substr $server{$server}->said, $read{$server} // 0;
        last if $news =~ $regex || time > $end;
        sleep 0.02;
    }

    like($news, $regex, $name);
    $read{$server} += $+[0] if $news =~ $regex;
}


# The same for what the auth service was asked about clients.
sub told {
    my ($line, $name) = @_;

    my $end = time + XMPP::Process::timeout();
    my @line;

    do {
        sleep 0.02;
        @line = grep { / c2s / } split /\n/, read_file("$dir/asked.log");
    } while @line <= $told && time < $end;

    is(join("\n", @line[$told .. $#line]), $line, $name);
    $told = @line;
}


sub logs_in {
    my ($server, $way, $mode, %option) = @_;

    my $domain = "$server.$way.example";
    my $from = $option{six} ? '2001:db8::1' : $public;
    my $host = $option{six} ? $from : address($domain);
    my $port = $port{$mode} + ($option{six} && $server eq 'b' ? 1000 : 0);
    my $name = "$domain, $mode" . ($option{six} ? ', IPv6' : '');

    my $alice = client($domain, 'alice', $host, $port,
                       $mode eq 'direct' ? 'direct' : 'starttls');

    my $method = $mode eq 'none' ? 'none' : 'plain';
    my $balancer = $way eq 'straight' ? '- -:-' : "$from $host:$port";

    told("$from $method c2s $domain $balancer",
         "$name: what the auth service is told");
    logged($server, $server eq 'a'
           ? qr/Passing proxied connection \Q$from\E:\d+ to service c2s/
           : qr/c2s \S+ authentication for \S+ by .* from \Q$from\E$/m,
           "$name: the server knows the client's address");

    $alice->finish_writing;
    $alice->wait_end;
}


# From the other server to this one.
sub federates {
    my ($server, $way) = @_;

    my $domain = "$server.$way.example";
    my $other = $server eq 'a' ? 'b' : 'a';
    my $peer = "$other.$way.example";

    my $alice = client($domain, 'alice', address("$server.straight.example"),
                       5222);
    my $bob = client($peer, 'bob', address("$other.straight.example"), 5222);

    # these two
    $told += 2;

    # Streams from Prosody to ejabberd came with the ones the other way.
    my $before = $server eq 'a' ? length $server{a}->said : 0;

    $bob->say("send alice\@$domain from another domain");
    ok($alice->wait_said(qr/^message bob\@\Q$peer\E\S* from another domain$/m),
       "$domain: a message from $peer");

    my $to = address($domain) . ':5269';
    my $balancer = $way eq 'straight' ? '- -:-' : "$public $to";

    like(read_file("$dir/asked.log"),
         qr/^\Q$public none s2s $domain $balancer\E$/m,
         "$domain: what the auth service is told of servers");

    my $end = time + XMPP::Process::timeout();
    my $regex = $server eq 'a'
                ? qr/Passing proxied connection \Q$public\E:\d+ to service s2s/
                : qr/dialback authentication \Q$peer -> $domain ($public)\E/;

    sleep 0.02 until substr($server{$server}->said, $before) =~ $regex
                     || time > $end;
    like(substr($server{$server}->said, $before), $regex,
         "$domain: the server knows the address of the other one");

    for ($alice, $bob) {
        $_->finish_writing;
        $_->wait_end;
    }
}


# To the port that believes 127.0.0.1, with "xmpp_auth none".
sub balanced {
    my ($server, $name, $from, $said, $header, $balancer) = @_;

    my $domain = "$server.v1.example";
    my $stream = "<?xml version='1.0'?><stream:stream to='$domain'"
                 . " xmlns='jabber:client' version='1.0'"
                 . " xmlns:stream='http://etherx.jabber.org/streams'>";

    # nginx writes the client's address and its own, and ejabberd takes no line
    # with one of each family.
    my $six = $from =~ /:/;
    my $inside = '127.0.0.' . (10 + $number{$server});
    my $c = XMPP::Client->new(5323 + ($six ? $number{$server} : 0), one => 0,
                              host => $six ? '::1' : $inside,
                              from => $six ? undef : $balancer);

    $name = "$domain, $name";

    $c->raw($header . $stream);
    $c->read_until(qr/<\/stream:features>/);
    $c->send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    $c->read_until(qr/<proceed[^>]*>/);
    $c->starttls or die $c->error;
    $c->send($stream);
    ok($c->read_until(qr/<\/stream:features>/), "$name: passed on");

    my $where = !defined $said ? '- -:-'
                : "$said " . ($six ? '2001:db8::1' : '192.0.2.11') . ':5223';

    told("$from none c2s $domain $where",
         "$name: what the auth service is told");
    logged($server, $server eq 'a'
           ? qr/Passing proxied connection \Q$from\E:\d+ to service c2s/
           : qr/Accepted proxied connection \[?\Q$from\E\]?:\d+ /,
           "$name: the server knows the address");
    $c->close;
}


# nginx does not believe this balancer, but tells what it said.
sub not_believed {
    my ($server) = @_;

    my $domain = "$server.v2.example";
    my $host = address($domain);

    my $alice = client($domain, 'alice', $host, 6222);

    told("127.0.0.1 plain c2s $domain $public $host:6222",
         "$domain, not believed: what the auth service is told");
    logged($server, $server eq 'a'
           ? qr/Passing proxied connection 127\.0\.0\.1:\d+ to service c2s/
           : qr/c2s \S+ authentication for \S+ by .* from 127\.0\.0\.1$/m,
           "$domain, not believed: nor does the server");

    $alice->finish_writing;
    $alice->wait_end;
}
