#!/usr/bin/perl

# What real clients send, through the parser: each stream that t/run --interop
# has recorded in t/interop/transcripts/, whole, byte by byte, and in pieces.
#
# nginx reads the streams before TLS and before the login, the third one is
# between the client and the server.  It is XML all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use XMPP::Files;
use XMPP::Interop;
use XMPP::Parser;

my $dir = "$FindBin::Bin/interop/transcripts";
my @file = sort glob "$dir/*.txt";
my (@stream, @expected);

for my $client (XMPP::Interop::clients()) {
    my ($name, $about) = @$client{qw(name about)};
    my %not = map { $_ => 1 } @{ $about->{except} };

    push @expected, map { $_ eq 'direct' ? "$name.direct" : $name }
                    grep { !$not{"prosody $_"} } @{ $about->{tls} };
}

for my $file (@file) {
    my ($name) = $file =~ m{([^/]+)\.txt$};

    push @stream, map { [ "$name, $_->[0]", $_->[1] ] } streams($file);
}

plan tests => 1 + @file + @stream;

is(join(' ', sort map { m{([^/]+)\.txt$} } @file), join(' ', sort @expected),
   'each client has been recorded');

# Each has what nginx has to understand.
for my $file (@file) {
    my ($name) = $file =~ m{([^/]+)\.txt$};
    my @before = $name =~ /\.direct$/ ? () : 'before TLS';

    my %has = map { $_->[0] => 1 } grep { $_->[0] =~ /^\Q$name\E, / } @stream;
    my @missing = grep { !$has{"$name, $_, 1"} }
                       @before, 'before the login', 'behind the login';

    is("@missing", '', "$name is complete");
}

my $parser = XMPP::Parser->new;
my @got = $parser->parse(map { $_->[1] } @stream);

is(shift @got, XMPP::Parser::judged($_->[1]), $_->[0]) for @stream;


# What the client has sent, cut where it began anew.
sub streams {
    my ($file) = @_;

    my $bytes = read_file($file);
    my %sent;

    while ($bytes =~ /\G>>> (\S+) \S+ (\d+)\n/gc) {
        my $at = pos $bytes;

        $sent{$1} .= substr $bytes, $at, $2;
        pos($bytes) = $at + $2 + 1;
    }

    die "$file: no entry at " . (pos($bytes) // 0) . "\n"
        if (pos($bytes) // 0) != length $bytes;

    my @found;
    my %count;

    for (map { cut($_) } grep { defined } $sent{C1}) {
        push @found, [ 'before TLS, ' . ++$count{plain}, $_ ];
    }

    for (map { cut($_) } grep { defined } $sent{C}) {
        my $what = /<auth\b/ ? 'before the login' : 'behind the login';

        push @found, [ "$what, " . ++$count{$what}, $_ ];
    }

    return @found;
}


sub cut {
    my ($bytes) = @_;

    my $header = qr/(?:<\?xml[^>]*\?>\s*)?<(?:[\w.-]+:)?stream[\s>]/;
    my @at;

    push @at, $-[0] while $bytes =~ /$header/g;

    return map {
        substr $bytes, $at[$_], ($at[$_ + 1] // length $bytes) - $at[$_]
    } 0 .. $#at;
}
