#!/usr/bin/perl

# misc/export: the patches of a release, applied to that release, make the same
# nginx as auto/configure does, and they are the same bytes wherever they are
# made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use File::Basename qw(basename);

use XMPP::Build;
use XMPP::Nginx;

my $top = XMPP::Nginx->top;
my $dir = copy(qw(auto src misc));

# The release under test, as it was released.
my ($source) = source();
$source = $source ? $source =~ s/^--nginx=//r : 'distro';

run('auto/source', $source) == 0 or die $said;
my ($tarball) = $said =~ /^(\S+)$/m;
$tarball = $said =~ s/-[^-]*$/.orig.tar.gz/r if $said =~ /\.dsc$/;
chomp $tarball;
chomp(my $release = `auto/release '$tarball'`);
chomp(my $series = `auto/series '$release'`);

# Tests of the nginx that is built here, which is one like others.
my @try = qw(module sasl_plain starttls);

my @name = map { basename($_) } glob "$series/*.patch";
my @configure = (qw(./configure --with-mail --with-mail_ssl_module),
                 qw(--without-http), '--with-cc-opt=-O0 -g0');

plan tests => 22 + 5 * @name + @try;


# What is written.

works('exported', 'misc/export', $source, 'first');
is_deeply([ names('first') ], [ @name, "nginx-$release-xmpp.diff" ],
          'a patch of each in the series, and one of all');

for my $name (@name) {
    my $text = text("first/$name");

    ok($text =~ /\AFrom\ 0{40}\ .+\nFrom:\ .+\ <.+>\nSubject:\ .+\n\n
                 (?:.*\n)+?\ndiff\ --git\ /x, "$name: a mail");
    ok($text !~ /^(?:Date: |index |-- $)|\Q$dir\E/m,
       "$name: nothing of this time and place");
}

works('exported again', 'misc/export', $source);
is(`diff -r first objs/export/$release 2>&1`, '', 'the same again');

open my $other, '>', 'first/0099-other.patch' or die;
close $other;
isnt(run('misc/export', $source, 'first'), 0,
     'a folder with other patches: refused');
like($said, qr{already: \S*/first/0099-other\.patch}, 'and says why');
unlink 'first/0099-other.patch';

isnt(run('misc/export'), 0, 'without a release: refused');
isnt(run('misc/export', '0.8.55'), 0, 'a release without patches: refused');


# From another copy, for another user, elsewhere.

mkdir $_ or die for qw(elsewhere elsewhere/objs home home/.config
                       home/.config/git);
system('cp', '-R', (map { "$top/$_" } qw(auto src misc)), 'elsewhere/');
symlink "$top/objs/sources", 'elsewhere/objs/sources';
system(q(find elsewhere/src -type f -exec touch -d 2001-01-01 {} +));
system(q(chmod -R go= elsewhere/src; chmod u+x elsewhere/src/mail/*.c));

put('home/.gitconfig', <<'END');
[user]
    name = Somebody Else
    email = else@example.test
[core]
    autocrlf = true
    abbrev = 5
    quotePath = false
[diff]
    noprefix = true
    algorithm = histogram
    context = 7
    renames = copies
    external = /bin/false
    orderFile = /dev/null
    colorMoved = zebra
[color]
    ui = always
[format]
    signature = me
    numbered = true
[commit]
    gpgSign = true
END
put('home/.config/git/attributes', "*.c diff=cpp text eol=crlf\n*.h -diff\n");

{
    local %ENV = (%ENV, HOME => "$dir/home", TZ => 'Pacific/Chatham',
                  LANG => 'C.UTF-8', LC_ALL => 'C.UTF-8',
                  GIT_DIR => '/nowhere', GIT_DIFF_OPTS => '-u9',
                  GIT_AUTHOR_NAME => 'Nobody',
                  GIT_AUTHOR_DATE => '2001-01-01T00:00:00Z');
    delete $ENV{XDG_CONFIG_HOME};

    my $umask = umask 077;

    mkdir 'far';
    chdir 'far';
    works('exported elsewhere', "$dir/elsewhere/misc/export", $tarball =~
          m{^/} ? $tarball : "$dir/$tarball", 'away');
    chdir $dir;
    umask $umask;
}

is(`diff -r first far/away 2>&1`, '', 'the same elsewhere');


# The combined patch makes the tree of auto/configure.

unpack_to('whole');
works('the combined patch applies', qw(patch -d whole -p1 -F0 -N -s -i),
      "$dir/first/nginx-$release-xmpp.diff");

run('auto/tree', $tarball) == 0 or die $said;
my ($tree) = $said =~ m{^(objs/nginx-\S+)$}m;
run('auto/link', $tree) == 0 or die $said;
system('cp', '-RL', $tree, 'expected');
unlink 'expected/.stamp';

is(`diff -r expected whole 2>&1`, '', 'and makes what auto/configure has');


# One by one; after each of them the mail proxy can be built.

unpack_to('one');
chdir 'one';

works('nginx itself: configured', @configure);

for my $name (@name) {
    works("$name: applies", qw(patch -p1 -F0 -N -s -i), "$dir/first/$name");

    if (text("$dir/first/$name") =~ m{^\+\+\+ b/auto/}m) {
        run(@configure) == 0 or diag $said;
    }

    my @object = map { "objs/$_" =~ s/c$/o/r } glob 'src/mail/*.c';

    works("$name: compiled", qw(make -f objs/Makefile), jobs(), @object);
    is(missing(@object), '', "$name: nothing is missing");
}

chdir $dir;
system(qw(rm -rf one/objs one/Makefile));
is(`diff -r whole one 2>&1`, '', 'the same tree again');


# By git.

unpack_to('git');

{
    local %ENV = (%ENV, GIT_CONFIG_GLOBAL => '/dev/null');

    my @git = qw(git -C git -c user.name=me -c user.email=me@example.test);

    run(@git, qw(init -q -b main)) == 0 or die $said;
    run(@git, qw(add -A -f)) == 0 or die $said;
    run(@git, qw(commit -q -m nginx)) == 0 or die $said;

    works('git am', @git, 'am', map { "$dir/first/$_" } @name);

    run(@git, qw(log --reverse --format=%s), 'HEAD~' . @name . '..');
    is($said, join('', map { text("first/$_") =~ /^Subject: (.*\n)/m } @name),
       'git am: the subjects');

    run(@git, qw(log -1 --format=%b));
    my ($body) = text("first/$name[-1]")
                 =~ /^Subject: .*?\n\n(.*?)\ndiff --git/ms;
    is($said, "$body\n", 'git am: the text');

    system(qw(rm -rf git/.git));
    is(`diff -r whole git 2>&1`, '', 'git am: the same tree again');
}


# It is built as nginx is, and works.

chdir 'whole';
works('configured', qw(./configure --with-mail --with-mail_ssl_module),
      '--with-cc-opt=-O0 -g0');
works('built', 'make', jobs());
is(try_conf('objs/nginx'), undef, '"protocol xmpp" is known then');
chdir $top;

for my $name (@try) {
    local $ENV{TEST_NGINX_BINARY} = "$dir/whole/objs/nginx";
    delete local $ENV{TEST_NGINX_MODULE};

    works("it passes t/$name.t", $^X, "t/$name.t");
}

# nginx's own makefile knows nothing of this repository
chdir $dir;
run('strings', '-a', 'whole/objs/nginx');
unlike($said, qr{\Q$top\E/(?:src|objs)}, 'and nothing in it is from here');


sub names { sort map { basename($_) } glob "$_[0]/*" }


# Functions and data of the mail proxy that are used and not there.
sub missing {
    my (@object) = @_;

    my (%there, %used);

    run('nm', @object) == 0 or return $said;

    for (split /\n/, $said) {
        next unless /([A-Za-z]) (ngx_mail_\w+)$/;
        ($1 eq 'U' ? $used{$2} : $there{$2}) = 1;
    }

    return join ' ', sort grep { !$there{$_} } keys %used;
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


sub unpack_to {
    my ($to) = @_;

    run('auto/unpack', $tarball, $to) == 0 or die $said;
}
