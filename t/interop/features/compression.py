"""Compression (XEP-0138) of a stream, which one of the two users has, and the
other one has not.  slixmpp has none, nor have most: alice is made here."""

import asyncio
import base64
import ssl
import xml.etree.ElementTree as ET
import zlib

from session import (CA, DOMAIN, HOST, PASSWORD, PORT, PREFIX, TIMEOUT,
                     body, jid, text)
from xml.sax.saxutils import escape

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
OFFER = "http://jabber.org/features/compress"
COMPRESS = "http://jabber.org/protocol/compress"


class Compressed:
    async def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(CA)
        self.reader, self.writer = await asyncio.open_connection(
            HOST, PORT, ssl=context, server_hostname=DOMAIN)
        self.pack = self.unpack = None

    def send(self, xml):
        data = xml.encode()
        if self.pack:
            data = (self.pack.compress(data)
                    + self.pack.flush(zlib.Z_SYNC_FLUSH))
        self.writer.write(data)

    async def open(self):
        """A new stream; its features."""
        self.parser = ET.XMLPullParser(("start", "end"))
        self.depth = 0
        self.elements = []
        self.send("<stream:stream to='%s' version='1.0' xmlns='jabber:client'"
                  " xmlns:stream='http://etherx.jabber.org/streams'>" % DOMAIN)
        return await self.element()

    async def element(self):
        while not self.elements:
            data = await asyncio.wait_for(self.reader.read(65536), TIMEOUT)
            if not data:
                raise RuntimeError("the stream has ended")
            if self.unpack:
                data = self.unpack.decompress(data)
            self.parser.feed(data)
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == "end" and self.depth == 1:
                    self.elements.append(element)
        return self.elements.pop(0)

    async def command(self, xml):
        self.send(xml)
        return await self.element()


async def scenario(log, login):
    bob = await login("bob", "two")
    bob.put("<presence/>")
    await bob.sync()

    alice = Compressed()
    await alice.connect()
    await alice.open()

    secret = "\0%salice\0%s" % (PREFIX, PASSWORD)
    answer = await alice.command(
        "<auth xmlns='%s' mechanism='PLAIN'>%s</auth>"
        % (SASL, base64.b64encode(secret.encode()).decode()))
    log("login:", answer.tag)

    features = await alice.open()
    log("offered:", [m.text for m in features.iterfind(
        "{%s}compression/{%s}method" % (OFFER, OFFER))])

    answer = await alice.command(
        "<compress xmlns='%s'><method>zlib</method></compress>" % COMPRESS)
    log("answer:", answer.tag)
    alice.pack = zlib.compressobj()
    alice.unpack = zlib.decompressobj()

    features = await alice.open()
    log("not again:", features.find("{%s}compression" % OFFER) is None)

    answer = await alice.command(
        "<iq type='set' id='b'><bind"
        " xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>one</resource>"
        "</bind></iq>")
    log("bound:", answer.get("type"), text(
        answer, "{urn:ietf:params:xml:ns:xmpp-bind}bind/"
                "{urn:ietf:params:xml:ns:xmpp-bind}jid"))

    for n in 1, 100, 20000:
        words = "é & <b> " * n
        alice.send("<message to='%s' type='chat'><body>%s</body></message>"
                   % (jid("bob"), escape(words)))
        m = await bob.expect("message", lambda m: body(m) is not None)
        log("bob has", len(body(m)), body(m) == words)

        bob.send_message(mto=m.get("from"), mbody=words, mtype="chat")
        m = await alice.element()
        log("alice has", len(body(m)), body(m) == words)

    alice.send("</stream:stream>")
    try:
        log("alice has left:", await alice.element())
    except RuntimeError as error:
        log("alice has left:", error)
    alice.writer.close()
    await bob.leave()
