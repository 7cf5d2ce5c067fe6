package Bench::Machine;

# On what, and with what, it was measured.
#
#   my $machine = Bench::Machine::describe($bench, @arguments);
#   my $load = Bench::Machine::load();          # what else is running
#   my @client = Bench::Machine::client($file);
#                               # what stands before the command of a client, so
#                               # that all fronts have the same to do
#   my $tls = Bench::Machine::tls($bench, $front);      # what it negotiates

use strict;
use warnings;

use POSIX ();

use Bench::Kernel;
use XMPP::Files;


sub describe {
    my ($bench, @argument) = @_;

    my ($model) = read_file('/proc/cpuinfo') =~ /^model name\s*: (.*)/m;
    my ($memory) = read_file('/proc/meminfo') =~ /^MemTotal: +(\d+)/m;
    my ($system) = read_file('/etc/os-release') =~ /^PRETTY_NAME="?([^"\n]*)/m;

    my $core = $bench->{core};
    my @argument_shown = grep { !/^--(?:binary|module|out)=/ } @argument;

    return {
        processor => $model // _said('uname', '-m'),
        cores => 0 + _said('nproc'),
        memory_gb => sprintf('%.0f', $memory / 1024 / 1024) + 0,
        system => $system // '',
        kernel => _said('uname', '-r'),
        files => files() + 0,
        load => load(),
        pinned => "front on core $core->{front}, generator on $core->{load},"
                  . " backend on $core->{stub}",
        commit => _commit(),
        date => POSIX::strftime('%Y-%m-%d', gmtime),
        command => join(' ', 'misc/bench/run', @argument_shown),
        versions => {
            nginx => _said($bench->{binary}, '-v') =~ m{nginx/(\S+)},
            openssl => _said('openssl', 'version') =~ /^OpenSSL (\S+)/,
            (map { $_ => _package($_) } grep { _package($_) }
                 qw(haproxy stunnel4 prosody ejabberd)),
        },
    };
}


# Of others, when a run starts.
sub load { return 0 + (split ' ', read_file('/proc/loadavg'))[0] }


sub _said {
    my (@command) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    my $said = do { local $/; <$out> } // '';
    close $out;
    $said =~ s/\s+\z//;

    return $said;
}


sub _package {
    my ($name) = @_;

    my $said = _said('dpkg-query', '-W', '-f', '${Status} ${Version}', $name);

    return $said =~ /^install ok installed (\S+)/ ? $1 : undef;
}


sub _commit {
    my ($commit) = _said(qw(git rev-parse --short HEAD))
                   =~ /^([0-9a-f]+)$/ or return 'unknown';

    my $changed = _said(qw(git status --porcelain -- auto src misc/bench));

    return $commit . ($changed ne '' ? ' with changes' : '');
}


# Programs have different preferences; a client that knows one group leaves
# them no choice.
sub client {
    my ($file) = @_;

    write_file($file, <<'END');
openssl_conf = openssl

[openssl]
ssl_conf = ssl

[ssl]
system_default = client

[client]
Groups = X25519
Ciphersuites = TLS_AES_256_GCM_SHA384
END

    return ('env', "OPENSSL_CONF=$file");
}


sub tls {
    my ($bench, $front) = @_;

    my ($address) = $front->connect;
    my @starttls = $front->tls eq 'starttls'
                   ? qw(-starttls xmpp -xmpphost example.test) : ();

    my $said = _said('timeout', 20, 'sh', '-c', 'exec "$@" < /dev/null', 'sh',
                     @{ $bench->{client} }, qw(openssl s_client -brief),
                     '-connect', $address, @starttls);

    my ($protocol) = $said =~ /^Protocol version: (\S+)/m;
    my ($cipher) = $said =~ /^Ciphersuite: (\S+)/m;
    my ($group) = $said =~ /(?:Temp Key|TLS1\.3 group): (\w+)/;

    return { protocol => $protocol // 'none', cipher => $cipher // 'none',
             group => $group // 'none' };
}

1;
