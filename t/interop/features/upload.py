"""HTTP upload (XEP-0363): the slot comes over XMPP, the file goes by HTTP."""

import asyncio
import hashlib
import urllib.error
import urllib.request

from session import DOMAIN, NS, find
from slixmpp.exceptions import IqError

DATA = bytes(range(256)) * 400
LIMIT = 1048576


async def slot(user, size):
    reply = await user.iq("get", "upload." + DOMAIN,
                          "<request xmlns='%s' filename='cat &amp; dog.png'"
                          " size='%d' content-type='image/png'/>"
                          % (NS["slot"], size))
    put = find(reply, "slot:slot/slot:put")
    headers = {h.get("name"): h.text
               for h in put.iterfind("slot:header", NS)}
    return (put.get("url"), headers,
            find(reply, "slot:slot/slot:get").get("url"))


async def scenario(log, login):
    alice = await login("alice", "one")

    info = await alice.iq("get", "upload." + DOMAIN,
                          "<query xmlns='%s'/>" % NS["info"])
    log("upload:", any(f.get("var") == NS["slot"] for f in
                       info.iterfind(".//info:feature", NS)))

    put, headers, get = await slot(alice, len(DATA))
    request = urllib.request.Request(put, DATA, dict(
        headers, **{"Content-Type": "image/png"}), method="PUT")
    response = await asyncio.to_thread(urllib.request.urlopen, request)
    log("put:", response.status)

    response = await asyncio.to_thread(urllib.request.urlopen, get)
    data = response.read()
    log("got:", response.headers["Content-Type"], len(data),
        hashlib.sha1(data).hexdigest() == hashlib.sha1(DATA).hexdigest())

    try:
        await slot(alice, LIMIT + 1)
    except IqError as error:
        log("too large:", error.condition)

    await alice.leave()
