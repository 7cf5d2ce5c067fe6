package XMPP::Interop::Docs;

# The configurations of docs/backends.md.
#
#   my $text = block('nginx.conf');     # the block whose first line is a
#                                       # comment that ends with this
#   $text = adapted($text, qr/.../ => 'new', ...);
#                                       # each of these has to be in it

use strict;
use warnings;

use Exporter 'import';

use XMPP::Files;
use XMPP::Nginx;

our @EXPORT = qw(block adapted);


sub block {
    my ($name) = @_;

    my $text = read_file(XMPP::Nginx->top . '/docs/backends.md');

    for my $block ($text =~ /^```\w+\n(.*?)^```$/msg) {
        return $block if $block =~ m{\A\W+\s(?:/\S+/)?\Q$name\E(?: -->)?\n};
    }

    die "docs/backends.md has no $name\n";
}


sub adapted {
    my ($text, @change) = @_;

    while (my ($regex, $new) = splice @change, 0, 2) {
        $text =~ s/$regex/$new/g or die "docs/backends.md: no $regex\n";
    }

    return $text;
}

1;
