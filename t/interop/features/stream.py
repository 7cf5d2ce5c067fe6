"""What the server offers to a user who has logged in, and of what it tells in
service discovery."""

from session import DOMAIN, NS


async def scenario(log, login):
    alice = await login("alice", "one")
    log("bound", alice.boundjid)

    for name in alice.offered:
        log("feature", name)

    info = await alice.iq("get", DOMAIN, "<query xmlns='%s'/>" % NS["info"])
    found = info.iterfind(".//info:feature", NS)
    for var in sorted(f.get("var") for f in found):
        log("disco", var)

    items = await alice.iq("get", DOMAIN, "<query xmlns='%s'/>" % NS["items"])
    found = items.iterfind(".//items:item", NS)
    for item in sorted(i.get("jid") for i in found):
        log("service", item)

    await alice.leave()
