package XMPP::Legacy;

# A server from before XMPP 1.0: no version, no features, no TLS, dialback only
# (XEP-0220, as jabberd 1.4 does it).
#
#   my $peer = XMPP::Legacy->new('old.example', '127.0.0.6');
#                               # listens on port 5269
#   $peer->knows('a.example' => '127.0.0.4');       # port 5269 there
#   $peer->send('a.example', "<message .../>");     # when dialback is done
#   $peer->wait(sub { ... });   # does its work until this is true
#   $peer->headers              # stream headers that answered its own
#   $peer->stanzas              # what came from others
#   $peer->verified             # domains whose key was found to be theirs
#
# It does its work in "wait", all connections at a time: each of the two sides
# waits for the other in dialback.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);


sub new {
    my ($class, $domain, $address) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => $address,
                                       LocalPort => 5269, Proto => 'tcp',
                                       ReuseAddr => 1, Listen => 16)
        or die "$address: $!\n";

    return bless { domain => $domain, listen => $listen, ids => 0,
                   connections => [], headers => [], stanzas => [],
                   verified => [], queue => {}, knows => {} }, $class;
}


sub knows    { $_[0]{knows}{$_[1]} = $_[2] }
sub headers  { @{ $_[0]{headers} } }
sub stanzas  { @{ $_[0]{stanzas} } }
sub verified { @{ $_[0]{verified} } }


sub send {
    my ($self, $to, $stanza) = @_;

    push @{ $self->{queue}{$to} }, $stanza;
    $self->{out}{$to} ||= $self->_connect($to, 'ask');
}


# "ask": to be let in, "verify": to have a key verified.
sub _connect {
    my ($self, $to, $role, %more) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => $self->{knows}{$to},
                                       PeerPort => 5269, Proto => 'tcp')
        or die "connect to $to: $!\n";

    my $c = { %more, socket => $socket, role => $role, to => $to,
              input => '' };

    push @{ $self->{connections} }, $c;
    $self->_write($c, "<?xml version='1.0'?><stream:stream"
        . " xmlns='jabber:server' xmlns:db='jabber:server:dialback'"
        . " xmlns:stream='http://etherx.jabber.org/streams'"
        . " to='$to' from='$self->{domain}'>");

    return $c;
}


sub _write { syswrite $_[1]{socket}, $_[2] }


sub wait {
    my ($self, $test, $timeout) = @_;

    my $end = time + ($timeout // 30);

    until ($test->()) {
        return 0 if time > $end;

        my %of = map { fileno($_->{socket}) => $_ } @{ $self->{connections} };
        my $select = IO::Select->new($self->{listen},
                                     map { $_->{socket} } values %of);

        for my $socket ($select->can_read(0.05)) {
            if ($socket == $self->{listen}) {
                push @{ $self->{connections} },
                     { socket => scalar $socket->accept, role => 'accepted',
                       input => '' };
                next;
            }

            my $c = $of{fileno $socket};

            if (!sysread $socket, $c->{input}, 65536, length $c->{input}) {
                @{ $self->{connections} }
                    = grep { $_ != $c } @{ $self->{connections} };
                next;
            }

            $self->_serve($c);
        }
    }

    return 1;
}


# The elements that are complete.
sub _serve {
    my ($self, $c) = @_;

    if (!$c->{header}
        && $c->{input} =~ s/\A(?:<\?xml[^>]*>)?\s*(<stream:stream\s[^>]*>)//)
    {
        $c->{header} = $1;
        $self->_header($c);
    }

    return if !$c->{header};

    while ($c->{input} =~ s{\A\s*(<([\w:]+)((?:\s[^>]*?)?)
                                  (?:/>|>(.*?)</\2>))}{}sx)
    {
        my ($element, $name, $text) = ($1, $2, $4 // '');
        my %attribute = map { /^([\w:]+)=(?:'(.*)'|"(.*)")$/
                              ? ($1 => $2 // $3) : () }
                        $3 =~ /([\w:]+=(?:'[^']*'|"[^"]*"))/g;

        $self->_element($c, $element, $name, $text, %attribute);
    }
}


sub _header {
    my ($self, $c) = @_;

    my $domain = $self->{domain};

    if ($c->{role} eq 'accepted') {
        $c->{id} = 'old' . ++$self->{ids};
        $self->_write($c, "<?xml version='1.0'?><stream:stream"
            . " xmlns='jabber:server' xmlns:db='jabber:server:dialback'"
            . " xmlns:stream='http://etherx.jabber.org/streams'"
            . " id='$c->{id}' from='$domain'>");
        return;
    }

    push @{ $self->{headers} }, $c->{header};

    if ($c->{role} eq 'ask') {
        my ($id) = $c->{header} =~ /\sid=['"]([^'"]+)/;

        $self->{keys}{$id} = "key-for-$id";
        $self->_write($c, "<db:result to='$c->{to}' from='$domain'>"
                          . "key-for-$id</db:result>");

    } else {
        $self->_write($c, "<db:verify to='$c->{to}' from='$domain'"
            . " id='$c->{asker}{id}'>$c->{key}</db:verify>");
    }
}


sub _element {
    my ($self, $c, $element, $name, $text, %attribute) = @_;

    my $domain = $self->{domain};
    my $from = $attribute{from} // '';
    my $type = $attribute{type} // '';

    if ($name eq 'db:result' && $c->{role} eq 'accepted') {
        $self->_connect($from, 'verify', asker => $c, key => $text);

    } elsif ($name eq 'db:result' && $type eq 'valid') {
        $self->_write($c, $_) for @{ delete $self->{queue}{$c->{to}} };

    } elsif ($name eq 'db:verify' && $c->{role} eq 'accepted') {
        my $id = $attribute{id} // '';
        my $known = $self->{keys}{$id} // '';
        my $answer = $known eq $text ? 'valid' : 'invalid';

        $self->_write($c, "<db:verify to='$from' from='$domain' id='$id'"
                          . " type='$answer'/>");

    } elsif ($name eq 'db:verify' && $c->{role} eq 'verify') {
        push @{ $self->{verified} }, $from if $type eq 'valid';
        $self->_write($c->{asker}, "<db:result to='$from' from='$domain'"
                                   . " type='$type'/>");

    } else {
        push @{ $self->{stanzas} }, $element;
    }
}

1;
