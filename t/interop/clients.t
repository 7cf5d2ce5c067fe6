#!/usr/bin/perl

# Real clients, through nginx, to real servers, each over STARTTLS and over
# direct TLS, the certificate checked.  See t/interop/README.md; run by
# "t/run --interop".

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use XMPP::Interop;
use XMPP::Interop::Table;

my @name = split ' ', $ENV{TEST_INTEROP_CLIENTS} // '';
my $write = $ENV{TEST_INTEROP_WRITE};

my @client = XMPP::Interop::clients(@name);
my $interop = XMPP::Interop->new;
my @run = $interop->runs(@client);
my %server = map { $_->{server} => 1 } grep { !$_->{except} } @run;

my @proxied = qw(prosody ejabberd);
my @again;

plan tests => @run + @client + keys(%server) + 2 * @proxied + 3;

for my $run (@run) {
    my $title = XMPP::Interop::title($run);

    # What does not work has to fail without us as well.
    if ($run->{except}) {
        $run->{result} = $interop->straight($run);
        ok($run->{result}{why}, "$title: fails without nginx");
        next;
    }

    my $record = $write && $run->{server} eq 'prosody' && !$run->{six};

    $run->{result} = $record ? $interop->record($run) : $interop->run($run);

    # A program may hang once, and this is a matter of hundreds of logins.  Not
    # as the same user, who may have messages that were not delivered.
    if ($run->{result}{why}) {
        push @again, $title;
        $run->{again} = 1;
        diag("$title: once more: $run->{result}{why}\n$run->{result}{said}");
        $run->{result} = $record ? $interop->record($run)
                                 : $interop->run($run);
    }

    my $why = $run->{result}{why};

    if (!ok(!$why, $title)) {
        diag("$why\n$run->{result}{said}");

        my $straight = $interop->straight($run);

        diag($straight->{why} ? "without nginx as well: $straight->{why}"
                              : 'without nginx it does not fail');
    }
}

cmp_ok(scalar @again, '<=', 3, 'few were tried once more');

is($interop->distrusts($_), undef, "$_->{name}: checks the certificate")
    for @client;

ok($interop->proxied($_), "$_: knows the address of the client") for @proxied;

ok($interop->leave, 'the other users have logged out');

$_->finish for $interop->nginx;

my $table = XMPP::Interop::Table->new(@run);

if ($write) {
    my %failed = map { $_->{client}{name} => 1 }
                 grep { $_->{result}{why} && !$_->{except} } @run;

    XMPP::Interop::Table->new(grep { !$failed{ $_->{client}{name} } } @run)
        ->write($ENV{TEST_INTEROP_ALL} && !%failed);
    pass('docs/interop.md is written');

} else {
    is($table->differs, '', 'as docs/interop.md says');
}

diag($table->text);
