#!/usr/bin/perl

# misc/rebase: what it says of a release that the series applies to, and the
# way to take in one that it does not apply to.  All in a copy.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More tests => 56;

use File::Basename qw(basename);

use XMPP::Build;

my $dir = copy(qw(auto src misc t));

# For an nginx that is soon built.
my @small = qw(--without-http --without-select_module --without-poll_module
               --with-cc-opt=-O0);

my ($source) = source();
$source = $source ? $source =~ s/^--nginx=//r : 'distro';

my $tarball = tarball($source);
chomp(my $release = `auto/release '$tarball'`);
chomp(my $series = `auto/series '$release'`);
my $base = basename($series);

my @patch = sort glob "$series/*.patch";
my $all = @patch . '/' . @patch;

system('cp', '-R', 'src/patches', 'before');

# A test for those that are built here.
put('t/loads.t', <<'END');
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More tests => 2;
use XMPP::Nginx;

is(XMPP::Nginx->new->conf_error('mail { auth_http 127.0.0.1:%{auth_port};'
       . ' server { listen 127.0.0.1:%{client_port}; protocol xmpp; } }'),
   undef, '"protocol xmpp" is known');
ok(-x $ENV{TEST_NGINX_BINARY}, 'TEST_NGINX_BINARY');
END


# A release that it applies to, and the one that it was made for.

rebase(0, '--no-build', $base, $release);
row(qr/$base +\S+ +$base +$all +none +- +-/, 'the release itself: no offsets');
row(qr/\Q$release\E +\S+ +$base +$all +(?:none|\d+ \(largest \d+\)) +- +-/,
    'the release under test');
unchanged('the patches are left alone');

works('refreshed', 'misc/refresh', "objs/rebase/nginx-$base", $series);
is($said, '', 'nothing to refresh');
unchanged('the same patches, byte for byte');


# A patch is edited: its commit is.

my $tree = "objs/rebase/nginx-$base";

edit("$tree/src/mail/ngx_mail.h", sub { $_[0] .= "/* edited */\n" });
isnt(run('misc/refresh', $tree, $series), 0, 'not committed: refused');
run('misc/git', $tree, qw(commit -q -a --amend --no-edit)) == 0 or die $said;
run('misc/git', $tree, qw(checkout -q HEAD^)) == 0 or die $said;
isnt(run('misc/refresh', $tree, $series), 0, 'not the last patch: refused');
unchanged('the patches are left alone');
run('misc/git', $tree, qw(checkout -q series)) == 0 or die $said;
works('edited: refreshed', 'misc/refresh', $tree, $series);
is($said, 'changed ' . basename($patch[-1]) . "\n", 'edited: that patch only');
like(text($patch[-1]), qr{^\+/\* edited \*/$}m, 'edited: it is in the patch');
rebase(0, '--no-build', $base);
row(qr/$base +\S+ +$base +$all +none +- +-/, 'edited: applies');
restore();


# What can not be had.

{
    local $ENV{PATH} = without(qw(apt-get apt-cache curl wget));

    edit('auto/releases', sub { $_[0] .= '1.98.0 ' . '0' x 64 . "\n" });

    rebase(0, '--no-build');
    row(qr/$base +\S+ +$base +$all +none +- +-/, 'all releases: a known one');
    row(qr/1\.98\.0 +not to be had +- +- +- +- +-/,
        'all releases: one that can not be had');

    rebase(1, '--no-build', '1.98.0');
    row(qr/1\.98\.0 +not to be had/, 'it was asked for: an error');
}

rebase(1, '--no-build', '0.8.55');
rebase(1, '--no-build', 'nowhere');
row(qr/\? +nowhere +none/, 'a folder that is not there');


# A new release: something has moved, and a line is another one.

my $hunk = hunk();
my ($file, $function, $line) = @$hunk{qw(file function line)};

unpack_to('new', '1.99.0');
edit("new/$file", sub {
    $_[0] =~ s{^\Q$line\E$}{$line /* new */}m or die "no such line: $line\n";
    $_[0] = "/* new */\n" x 7 . $_[0];
});

rebase(1, '--tests=loads', @small, 'new');
like($said, qr/^\Q$hunk->{patch}\E does not apply to new:$/m,
     'new release: the patch is named');
like($said, qr/^  \Q$file\E, \Q$function\E\(\), now at line \d+:$/m,
     'new release: file and function are named');
is(join('', map { "    $_\n" } grep { /^[-+]/ } @{ $hunk->{lines} }),
   join('', $said =~ /^  \Q$file\E, .*?^(    [-+].*?)^Its other/ms
            ? grep { /^    [-+]/ } $1 =~ /^.*\n/mg : ()),
   'new release: the hunk is shown');
my $offsets = $said;
row(qr/1\.99\.0 +new +$base +\d+\/\d+, stopped +- +- +-/,
    'new release: stopped');
unchanged('new release: nothing is written yet');

rebase(1, $base);
like($said, qr/stopped at: --continue, --skip or --abort/,
     'new release: another run is refused');
rebase(1, '--continue');
like($said, qr/there are still: \S*\.rej/,
     'new release: rejects have to be dealt with');

my ($fixed, $status) = 0;

do {
    fix('objs/rebase/nginx-1.99.0');
    $status = run('misc/rebase', '--continue');
    $offsets .= $said;
}
while ($status && $said =~ /does not apply to new/ && ++$fixed < @patch);

is($status, 0, 'new release: fixed') or diag($said);
row(qr/1\.99\.0 +new +1\.99\.0 +$all, made anew +none +ok +2\/2/,
    'new release: applies, is built, passes tests');
like($offsets, qr/^    \Q$file\E: hunk \d+ at line \d+, offset 7 lines$/m,
     'new release: offsets are shown');
like(text("src/patches/1.99.0/$hunk->{patch}"), qr{^ \Q$line\E /\* new \*/$}m,
     'new release: its own patch has the new line');
is(`diff -r before/$base src/patches/$base`, '',
   'new release: the older ones keep theirs');

rebase(0, '--no-build', 'new', $base);
row(qr/1\.99\.0 +new +1\.99\.0 +$all +none +- +-/,
    'once more: its own patches apply');
row(qr/$base +\S+ +$base +$all +none +- +-/,
    'once more: the older release has its own');


# What fails is not passed over.

put('t/fails.t', "use Test::More tests => 4;\nok(\$_) for 1, 0, 1;\n");
rebase(1, '--tests=fails', @small, 'new');
row(qr/1\.99\.0 .* ok +2\/4 FAILED/, 'a test fails: an error');

edit('new/src/core/nginx.c', sub { $_[0] .= "#error of ours\n" });
rebase(1, '--tests=fails', @small, 'new');
row(qr/1\.99\.0 .* FAILED +-/, 'the build fails: an error');
like($said, qr/#error of ours/, 'the build fails: what it said');

restore();


# A release that has the first patch already.

unpack_to('merged', '1.99.1');
run('sh', '-c', "patch -d merged -p1 -s -F0 < $patch[0]") == 0 or die $said;

rebase(1, '--no-build', 'merged');
like($said, qr/^\Q${\ basename($patch[0])}\E does not apply/m,
     'merged: the first patch is named');

# in the tree is what there was
system('find objs/rebase/nginx-1.99.1 -name "*.rej" -delete');
run('misc/git', 'objs/rebase/nginx-1.99.1', qw(reset -q --hard));
rebase(1, '--continue');
like($said, qr/--skip/, 'merged: told to skip it');

rebase(0, '--skip');
my $rest = (@patch - 1) . '/' . (@patch - 1);
row(qr/1\.99\.1 +merged +1\.99\.1 +$rest, made anew +none/,
    'merged: the others apply');
restore();

rebase(1, '--no-build', 'merged');
rebase(0, '--abort');
unchanged('given up: nothing is written');
rebase(1, '--continue');


sub rebase {
    my ($want, @argument) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $status = run('misc/rebase', @argument);

    is($status, $want, "misc/rebase @argument: status $want")
        or diag($said =~ /((?:[^\n]*\n){0,40}\z)/);
}


sub row {
    my ($regex, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($table) = $said =~ /^(release +source.*)\z/ms;

    like($table, qr/^$regex(?: |$)/m, $name);
}


sub unchanged {
    my ($name) = @_;

    is(`diff -r before src/patches 2>&1`, '', $name);
}


sub restore {
    system('rm', '-rf', 'src/patches');
    system('cp', '-R', 'before', 'src/patches');
}


# The release as it is, without the distribution's changes.
sub tarball {
    my ($source) = @_;

    run('auto/source', $source) == 0 or die $said;
    my ($file) = $said =~ /^(\S+)\n\z/m or die $said;

    return $file =~ /\.dsc$/ ? $file =~ s/-[^-]*$/.orig.tar.gz/r : $file;
}


# The release that the series is for, by another name.
sub unpack_to {
    my ($to, $version) = @_;

    run('auto/unpack', tarball($base), $to) == 0 or die $said;
    edit("$to/src/core/nginx.h", sub {
        $_[0] =~ s/(NGINX_VERSION +")[\d.]+/$1$version/ or die;
    });
}


# A hunk in the middle of a function, with a first line that is nginx's own and
# stands nowhere else.
sub hunk {
    my ($patch, $file, $hunk, @hunk, %removed, %nginx);

    for my $path (@patch) {
        for (split /\n/, text($path)) {
            if (/^diff --git/) {
                undef $hunk;
            } elsif (m{^\+\+\+ b/(.*)} && !$hunk) {
                $file = $1;
            } elsif (/^@@ .*? @@ ?(.*)/) {
                push @hunk, $hunk = { patch => basename($path), file => $file,
                                      function => $1, lines => [] };
            } elsif ($hunk && /^[-+ ]/) {
                push @{ $hunk->{lines} }, $_;
                $removed{"$file:$1"} = 1 if /^-(.*)/;
            }
        }
    }

    unpack_to('search', '1.99.0');

    for my $hunk (reverse @hunk) {
        my $file = $hunk->{file};
        my ($line) = $hunk->{lines}[0] =~ /^ (.*\S)$/ or next;

        next if $file !~ m{^src/mail/.*\.c$} || $line =~ m{[*\\]};
        next if $hunk->{function} !~ s/^(ngx_\w+)\(.*/$1/;
        next if $removed{"$file:$line"};
        next if grep { /^ \w+\(/ } @{ $hunk->{lines} };
        next if 1 != (() = text("search/$file") =~ /^\Q$line\E$/mg);

        return { %$hunk, line => $line };
    }

    die "no hunk for this test\n";
}


# As a maintainer would: the change is the same, in other surroundings.
sub fix {
    my ($tree) = @_;

    for my $reject (split /\n/, `find $tree -name '*.rej'`) {
        my $file = $reject =~ s/\.rej$//r;

        run(qw(patch -s -f -F2), $file, $reject) == 0 or die $said;
        unlink $reject;
    }
}


sub text {
    my ($file) = @_;

    open my $in, '<', $file or die "$file: $!\n";
    local $/;

    return scalar <$in>;
}


sub put {
    my ($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out;
}


sub edit {
    my ($file, $change) = @_;

    my $text = text($file);
    $change->($text);
    put($file, $text);
}
