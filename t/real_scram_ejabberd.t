#!/usr/bin/perl

# Real clients log in with SCRAM to the distribution's ejabberd, through nginx.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::PassOn;

XMPP::PassOn::run('XMPP::Ejabberd');
