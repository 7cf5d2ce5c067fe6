package Bench::Front::Nginx;

# nginx: with our module, and its stream module, which knows no XMPP.  Both are
# in the same binary.

use strict;
use warnings;

use Bench::Kernel;
use XMPP::Files;

our @ISA = 'Bench::Front';

my $stub = 'plaintext stub';


sub fronts {
    return (
        'ours-direct' => {
            about => 'ours: direct TLS, PLAIN, auth_http',
            text => \&ours, many => 1,
        },
        'ours-starttls' => {
            about => 'ours: STARTTLS, PLAIN, auth_http',
            text => \&ours, many => 1, tls => 'starttls',
        },
        'ours-none' => {
            about => 'ours: direct TLS, xmpp_auth none',
            text => \&ours, many => 1,
        },
        'ours-close' => {
            about => 'ours-direct, no auth_http_keepalive',
            text => \&ours, many => 1, default => 0,
        },
        'stream' => {
            about => 'nginx stream, ssl, its defaults',
            text => \&stream, many => 1,
        },
        'stream-equal' => {
            about => 'nginx stream, ssl, buffers of our size',
            text => \&stream, many => 1, default => 0,
        },
    );
}


sub ours {
    my ($self) = @_;

    my $auth = $self->port('auth');
    my $buffer = $self->{bench}{buffer};
    my $more = defined $buffer ? "xmpp_relay_buffer $buffer;" : '';

    my %server = (
        'ours-direct' => [ 'ssl', 'plain', 'off' ],
        'ours-starttls' => [ '', 'plain', 'only' ],
        'ours-none' => [ 'ssl', 'none', 'off' ],
        'ours-close' => [ 'ssl', 'plain', 'off' ],
    );

    my $name = $self->{as} || $self->{name};
    my ($ssl, $method, $starttls) = @{ $server{$name} };
    my $keep = $name eq 'ours-close' ? 0 : 64;

    return <<"END";
mail {
    auth_http http://127.0.0.1:$auth/;
    auth_http_keepalive $keep;
    ${ \_tls($self) }
    $more

    server {
        listen ${ \$self->connect } $ssl backlog=4096;
        protocol xmpp;
        xmpp_auth $method;
        starttls $starttls;
    }
}
END
}


sub stream {
    my ($self) = @_;

    my $servers = join ' ', map { "server $_;" } @{ $self->{backend} };
    my $buffer = $self->{bench}{buffer} // '16k';
    my $more = $self->{name} eq 'stream-equal'
               ? "proxy_buffer_size $buffer;" : '';

    return <<"END";
stream {
    upstream backend {
        $servers
    }

    ${ \_tls($self) }
    proxy_timeout 24h;
    $more

    server {
        listen ${ \$self->connect } ssl backlog=4096;
        proxy_pass backend;
    }
}
END
}


sub _tls {
    my ($self) = @_;

    my ($crt, $key) = $self->bed->certs->server;

    return "ssl_certificate $crt;\n    ssl_certificate_key $key;\n"
           . "    ssl_protocols TLSv1.3;";
}


sub run_front {
    my ($self) = @_;

    my $dir = $self->bed->dir;
    my $bench = $self->{bench};
    my $connections = files() - 100;
    my $load = join '', map { "load_module $_;\n" } @{ $bench->{modules} };

    # Workers of root would become "nobody", who may not read the key.
    my $user = $> == 0 ? "user root root;\n" : '';

    write_file("$dir/nginx.conf", <<"END" . $self->{text}->($self));
$load${user}daemon off;
worker_processes $self->{workers};
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections $connections; }
END

    $self->run_and_wait('nginx', $bench->{binary}, '-p', "$dir/",
                        '-c', "$dir/nginx.conf", '-e', "$dir/error.log");
}

1;
