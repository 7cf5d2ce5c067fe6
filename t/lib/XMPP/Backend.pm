package XMPP::Backend;

# An XMPP server, scripted (see XMPP::Service for the rest).
#
#   my $backend = XMPP::Backend->new($t,
#       name => 'backend',          # its port is $t->port(name)
#       proxy_protocol => 1,        # expect a PROXY line first
#       users => { alice => 'wonder' },     # who may log in; default: anyone
#       after => 'echo');           # after success: echo (default), bind
#
#   $backend->login($n)             # what connection $n logged in with: a hash
#                                   # of domain, from, authzid, user, password,
#                                   # and proxy (the PROXY line)
#
# Steps added:
#   proxy                           read the PROXY line
#   header => [FROM]                wait for a stream header, answer with ours
#   features => [MECHANISM, ...]    features with these mechanisms
#   credentials                     read <auth/>, answer it
#   login                           all of these, PLAIN offered
#   bind                            a restarted stream, bind in its features

use strict;
use warnings;

use MIME::Base64;

use parent 'XMPP::Service';


sub name { 'backend' }


sub default_script {
    my ($self) = @_;

    return ([ 'login' ], [ $self->{after} || 'echo' ]);
}


sub login {
    my ($self, $n, $timeout) = @_;

    $self->wait_event($n, 'auth', $timeout) or return;

    return { map { %{ $_->{login} } } grep { $_->{login} } $self->events($n) };
}


sub step_proxy {
    my ($self) = @_;

    my $line = $self->step_expect("\r\n");
    $self->record(proxy => login => { proxy => $line });
}


sub step_header {
    my ($self, $from) = @_;

    my $header = $self->step_expect('<stream:stream\b[^>]*>');
    my ($to) = $header =~ /\bto=["']([^"']*)["']/;
    my ($by) = $header =~ /\bfrom=["']([^"']*)["']/;

    $self->record(header => login => { domain => $to, from => $by });

    $self->step_send("<?xml version='1.0'?>"
        . "<stream:stream xmlns='jabber:client'"
        . " xmlns:stream='http://etherx.jabber.org/streams'"
        . " id='backend-" . $self->{connection} . "'"
        . " from='" . ($from // $to // '') . "' version='1.0'>");
}


sub step_features {
    my ($self, @mechanism) = @_;

    $self->step_send('<stream:features>'
        . "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
        . join('', map { "<mechanism>$_</mechanism>" } @mechanism)
        . '</mechanisms></stream:features>');
}


sub step_credentials {
    my ($self) = @_;

    my $ns = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    my $auth = $self->step_expect('<auth\b[^>]*>[^<]*</auth>');

    my ($data) = $auth =~ />([^<]*)</;
    my ($authzid, $user, $password) = split /\0/, decode_base64($data), -1;

    $self->record(auth => login => { authzid => $authzid, user => $user,
                                     password => $password });

    my $users = $self->{users};

    if ($users && ($users->{$user // ''} // '') ne ($password // '')) {
        $self->step_send("<failure $ns><not-authorized/></failure>");
        $self->step_drain;
        die "stop\n";
    }

    $self->step_send("<success $ns/>");
}


sub step_login {
    my ($self) = @_;

    $self->step_proxy if $self->{proxy_protocol};
    $self->step_header;
    $self->step_features('PLAIN');
    $self->step_credentials;
}


sub step_bind {
    my ($self) = @_;

    $self->step_header;
    $self->step_send('<stream:features>'
        . "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>"
        . '</stream:features>');
    $self->step_echo;
}

1;
