package XMPP::Pressure;

# Thousands of connections: the programs of t/hostile/pressure, and what the
# worker of an nginx takes while they run.
#
#   my $p = XMPP::Pressure->new($t);        # compiles; $t is an XMPP::Nginx
#   $p->auth; $p->backend;                  # on port('auth'), port('backend'):
#                                           # let everybody in; echo
#   $p->kill('auth')                        # with SIGKILL
#   my $c = $p->clients(count => N, steps => [ ... ], ...);
#                               # see t/hostile/pressure/clients.c.  More:
#                               # port ("client"), at_once (all), timeout
#                               # (60 s a step), from, rcvbuf, pause, name
#   $c->state                   # a hash of started, open, finished, done (all
#                               # steps), echoed, at => [ how many are in step
#                               # 0, ... ]
#   $c->wait_state(sub { ... }, SECONDS)    # till it is true; it has the hash
#   $c->stop, $c->leave
#   $c->results                 # waits for the end of all: how many of each
#                               # "OUTCOME STEP TEXT"; all done is just "done"
#   $c->slowest                 # then: seconds of the slowest that was done
#   $c->last                    # the number of its last step
#   $p->served('auth')          # a hash of open, total, answered
#
# A steady load over plain TCP, STARTTLS and direct TLS, on the ports of
# servers() of XMPP::Login:
#   my @c = $p->sessions($n)    # so many of each, in which messages are echoed
#                               # all the time; waits till they have begun
#   my @c = $p->new_logins      # all the time, two of each at once
#   $p->goes_on($name, \@sessions, \@logins, messages => N, logins => N,
#               seconds => N)   # one test: so much happens in that time
#   $p->ended($name, $n, @c)    # one test: stops them; all $n were done
#
# Exported:
#   login_steps(%option)        # up to <success/>, then an echo of so many
#                               # messages (echo => 1); tls => 1, starttls => 1
#   workers($t)                 # pids
#   descriptors($pid), memory($pid)     # open files; bytes of its own
#   idle($pid)                  # open files, when these do not change any more
#   sum('done', @c)             # of their states
#   settled(sub { ... }, $want, $seconds)   # waits till it returns $want; what
#                               # it did return at last
#   amount($t, plain => N, sanitize => N, valgrind => N)
#                               # how much this build of nginx can do in the
#                               # time that a test may take
#
# XMPP::Pressure::Daemon is an XMPP::Nginx that runs as a daemon, for binary
# upgrades: $t->master is the pid of the running one, $t->old_master that of
# the one that was upgraded, $t->pid the process that waits for all of them.

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Time::HiRes qw(sleep time);

use XMPP::Files;
use XMPP::Nginx;
use XMPP::Process;
use XMPP::Wire ();

our @EXPORT = qw(login_steps sum workers descriptors idle memory settled
                 amount);

my $source = XMPP::Nginx->top . '/t/hostile/pressure';


sub new {
    my ($class, $t) = @_;

    my $self = bless { t => $t, dir => $t->dir, run => 0 }, $class;

    compile($t, 'clients', '-lssl', '-lcrypto');
    compile($t, 'servers');

    return $self;
}


sub compile {
    my ($t, $name, @lib) = @_;

    my $program = $t->dir . "/$name";

    system(split(' ', $ENV{CC} || 'cc'), qw(-Wall -W -O2 -o), $program,
           glob("$source/$name*.c"), "$source/loop.c", @lib) == 0
        or die "could not compile $name\n";

    return $program;
}


sub auth {
    my ($self) = @_;

    return $self->_serve('auth', $self->{t}->port('backend'));
}


sub backend { $_[0]->_serve('backend') }


sub _serve {
    my ($self, $role, @more) = @_;

    $self->{run}++;

    my $process = XMPP::Process->start($self->{t}, "$role$self->{run}",
        [ "$self->{dir}/servers", $role, $self->{t}->port($role), @more ]);

    $process->wait_said(qr/^listening$/m) or die "no $role\n";

    return $self->{$role} = $process;
}


sub served {
    my ($self, $role) = @_;

    return _state($self->{$role});
}


# The number is enough: it is reaped by XMPP::Process.
sub kill {
    my ($self, $role) = @_;

    my $process = delete $self->{$role};

    CORE::kill(KILL => $process->{pid});
    $process->wait_end;
}


sub clients {
    my ($self, %option) = @_;

    my $name = 'clients' . ++$self->{run};
    my @option = map { "$_=$option{$_}" }
                 grep { defined $option{$_} } qw(from rcvbuf pause name);

    my $process = XMPP::Process->start($self->{t}, $name,
        [ "$self->{dir}/clients", $self->{t}->port($option{port} || 'client'),
          $option{count}, $option{at_once} || $option{count},
          $option{timeout} || 60, @option, '--', @{ $option{steps} } ]);

    return bless { process => $process, last => $#{ $option{steps} } },
                 'XMPP::Pressure::Clients';
}


my @way = (
    [ plain => 'client' ],
    [ starttls => 'client', starttls => 1 ],
    [ tls => 'direct', tls => 1 ],
);


sub sessions {
    my ($self, $count) = @_;

    my @group = map {
        my ($name, $port, %way) = @$_;
        $self->clients(port => $port, count => $count, pause => 20,
                       name => $name,
                       steps => [ login_steps(%way, echo => 0) ]);
    } @way;

    for my $clients (@group) {
        $clients->wait_state(sub { $_[0]{at}[$clients->last] == $count
                                   && $_[0]{echoed} >= $count });
    }

    return @group;
}


sub new_logins {
    my ($self) = @_;

    return map {
        my ($name, $port, %way) = @$_;
        $self->clients(port => $port, count => 1e6, at_once => 2,
                       name => $name,
                       steps => [ login_steps(%way, echo => 2) ]);
    } @way;
}


sub goes_on {
    my ($self, $name, $sessions, $logins, %want) = @_;

    my $progress = sub {
        return (sum('echoed', @$sessions), sum('done', @$logins));
    };

    my ($echoed, $done) = $progress->();

    my $ok = settled(sub {
        my ($now_echoed, $now_done) = $progress->();

        return $now_echoed >= $echoed + $want{messages}
               && $now_done >= $done + $want{logins} ? 1 : 0;
    }, 1, $want{seconds});

    return Test::More::ok($ok, $name);
}


sub sum {
    my ($what, @clients) = @_;

    my $sum = 0;
    $sum += ($_->state || {})->{$what} || 0 for @clients;

    return $sum;
}


sub ended {
    my ($self, $name, $count, @clients) = @_;

    $_->stop for @clients;

    my %result;

    for (@clients) {
        my $result = $_->results;
        $result{$_} += $result->{$_} for keys %$result;
    }

    # how many logins there were is not known before
    $count //= $result{done};
    Test::More::note("$name: $count");

    return Test::More::is_deeply(\%result, { done => $count }, $name);
}


sub _state {
    my ($process) = @_;

    return if !$process->_running;

    $process->say('state');
    my $line = $process->wait_said(qr/^state (.*)$/m) or return;
    my %state = $line =~ /(\w+)=(\S*)/g;

    $state{at} = [ split /,/, $state{at} ] if $state{at};

    return \%state;
}


sub login_steps {
    my (%option) = (echo => 1, @_);

    my @open = ('send:' . XMPP::Wire::open_stream(),
                'want:</stream:features>');
    my @starttls = ('send:' . XMPP::Wire::STARTTLS,
                    'want:' . XMPP::Wire::PROCEED, 'tls', @open);
    my $plain = XMPP::Wire::plain('alice', 'secret');

    return ($option{tls} ? 'tls' : (), @open,
            $option{starttls} ? @starttls : (),
            'send:' . XMPP::Wire::auth('PLAIN', $plain),
            'want:' . XMPP::Wire::SUCCESS, "echo:$option{echo}");
}


sub workers {
    my ($t) = @_;

    my $master = $t->can('master') ? $t->master : $t->pid;
    my $end = time + $t->timeout;

    # The pid file is there before they are.
    for ( ;; ) {
        my @pid = split ' ', read_file("/proc/$master/task/$master/children");
        return @pid if @pid || time > $end;
        sleep 0.01;
    }
}


sub descriptors {
    my ($pid) = @_;

    opendir my $dir, "/proc/$pid/fd" or return 0;

    return scalar grep { !/^\./ } readdir $dir;
}


# What it has open when nobody is there: no more changes for half a second.
sub idle {
    my ($pid) = @_;

    my ($last, $same) = (0, 0);

    while ($same < 10) {
        sleep 0.05;
        my $now = descriptors($pid);
        $same = $now == $last ? $same + 1 : 0;
        $last = $now;
    }

    return $last;
}


sub memory {
    my ($pid) = @_;

    read_file("/proc/$pid/smaps_rollup") =~ /^Private_Dirty: +(\d+) kB/m
        or die "no number\n";

    return $1 * 1024;
}


sub settled {
    my ($value, $want, $seconds) = @_;

    my $end = time + ($seconds // XMPP::Process::timeout());

    for ( ;; ) {
        my $got = $value->();
        return $got if $got eq $want || time > $end;
        sleep 0.05;
    }
}


sub amount {
    my ($t, %number) = @_;

    return $ENV{TEST_NGINX_VALGRIND} || $t->{built} =~ /NGX_DEBUG_PALLOC/
           ? $number{valgrind}
           : $t->{built} =~ /-fsanitize=/ ? $number{sanitize}
           : $number{plain};
}


package XMPP::Pressure::Clients;

use Time::HiRes qw(sleep time);


sub state { XMPP::Pressure::_state($_[0]{process}) }
sub stop  { $_[0]{process}->say('stop') }
sub leave { $_[0]{process}->say('leave') }


sub wait_state {
    my ($self, $true, $seconds) = @_;

    my $end = time + ($seconds // 60);

    for ( ;; ) {
        my $state = $self->state or CORE::last;
        return $state if $true->($state);
        CORE::last if time > $end;

        sleep 0.05;
    }

    my ($last) = $self->{process}->said =~ /(.*\n)\z/;
    Test::More::diag("$self->{process}{name}: $last");

    return 0;
}


sub results {
    my ($self, $seconds) = @_;

    $self->{process}->wait_said(qr/^end slowest=/m, $seconds // 90)
        or return { 'no end' => 1 };
    $self->{process}->wait_end;

    my $said = $self->{process}->said;
    ($self->{slowest}) = $said =~ /^end slowest=(\S+)/m;

    my %result;

    while ($said =~ /^result (\d+) (?|(done) .*|(.*?)) ?$/mg) {
        $result{$2} += $1;
    }

    return \%result;
}


sub slowest { $_[0]{slowest} }
sub last    { $_[0]{last} }


package XMPP::Pressure::Daemon;

use XMPP::Files;

use parent -norequire, 'XMPP::Nginx';


sub master     { _number("$_[0]{dir}/nginx.pid") }
sub old_master { _number("$_[0]{dir}/nginx.pid.oldbin") }
sub signal     { my ($self, $name) = @_; CORE::kill($name, $self->master) }


sub _number {
    my ($path) = @_;

    return -s $path ? read_file($path) + 0 : undef;
}


sub _configure {
    my ($self, $conf, $file) = @_;

    my @command = $self->SUPER::_configure($conf, $file);
    my $path = "$self->{dir}/$file";

    write_file($path, read_file($path) =~ s/^daemon off;$/daemon on;/mr);

    $self->{keep} ||= XMPP::Pressure::compile($self, 'keep');

    return ($self->{keep}, @command);
}

1;
