package XMPP::Login;

# The usual way of a client to the backend, for tests of what comes behind it.
#
#   my $c = greet($t, %option);     # a client that has read the features
#   my $c = login($t, %option);     # ... and has sent <auth/>, nothing more
#   my $c = enter($t, %option);     # ... and has read <success/>
#   my $c = secure($c, %option);    # STARTTLS on an open stream, then greet
#       options: port => NAME ("client"), to => DOMAIN, user, password,
#       tls => { ... } (direct TLS), starttls => { ... }, more => BYTES (behind
#       <auth/>, in the same write)
#   my @line = errors($t);          # what was logged as [error] or worse since
#                                   # the last call, without the time and
#                                   # " while ..."
#   transports($t)                  # names and options of the ways in, for a
#                                   # configuration with servers()
#   servers($t, $directives)        # an XMPP server on port('client') with
#                                   # STARTTLS, one on port('direct') with TLS

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(sleep time);

use XMPP::Client;
use XMPP::Wire;

our @EXPORT = qw(greet login enter secure errors transports servers);

my %read;


sub greet {
    my ($t, %option) = @_;

    my $c = XMPP::Client->new($t->port($option{port} || 'client'),
                              map { $_ => $option{$_} }
                              grep { exists $option{$_} } qw(tls one timeout));

    die $c->error if $c->error;

    _open($c, %option);

    return $option{starttls} ? secure($c, %option) : $c;
}


sub _open {
    my ($c, %option) = @_;

    $c->send(open_stream($option{to} ? (to => $option{to}) : ()));
    $c->read_until(qr/<\/stream:features>/) or die "no features\n";
}


sub secure {
    my ($c, %option) = @_;

    $c->send(STARTTLS);
    $c->read_until(qr/<proceed[^>]*>/) or die "no <proceed/>\n";
    $c->starttls(%{ $option{starttls} || {} }) or die $c->error;

    _open($c, %option);

    return $c;
}


sub login {
    my ($t, %option) = @_;

    my $c = greet($t, %option);

    $c->send(auth('PLAIN', plain($option{user} // 'alice',
                                 $option{password} // 'secret'))
             . ($option{more} // ''));

    return $c;
}


sub enter {
    my ($t, %option) = @_;

    my $c = login($t, %option);

    $c->read_until(qr/<success[^>]*>/) or die "no <success/>\n";

    return $c;
}


sub errors {
    my ($t) = @_;

    my $end = time + $t->timeout;
    my @line;

    # The line is there before the client is told; a sanitizer's may be late.
    until (@line || time > $end) {
        my $log = $t->log;
        my $from = $read{$t} || 0;

        @line = grep { /\[(?:error|crit|alert|emerg)\]/ }
                split /\n/, substr $log, $from;

        $read{$t} = length $log if @line;
        sleep 0.01 if !@line;
    }

    for (@line) {
        s/^\S+ \S+ \[(\w+)\] \d+#\d+: (?:\*\d+ )?/$1: /;
        s/ while [^,]+//;
    }

    return @line;
}


sub transports {
    return ([ 'plain TCP' ],
            [ 'STARTTLS', starttls => {} ],
            map { [ "direct TLS $_", port => 'direct',
                    tls => { version => $_ } ] } '1.2', '1.3');
}


sub servers {
    my ($t, $directives) = @_;

    my ($crt, $key) = $t->certs->server;

    return <<"END";
    ssl_certificate $crt;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
    $directives

    server {
        listen 127.0.0.1:%{client_port};
        protocol xmpp;
        starttls on;
    }

    server {
        listen 127.0.0.1:%{direct_port} ssl;
        protocol xmpp;
    }
END
}

1;
