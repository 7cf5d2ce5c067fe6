"""Ad-hoc commands (XEP-0050), by the example of an administrator who makes an
account (XEP-0133), which then logs in."""

from session import DOMAIN, NS, PASSWORD, find, jid
from slixmpp.exceptions import IqError

NODE = "http://jabber.org/protocol/admin#add-user"


def form(**values):
    fields = "".join("<field var='%s'><value>%s</value></field>" % item
                     for item in values.items())
    return ("<x xmlns='jabber:x:data' type='submit'>"
            "<field var='FORM_TYPE' type='hidden'>"
            "<value>http://jabber.org/protocol/admin</value></field>%s</x>"
            % fields)


async def scenario(log, login):
    admin = await login("admin", "one")

    items = await admin.iq("get", DOMAIN, "<query xmlns='%s' node='%s'/>"
                           % (NS["items"], NS["commands"]))
    log("listed:", any(i.get("node") == NODE for i in
                       items.iterfind(".//items:item", NS)))

    reply = await admin.iq("set", DOMAIN, "<command xmlns='%s' node='%s'"
                           " action='execute'/>" % (NS["commands"], NODE))
    command = find(reply, "commands:command")
    log(command.get("status"), find(command, "data:x").get("type"),
        sorted(f.get("var") for f in command.iterfind(".//data:field", NS)
               if f.get("var") and f.get("var") != "FORM_TYPE"))

    session = command.get("sessionid")
    reply = await admin.iq(
        "set", DOMAIN, "<command xmlns='%s' node='%s' sessionid='%s'"
        " action='complete'>%s</command>" % (
            NS["commands"], NODE, session,
            form(accountjid=jid("new"), **{"password": PASSWORD,
                                           "password-verify": PASSWORD})
            .replace(PASSWORD, PASSWORD.replace("&", "&amp;")
                     .replace("<", "&lt;"))))
    log(find(reply, "commands:command").get("status"))

    new = await login("new", "two")
    log("logged in:", new.boundjid.bare)

    # who is not an administrator may not
    try:
        await new.iq("set", DOMAIN, "<command xmlns='%s' node='%s'"
                     " action='execute'/>" % (NS["commands"], NODE))
    except IqError as error:
        log("refused:", error.condition)

    await new.leave()
    await admin.leave()
