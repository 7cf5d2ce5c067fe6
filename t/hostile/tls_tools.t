#!/usr/bin/perl

# conf/nginx.conf as testssl.sh, sslscan and openssl see it, by STARTTLS and by
# direct TLS.
#
# The network is the test's own, so the ports and the names are those of the
# example, and nobody outside is asked for anything.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use XMPP::Namespace;

use JSON::PP ();
use Test::More;

use XMPP::Dns;
use XMPP::Files;
use XMPP::Hostile;
use XMPP::Nginx;
use XMPP::Process;

# Findings above LOW that say nothing of the configuration.
my %excused = (
    cert_revocation          => 'an authority of the test, which lists none',
    engine_problem           => 'this client has no ciphers of GOST',
    sessionresumption_ticket => 'this client leaves too early to have one',
    sessionresumption_ID     => 'the same',
);

# Those that count: findings, and tests that were not made.
my @level = qw(MEDIUM HIGH CRITICAL WARN FATAL);

plan tests => 2 * (1 + 1 + 6) + 2 * 7 + 2 * 2 * 3 + 1 + 1;

my $t = XMPP::Nginx->new(log => 'info');
my $certs = $t->certs(key => 'rsa');
my $dir = $t->dir;

# What the example's own command makes, but for an authority.
$certs->leaf('example.org', alt => 'DNS:example.org');

# The beginning is XMPP::Nginx's.
my $example = read_file(XMPP::Nginx->top . '/conf/nginx.conf')
              =~ s/\A.*?(?=^mail \{)//msr;

my $dns = XMPP::Dns->new($t, 'example.org' => '127.0.0.1');

$t->start($example);

my %port = (starttls => 5222, direct => 5223);


# Both at the same time: they take a minute each.

my %testssl = map { $_ => testssl($_) } sort keys %port;

for my $way (sort keys %port) {
    my $status = $testssl{$way}->wait_end(600 * $t->scale) // 'none';
    my $finding = eval { JSON::PP::decode_json(read_file("$dir/$way.json")) };

    diag($testssl{$way}->said) if !$finding;

    my %found = map { $_->{id} => $_ } @{ $finding || [] };
    my @bad = grep { my $severity = $_->{severity};
                     !$excused{$_->{id}}
                     && grep { $_ eq $severity } @level }
              @{ $finding || [] };

    is(join("\n", map { "$_->{severity} $_->{id}: $_->{finding}" } @bad), '',
       "testssl, $way: no finding above LOW");

    # It has seen something to judge.
    cmp_ok(scalar keys %found, '>', 60, "testssl, $way: findings");

    for my $want ([ SSLv3 => qr/^not offered/ ], [ TLS1 => qr/^not offered/ ],
                  [ TLS1_1 => qr/^not offered/ ], [ TLS1_2 => qr/^offered/ ],
                  [ TLS1_3 => qr/^offered/ ],
                  [ secure_renego => qr/^supported/ ])
    {
        my ($id, $regex) = @$want;

        like($found{$id}{finding} // 'nothing', $regex, "testssl, $way: $id");
    }
}


for my $way (sort keys %port) {
    my $scan = XMPP::Process->start($t, "sslscan-$way", [ 'sslscan',
        '--no-colour', $way eq 'starttls' ? '--starttls-xmpp' : (),
        "example.org:$port{$way}" ]);

    is($scan->wait_end(120 * $t->scale), 0, "sslscan, $way");

    for my $want (qr/^SSLv3 +disabled/m, qr/^TLSv1\.0 +disabled/m,
                  qr/^TLSv1\.1 +disabled/m, qr/^TLSv1\.2 +enabled/m,
                  qr/^TLSv1\.3 +enabled/m,
                  qr/^(?:Accepted|Preferred) +TLSv1\.3 .* TLS_AES_256_GCM/m)
    {
        like($scan->said, $want, "sslscan, $way: $want");
    }
}


for my $way (sort keys %port) {
    for my $version (2, 3) {
        my $client = XMPP::Process->start($t, "openssl-$way-$version",
            [ qw(openssl s_client -brief -verify_return_error -connect),
              "example.org:$port{$way}", '-CAfile', $certs->ca,
              '-verify_hostname', 'example.org', "-tls1_$version",
              $way eq 'starttls' ? qw(-starttls xmpp -xmpphost example.org)
                                 : qw(-alpn xmpp-client) ]);

        $client->say("<?xml version='1.0'?><stream:stream to='example.org'"
            . " xmlns='jabber:client' version='1.0'"
            . " xmlns:stream='http://etherx.jabber.org/streams'>");

        my $name = "openssl, $way, TLS 1.$version";

        like($client->wait_said(qr/Protocol version: (\S+)/), qr/1\.$version/,
             $name);
        ok($client->wait_said(qr/Verification: OK/), "$name: certificate");
        ok($client->wait_said(qr/<mechanism>PLAIN/), "$name: stream");
        $client->finish_writing;
        $client->wait_end;
    }
}

unlike($t->log, qr/client logged in/, 'nobody was logged in');

# What nginx does not know of OpenSSL's errors is critical for it, in all that
# it serves.
$t->allow(qr/\[crit\] .* SSL_do_handshake\(\) failed \(SSL: /);

$t->finish;


sub testssl {
    my ($way) = @_;

    return XMPP::Process->start($t, "testssl-$way", [ qw(testssl --quiet
        --color 0 --warnings off --nodns none --connect-timeout 60
        --openssl-timeout 60 --ip 127.0.0.1),
        '--add-ca', $certs->ca, '--jsonfile', "$dir/$way.json",
        qw(-p -s -f -P -S -U),
        $way eq 'starttls' ? qw(--starttls xmpp --xmpphost example.org) : (),
        "example.org:$port{$way}" ], TERM => 'dumb');
}
