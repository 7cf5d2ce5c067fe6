package XMPP::Der;

# Certificates that openssl would not write, byte by byte.
#
#   der($tag, @content)         one value; tags below, or a number
#   oid(1, 2, 840, ...)         an object identifier
#   name([ $oid, $tag, $value ], ...)   a distinguished name; $oid is one of
#                               CN, O, EMAIL below, or what oid() has made
#   certificate($path, key => PEM file, ...)    writes $path.crt, returns it
#                               and the key: what XMPP::TLS wants.  More:
#       subject => name(...), issuer => name(...), serial => bytes,
#       alt => [ ... ]          what the subjectAltName holds
#
# The signature is none, which nobody can find out who does not know the CA.

use strict;
use warnings;

use Exporter 'import';
use MIME::Base64;

use XMPP::Files;

use constant {
    INTEGER => 0x02, BITS => 0x03, OCTETS => 0x04, OID => 0x06, UTF8 => 0x0c,
    PRINTABLE => 0x13, T61 => 0x14, IA5 => 0x16, TIME => 0x17, BMP => 0x1e,
    SEQUENCE => 0x30, SET => 0x31,
};

our @EXPORT = qw(der oid name certificate CN O EMAIL UTF8 PRINTABLE T61 IA5
                 BMP OCTETS);


sub CN    { der(OID, "\x55\x04\x03") }
sub O     { der(OID, "\x55\x04\x0a") }
sub EMAIL { der(OID, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01") }
sub ALT   { der(OID, "\x55\x1d\x11") }
sub ECDSA { der(SEQUENCE, der(OID, "\x2a\x86\x48\xce\x3d\x04\x03\x02")) }


sub der {
    my ($tag, @content) = @_;

    my $content = join '', @content;
    my $n = length $content;

    return pack('CC', $tag, $n) . $content if $n < 128;
    return pack('CCn', $tag, 0x82, $n) . $content if $n < 65536;
    return pack('CCCn', $tag, 0x83, $n >> 16, $n & 65535) . $content;
}


sub oid {
    my ($first, $second, @rest) = @_;

    return der(OID, pack 'C w*', $first * 40 + $second, @rest);
}


sub name {
    return der(SEQUENCE, map {
        my ($oid, $tag, $value) = @$_;
        der(SET, der(SEQUENCE, $oid, der($tag, $value)));
    } @_);
}


sub certificate {
    my ($path, %option) = @_;

    my $key = $option{key};
    my $public = `openssl pkey -in "$key" -pubout -outform DER`;

    die "openssl pkey failed\n" if $?;

    my $alt = $option{alt}
        ? der(0xa3, der(SEQUENCE, der(SEQUENCE, ALT, der(OCTETS,
              der(SEQUENCE, @{ $option{alt} })))))
        : '';

    my $tbs = der(SEQUENCE,
        der(0xa0, der(INTEGER, "\x02")),
        der(INTEGER, $option{serial} // "\x01"),
        ECDSA,
        $option{issuer} // name([ CN, UTF8, 'nobody' ]),
        der(SEQUENCE, der(TIME, '260101000000Z'), der(TIME, '491231235959Z')),
        $option{subject} // name([ CN, UTF8, 'alice' ]),
        $public, $alt);

    my $signature = der(BITS, "\0", der(SEQUENCE, (der(INTEGER, "\x01")) x 2));
    my $text = encode_base64(der(SEQUENCE, $tbs, ECDSA, $signature));

    write_file("$path.crt", "-----BEGIN CERTIFICATE-----\n$text"
                            . "-----END CERTIFICATE-----\n");

    return ("$path.crt", $key);
}

1;
