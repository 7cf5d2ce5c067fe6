"""Carbons (XEP-0280): what one client sends and receives, the other one of the
same user has a copy of."""

from session import NS, body, find, jid


def copy(kind):
    return lambda m: find(m, "carbons:" + kind) is not None


def inner(message, kind):
    return find(message, "carbons:%s/forward:forwarded/c:message" % kind)


async def scenario(log, login):
    one = await login("alice", "one")
    two = await login("alice", "two")
    bob = await login("bob", "three")

    for user in one, two:
        await user.iq("set", None, "<enable xmlns='%s'/>" % NS["carbons"])
    for user in one, two, bob:
        user.put("<presence/>")
        await user.sync()

    one.put("<message to='%s' type='chat'><body>out &amp; é 😀</body>"
                 "</message>" % jid("bob"))
    m = await bob.expect("message", lambda m: body(m) is not None)
    log("bob has", body(m), "from", m.get("from"))
    m = await two.expect("message", copy("sent"))
    log("two has a copy from", m.get("from"), "to", m.get("to"), "of",
        body(inner(m, "sent")), "from", inner(m, "sent").get("from"))

    bob.put("<message to='%s/one' type='chat'><body>in &lt;b&gt;</body>"
                 "</message>" % jid("alice"))
    m = await one.expect("message", lambda m: body(m) is not None)
    log("one has", body(m), "from", m.get("from"))
    m = await two.expect("message", copy("received"))
    log("two has a copy from", m.get("from"), "of",
        body(inner(m, "received")), "to", inner(m, "received").get("to"))

    one.put("<message to='%s' type='chat'><body>not for all</body>"
                 "<private xmlns='%s'/></message>"
                 % (jid("bob"), NS["carbons"]))
    m = await bob.expect("message", lambda m: body(m) is not None)
    log("bob has", body(m))

    await two.iq("set", None, "<disable xmlns='%s'/>" % NS["carbons"])
    one.put("<message to='%s' type='chat'><body>no more</body></message>"
                 % jid("bob"))
    m = await bob.expect("message", lambda m: body(m) is not None)
    log("bob has", body(m))

    for user in one, two:
        await user.sync()
        log("and nothing else:", len(user.left("message")))
    for user in one, two, bob:
        await user.leave()
