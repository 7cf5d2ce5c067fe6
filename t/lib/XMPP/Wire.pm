package XMPP::Wire;

# The XML of the tests: what a client sends, and the exact bytes that nginx
# answers.  Byte strings; nothing is escaped here.
#
# Client:
#   open_stream(%attribute)     a header to example.test; attributes replace or
#                               add, undef leaves one out
#   open_server(%attribute)     the same of a server, peer.test
#   STARTTLS
#   auth($mechanism, $data)     $data goes out as base64; undef: none at all;
#                               '': "=", the way to send an empty response
#   response($data)             '': an empty element
#   ABORT
#   plain($user, $password, $authzid)   the data of PLAIN
#   CLOSE                       </stream:stream>
# nginx:
#   header(from => ..., to => ...)      id='ID', see XMPP::Client->expect;
#                               from is example.test unless given, undef: none
#   server_header(...)          the same for a server
#   features(starttls => 'required' or 'optional', mechanisms => [ ... ])
#   PROCEED, TLS_FAILURE, SUCCESS
#   challenge($data)            $data as base64; '': an empty element
#   failure($condition, $text)  of SASL, the stream stays open
#   refused($condition, $text)  failure() and CLOSE
#   stream_error($condition, $text, $data)      with CLOSE; $data is what
#                               stands inside of the condition

use strict;
use warnings;

use Exporter 'import';
use MIME::Base64;

our @EXPORT = qw(open_stream open_server STARTTLS auth response ABORT plain
    CLOSE header server_header features PROCEED TLS_FAILURE SUCCESS challenge failure refused
    stream_error);

use constant {
    TLS_NS     => 'urn:ietf:params:xml:ns:xmpp-tls',
    SASL_NS    => 'urn:ietf:params:xml:ns:xmpp-sasl',
    STREAMS_NS => 'urn:ietf:params:xml:ns:xmpp-streams',
    CLOSE      => '</stream:stream>',
};

use constant {
    STARTTLS    => "<starttls xmlns='" . TLS_NS . "'/>",
    PROCEED     => "<proceed xmlns='" . TLS_NS . "'/>",
    TLS_FAILURE => "<failure xmlns='" . TLS_NS . "'/>" . CLOSE,
    ABORT       => "<abort xmlns='" . SASL_NS . "'/>",
    SUCCESS     => "<success xmlns='" . SASL_NS . "'/>",
};


sub open_stream {
    my (%attribute) = @_;

    my %all = (to => 'example.test', xmlns => 'jabber:client',
               'xmlns:stream' => 'http://etherx.jabber.org/streams',
               version => '1.0', %attribute);

    return "<?xml version='1.0'?><stream:stream"
           . join('', map { " $_='$all{$_}'" }
                      grep { defined $all{$_} } sort keys %all)
           . '>';
}


sub open_server {
    return open_stream(from => 'peer.test', xmlns => 'jabber:server',
                       'xmlns:db' => 'jabber:server:dialback', @_);
}


sub auth {
    my ($mechanism, $data) = @_;

    my $start = "<auth xmlns='" . SASL_NS . "' mechanism='$mechanism'";

    return "$start/>" if !defined $data;

    return "$start>" . (length $data ? encode_base64($data, '') : '=')
           . '</auth>';
}


sub response {
    my ($data) = @_;

    my $start = "<response xmlns='" . SASL_NS . "'";

    return length $data ? "$start>" . encode_base64($data, '') . '</response>'
                        : "$start/>";
}


sub plain {
    my ($user, $password, $authzid) = @_;

    return join "\0", $authzid // '', $user, $password;
}


sub header {
    my (%option) = (from => 'example.test', @_);

    return "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
           . " xmlns:stream='http://etherx.jabber.org/streams' id='ID'"
           . (defined $option{from} ? " from='$option{from}'" : '')
           . (defined $option{to} ? " to='$option{to}'" : '')
           . " version='1.0' xml:lang='en'>";
}


sub server_header {
    return header(@_)
        =~ s/client'/server' xmlns:db='jabber:server:dialback'/r;
}


sub features {
    my (%option) = @_;

    my $all = '<stream:features>';

    if (my $starttls = $option{starttls}) {
        $all .= $starttls eq 'required'
                ? "<starttls xmlns='" . TLS_NS . "'><required/></starttls>"
                : STARTTLS;
    }

    if (my $mechanisms = $option{mechanisms}) {
        $all .= "<mechanisms xmlns='" . SASL_NS . "'>"
                . join('', map { "<mechanism>$_</mechanism>" } @$mechanisms)
                . '</mechanisms>';
    }

    return "$all</stream:features>";
}


sub challenge {
    my ($data) = @_;

    my $start = "<challenge xmlns='" . SASL_NS . "'";

    return length $data ? "$start>" . encode_base64($data, '') . '</challenge>'
                        : "$start/>";
}


sub failure {
    my ($condition, $text) = @_;

    return "<failure xmlns='" . SASL_NS . "'><$condition/>"
           . (defined $text ? "<text xml:lang='en'>$text</text>" : '')
           . '</failure>';
}


sub refused { failure(@_) . CLOSE }


sub stream_error {
    my ($condition, $text, $data) = @_;

    return "<stream:error><$condition xmlns='" . STREAMS_NS . "'"
           . (defined $data ? ">$data</$condition>" : '/>')
           . (defined $text
              ? "<text xmlns='" . STREAMS_NS . "' xml:lang='en'>$text</text>"
              : '')
           . '</stream:error>' . CLOSE;
}

1;
