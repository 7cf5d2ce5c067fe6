package XMPP::Interop::Table;

# docs/interop.md: what XMPP::Interop's runs came to.
#
#   my $table = XMPP::Interop::Table->new(@runs);
#   $table->text
#   $table->write($all)     # docs/interop.md; the rows of other clients stay,
#                           # unless these are all
#   $table->differs         # what docs/interop.md says otherwise, apart from
#                           # dates and versions; of clients that took part

use strict;
use warnings;

use POSIX ();

use XMPP::Files;
use XMPP::Nginx;

my $path = XMPP::Nginx->top . '/docs/interop.md';

my @column = qw(Client Library Version Mechanism STARTTLS Direct Servers IPv6);

my @server = (prosody => 'Prosody', ejabberd => 'ejabberd',
              jabberd2 => 'jabberd2');


sub new {
    my ($class, @run) = @_;

    my (%row, @name, @note);

    for my $run (@run) {
        my $name = $run->{client}{name};

        push @name, $name if !$row{$name};
        push @{ $row{$name} }, $run;
    }

    my $self = bless { server => {} }, $class;

    for my $name (sort @name) {
        push @{ $self->{row} }, $self->_row(@{ $row{$name} });
    }

    return $self;
}


sub _row {
    my ($self, @run) = @_;

    my $about = $run[0]{client}{about};
    my $good = sub { grep { !$_->{except} && !$_->{result}{why} } @_ };
    my ($mechanism) = grep { defined } map { $_->{result}{mechanism} } @run;

    my %yes = map {
        my $tls = $_;
        ($tls => scalar $good->(grep { $_->{tls} eq $tls
                                       && $_->{server} eq 'prosody' } @run))
    } qw(starttls direct);

    my %passed = map { $_->{server} => 1 } $good->(@run);
    my %name = @server;

    $self->{server}{$_} = 1 for keys %passed;

    return {
        Client => $about->{client}, Library => $about->{library} // '',
        Version => _version($about->{version}),
        Mechanism => $mechanism // '',
        STARTTLS => $yes{starttls} ? 'yes' : 'no',
        Direct => $yes{direct} ? 'yes' : 'no',
        Servers => join(', ', map { $name{$_} }
                              grep { $passed{$_} } @server[0, 2, 4]),
        IPv6 => $good->(grep { $_->{six} } @run) ? 'yes' : 'no',
        note => $about->{note},
    };
}


sub _version {
    my ($command) = @_;

    my $modules = XMPP::Nginx->top . '/objs/test/interop/node_modules';
    my ($version) = `NODE_PATH=$modules; export NODE_PATH; $command`
                    =~ /^\s*(.*?)\s*$/m;

    die "no version from: $command\n" if !defined $version || $version eq '';

    return $version;
}


sub text { _text(@{ $_[0]{row} }) }


sub _text {
    my @row = sort { lc $a->{Client} cmp lc $b->{Client} } @_;
    my (@line, @note);

    for my $row (@row) {
        my %cell = %$row;

        if (($row->{note} // '') ne '') {
            push @note, @note + 1 . ". $row->{Client}: $row->{note}\n";
            $cell{Client} .= ' [' . @note . ']';
        }

        push @line, [ @cell{@column} ];
    }

    my %head = (Direct => 'direct TLS');

    my $text = join '', map { '| ' . join(' | ', @$_) . " |\n" }
                        [ map { $head{$_} // $_ } @column ],
                        [ map { '---' } @column ], @line;

    return join '', $text, @note ? "\n" : (), @note;
}


sub _versions {
    my ($self) = @_;

    my %name = @server;

    return join ', ', map {
        "$name{$_} " . _version("dpkg-query -W -f '\${Version}' $_")
    } grep { $self->{server}{$_} } @server[0, 2, 4];
}


sub write {
    my ($self, $all) = @_;

    my @row = @{ $self->{row} };

    if (!$all && -e $path) {
        my %new = map { $_->{Client} => 1 } @row;
        my %old = _rows(read_file($path));

        push @row, map { $old{$_} } grep { !$new{$_} } keys %old;
    }

    my $nginx = XMPP::Nginx->new->version;
    my $date = POSIX::strftime('%Y-%m-%d', gmtime);
    my $servers = $self->_versions;

    write_file($path, <<"TEXT" . _text(@row));
# Clients and servers

Written by `t/run --interop --write`. Each of these clients has logged in through nginx,
the certificate checked, has sent a message with `& < > " '`, accents and an emoji to
another user, has read one like it from there, and has left: over STARTTLS and over direct
TLS to Prosody, and over one of them to the other servers. The servers are those of
[backends.md](backends.md). `t/run --interop` does it again, and compares.

$date, nginx $nginx, $servers

TEXT
}


sub differs {
    my ($self) = @_;

    my %old = -e $path ? _rows(read_file($path)) : ();
    my %new = _rows($self->text);

    return join '', map {
        my ($was, $is) = (_line($old{$_}), _line($new{$_}));
        $was eq $is ? '' : "was: $was\nis:  $is\n"
    } sort keys %new;
}


# All but the version.
sub _line {
    my ($row) = @_;

    return join ' | ', map { $row->{$_} // '' }
                       grep { $_ ne 'Version' } @column, 'note';
}


# The rows of a table, by the client.
sub _rows {
    my ($text) = @_;

    my (%row, %note);

    $note{$1} = $2 while $text =~ /^(\d+)\. [^:]*: (.*)$/mg;

    for ($text =~ /^\| (.*) \|$/mg) {
        my %cell;
        @cell{@column} = split / \| /, $_, -1;

        next if $cell{Client} =~ /^(?:Client|---)$/;

        $cell{note} = $cell{Client} =~ s/ \[(\d+)\]$// ? $note{$1} : '';
        $row{$cell{Client}} = \%cell;
    }

    return %row;
}

1;
