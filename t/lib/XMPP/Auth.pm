package XMPP::Auth;

# The service that auth_http asks, scripted (see XMPP::Service for the rest).
#
#   my $auth = XMPP::Auth->new($t);     # port $t->port('auth'); accepts
#                                       # everyone, with $t->port('backend')
#   $auth->answer('Auth-Status' => 'no', 'Auth-Wait' => 1, ...);
#                               # to the next request: these headers, in order
#   $auth->accept(%more)        # to the next request: OK, server, port, %more
#   $auth->raw($bytes)          # to the next request: just these bytes
#   $auth->script([expect => ...], ...)     # anything else
#   my $r = $auth->request($n)  # waits for the $n-th request:
#                               #   $r->{line}, $r->{header}{'auth-user'},
#                               #   $r->{names} (in order), $r->{raw}
#
# Step added: request (read the head of an HTTP request).

use strict;
use warnings;

use parent 'XMPP::Service';


sub name { 'auth' }


sub new {
    my ($class, $t, %option) = @_;

    $option{backend} = $t->port($option{backend} || 'backend');

    return $class->SUPER::new($t, %option);
}


sub default_script {
    my ($self) = @_;

    return _with(http($self->_ok));
}


sub http {
    my (@header) = @_;

    my $head = "HTTP/1.0 200 OK\r\n";

    while (my ($name, $value) = splice @header, 0, 2) {
        $head .= "$name: $value\r\n";
    }

    return "$head\r\n";
}


sub answer { my ($self, @header) = @_; $self->raw(http(@header)); }
sub accept { my ($self, @header) = @_; $self->answer($self->_ok, @header); }
sub raw    { my ($self, $bytes) = @_; $self->script(_with($bytes)); }


sub request {
    my ($self, $n, $timeout) = @_;

    $self->wait_bytes($n, qr/\r\n\r\n/, $timeout) or return;

    my $raw = $self->bytes($n);
    my ($line, @field) = split /\r\n/, $raw;
    my (%header, @name);

    for (@field) {
        my ($name, $value) = /^([^:]+): ?(.*)$/s or next;
        push @name, $name;
        $header{lc $name} = $value;
    }

    return { raw => $raw, line => $line, header => \%header, names => \@name };
}


sub step_request { $_[0]->step_expect("\r\n\r\n") }

# A drain behind the answer: nginx closes first, as it has Auth-Wait to obey.
sub _with { return ([ 'request' ], [ send => $_[0] ], [ drain => 5 ]); }


sub _ok {
    my ($self) = @_;

    return ('Auth-Status' => 'OK', 'Auth-Server' => '127.0.0.1',
            'Auth-Port' => $self->{backend});
}

1;
