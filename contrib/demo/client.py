#!/usr/bin/python3
"""Log in twice as a real XMPP client, over STARTTLS and over direct TLS, and
send a message each way; then check that a wrong password and a wrong
certificate are refused.

usage: client.py HOST STARTTLS_PORT DIRECT_PORT CA_FILE

The accounts come from the environment, to keep passwords out of `ps`:
DEMO_USER1, DEMO_PASSWORD1, DEMO_USER2, DEMO_PASSWORD2.
Works with slixmpp 1.8 (Debian 12) and 1.10 (Debian 13).
"""

import asyncio
import logging
import os
import ssl
import sys

# before the import, which warns of a slower stringprep
logging.basicConfig(
    level=logging.DEBUG if "DEMO_DEBUG" in os.environ else logging.CRITICAL)

from slixmpp import ClientXMPP  # noqa: E402

TIMEOUT = 30


class Refused(Exception):
    pass


def say(line):
    print("  " + line, flush=True)


class Client(ClientXMPP):
    def __init__(self, jid, password, port, direct, ca):
        super().__init__(jid, password)
        self.port = port
        self.direct = direct
        self.session = asyncio.get_running_loop().create_future()
        self.inbox = asyncio.Queue()

        # only the given CA is trusted, and the name must be the JID's domain
        self.ca_certs = ca
        self.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if direct:
            self.ssl_context.set_alpn_protocols(["xmpp-client"])

        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.inbox.put_nowait)
        self.add_event_handler(
            "failed_auth", lambda st: self.fail("SASL " + st["condition"]))
        self.add_event_handler(
            "ssl_invalid_chain", lambda e: self.fail("certificate: %s" % e))
        self.add_event_handler(
            "connection_failed", lambda e: self.fail("connection: %s" % e))
        self.add_event_handler(
            "stream_error", lambda st: self.fail("stream " + st["condition"]))
        self.add_event_handler(
            "disconnected", lambda e: self.fail("disconnected: %s" % e))

    def started(self, event):
        if not self.session.done():
            self.session.set_result(None)

    def fail(self, why):
        if not self.session.done():
            self.session.set_exception(Refused(why))

    def connect_to(self, host):
        if hasattr(self, "enable_direct_tls"):
            self.enable_direct_tls = self.direct
            self.enable_starttls = not self.direct
            self.connect(host, self.port)
        else:
            self.connect((host, self.port), use_ssl=self.direct)

    def tls(self):
        return self.transport.get_extra_info("ssl_object")


async def close(client):
    # a refused client may still be about to try again
    client.cancel_connection_attempt()
    if client.transport:
        await asyncio.wait([asyncio.ensure_future(client.disconnect(wait=2))],
                           timeout=4)
    client.abort()


async def login(host, port, direct, ca, jid, password):
    client = Client(jid, password, port, direct, ca)
    client.connect_to(host)
    try:
        await asyncio.wait_for(client.session, TIMEOUT)
    except BaseException:
        await close(client)
        raise
    return client


async def enter(host, port, direct, ca, jid, password):
    how = "direct TLS" if direct else "STARTTLS"
    say("%s: connects to port %d (%s)" % (jid, port, how))
    client = await login(host, port, direct, ca, jid, password)
    tls = client.tls()
    if tls is None:
        raise Refused("logged in without TLS")
    names = ", ".join(v for k, v in tls.getpeercert()["subjectAltName"])
    alpn = tls.selected_alpn_protocol()
    say("%s: %s%s, certificate of %s verified"
        % (jid, tls.version(), ", ALPN " + alpn if alpn else "", names))
    say("%s: logged in by %s as %s"
        % (jid, client["feature_mechanisms"].mech.name, client.boundjid.full))
    return client


async def message(sender, receiver, text):
    say("%s -> %s: %s" % (sender.boundjid.bare, receiver.boundjid.bare, text))
    sender.send_message(mto=receiver.boundjid, mbody=text, mtype="chat")
    while True:
        got = await asyncio.wait_for(receiver.inbox.get(), TIMEOUT)
        # what was waiting on the server from before is not ours
        if got["from"] == sender.boundjid and got["body"] == text:
            break
    say("%s received it" % receiver.boundjid.bare)


async def refused(what, expect, *args):
    try:
        client = await login(*args)
    except Refused as e:
        if expect not in str(e):
            raise
        say("%s: refused, %s" % (what, e))
        return
    await close(client)
    raise Refused(what + " was accepted")


async def run(host, port, direct_port, ca):
    users = [(os.environ["DEMO_USER%d" % n], os.environ["DEMO_PASSWORD%d" % n])
             for n in (1, 2)]

    for first, second in (((port, False), (direct_port, True)),
                          ((direct_port, True), (port, False))):
        a = await enter(host, *first, ca, *users[0])
        b = await enter(host, *second, ca, *users[1])
        await message(a, b, "hello from port %d" % first[0])
        await message(b, a, "hello from port %d" % second[0])
        await close(a)
        await close(b)

    user, password = users[0]
    for p, direct in ((port, False), (direct_port, True)):
        await refused("wrong password on port %d" % p, "not-authorized",
                      host, p, direct, ca, user, password + "x")

    # the system's own authorities do not know the demo's certificate
    await refused("a client that does not trust the demo's authority",
                  "certificate", host, direct_port, True, None, user, password)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)

    host, port, direct_port, ca = sys.argv[1:]
    try:
        asyncio.run(run(host, int(port), int(direct_port), ca))
    except Refused as e:
        sys.exit("client: " + str(e))
    except asyncio.TimeoutError:
        sys.exit("client: no answer in %d seconds" % TIMEOUT)


if __name__ == "__main__":
    main()
