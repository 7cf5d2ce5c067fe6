// simple-xmpp: one message out, one in.

const dns = require("dns")
const Module = require("module")

const resolve = Module._resolveFilename

Module._resolveFilename = (name, ...rest) =>
  name === "reconnect-core" ? `${__dirname}/../node-xmpp-client/reconnect.js`
                            : resolve(name, ...rest)

const xmpp = require("simple-xmpp")

const e = process.env
let answered = false

function fail(why) {
  console.error(why)
  process.exit(1)
}

// The certificate has to have the name of the host, which is the domain
// therefore; this is the DNS.
const { lookup } = dns

dns.lookup = (name, ...rest) =>
  lookup(name === e.XMPP_DOMAIN ? e.XMPP_HOST : name, ...rest)

setTimeout(() => fail("no answer"), 40000).unref()

xmpp.on("error", fail)

xmpp.on("online", () => {
  if (!xmpp.conn.connection.socket.authorized) fail("no TLS")

  console.log("connected")
  xmpp.send(e.XMPP_PEER, e.XMPP_SEND)
})

xmpp.on("chat", (from, text) => {
  if (answered || !from.startsWith(`${e.XMPP_PEER}/`)) return

  answered = true
  console.log("received", text)
  xmpp.disconnect()
})

xmpp.on("close", () => process.exit(answered ? 0 : 1))

xmpp.connect({
  jid: `${e.XMPP_USER}@${e.XMPP_DOMAIN}`,
  password: e.XMPP_PASSWORD,
  host: e.XMPP_DOMAIN,
  port: Number(e.XMPP_PORT),
  legacySSL: e.XMPP_TLS === "direct",
  rejectUnauthorized: true,
})
