#!/usr/bin/perl

# Real clients log in with SCRAM to the distribution's Prosody, through nginx.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::PassOn;

XMPP::PassOn::run('XMPP::Prosody');
