"""The archive (XEP-0313): what was said before is there for a client that
comes later, whole and page by page."""

from session import NS, PREFIX, body, find, jid, text


async def query(user, *, max=None, after=None, who=None):
    form = ""
    if who:
        form = ("<x xmlns='jabber:x:data' type='submit'>"
                "<field var='FORM_TYPE' type='hidden'><value>%s</value>"
                "</field>"
                "<field var='with'><value>%s</value></field></x>"
                % (NS["mam"], who))
    page = ""
    if max:
        page = "<set xmlns='%s'><max>%d</max>%s</set>" % (
            NS["rsm"], max, "<after>%s</after>" % after if after else "")
    reply = await user.iq("set", None, "<query xmlns='%s' queryid='q'>%s%s"
                          "</query>" % (NS["mam"], form, page))

    # all of the results come before the answer
    results = []
    for m in user.left("message"):
        result = find(m, "mam:result")
        if result is not None:
            m = find(result, "forward:forwarded/c:message")
            if body(m):
                results.append((m.get("from").split("/")[0], body(m)))
    user.had = [(k, xml) for k, xml in user.had if k != "message"]

    fin = find(reply, "mam:fin")
    return (results, fin.get("complete") == "true",
            text(fin, "rsm:set/rsm:last"))


async def scenario(log, login):
    alice = await login("alice", "one")
    bob = await login("bob", "two")
    carol = await login("carol", "three")

    for user in alice, bob, carol:
        # ejabberd keeps nothing unless it is told to
        await user.iq("set", None, "<prefs xmlns='%s' default='always'>"
                      "<always/><never/></prefs>" % NS["mam"])
        user.put("<presence/>")
        await user.sync()

    for n in range(1, 4):
        for here, there in (alice, bob), (bob, alice):
            words = "%d &amp; é 😀 from %s" % (
                n, here.boundjid.user[len(PREFIX):])
            here.put("<message to='%s' type='chat' id='m%d'><body>%s"
                          "</body></message>"
                          % (there.boundjid.bare, n, words))
            m = await there.expect("message", lambda m: body(m) is not None)
            log("said:", body(m))

    carol.put("<message to='%s' type='chat' id='c'><body>hi</body>"
                   "</message>" % jid("alice"))
    await alice.expect("message", lambda m: body(m) == "hi")
    await alice.leave()

    later = await login("alice", "later")
    results, complete, _ = await query(later)
    log("all of it:", complete)
    for result in results:
        log(*result)

    log("with carol:", *(await query(later, who=jid("carol")))[:2])

    after = None
    for page in range(1, 6):
        results, complete, after = await query(later, max=3, after=after,
                                               who=jid("bob"))
        log("page", page, complete, results)
        if complete:
            break

    for user in later, bob, carol:
        await user.leave()
