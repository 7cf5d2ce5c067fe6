#!/usr/bin/python3
"""client.py with contacts: presence, and stanzas that come back.

More standard input:
  subscribe JID     ask for JID's presence; who asks for ours may have it, and
                    is asked in turn
  status TEXT       send presence
More standard output:
  subscribed JID            JID lets us have the presence
  presence JID TEXT         is available, with this status
  error JID CONDITION       a message came back
"""

import asyncio
import sys

import client


class Contact(client.Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.add_event_handler("presence_subscribed", self.subscribed)
        self.add_event_handler("presence_available", self.available)
        self.add_event_handler("message_error", self.refused)

    def started(self, event):
        # without it a server may keep subscriptions to itself
        self.get_roster(callback=lambda reply: self.interested(event))

    def interested(self, event):
        super().started(event)

    def subscribed(self, stanza):
        client.say("subscribed", stanza["from"].bare)

    def available(self, stanza):
        if stanza["from"].bare != self.boundjid.bare:
            client.say("presence", stanza["from"], stanza["status"])

    def refused(self, stanza):
        client.say("error", stanza["from"], stanza["error"]["condition"])

    def message(self, stanza):
        if stanza["type"] != "error":
            super().message(stanza)

    async def command(self, line):
        word, *rest = line.split(" ", 1)
        if word == "subscribe":
            self.send_presence_subscription(pto=rest[0])
        elif word == "status":
            self.send_presence(pstatus=rest[0])
        else:
            await super().command(line)


client.Client = Contact

if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(asyncio.run(client.main()))
