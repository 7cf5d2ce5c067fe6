"""Sessions of real users (slixmpp 1.8 and later) for the scenarios.

    async def scenario(log, login):
        alice = await login("alice", "one")      # user, resource
        await alice.iq("get", None, "<query xmlns='jabber:iq:roster'/>")
        alice.put("<message ...>...</message>")
        m = await alice.expect("message", lambda m: ...)
        log("what has happened", ...)

Elements are those of xml.etree.  The log is the same for each run of a
scenario: the users' names are those of the scenario, whatever they are at the
server, and nothing that differs from run to run (ids, times) is written.
"""

import asyncio
import logging
import os
import ssl
import sys
import xml.etree.ElementTree as ET

# before the import, which warns of a slower stringprep
logging.basicConfig(level=logging.CRITICAL)

from slixmpp import ClientXMPP  # noqa: E402
from slixmpp.exceptions import IqError  # noqa: E402

TIMEOUT = float(os.environ.get("FEATURES_TIMEOUT", 30))

HOST = os.environ["FEATURES_HOST"]
PORT = int(os.environ["FEATURES_PORT"])
CA = os.environ["FEATURES_CA"]
DOMAIN = os.environ["FEATURES_DOMAIN"]
PASSWORD = os.environ["FEATURES_PASSWORD"]

# so that each run has users of its own
PREFIX = os.environ["FEATURES_PREFIX"]

NS = {
    "c": "jabber:client",
    "roster": "jabber:iq:roster",
    "muc": "http://jabber.org/protocol/muc",
    "user": "http://jabber.org/protocol/muc#user",
    "carbons": "urn:xmpp:carbons:2",
    "forward": "urn:xmpp:forward:0",
    "mam": "urn:xmpp:mam:2",
    "rsm": "http://jabber.org/protocol/rsm",
    "data": "jabber:x:data",
    "slot": "urn:xmpp:http:upload:0",
    "commands": "http://jabber.org/protocol/commands",
    "items": "http://jabber.org/protocol/disco#items",
    "info": "http://jabber.org/protocol/disco#info",
    "vcard": "vcard-temp",
}


def jid(name):
    """The bare JID of a user of the scenario."""
    return "%s%s@%s" % (PREFIX, name, DOMAIN)


def room(name):
    return "%s%s@conference.%s" % (PREFIX, name, DOMAIN)


def find(element, path):
    return element.find(path, NS)


def text(element, path):
    found = None if element is None else find(element, path)
    return None if found is None else found.text


def body(message):
    return text(message, "c:body")


def log(*words):
    line = " ".join(str(word) for word in words)
    print(line.replace(PREFIX, ""), flush=True)


class Session(ClientXMPP):
    def __init__(self, name, resource, password):
        super().__init__("%s/%s" % (jid(name), resource), password)

        # nothing is done that the scenario does not ask for
        self.auto_authorize = None
        self.auto_subscribe = False

        # only this authority is trusted, for the JID's domain
        self.ca_certs = CA
        self.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        self.had = []
        self.more = asyncio.Event()
        self.offered = []
        self.started = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

        self.add_filter("in", self.keep)
        self.add_event_handler("session_start", lambda _: self.over(True))
        for event in ("failed_auth", "connection_failed", "stream_error",
                      "ssl_invalid_chain", "disconnected"):
            self.add_event_handler(
                event, lambda why, event=event: self.over(event, why))

    def over(self, what, why=None):
        if what is True:
            self.started.set_result(True)
            return
        if not self.started.done():
            self.started.set_exception(
                RuntimeError("login failed: %s %s" % (what, why)))
        if what == "disconnected" and not self.ended.done():
            self.ended.set_result(True)

    def enter(self):
        if hasattr(self, "enable_direct_tls"):
            self.enable_direct_tls = True
            self.enable_starttls = False
            self.connect(HOST, PORT)
        else:
            self.connect((HOST, PORT), use_ssl=True)

    def keep(self, stanza):
        kind = stanza.xml.tag.rpartition("}")[2]
        if kind == "features":
            self.offered = sorted(child.tag for child in stanza.xml)
        elif kind in ("message", "presence", "iq"):
            self.had.append((kind, stanza.xml))
            self.more.set()
        return stanza

    async def expect(self, kind, test=lambda stanza: True, timeout=TIMEOUT):
        """The first of this kind that passes; it does not come again."""
        async def search():
            while True:
                for n, (k, xml) in enumerate(self.had):
                    if k == kind and test(xml):
                        del self.had[n]
                        return xml
                self.more.clear()
                await self.more.wait()

        try:
            return await asyncio.wait_for(search(), timeout)
        except asyncio.TimeoutError:
            raise RuntimeError("%s waits for a %s; it has had:\n%s" % (
                self.boundjid, kind,
                "\n".join(ET.tostring(xml, "unicode")[:500]
                          for _, xml in self.had))) from None

    def left(self, kind):
        """What has come that nobody has asked for."""
        return [xml for k, xml in self.had if k == kind]

    def put(self, xml):
        self.send_raw(xml)

    async def iq(self, type, to, payload, timeout=TIMEOUT):
        """The answer, of type result; else an IqError."""
        iq = self.make_iq(ito=to, itype=type)
        iq.xml.append(ET.fromstring(payload))
        return (await iq.send(timeout=timeout)).xml

    async def sync(self):
        """All that the server has sent before is here now."""
        try:
            await self.iq("get", DOMAIN, "<ping xmlns='urn:xmpp:ping'/>")
        except IqError:
            pass

    async def leave(self):
        await self.disconnect(wait=2)
        await asyncio.wait_for(self.ended, TIMEOUT)


async def login(name, resource, password=PASSWORD):
    session = Session(name, resource, password)
    session.enter()
    await asyncio.wait_for(asyncio.shield(session.started), TIMEOUT)
    if not session.transport.get_extra_info("ssl_object"):
        raise RuntimeError("no TLS")
    return session


def run(scenario):
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        asyncio.run(asyncio.wait_for(scenario(log, login), 5 * TIMEOUT))
    except IqError as error:
        sys.exit("IQ error: %s" % error.iq)
    except RuntimeError as error:
        sys.exit("failed: %s" % error)
    log("end")
