#!/usr/bin/perl

# Prosody is killed and comes back, several times, while clients log in all the
# time: each login works or is refused with the standard error, and sessions
# are closed with the server that they had.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More tests => 3 * 5 + 4;

use XMPP::Nginx;
use XMPP::Pressure;
use XMPP::Prosody;
use XMPP::Wire;

my $t = XMPP::Nginx->new(log => 'info');
my $pressure = XMPP::Pressure->new($t);
my $started = 0;
my $prosody = prosody();

$t->start($t->answer_http(auth => [ 'Auth-Status' => 'OK',
                                    'Auth-Server' => '127.0.0.1',
                                    'Auth-Port' => $t->port('backend') ])
          . <<'END');
mail {
    auth_http 127.0.0.1:%{auth_port}/;

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
    }
}
END

my ($worker) = workers($t);
my $each = amount($t, plain => 30, sanitize => 20, valgrind => 5);
my $patience = amount($t, plain => 30, sanitize => 40, valgrind => 90);
my $many = amount($t, plain => 30, sanitize => 20, valgrind => 4);

# A session: a second stream, a resource, and an answer to a ping.
my @login = login_steps();
pop @login;

my @session = (
    @login, 'send:' . open_stream(), 'want:</stream:features>',
    "send:<iq type='set' id='b'>"
    . "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    'want:<jid>alice@example.test/', 'want:</iq>',
    "send:<iq type='get' id='ping-%u' to='example.test'>"
    . "<ping xmlns='urn:xmpp:ping'/></iq>", "want:id='ping-%u'",
    'want:/>',
);

# One after the other all the time, beside those that stay.
my $steps = [ @session, 'send:' . CLOSE, 'want:' . CLOSE ];
my $files = idle($worker);

my $logins = $pressure->clients(count => 1e6, at_once => 5, steps => $steps);

for my $round (1 .. 3) {
    my $stay = $pressure->clients(count => $each,
                                  steps => [ @session, 'hold' ]);

    ok($stay->wait_state(sub { $_[0]{at}[@session] == $each }, $patience),
       "round $round: sessions");
    goes_on('logins work');

    kill_it();

    my $failed = failed();
    is(settled(sub { failed() >= $failed + $many ? 1 : 0 }, 1, $patience), 1,
       'Prosody is killed, logins fail');
    is_deeply(ends($stay->results($patience)), { closed => $each },
              'its sessions are closed');

    $prosody = prosody();
    goes_on('Prosody is back, logins work');
}

$logins->stop;

my $result = $logins->results;
my $busy = refused('temporary-auth-failure');

# What is said in a session comes from Prosody.
my @unfair = grep {
    !/^done$/ && !/^closed \d+ \Q$busy\E$/
    && !(/^(?:closed|reset) (\d+)/ && $1 >= @login)
} keys %$result;

is_deeply(\@unfair, [], 'a login works or is refused with the standard error');
note("$result->{done} logins of ", sum_of(%$result));


my $upstream = '127.0.0.1:' . $t->port('backend');

ok($t->log =~ /\[error\] .* \(111: Connection refused\) .*upstream: $upstream/,
   'the log tells who was not there');
is(settled(sub { descriptors($worker) }, $files, $patience), $files,
   'no descriptor is left');

$t->finish;


sub prosody {
    return XMPP::Prosody->new($t, { alice => 'secret' },
                              name => 'prosody' . ++$started);
}


# It is a process of ours, which XMPP::Process waits for.
sub kill_it {
    kill KILL => $prosody->{process}{pid};
    $prosody->{process}->wait_end;
}


sub goes_on {
    $pressure->goes_on($_[0], [], [ $logins ], messages => 0,
                       logins => $many, seconds => $patience);
}


sub failed { sum('finished', $logins) - sum('done', $logins) }


sub ends {
    my ($result) = @_;

    my %end;

    for (keys %$result) {
        $end{/^(?:closed|reset) \d+$/ ? 'closed' : $_} += $result->{$_};
    }

    return \%end;
}


sub sum_of {
    my (%result) = @_;

    my $sum = 0;
    $sum += $_ for values %result;

    return $sum;
}
