#!/usr/bin/python3
"""A slixmpp client (1.8 and later) that a test drives line by line.

usage: client.py HOST PORT starttls|direct CA_FILE JID PASSWORD

Standard input:
  send JID TEXT     send a chat message
  roster JID        put JID into the roster, then ask for the roster
  drop              break the connection without a word
  expect            the connection will be broken from the other side
  return            connect again
Standard output:
  online JID PROTOCOL MECHANISM   logged in; that of TLS, that of SASL
  message JID TEXT        a newline in TEXT is shown as \\n
  roster JID ...          what is in the roster
  managed                 stream management is on
  expecting
  dropped
  resumed                 the stream from before goes on
  failed WHY
The end of the input ends the stream and the program.
"""

import asyncio
import logging
import ssl
import sys

# before the import, which warns of a slower stringprep
logging.basicConfig(level=logging.CRITICAL)

from slixmpp import ClientXMPP  # noqa: E402


def say(*words):
    print(*words, flush=True)


class Client(ClientXMPP):
    def __init__(self, host, port, way, ca, jid, password):
        super().__init__(jid, password)
        self.where = host, int(port)
        self.direct = way == "direct"
        self.dropped = False
        self.over = asyncio.get_running_loop().create_future()

        # only this authority is trusted, for the JID's domain
        self.ca_certs = ca
        self.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.direct:
            self.ssl_context.set_alpn_protocols(["xmpp-client"])

        self.register_plugin("xep_0198")

        for event, handler in (
                ("session_start", self.started),
                ("session_resumed", lambda st: say("resumed")),
                ("sm_enabled", lambda st: say("managed")),
                ("message", self.message),
                ("disconnected", self.lost),
                ("failed_auth", lambda st: self.fail(st["condition"])),
                ("ssl_invalid_chain", self.fail),
                ("connection_failed", self.fail),
                ("stream_error", lambda st: self.fail(st["condition"]))):
            self.add_event_handler(event, handler)

    def enter(self):
        if hasattr(self, "enable_direct_tls"):
            self.enable_direct_tls = self.direct
            self.enable_starttls = not self.direct
            self.connect(*self.where)
        else:
            self.connect(self.where, use_ssl=self.direct)

    def started(self, event):
        self.send_presence()
        tls = self.transport.get_extra_info("ssl_object")
        say("online", self.boundjid.full, tls.version(),
            self["feature_mechanisms"].mech.name)

    def message(self, stanza):
        say("message", stanza["from"], stanza["body"].replace("\n", "\\n"))

    def fail(self, why):
        if not self.over.done():
            say("failed", why)
            self.over.set_result(1)

    def lost(self, event):
        if self.dropped:
            self.dropped = False
            say("dropped")
        else:
            self.fail("disconnected: %s" % event)

    async def command(self, line):
        word, *rest = line.split(" ", 2)
        if word == "send":
            self.send_message(mto=rest[0], mbody=rest[1], mtype="chat")
        elif word == "roster":
            await self.update_roster(rest[0], name=rest[0])
            reply = await self.get_roster()
            say("roster", *sorted(reply["roster"]["items"]))
        elif word == "drop":
            self.dropped = True
            self.transport.abort()
        elif word == "expect":
            self.dropped = True
            say("expecting")
        elif word == "return":
            self.enter()
        else:
            self.fail("unknown command: " + word)

    async def commands(self):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            await self.command(line.decode().rstrip("\n"))
        if not self.over.done():
            self.over.set_result(0)


async def main():
    client = Client(*sys.argv[1:])
    client.enter()
    commands = asyncio.ensure_future(client.commands())
    status = await client.over
    commands.cancel()
    # a refused client may be about to try again
    client.cancel_connection_attempt()
    if client.transport and not status:
        await asyncio.wait([asyncio.ensure_future(client.disconnect(wait=2))],
                           timeout=4)
    return status


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(asyncio.run(main()))
