package XMPP::Injection;

# What has a meaning in HTTP, in XML, in base64, in the log or on a terminal,
# and what becomes of it in each of them.  Byte strings.
#
#   %hostile                    by their names: what stands inside of a value
#   is_xml($bytes)              XML can express it
#   xml($bytes)                 ... in a text or in the value of an attribute
#   is_local($bytes), is_domain($bytes)     as parts of a JID
#   escaped($bytes)             as the value of a header of auth_http
#   text($bytes)                as a text that nginx sends
#   dn($bytes)                  as a value in a distinguished name (RFC 2253)
#   utf8($bytes)                the characters, undef if it is no UTF-8
#
# The rules are those of the documents, not those of our code in C.

use strict;
use warnings;

use Encode ();
use Exporter 'import';

our @EXPORT = qw(%hostile is_xml xml is_local is_domain escaped text dn utf8);

my $marker = 'injected';

# What stands in the middle of each value.
our %hostile = (
    'an apostrophe'     => "'",
    'a quote'           => '"',
    'less-than'         => '<',
    'greater-than'      => '>',
    'an ampersand'      => '&',
    'an entity'         => '&lt;',
    'the end of CDATA'  => ']]>',
    'an end tag'        => "'/></auth><$marker/>",
    'a new attribute'   => "' $marker='1",
    'CR'                => "\r",
    'LF'                => "\n",
    'CR LF'             => "\r\n",
    'a header'          => "\r\nX-$marker: 1\r\nAuth-Pass: $marker",
    'a second request'  => "\r\n\r\nGET /$marker HTTP/1.0\r\n\r\n",
    'a line of a log'   => "\n2026/01/01 00:00:00 [notice] 1#1: $marker",
    'TAB'               => "\t",
    'a space'           => ' ',
    'NUL'               => "\0",
    'NUL and more'      => "\0$marker\0",
    'backspaces'        => "\x08\x08\x08",
    'an escape'         => "\e[2J\e]0;$marker\a",
    'DEL'               => "\x7f",
    'NEL'               => "\xc2\x85",
    'CSI of C1'         => "\xc2\x9b2J",
    'a soft hyphen'     => "\xc2\xad",
    'a line separator'  => "\xe2\x80\xa8",
    'right to left'     => "\xe2\x80\xae",
    'BOM'               => "\xef\xbb\xbf",
    'at'                => '@',
    'a domain'          => '@other.test',
    'a slash'           => '/',
    'a path'            => '/../../etc/passwd',
    'a backslash'       => '\\',
    'a colon'           => ': ',
    'a comma'           => ', ',
    'percent'           => '%',
    'escaped CR LF'     => '%0d%0a',
    'escaped CR LF, and a header' => "%0D%0AX-$marker:%201",
    'twice escaped'     => '%250d%250a',
    'a format'          => '%s%n%V%*s%999999d',
    'a variable'        => '${jndi:ldap://127.0.0.1/x}$http_host',
    'a dollar'          => '$1',
    'a semicolon'       => '; rm -rf .',
    'letters'           => 'żółć',
    'an emoji'          => "\xf0\x9f\xa6\x8a",
    'Latin-1'           => "caf\xe9",
    'half a character'  => "\xe2\x82",
    'a surrogate'       => "\xed\xa0\x80",
    'an overlong LF'    => "\xc0\x8a",
    'the byte FF'       => "\xff",
    'equal signs'       => '==',
);


sub utf8 {
    my ($bytes) = @_;

    return eval { Encode::decode('UTF-8', $bytes, Encode::FB_CROAK) };
}


sub is_local {
    my $text = utf8($_[0]) // return 0;

    return $text !~ m{["&'/:<>\@\x00-\x20\x7f-\xa0\x{200b}\x{200e}\x{200f}
                       \x{2028}-\x{202f}\x{2060}-\x{206f}\x{feff}
                       \x{fff9}-\x{ffff}\x{e000}-\x{f8ff}]}x
           && length $_[0] && length $_[0] <= 1023;
}


sub is_domain {
    return 0 if !is_local($_[0]) || $_[0] =~ /[^0-9A-Za-z.\x80-\xff-]/;
    return !grep { $_ eq '' || /^-|-$/ || !/[\x80-\xff]/ && length > 63 }
                 split /\./, $_[0], -1;
}


sub xml    { $_[0] =~ s/([<>&'"\t\r\n])/'&#' . ord($1) . ';'/ger }
sub is_xml { defined utf8($_[0]) && $_[0] !~ /[\0-\x08\x0b\x0c\x0e-\x1f]/ }


sub escaped { $_[0] =~ s/([\0-\x20%])/sprintf '%%%02X', ord $1/ger }


sub text {
    my ($bytes) = @_;

    my $out = '';

    while ($bytes =~ /\G(?: ([\x09\x0a\x0d\x20-\x7f])
        | ([\xc2-\xdf][\x80-\xbf] | \xe0[\xa0-\xbf][\x80-\xbf]
          | \xed[\x80-\x9f][\x80-\xbf] | [\xe1-\xec\xee\xef][\x80-\xbf]{2}
          | \xf0[\x90-\xbf][\x80-\xbf]{2} | [\xf1-\xf3][\x80-\xbf]{3}
          | \xf4[\x80-\x8f][\x80-\xbf]{2})
        | ([\x80-\xff]+ | .))/gxs)
    {
        $out .= $2 // (defined $3 ? "\xef\xbf\xbd" : $1);
    }

    my %entity = ("'" => 'apos', '"' => 'quot', '<' => 'lt', '>' => 'gt',
                  '&' => 'amp', "\t" => '#9', "\n" => '#10', "\r" => '#13');

    return $out =~ s/([<>&'"\t\r\n])/&$entity{$1};/gr;
}


sub dn {
    my ($bytes) = @_;

    $bytes =~ s/([,+"\\<>;])/\\$1/g;
    $bytes =~ s/([^ -~])/sprintf '\\%02X', ord $1/ge;

    return $bytes;
}

1;
