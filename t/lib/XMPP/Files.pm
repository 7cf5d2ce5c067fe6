package XMPP::Files;

# Files as a whole.
#
#   read_file($path)            its bytes
#   write_file($path, $bytes)   makes it, or replaces what is in it

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(read_file write_file);


sub read_file {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";
    local $/;

    return scalar <$file>;
}


sub write_file {
    my ($path, $bytes) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    print $file $bytes;
    close $file or die "$path: $!\n";
}

1;
