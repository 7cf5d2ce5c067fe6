#!/usr/bin/perl

# The targets of misc/fuzz without a fuzzer: each is built with
# AddressSanitizer and UBSan, by whatever compiler there is, and gets all of
# the inputs that are kept in misc/fuzz/corpus, of the defects that were found
# as well.

use strict;
use warnings;

use FindBin;
use Cwd qw(abs_path);
use File::Temp ();

use Test::More;

my $top = abs_path("$FindBin::Bin/..");
my $dir = File::Temp->newdir('nginx-xmpp-XXXXXX', TMPDIR => 1,
                             CLEANUP => !$ENV{TEST_NGINX_LEAVE});

chdir $top or die "$top: $!\n";
END { chdir '/'; undef $dir }

my @targets = map { m{/build-([^/]+)$} } sort glob 'misc/fuzz/build-*';

plan tests => 1 + 4 * @targets;

cmp_ok(@targets, '>', 0, 'targets');

my @flags = ('-O1', '-g', '-fno-omit-frame-pointer',
             '-fsanitize=address,undefined',
             '-fno-sanitize-recover=undefined');

$ENV{CC} ||= 'cc';

# Leaks are looked for elsewhere: it does not work in every container.
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

delete $ENV{LIB_FUZZING_ENGINE};

for my $target (@targets) {
    my $binary = "$dir/$target";
    my $seeds = "misc/fuzz/corpus/$target";
    my @files = glob "$seeds/*";

    ok(-f "misc/fuzz/$target.c" && @files, "$target: has inputs");

    my $said = output("misc/fuzz/build-$target", $binary, @flags);

    is($?, 0, "$target: built") or diag($said);

    $said = output($binary, $seeds);

    # the names of what came before the last one tell nothing
    my $end = join '', grep { defined } ($said =~ /.*\n/g)[-40 .. -1];

    is($?, 0, "$target: nothing is found") or diag($end);
    like($end, qr/^${\ scalar @files} inputs$/m, "$target: all were tried");
}


# What a command says; its status is in $?.

sub output {
    open my $pipe, '-|', 'sh', '-c', '"$@" 2>&1', 'sh', @_ or die "sh: $!\n";
    my $said = join '', <$pipe>;
    close $pipe;

    return $said;
}
