#!/usr/bin/perl

# What is between a client and its server after the login by nginx: the same
# scenarios through nginx and straight to the server, with the same result,
# which is the right one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Features;
use XMPP::Nginx;

my @kind = qw(prosody ejabberd);
my %features;

for my $kind (@kind) {
    $features{$kind} = XMPP::Features->new(XMPP::Nginx->new(log => 'info'),
                                           $kind);
}

plan tests => 2 * 19 + 2 * @kind;

for my $kind (@kind) {
    my $features = $features{$kind};

    $features->start;

    for my $scenario ($features->scenarios) {
        my $straight = $features->run($scenario, 'straight');
        my $through = $features->run($scenario, 'nginx');

        like($straight, $features->expected($scenario),
           "$kind, $scenario: straight to the server");
        is($through, $straight, "$kind, $scenario: through nginx");
    }

    is_deeply([ $features->through ],
              [ map { "$_ nginx" } sort $features->scenarios ],
              "$kind: who came through nginx was logged in by it");

    $features->{t}->finish;
}
