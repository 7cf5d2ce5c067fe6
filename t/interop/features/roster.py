"""Roster and presence: two users add each other, see each other come, go and
change, and part."""

from session import NS, find, jid, text


async def items(user):
    reply = await user.iq("get", None, "<query xmlns='jabber:iq:roster'/>")
    found = []
    for item in reply.iterfind("roster:query/roster:item", NS):
        groups = sorted(g.text for g in item.iterfind("roster:group", NS))
        found.append("%s name=%s subscription=%s ask=%s groups=%s" % (
            item.get("jid"), item.get("name"), item.get("subscription"),
            item.get("ask"), ",".join(groups)))
    return sorted(found)


def push(user, subscription, ask=None):
    """The roster push that says so."""
    def test(iq):
        item = find(iq, "roster:query/roster:item")
        return (iq.get("type") == "set" and item is not None
                and item.get("jid") == user
                and item.get("subscription") == subscription
                and item.get("ask") == ask)
    return test


def presence(user, type=None, show=None):
    return lambda p: (p.get("from").split("/")[0] == user
                      and p.get("type") == type
                      and text(p, "c:show") == show)


async def scenario(log, login):
    alice = await login("alice", "one")
    bob = await login("bob", "two")

    for user in alice, bob:
        log("roster of", user.boundjid.bare, await items(user))
        user.put("<presence/>")
        await user.expect("presence", presence(user.boundjid.bare))

    await alice.iq("set", None, "<query xmlns='jabber:iq:roster'>"
                   "<item jid='%s' name='Bob &amp; &lt;co&gt; é'>"
                   "<group>Friends</group><group>A &amp; B</group>"
                   "</item></query>" % jid("bob"))
    await alice.expect("iq", push(jid("bob"), "none"))
    log("added:", await items(alice))

    alice.put("<presence to='%s' type='subscribe'/>" % jid("bob"))
    await alice.expect("iq", push(jid("bob"), "none", "subscribe"))
    await bob.expect("presence", presence(jid("alice"), "subscribe"))
    log("asked:", await items(alice), await items(bob))

    bob.put("<presence to='%s' type='subscribed'/>" % jid("alice"))
    await alice.expect("presence", presence(jid("bob"), "subscribed"))
    await alice.expect("iq", push(jid("bob"), "to"))
    await bob.expect("iq", push(jid("alice"), "from"))
    p = await alice.expect("presence", presence(jid("bob")))
    log("granted:", await items(alice), await items(bob), p.get("from"))

    bob.put("<presence to='%s' type='subscribe'/>" % jid("alice"))
    await alice.expect("presence", presence(jid("bob"), "subscribe"))
    alice.put("<presence to='%s' type='subscribed'/>" % jid("bob"))
    await bob.expect("iq", push(jid("alice"), "both"))
    await alice.expect("iq", push(jid("bob"), "both"))
    p = await bob.expect("presence", presence(jid("alice")))
    log("both:", await items(alice), await items(bob), p.get("from"))

    alice.put("<presence><show>away</show><status>at &lt;lunch&gt; 🍜"
                   "</status><priority>5</priority></presence>")
    p = await bob.expect("presence", presence(jid("alice"), None, "away"))
    log("away:", p.get("from"), text(p, "c:status"), text(p, "c:priority"))

    # the presence of those who are there already comes with one's own
    other = await login("bob", "three")
    other.put("<presence><show>dnd</show></presence>")
    p = await other.expect("presence", presence(jid("alice"), None, "away"))
    log("probed:", p.get("from"), text(p, "c:status"))
    p = await alice.expect("presence", presence(jid("bob"), None, "dnd"))
    log("another resource:", p.get("from"))
    await other.leave()
    p = await alice.expect("presence", lambda p: (
        p.get("from") == jid("bob") + "/three"
        and p.get("type") == "unavailable"))
    log("gone:", p.get("from"))

    alice.put("<presence to='%s' type='unsubscribe'/>" % jid("bob"))
    await bob.expect("presence", presence(jid("alice"), "unsubscribe"))
    await alice.expect("iq", push(jid("bob"), "from"))
    await bob.expect("iq", push(jid("alice"), "to"))
    log("unsubscribed:", await items(alice), await items(bob))

    await alice.iq("set", None, "<query xmlns='jabber:iq:roster'>"
                   "<item jid='%s' subscription='remove'/></query>"
                   % jid("bob"))
    await alice.expect("iq", push(jid("bob"), "remove"))
    await bob.expect("presence", presence(jid("alice"), "unsubscribed"))
    await bob.expect("iq", push(jid("alice"), "none"))
    log("removed:", await items(alice), await items(bob))

    await alice.leave()
    await bob.leave()
