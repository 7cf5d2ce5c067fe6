package XMPP::TLS;

# The client's end of a TLS session, without a socket: bytes go in, bytes come
# out, so that a test decides what shares a packet with what.
#
#   my $tls = XMPP::TLS->new(version => '1.2',      # or '1.3'; default any
#                            alpn => [ 'xmpp-client' ],
#                            name => 'example.test',    # SNI, and checked
#                            ca => 'ca.crt',            # or no check at all
#                            cert => 'c.crt', key => 'c.key',
#                            session => $saved);
#   $tls->handshake;        # go on as far as possible; true when it is done
#   $tls->out;              # bytes for the wire, since the last call
#   $tls->in($bytes);       # bytes from the wire
#   $tls->write($bytes);    # encrypt
#   $tls->read;             # decrypted bytes so far
#   $tls->closed;           # close_notify came
#   $tls->close;            # send close_notify
#   $tls->selected, $tls->version, $tls->session, $tls->reused
#
# Dies with OpenSSL's words when the peer or the certificate is not as wanted.

use strict;
use warnings;

use Net::SSLeay;

Net::SSLeay::initialize();

my %number = ('1.2' => 0x0303, '1.3' => 0x0304);

# Contexts read files; thousands of handshakes need to read them once.
my %context;


sub new {
    my ($class, %option) = @_;

    my $ctx = _context(%option);
    my $ssl = Net::SSLeay::new($ctx) or _die('SSL_new');
    my $self = bless { ssl => $ssl }, $class;

    if ($option{name}) {
        Net::SSLeay::set_tlsext_host_name($ssl, $option{name});

        if ($option{ca}) {
            Net::SSLeay::X509_VERIFY_PARAM_set1_host(
                Net::SSLeay::get0_param($ssl), $option{name})
                or _die('set1_host');
        }
    }

    Net::SSLeay::set_session($ssl, $option{session}) if $option{session};

    $self->{$_} = Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()) for qw(r w);
    Net::SSLeay::set_bio($ssl, $self->{r}, $self->{w});
    Net::SSLeay::set_connect_state($ssl);

    return $self;
}


sub _context {
    my (%option) = @_;

    my $name = join "\0", map { $_ // '' }
        @option{qw(version ca cert key)}, @{ $option{alpn} || [] };

    return $context{$name} if $context{$name};

    my $method = Net::SSLeay::TLS_client_method();
    my $ctx = Net::SSLeay::CTX_new_with_method($method)
        or _die('SSL_CTX_new');

    if (my $version = $number{$option{version} || ''}) {
        Net::SSLeay::CTX_set_min_proto_version($ctx, $version);
        Net::SSLeay::CTX_set_max_proto_version($ctx, $version);
    }

    if ($option{ca}) {
        Net::SSLeay::CTX_load_verify_locations($ctx, $option{ca}, '')
            or _die("load $option{ca}");
        Net::SSLeay::CTX_set_verify($ctx, Net::SSLeay::VERIFY_PEER(), undef);
    }

    if ($option{cert}) {
        Net::SSLeay::CTX_use_certificate_chain_file($ctx, $option{cert})
            && Net::SSLeay::CTX_use_PrivateKey_file($ctx, $option{key},
                   Net::SSLeay::FILETYPE_PEM())
            or _die("load $option{cert}");
    }

    Net::SSLeay::CTX_set_alpn_protos($ctx, $option{alpn}) if $option{alpn};

    return $context{$name} = $ctx;
}


sub handshake {
    my ($self) = @_;

    return 1 if $self->{done};

    my $rc = Net::SSLeay::do_handshake($self->{ssl});

    return $self->{done} = 1 if $rc == 1;

    $self->_check($rc, 'handshake');

    return 0;
}


sub in { Net::SSLeay::BIO_write($_[0]{r}, $_[1]) }


sub out {
    my ($self) = @_;

    my $n = Net::SSLeay::BIO_pending($self->{w}) or return '';

    return Net::SSLeay::BIO_read($self->{w}, $n);
}


sub write {
    my ($self, $bytes) = @_;

    return if $bytes eq '';

    my $n = Net::SSLeay::write($self->{ssl}, $bytes);
    $n == length $bytes or _die('SSL_write');
}


sub read {
    my ($self) = @_;

    my $all = '';

    until ($self->{closed}) {
        my ($data, $rc) = Net::SSLeay::read($self->{ssl}, 65536);

        if (defined $data && length $data) {
            $all .= $data;
            next;
        }

        last if $self->_check($rc, 'SSL_read');
    }

    return $all;
}


sub close    { Net::SSLeay::shutdown($_[0]{ssl}) }
sub closed   { $_[0]{closed} }
sub selected { Net::SSLeay::P_alpn_selected($_[0]{ssl}) }
sub version  { Net::SSLeay::get_version($_[0]{ssl}) }
sub session  { Net::SSLeay::get1_session($_[0]{ssl}) }
sub reused   { Net::SSLeay::session_reused($_[0]{ssl}) }


# True when the peer has to speak next, or has ended.
sub _check {
    my ($self, $rc, $what) = @_;

    my $error = Net::SSLeay::get_error($self->{ssl}, $rc);

    return 1 if $error == Net::SSLeay::ERROR_WANT_READ();

    if ($error == Net::SSLeay::ERROR_ZERO_RETURN()) {
        return $self->{closed} = 1;
    }

    _die($what);
}


sub _die {
    my ($what) = @_;

    my @said;

    while (my $code = Net::SSLeay::ERR_get_error()) {
        push @said, Net::SSLeay::ERR_error_string($code);
    }

    die "$what: @said\n";
}


sub DESTROY {
    my ($self) = @_;

    Net::SSLeay::free(delete $self->{ssl}) if $self->{ssl};
}

1;
