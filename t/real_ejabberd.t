#!/usr/bin/perl

# Real clients through nginx to the distribution's ejabberd.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use XMPP::Real;

XMPP::Real::run('XMPP::Ejabberd');
