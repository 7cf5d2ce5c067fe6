#!/usr/bin/perl

# conf/nginx-443.conf at work: HTTPS, XMPP clients, another domain's XMPP
# server, and TURN, all on port 443.
#
# The network is the test's own, so the ports are those of the example.
# Clients are told apart by the addresses that they come from.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::Namespace;

use Test::More tests => 74;
use Time::HiRes qw(sleep time);

use XMPP::Client;
use XMPP::Dns;
use XMPP::Files;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Prosody;
use XMPP::Wire;

my $t = XMPP::Nginx->new;
my $certs = $t->certs;
my $dir = $t->dir;
my $top = XMPP::Nginx->top;
my @server;

$certs->leaf($_, alt => "DNS:$_")
    for qw(example.org turn.example.org other.example);


# As it is written, with nothing but the certificates.

my $example = read_file("$top/conf/nginx-443.conf");

mkdir "$dir/$_" or die "$dir/$_: $!\n" for qw(as logs html);
mkdir "$dir/as/logs" or die "$dir/as/logs: $!\n";
write_file("$dir/as/nginx-443.conf", $example);

for my $name (qw(example.org turn.example.org)) {
    link "$dir/$name.$_", "$dir/as/$name.$_" for qw(crt key);
}

like(tested("$dir/as/nginx-443.conf"), qr/test is successful/, 'nginx -t');


# Names and ports stay.  The beginning is XMPP::Nginx's, and the auth service
# has a log.

$example =~ s/\A.*?(?=^stream \{)//ms;
$example =~ s/access_log  off;/access_log  logs\/auth.log auth;/
    or die "no log of the auth service\n";
$example =~ s/^http \{\n/$&    log_format auth '\$http_client_ip'
        ' \$http_auth_method \$http_auth_xmpp_stream'
        ' "\$http_auth_user" "\$http_auth_xmpp_domain"'
        ' "\$http_auth_xmpp_from" "\$http_auth_ssl_xmpp_addr"';
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
/m or die "no http\n";

write_file("$dir/html/index.html", "the site\n");

my $public = '127.0.0.2';

# Nobody listens on port 5222, the second choice.
my $dns = XMPP::Dns->new($t,
    'example.org' => $public,
    'other.example' => '127.0.0.3',
    'example.org' => { 'client-tls' => [ 'example.org', 443, 1 ],
                       client => [ 'example.org', 5222, 2 ],
                       'server-tls' => [ 'example.org', 443 ] },
    'other.example' => { server => [ 'other.example', 5269 ] });

# The server behind nginx, and one that comes to port 443.
my %password = map { $_ => "of $_" } qw(alice bob carol);

my $own = prosody('example.org', s2s_ports => '{ 5369 }',
                  c2s_ports => '{ 5322, ' . $t->port('example.org') . ' }');
my $other = prosody('other.example', s2s_ports => '{ 5269 }',
                    s2s_interfaces => '{ "127.0.0.3" }',
                    s2s_secure_domains => '{ "example.org" }');

server('turnserver', [ qw(turnserver -n --no-tls --no-dtls --no-udp --no-cli
    --no-rfc5780 --log-file stdout --simple-log -L 127.0.0.1 -p 3478
    -E 127.0.0.1 --allow-loopback-peers -r example.org -a -u dave:secret), "--pidfile=$dir/turnserver.pid",
    "--userdb=$dir/turn.db" ]);
XMPP::Process::listening(3478, $server[-1]);

server('udp-echo', [ qw(turnutils_peer -L 127.0.0.1 -p 3480) ]);

$t->start($example);


# Who answers, with which certificate, and what nginx writes about it.  Each
# comes from an address of its own.

my ($https, $c2s, $s2s, $turn) = map { "127.0.0.1:844$_" } 3 .. 6;
my $host = 0;

for my $case (
    # offered                          answered by, what is chosen
    [ '',                              $https, undef ],
    [ 'h2',                            $https, 'h2' ],
    [ 'http/1.1',                      $https, 'http/1.1' ],
    [ 'h2,http/1.1',                   $https, 'h2' ],
    [ 'xmpp-client',                   $c2s,   'xmpp-client' ],
    [ 'xmpp-server',                   $s2s,   'xmpp-server' ],
    [ 'h2,xmpp-client',                $c2s,   'xmpp-client' ],
    [ 'xmpp-server,xmpp-client',       $c2s,   'xmpp-client' ],
    [ 'xmpp-server,h2',                $s2s,   'xmpp-server' ],
    [ 'stun.turn',                     $turn,  'stun.turn' ],
    [ 'stun.nat-discovery',            $turn,  'stun.nat-discovery' ],
    [ 'http/1.1,stun.turn',            $turn,  'stun.turn' ],
    [ 'imap',                          $https, 'alert' ],
    [ 'xmpp-client2',                  $https, 'alert' ],
    [ 'my-xmpp-server,h2',             $https, 'h2' ],
    [ 'XMPP-CLIENT',                   $https, 'alert' ],
    [ 'stunXturn',                     $https, 'alert' ],
) {
    my ($offer, $service, $chosen) = @$case;
    my $from = '127.0.1.' . ++$host;
    my $name = $service eq $turn ? 'turn.example.org' : 'example.org';
    my $shown = $offer eq '' ? 'no ALPN' : $offer;

    my $said = run(qw(openssl s_client -connect), "$public:443",
                   '-bind', "$from:0", '-CAfile', $certs->ca,
                   '-verify_return_error', '-verify_hostname', $name,
                   '-servername', $name,
                   length $offer ? ('-alpn', $offer) : ());

    my $want = !defined $chosen ? qr/^No ALPN negotiated/m
               : $chosen eq 'alert'
                 ? qr/alert no application protocol|alert number 120/
                 : qr/^ALPN protocol: \Q$chosen\E$/m;

    like($said, $want, "$shown: what is chosen");
    like($said, qr/^Verified peername: \Q$name\E$/m, "$shown: certificate")
        if ($chosen // '') ne 'alert';
    ok(logged('443.log', qr/^\Q$from\E .* "\Q$offer\E" \Q$service\E /m),
       "$shown: to $service");
}


# HTTPS.

for my $case ([ '--http2', '2' ], [ '--http1.1', '1.1' ],
              [ '--no-alpn', '1.1' ])
{
    my ($option, $version) = @$case;
    my $from = '127.0.2.' . ++$host;

    is(run('curl', '-sS', '--cacert', $certs->ca, '--interface', $from,
           $option, '-w', '%{http_version}', 'https://example.org/'),
       "the site\n$version", "curl $option");
    ok(logged('access.log', qr/^\Q$from\E .*"GET \S+ HTTP\/\Q$version\E/m),
       "curl $option: the address in the log");
}


sub enter {
    my ($alpn, %tls) = @_;

    my $from = '127.0.3.' . ++$host;

    return (XMPP::Client->new(443, host => $public, from => $from,
                tls => { ca => $certs->ca, name => 'example.org', %tls,
                         alpn => $alpn && [ $alpn ] }), $from);
}


# XMPP clients, with the real server behind.

sub client {
    my ($jid, @where) = @_;

    my ($user) = $jid =~ /^(\w+)/;

    return XMPP::Process->start($t, $jid, [ '/usr/bin/python3',
        "$top/t/real/client.py", @where, $certs->ca, $jid, $password{$user} ]);
}

my $bob = client('bob@example.org', $public, 443, 'direct');

ok($bob->wait_said(qr/^online bob\@/m), 'slixmpp: logged in');

# This one finds port 443 by itself.
my $alice = XMPP::Process->start($t, 'alice',
    [ qw(go-sendxmpp -u alice@example.org -p), $password{alice},
      plain_option(), 'bob@example.org' ],
    SSL_CERT_FILE => $certs->ca, SSL_CERT_DIR => '/nowhere');

$alice->say('by port 443');
$alice->finish_writing;
ok($bob->wait_said(qr/^message alice\S+ by port 443(?:\\n)?$/m),
   'go-sendxmpp: the message has come');
is($alice->wait_end, 0, 'go-sendxmpp: logged out');

ok(logged('443.log', qr/^127\.0\.0\.1 .* "xmpp-client" \Q$c2s\E /m),
   'go-sendxmpp: came to port 443 with ALPN');
ok(logged('auth.log', qr/ plain c2s "alice\@example\.org" /m),
   'go-sendxmpp: the auth service was asked');

{
    my ($c, $from) = enter('xmpp-client');

    $c->send(open_stream(to => 'example.org'));
    $c->read_until(qr/<\/stream:features>/);
    $c->send(auth('PLAIN', plain('bob', 'wrong')));
    $c->read_until(qr/<not-authorized\/>/);
    ok(logged('auth.log', qr/^\Q$from\E plain c2s "bob\@example\.org" /m),
       "a client's address has reached the auth service");
    $c->close;
}

# Who does not say that it is XMPP.
for my $c ((enter(undef))[0], XMPP::Client->new(443, host => $public)) {
    $c->send(open_stream(to => 'example.org'));
    like($c->read_to_end, qr/\AHTTP\S+ 400 .*<center>nginx/s,
         ($c->tls ? 'no ALPN' : 'no TLS') . ': the web server answers');
}


# Another domain's server.

my $carol = client('carol@other.example', '127.0.0.1',
                   $t->port('other.example'), 'starttls');

ok($carol->wait_said(qr/^online carol\@/m), 'federation: carol is logged in');
$carol->say('send bob@example.org from another domain');
ok($bob->wait_said(qr/^message carol\@\S+ from another domain$/m),
   'federation: bob has the message');
$bob->say('send carol@other.example and back');
ok($carol->wait_said(qr/^message bob\@\S+ and back$/m),
   'federation: carol has the answer');

ok(logged('auth.log', qr/ none s2s "" \S+ "(other\.example)" "\1"$/m),
   'federation: the auth service was told the domain and the certificate');

$_->finish_writing for $bob, $carol;
is($_->wait_end, 0, 'logged out') for $bob, $carol;

# The connection ends, and its line is written.
$other->{process}->stop;
ok(logged('443.log', qr/^127\.0\.0\.1 .* "xmpp-server" \Q$s2s\E /m),
   'federation: the server came to port 443 with ALPN');

{
    my ($c, $from) = enter('xmpp-server');

    $c->send(open_server(to => 'example.org', from => 'third.example'));
    $c->read_until(qr/<dialback /);
    ok(logged('auth.log', qr/^\Q$from\E none s2s "" \S+ "third\.example" /m),
       "a server's address has reached the auth service");
    $c->close;
}


# TURN.

{
    my ($c, $from) = enter('stun.turn', name => 'turn.example.org');

    # A binding request, RFC 8489; the answer ends with the address.
    my $id = "\x21\x12\xa4\x42transaction!";

    $c->send("\x00\x01\x00\x00$id");
    ok(defined $c->read_until(qr/\A\x01\x01..\Q$id\E.*\x00\x20\x00\x08.{8}/s),
       'TURN: a binding request is answered');
    $c->close;
    ok(logged('443.log', qr/^\Q$from\E .* "stun\.turn" \Q$turn\E /m),
       'TURN: the address in the log');
}

like(run(qw(turnutils_uclient -S -t -n 1 -c -u dave -w secret -p 443 -E),
         $certs->ca, qw(-e 127.0.0.1 -r 3480), $public),
     qr/tot_send_msgs=1, tot_recv_msgs=1\b/, 'TURN: coturn relays');

$t->finish;


# They run as long as we hold them.
sub server {
    my ($name, $command) = @_;

    push @server, XMPP::Process->start($t, $name, $command);

    return $server[-1];
}


# All that a command says.
sub run {
    my (@command) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec 'timeout', 60, @command or POSIX::_exit(127);
    }

    local $/;

    return scalar <$out>;
}


sub tested {
    my ($path) = @_;

    my ($folder) = $path =~ m{(.*)/};

    my $main = join '', map { "load_module $_; " }
                        grep { defined } @$t{qw(module stream)};

    return run($t->{binary}, '-t', '-e', 'stderr', '-p', "$folder/",
               '-c', $path, '-g', "${main}pid nginx.pid;");
}


# Lines are written when a connection ends.
sub logged {
    my ($name, $regex) = @_;

    my $end = time + $t->timeout;

    until (read_file("$dir/logs/$name") =~ $regex) {
        if (time > $end) {
            diag("no $regex in $name:\n" . read_file("$dir/logs/$name"));
            return 0;
        }
        sleep 0.02;
    }

    return 1;
}


# Debian 13's does not use PLAIN unless told to.
sub plain_option {
    return run(qw(go-sendxmpp --help)) =~ /--allow-plain/ ? '--allow-plain'
                                                          : ();
}


sub prosody {
    my ($domain, %set) = @_;

    my $ssl = join ', ', qq{cafile = "$dir/ca.crt"},
                         qq{certificate = "$dir/$domain.crt"},
                         qq{key = "$dir/$domain.key"};

    return XMPP::Prosody->new($t, \%password, name => $domain, port => $domain,
        domains => { $domain => "ssl = { $ssl }" },
        modules => [ qw(tls dialback) ],
        set => { modules_disabled => '{ "offline" }',
                 s2s_require_encryption => 'false', s2s_secure_auth => 'false',
                 %set });
}
