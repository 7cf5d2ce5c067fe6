"""A vCard (XEP-0054) with a picture of 1 MB, there and back, and to another
user."""

import base64
import hashlib
import random

from session import NS, jid, text

PICTURE = random.Random(5).randbytes(1 << 20)


def photo(reply):
    data = base64.b64decode(
        text(reply, "vcard:vCard/vcard:PHOTO/vcard:BINVAL"))
    return "%d %s" % (len(data), hashlib.sha1(data).hexdigest())


async def scenario(log, login):
    log("picture:", len(PICTURE), hashlib.sha1(PICTURE).hexdigest())
    alice = await login("alice", "one")
    bob = await login("bob", "two")

    await alice.iq("set", None, "<vCard xmlns='vcard-temp'>"
                   "<FN>Alice &amp; é 😀</FN><PHOTO><TYPE>image/png</TYPE>"
                   "<BINVAL>%s</BINVAL></PHOTO></vCard>"
                   % base64.b64encode(PICTURE).decode())

    get = "<vCard xmlns='vcard-temp'/>"
    reply = await alice.iq("get", None, get)
    log("her own:", text(reply, "vcard:vCard/vcard:FN"), photo(reply))

    reply = await bob.iq("get", jid("alice"), get)
    log("bob has:", text(reply, "vcard:vCard/vcard:FN"), photo(reply))

    # and the other way round, at once with something else
    await bob.iq("set", None, "<vCard xmlns='vcard-temp'><FN>Bob</FN>"
                 "<PHOTO><TYPE>image/png</TYPE><BINVAL>%s</BINVAL></PHOTO>"
                 "</vCard>" % base64.b64encode(PICTURE[::-1]).decode())
    alice.put("<presence/>")
    reply = await alice.iq("get", jid("bob"), get)
    log("alice has:", text(reply, "vcard:vCard/vcard:FN"), photo(reply))

    await alice.leave()
    await bob.leave()
