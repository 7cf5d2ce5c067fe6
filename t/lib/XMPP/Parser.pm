package XMPP::Parser;

# The parser alone, in t/parse/driver.c, and XML::LibXML as its judge.
#
#   my $parser = XMPP::Parser->new;     # compiled with the sanitizers
#   my @events = $parser->parse(@streams);
#               # of each stream: its events, one a line, the same for whatever
#               # pieces it was handed over in, see t/parse.t
#   my @results = $parser->drive([ KIND => $bytes ], ...);   # see the driver
#   my $events = XMPP::Parser::judged($stream);
#               # what these have to be, by XML::LibXML; a stream that was not
#               # closed is closed for it
#   my $events = XMPP::Parser::tree($document);     # undef if it is none
#   $parser->said               # what the compiler said
#
# Strings in events have percent escapes, as octets($characters) and
# escape($bytes) make them; unescape($text) takes them away.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp ();
use XML::LibXML;

use XMPP::Files;
use XMPP::Nginx;

our @EXPORT_OK = qw(escape judged octets tree unescape);

# Leaks are looked for elsewhere: it does not work in every container.
my %environment = (ASAN_OPTIONS => 'detect_leaks=0',
                   UBSAN_OPTIONS => 'print_stacktrace=1');

my %namespace = (
    '' => 'none',
    'jabber:client' => 'client',
    'jabber:server' => 'server',
    'http://etherx.jabber.org/streams' => 'stream',
    'urn:ietf:params:xml:ns:xmpp-tls' => 'tls',
    'urn:ietf:params:xml:ns:xmpp-sasl' => 'sasl',
    'http://www.w3.org/XML/1998/namespace' => 'xml',
);


sub new {
    my ($class) = @_;

    my $top = XMPP::Nginx->top;
    my ($src, $here) = ("$top/src/mail", "$top/t/parse");

    my $self = bless {
        dir => File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1,
                                  CLEANUP => !$ENV{TEST_NGINX_LEAVE})
    }, $class;

    my $command = join ' ', $ENV{CC} || 'cc',
        '-W -Wall -Werror -g -O1 -fsanitize=address,undefined',
        "-fno-sanitize-recover=all -o $self->{dir}/driver",
        "-I$here -I$here/stub -I$src",
        (map { "$here/$_.c" } qw(driver ways stub/ngx_core)),
        map { "$src/ngx_mail_xmpp_$_.c" }
            qw(parse tag namespace text jid write);

    $self->{said} = `$command 2>&1`;
    die "no driver:\n$self->{said}" if $?;

    return $self;
}


sub said { $_[0]{said} }


sub parse {
    my ($self, @streams) = @_;

    return $self->drive(map { [ parse => $_ ] } @streams);
}


sub drive {
    my ($self, @cases) = @_;

    my $dir = $self->{dir};
    local @ENV{keys %environment} = values %environment;

    write_file("$dir/cases", join '', map {
        "$_->[0] " . length($_->[1]) . "\n$_->[1]\n"
    } @cases);

    my $status = system "$dir/driver < $dir/cases > $dir/out 2> $dir/err";
    my @results = split /^\.\n/m, read_file("$dir/out");

    # A sanitizer's report ends the driver, and with it all other results.
    if ($status || -s "$dir/err" || @results != @cases) {
        push @results, ("crashed\n") x (@cases - @results);
        $results[-1] .= "status $status\n" . read_file("$dir/err");
    }

    # Attributes have no order.
    s/^((?:header \d+ \S+|start \d+) \S+ \S+) (.*)$/
      join ' ', $1, sort split ' ', $2/gem for @results;

    return @results;
}


sub judged {
    my ($stream) = @_;

    my $all = tree($stream);
    return $all if defined $all;

    $all = tree("$stream</stream:stream>") // return "not XML: $@\n";

    # The parser has not seen this end.
    $all =~ s/^close .*\nclosed \d+\n\z/again 1\n/m;

    return $all;
}


sub tree {
    my ($bytes) = @_;

    # The parser lets white space be in front: a restarted stream has it.
    my $space = $bytes =~ s/^([ \t\r\n]+)// ? length $1 : 0;
    my $document = eval {
        XML::LibXML->new(no_network => 1)->parse_string($bytes);
    } or return;

    my $length = $space + length($bytes =~ s/[ \t\r\n]+\z//r);

    return _elements($document->documentElement, 0) . "closed $length\n";
}


sub _elements {
    my ($element, $depth) = @_;

    my $ns = _namespace($element->namespaceURI);
    my $name = octets($element->localname);
    my @child = grep { $_->nodeType == XML_ELEMENT_NODE } $element->childNodes;

    my @attribute = sort map {
        octets($_->nodeName) . '='
            . octets($_->nodeType == XML_NAMESPACE_DECL ? $_->declaredURI
                                                         : $_->value)
    } $element->attributes;

    my @inside = map { _elements($_, $depth + 1) } @child;

    if (!$depth) {
        my $default = _namespace($element->lookupNamespaceURI(''));

        return join '', join(' ', "header 0 $ns $default $name", @attribute),
                        "\n", @inside, "close 0 $ns $name\n";
    }

    my $text = @child ? '' : octets($element->textContent);

    return join '', join(' ', "start $depth $ns $name", @attribute), "\n",
                    @inside, "end $depth $ns $name $text\n";
}


sub _namespace { $namespace{ $_[0] // '' } || 'other' }


sub octets {
    my ($characters) = @_;

    utf8::encode($characters);

    return escape($characters);
}


sub escape {
    my ($bytes) = @_;

    return $bytes =~ s/([^!-\$&-<>-~])/sprintf '%%%02X', ord $1/ger;
}


sub unescape {
    my ($text) = @_;

    return $text =~ s/%(..)/chr hex $1/ger;
}

1;
