"""Writes one message, reads one, and ends Gajim."""

import os

from gi.repository import GLib

from gajim.common import app, ged
from gajim.common.structs import OutgoingMessage
from gajim.plugins import GajimPlugin
from nbxmpp.protocol import JID

env = os.environ


class InteropPlugin(GajimPlugin):
    def init(self):
        self.events_handlers = {
            "signed-in": (ged.POSTGUI, self.signed_in),
            "message-received": (ged.POSTGUI, self.received),
        }

    def signed_in(self, event):
        GLib.timeout_add(500, self.write, event.account)

    def write(self, account):
        client = app.get_client(account)
        contact = client.get_module("Contacts").get_contact(
            JID.from_string(env["XMPP_PEER"]))
        client.send_message(OutgoingMessage(
            account=account, contact=contact, message=env["XMPP_SEND"],
            type_="chat"))

    def received(self, event):
        if str(event.jid) == env["XMPP_PEER"] and event.msgtxt:
            print("received", event.msgtxt, flush=True)
            GLib.timeout_add(200, self.leave)

    def leave(self):
        app.app.start_shutdown(message=None)
