package XMPP::Nginx;

# One nginx in a folder of its own.
#
#   my $t = XMPP::Nginx->new;           # makes the folder; nothing runs yet
#   $t->certs;                          # XMPP::Certs: ca.crt, server.crt, ...
#   my $auth = XMPP::Auth->new($t);     # services take their ports from $t
#   my $backend = XMPP::Backend->new($t);
#   $t->start(<<'END');
#   mail {
#       auth_http 127.0.0.1:%{auth_port}/auth;
#       server {
#           listen 127.0.0.1:%{client_port};
#           protocol xmpp;
#       }
#   }
#   END
#   my $c = XMPP::Client->new($t->port('client'));
#   ...
#   $t->finish;         # one test: stopped in order, nothing bad in the log
#
# %{NAME_port} is a free port, the same for each mention, $t->port('NAME');
# %{dir} the folder, where relative paths in the configuration start; %{1.5s} a
# time, longer where all takes longer, see scale.  What
# stands before "mail {" (load_module, pid, error_log, daemon, user, events) is
# made here; TEST_NGINX_GLOBALS is put there as well.
#
# Options of new: log => 'info' (level; by default debug if built with it),
#                 main => 'directives;' (more before "mail {")
#                 connections => 1024 (worker_connections)
#
#   $t->answer_http(AUTH => [ HEADER => VALUE, ... ])   an http server in the
#       same nginx as the auth service on port('AUTH'), as a configuration text
#   $t->log                 error.log so far
#   $t->wait_log(qr/.../)   wait for a line in it
#   $t->allow(qr/.../)      an alert that the test provokes
#   $t->reconfigure($conf)  new text and HUP
#   $t->signal('HUP'), $t->stop, $t->dir, $t->pid, $t->version ("1.26.3")
#   $t->scale               what times of a test are multiplied by
#   $t->conf_error($conf)   what "nginx -t" says of it; undef if it is good
#
# Environment: TEST_NGINX_BINARY, TEST_NGINX_MODULE, TEST_NGINX_VERBOSE,
# TEST_NGINX_LEAVE, TEST_NGINX_GLOBALS, TEST_NGINX_TIMEOUT (seconds, 8),
# TEST_NGINX_SCALE (1), TEST_NGINX_VALGRIND (options of valgrind, under which
# nginx then runs).

use strict;
use warnings;

use Cwd ();
use File::Basename ();
use File::Temp ();
use POSIX ();
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(sleep time);

use XMPP::Certs;
use XMPP::Ports;

my $top = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $owner = $$;
my @all;

# A signal must not leave processes and folders behind.
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';


sub new {
    my ($class, %option) = @_;

    # Before nginx 1.25.2 a client that goes on sending when nginx has closed
    # is worth an alert, in any of its mail protocols.
    my @allow = qr/application data after close notify/;

    my $self = bless { %option, port => {}, allow => \@allow, own => [],
        dir => File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1,
                                  CLEANUP => !$ENV{TEST_NGINX_LEAVE}) },
        $class;

    my $binary = $ENV{TEST_NGINX_BINARY} || "$top/objs/nginx";
    -x $binary or die "no nginx at $binary; see TEST_NGINX_BINARY\n";

    $self->{binary} = Cwd::abs_path($binary);
    $self->{built} = `"$binary" -V 2>&1`;

    if ($self->{built} !~ /--with-mail(?!\S)/) {
        $self->{module} = $ENV{TEST_NGINX_MODULE}
                          || "$top/objs/ngx_mail_module.so";
        -f $self->{module} or die "no mail module at $self->{module};"
                                  . " see TEST_NGINX_MODULE\n";
        $self->{module} = Cwd::abs_path($self->{module});
    }

    # Distributions have stream as a module of its own.
    if ($self->{built} =~ /--with-stream=dynamic/
        && $self->{built} =~ /--modules-path=(\S+)/)
    {
        $self->{stream} = "$1/ngx_stream_module.so";
        delete $self->{stream} unless -f $self->{stream};
    }

    # Reports of a sanitizer build, for our own checks to find.  nginx frees
    # no configuration memory at exit, so leaks are not looked for.
    my $report = "log_path=$self->{dir}/sanitizer";
    $ENV{ASAN_OPTIONS} = "$report:detect_leaks=0";
    $ENV{UBSAN_OPTIONS} = "$report:print_stacktrace=1";

    Test::More::diag("folder: $self->{dir}") if $ENV{TEST_NGINX_LEAVE};

    # A test that dies has lost its own reference when it comes to END.
    push @all, $self;

    return $self;
}


sub dir     { "$_[0]{dir}" }
sub pid     { $_[0]{pid} }
sub top     { $top }
sub timeout { $ENV{TEST_NGINX_TIMEOUT} || 8 }
sub scale   { $ENV{TEST_NGINX_SCALE} || 1 }
sub version { $_[0]{built} =~ m{nginx/([\d.]+)} ? $1 : undef }
sub port    { $_[0]{port}{$_[1]} ||= XMPP::Ports::take() }
sub allow   { push @{ $_[0]{allow} }, $_[1] }

# Services that are stopped with this nginx.
sub own     { push @{ $_[0]{own} }, $_[1]; weaken $_[0]{own}[-1] }


sub certs {
    my ($self, %option) = @_;

    return $self->{certs} ||= XMPP::Certs->new($self->dir, %option);
}


sub answer_http {
    my ($self, $name, $header) = @_;

    my @header = @$header;
    my $lines = '';

    while (my ($key, $value) = splice @header, 0, 2) {
        $lines .= "            add_header $key \"$value\";\n";
    }

    return $self->_fill(<<"END");
http {
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;

    server {
        listen 127.0.0.1:%{${name}_port};

        location / {
$lines            return 204;
        }
    }
}
END
}


sub _fill {
    my ($self, $text) = @_;

    $text =~ s/%\{dir\}/$self->dir/ge;
    $text =~ s/%\{(\w+)_port\}/$self->port($1)/ge;
    $text =~ s/%\{([\d.]+)s\}/int(1000 * $1 * $self->scale) . 'ms'/ge;

    return $text;
}


# Writes the file, returns the command for it.
sub _configure {
    my ($self, $conf, $file) = @_;

    my $dir = $self->dir;
    my $level = $self->{log}
                || ($self->{built} =~ /--with-debug/ ? 'debug' : 'info');
    my $connections = $self->{connections} || 1024;

    my $main = "daemon off;\nworker_processes 1;\npid $dir/nginx.pid;\n"
             . "error_log $dir/error.log $level;\n"
             . "events { worker_connections $connections; }\n";

    # Workers of root would become "nobody", who may not enter the folder.
    $main = "user root root;\n$main" if $> == 0;
    $main = "load_module $_;\n$main"
        for grep { defined } @$self{qw(module stream)};
    $main .= "$_\n" for grep { defined } $self->{main},
                                         $ENV{TEST_NGINX_GLOBALS};

    open my $out, '>', "$dir/$file" or die "$file: $!\n";
    print $out $self->_fill("$main$conf");
    close $out or die "$file: $!\n";

    return ($self->{binary}, '-p', "$dir/", '-c', "$dir/$file");
}


sub _valgrind {
    my ($self, @more) = @_;

    my @option = split ' ', $ENV{TEST_NGINX_VALGRIND} // '' or return;

    return ('valgrind', '-q', @option, @more,
            "--suppressions=$top/t/valgrind.supp",
            "--log-file=$self->{dir}/valgrind.%p");
}


sub start {
    my ($self, $conf) = @_;

    # Not even a test that was killed leaves an nginx behind.
    my @command = (qw(setpriv --pdeathsig TERM --), $self->_valgrind,
                   $self->_configure($conf, 'nginx.conf'),
                   '-e', "$self->{dir}/error.log");

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/output";
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    # The pid file is written when all ports are listened on.
    my $end = time + $self->timeout;

    until (-s "$self->{dir}/nginx.pid") {
        if (waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid}) {
            delete $self->{pid};
            die "nginx did not start:\n", $self->_text('output'), $self->log;
        }
        die "nginx wrote no pid file\n" if time > $end;
        sleep 0.01;
    }

    return $self;
}


sub reconfigure {
    my ($self, $conf) = @_;

    $self->_configure($conf, 'nginx.conf');
    $self->signal('HUP');
}


sub conf_error {
    my ($self, $conf) = @_;

    # it ends as soon as it has said its piece, and frees nothing
    my @command = ($self->_valgrind('--leak-check=no'),
                   $self->_configure($conf, 'try.conf'), '-e', 'stderr', '-t');

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    my $said = do { local $/; <$out> } // '';

    return close($out) ? undef : $said;
}


sub signal {
    my ($self, $name) = @_;

    kill $name, $self->{pid} if $self->{pid};
}


# QUIT lets nginx end its sessions and complain about sockets that it lost; it
# must not need the stronger signals.  Returns the exit status, or undef if it
# did.
sub stop {
    my ($self) = @_;

    XMPP::Client->close_all if XMPP::Client->can('close_all');
    $_->stop for grep { defined } @{ $self->{own} };

    my $pid = delete $self->{pid} or return 0;

    for ([ QUIT => 5 ], [ TERM => 2 ], [ KILL => 5 ]) {
        my ($signal, $seconds) = @$_;
        my $end = time + $seconds * $self->scale;

        kill $signal, $pid;

        do {
            if (waitpid($pid, POSIX::WNOHANG()) == $pid) {
                return $signal eq 'QUIT' ? $? : undef;
            }
            sleep 0.005;
        } while time < $end;
    }

    return;
}


sub log { $_[0]->_text('error.log') }


sub _text {
    my ($self, $name) = @_;

    open my $file, '<', "$self->{dir}/$name" or return '';
    local $/;

    return <$file> // '';
}


sub wait_log {
    my ($self, $regex, $timeout) = @_;

    my $end = time + ($timeout // $self->timeout);

    until ($self->log =~ $regex) {
        return 0 if time > $end;
        sleep 0.02;
    }

    return 1;
}


# Stops nginx; returns what was bad: alerts in the log, reports of a sanitizer,
# no orderly end.
sub faults {
    my ($self) = @_;

    my @fault;
    my $status = $self->stop;

    push @fault, 'nginx did not stop in time after QUIT' if !defined $status;
    push @fault, "nginx ended with status $status" if $status;

    for my $line (split /\n/, $self->log) {
        next if $line !~ /\[(?:alert|emerg|crit)\]|exited on signal/;
        push @fault, $line unless grep { $line =~ $_ } @{ $self->{allow} };
    }

    for my $file (glob "$self->{dir}/{sanitizer,valgrind}.*") {
        next if -z $file;
        push @fault, $self->_text(File::Basename::basename($file));
    }

    push @fault, grep { /Sanitizer|runtime error:/ } $self->_text('output');

    return @fault;
}


sub finish {
    my ($self) = @_;

    my @fault = $self->faults;
    $self->{finished} = 1;

    my $ok = Test::More::ok(!@fault, 'nginx ended in order, no alert logged');
    Test::More::diag(join "\n", @fault) if @fault;

    return $ok;
}


sub _end {
    my ($self, $failed) = @_;

    if (!$self->{finished}) {
        my @fault = $self->faults;
        Test::More::diag(join "\n", @fault) if @fault;
        $failed = 1 if @fault;
        $? ||= 1 if @fault;
    }

    return if !$failed;

    my @line = split /\n/, $self->log;
    @line = grep { !/\[debug\]/ } @line if !$ENV{TEST_NGINX_VERBOSE};
    splice @line, 0, -40 if @line > 40;
    Test::More::diag(join "\n", "end of $self->{dir}/error.log:", @line);
}


END {
    if ($$ == $owner) {
        my $status = $?;
        my $failed = $status || grep { !$_ } Test::More->builder->summary;

        $? = $status;
        $_->_end($failed) for @all;
    }
}

1;
