# Loaded by irssi: one message out, one in.

use strict;
use warnings;

use Irssi;

my $ended;

open my $out, '>>', "$ENV{XMPP_WORK}/said" or die "said: $!\n";
$out->autoflush(1);

# Not at once, as irssi is not done with what it tells.
sub leave {
    my ($status) = @_;

    return if $ended++;
    print $out "ended $status\n";
    Irssi::timeout_add_once(10, sub { Irssi::command('quit') }, undef);
}

# What the plugin sends.
Irssi::signal_register({ 'xmpp xml out' => [ qw(iobject string) ] });

my $online;

# An answer that comes before the presence has gone out is an offline message,
# and another signal.
Irssi::signal_add('xmpp xml out', sub {
    my ($server, $xml) = @_;

    return if $xml !~ /^<presence/ || $online++;

    # Not at once, as it is not written yet.
    Irssi::timeout_add_once(10, sub {
        $_->send_message($ENV{XMPP_PEER}, $ENV{XMPP_SEND}, 1)
            for Irssi::servers();
    }, undef);
});

Irssi::signal_add('message private', sub {
    my ($server, $text, $nick, $address, $target) = @_;

    return if "$nick $address" !~ m{(?:^| )\Q$ENV{XMPP_PEER}\E(?:/|$| )};

    print $out "received $text\n";
    leave(0);
});

Irssi::signal_add($_ => sub { leave(1) })
    for 'server disconnected', 'server connect failed';

my $ssl = $ENV{XMPP_TLS} eq 'direct' ? '-ssl ' : '';

Irssi::command('load xmpp');
Irssi::command('set recode off');
Irssi::command('set xmpp_xml_console on');
Irssi::command("xmppconnect $ssl-host $ENV{XMPP_DOMAIN} -port $ENV{XMPP_PORT}"
               . " $ENV{XMPP_USER}\@$ENV{XMPP_DOMAIN}/irssi"
               . " $ENV{XMPP_PASSWORD}");
