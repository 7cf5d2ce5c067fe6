// @xmpp/client: one message out, one in.

const { client, xml } = require("@xmpp/client")
const dns = require("dns")

const e = process.env
const direct = e.XMPP_TLS === "direct"

// The certificate has to have the name in the address of the service, which is
// the domain therefore; this is the DNS.
const { lookup } = dns

dns.lookup = (name, ...rest) =>
  lookup(name === e.XMPP_DOMAIN ? e.XMPP_HOST : name, ...rest)

let answered = false
let mechanism = ""

function fail(why) {
  console.error(why)
  process.exit(1)
}

const xmpp = client({
  service: `${direct ? "xmpps" : "xmpp"}://${e.XMPP_DOMAIN}:${e.XMPP_PORT}`,
  username: e.XMPP_USER,
  password: e.XMPP_PASSWORD,
})

xmpp.reconnect.stop()
setTimeout(() => fail("no answer"), 40000).unref()

xmpp.on("error", fail)

xmpp.on("send", (element) => {
  if (element.is("auth")) mechanism = element.attrs.mechanism
  if (element.is("authenticate")) mechanism = `SASL2-${element.attrs.mechanism}`
})

xmpp.on("online", async () => {
  const socket = xmpp.socket.socket || xmpp.socket

  if (!socket.authorized) fail("no TLS")

  console.log("connected", mechanism)
  await xmpp.send(xml("presence"))
  await xmpp.send(xml("message", { type: "chat", to: e.XMPP_PEER },
                      xml("body", {}, e.XMPP_SEND)))
})

xmpp.on("stanza", async (stanza) => {
  const text = stanza.getChildText("body")

  if (answered || !stanza.is("message") || text === null
      || !stanza.attrs.from.startsWith(`${e.XMPP_PEER}/`)) return

  answered = true
  console.log("received", text)
  await xmpp.stop()
  process.exit(0)
})

xmpp.start().catch(fail)
