"""Multi-user chat: a room is made, entered, talked in, and left."""

from session import NS, body, find, room, text

TEXT = "to <all> & \"one\" 'two' é 漢 😀"
XML = "to &lt;all&gt; &amp; \"one\" 'two' é 漢 😀"


def occupant(name, type=None):
    return lambda p: (p.get("from") == room("room") + "/" + name
                      and p.get("type") == type)


def said(words):
    return lambda m: m.get("type") == "groupchat" and body(m) == words


def statuses(presence):
    return sorted(s.get("code") for s in
                  presence.iterfind("user:x/user:status", NS))


def role(presence):
    item = find(presence, "user:x/user:item")
    return "%s %s" % (item.get("affiliation"), item.get("role"))


async def scenario(log, login):
    alice = await login("alice", "one")
    bob = await login("bob", "two")

    alice.put("<presence to='%s/queen'><x xmlns='%s'/></presence>"
                   % (room("room"), NS["muc"]))
    p = await alice.expect("presence", occupant("queen"))
    log("made:", role(p), statuses(p))

    form = await alice.iq("get", room("room"),
                          "<query xmlns='%s#owner'/>" % NS["muc"])
    log("a form:", find(form, ".//data:x").get("type"))
    await alice.iq("set", room("room"), "<query xmlns='%s#owner'>"
                   "<x xmlns='jabber:x:data' type='submit'/></query>"
                   % NS["muc"])

    bob.put("<presence to='%s/knave'><x xmlns='%s'/></presence>"
                 % (room("room"), NS["muc"]))
    p = await bob.expect("presence", occupant("queen"))
    log("bob sees:", role(p))
    p = await bob.expect("presence", occupant("knave"))
    log("bob is:", role(p), "110" in statuses(p))
    p = await alice.expect("presence", occupant("knave"))
    log("alice sees:", role(p))

    alice.put("<message to='%s' type='groupchat'><body>%s</body>"
                   "</message>" % (room("room"), XML))
    for user in alice, bob:
        m = await user.expect("message", said(TEXT))
        log("heard by", user.boundjid.bare, m.get("from"), body(m))

    bob.put("<message to='%s' type='groupchat'><body>fine</body>"
                 "</message>" % room("room"))
    for user in alice, bob:
        m = await user.expect("message", said("fine"))
        log("heard by", user.boundjid.bare, m.get("from"), body(m))

    alice.put("<message to='%s' type='groupchat'><subject>tarts &amp; tea"
                   "</subject></message>" % room("room"))
    for user in alice, bob:
        m = await user.expect(
            "message", lambda m: text(m, "c:subject") == "tarts & tea")
        log("subject for", user.boundjid.bare, m.get("from"))

    bob.put("<message to='%s/queen' type='chat'><body>psst</body>"
                 "</message>" % room("room"))
    m = await alice.expect("message", lambda m: body(m) == "psst")
    log("in private:", m.get("from"), m.get("type"))

    # who comes later has what was said
    later = await login("carol", "three")
    later.put("<presence to='%s/hatter'><x xmlns='%s'/></presence>"
                   % (room("room"), NS["muc"]))
    for words in TEXT, "fine":
        m = await later.expect("message", said(words))
        log("history:", m.get("from"), body(m),
            m.find("{urn:xmpp:delay}delay") is not None)
    m = await later.expect("message",
                           lambda m: text(m, "c:subject") is not None)
    log("history, subject:", text(m, "c:subject"))

    await alice.iq("set", room("room"), "<query xmlns='%s#admin'>"
                   "<item nick='knave' role='none'><reason>stolen</reason>"
                   "</item></query>" % NS["muc"])
    p = await bob.expect("presence", occupant("knave", "unavailable"))
    log("kicked:", role(p), "307" in statuses(p),
        text(p, "user:x/user:item/user:reason"))

    later.put("<presence to='%s/hatter' type='unavailable'/>"
                   % room("room"))
    p = await alice.expect("presence", occupant("hatter", "unavailable"))
    log("left:", role(p))

    for user in alice, bob, later:
        await user.leave()
