// node-xmpp-client: one message out, one in.

const dns = require("dns")
const Module = require("module")

const resolve = Module._resolveFilename

Module._resolveFilename = (name, ...rest) =>
  name === "reconnect-core" ? `${__dirname}/reconnect.js`
                            : resolve(name, ...rest)

const XMPP = require("node-xmpp-client")

const e = process.env
const direct = e.XMPP_TLS === "direct"
let answered = false
let mechanism = ""

function fail(why) {
  console.error(why)
  process.exit(1)
}

// The certificate has to have the name of the host, which is the domain
// therefore; this is the DNS.
const { lookup } = dns

dns.lookup = (name, ...rest) =>
  lookup(name === e.XMPP_DOMAIN ? e.XMPP_HOST : name, ...rest)

const client = new XMPP.Client({
  jid: `${e.XMPP_USER}@${e.XMPP_DOMAIN}`,
  password: e.XMPP_PASSWORD,
  host: e.XMPP_DOMAIN,
  port: Number(e.XMPP_PORT),
  legacySSL: direct,
  rejectUnauthorized: true,
  autostart: false,
})

setTimeout(() => fail("no answer"), 40000).unref()

client.on("error", fail)
client.connect()

const send = client.connection.send

client.connection.send = function (stanza) {
  if (stanza.is && stanza.is("auth")) mechanism = stanza.attrs.mechanism
  return send.apply(this, arguments)
}

client.on("online", () => {
  if (!client.connection.socket.authorized) fail("no TLS")

  console.log("connected", mechanism)
  client.send(new XMPP.Stanza("presence"))
  client.send(new XMPP.Stanza("message", { to: e.XMPP_PEER, type: "chat" })
              .c("body").t(e.XMPP_SEND))
})

client.on("stanza", (stanza) => {
  const text = stanza.getChildText("body")

  if (answered || !stanza.is("message") || text === null
      || !stanza.attrs.from.startsWith(`${e.XMPP_PEER}/`)) return

  answered = true
  console.log("received", text)
  client.end()
  client.on("offline", () => process.exit(0))
  client.connection.on("close", () => process.exit(0))
})
