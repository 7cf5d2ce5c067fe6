#!/usr/bin/python3
"""An nbxmpp client (4.2 and later), the library of Gajim, that a test drives
line by line.

usage: client_nbxmpp.py HOST PORT starttls|direct CA_FILE JID PASSWORD
                        [register]

With "register" the account is made first (XEP-0077), in a stream of its own.

Standard input:
  send JID TEXT     send a chat message
  expect            the connection will be broken
  return            connect again
  password NEW      change the account's password
  remove            remove the account
Standard output:
  online JID MECHANISM
  message JID TEXT        a newline in TEXT is shown as \\n
  managed                 stream management is on
  expecting
  dropped
  resumed                 the stream from before goes on
  registered
  changed
  removed
  failed WHY
The end of the input ends the stream and the program.
"""

import logging
import re
import sys

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

logging.disable(logging.CRITICAL)

from nbxmpp.client import Client  # noqa: E402
from nbxmpp.const import ConnectionProtocol, ConnectionType, Mode  # noqa: E402
from nbxmpp.errors import StanzaError  # noqa: E402
from nbxmpp.namespaces import Namespace  # noqa: E402
from nbxmpp.protocol import JID, Message, Presence  # noqa: E402
from nbxmpp.structs import StanzaHandler  # noqa: E402


def say(*words):
    print(*words, flush=True)


class Session:
    def __init__(self, host, port, way, ca, jid, password, register=None):
        self.loop = GLib.MainLoop()
        self.status = 0
        self.expecting = False
        self.over = False
        self.mechanism = None

        # only this authority is trusted, for the JID's domain
        Gio.TlsBackend.get_default().set_default_database(
            Gio.TlsFileDatabase.new(ca))

        jid = JID.from_string(jid)
        host = "[%s]" % host if ":" in host else host

        self.client = Client(log_context="test")
        self.client.set_domain(jid.domain)
        self.client.set_username(jid.localpart)
        self.client.set_password(password)
        self.client.set_custom_host(
            "%s:%s" % (host, port), ConnectionProtocol.TCP,
            ConnectionType.DIRECT_TLS if way == "direct"
            else ConnectionType.START_TLS)
        if register:
            self.client.set_mode(Mode.REGISTER)

        for signal, handler in (
                ("connected", self.connected),
                ("resume-successful", lambda *_: say("resumed")),
                ("resume-failed", lambda *_: self.fail("resumption")),
                ("disconnected", self.lost),
                ("connection-failed", self.lost),
                ("stanza-sent", self.sent)):
            self.client.subscribe(signal, handler)

        self.client.register_handler(
            StanzaHandler(name="message", callback=self.message))
        self.client.register_handler(
            StanzaHandler(name="enabled", callback=lambda *_: say("managed"),
                          xmlns=Namespace.STREAM_MGMT))

        self.input = Gio.DataInputStream.new(
            Gio.UnixInputStream.new(sys.stdin.fileno(), False))

    def run(self):
        self.client.connect()
        self.loop.run()
        return self.status

    def connected(self, *_):
        if self.client._mode.is_register:
            self.account("request_register_form", self.fill_in)
            return
        self.client.send_stanza(Presence())
        say("online", self.client.get_bound_jid(), self.mechanism)
        self.read()

    def account(self, request, then, *arguments):
        self.then = then
        module = self.client.get_module("Register")
        getattr(module, request)(*arguments, callback=self.answered)

    # a method, as nbxmpp keeps weak references only
    def answered(self, task):
        try:
            self.then(task.finish())
        except StanzaError as error:
            self.fail(error.condition)

    def fill_in(self, data):
        form = data.form or data.fields_form
        form.vars["username"].value = self.client.username
        form.vars["password"].value = self.client.password
        self.account("submit_register_form", self.registered, form)

    def registered(self, _):
        say("registered")
        self.client.disconnect()

    def sent(self, client, signal, data):
        match = re.match(r"<auth(enticate)? [^>]*mechanism=\"([^\"]+)",
                         str(data))
        if match:
            self.mechanism = match.group(2)
            if match.group(1):
                self.mechanism = "SASL2-" + self.mechanism

    def message(self, client, stanza, properties):
        if stanza.getBody():
            say("message", stanza.getFrom(),
                stanza.getBody().replace("\n", "\\n"))

    def fail(self, *why):
        say("failed", *why)
        self.status = 1
        self.loop.quit()

    def lost(self, *_):
        if self.expecting:
            self.expecting = False
            say("dropped")
        elif self.over:
            self.loop.quit()
        elif self.client._mode.is_register and not self.status:
            self.client.set_mode(Mode.CLIENT)
            self.client.connect()
        else:
            self.fail(*self.client.get_error())

    def read(self):
        self.input.read_line_async(GLib.PRIORITY_DEFAULT, None, self.command)

    def command(self, stream, result):
        line, _ = stream.read_line_finish_utf8(result)
        if line is None:
            self.over = True
            self.client.disconnect()
            return
        word, *rest = line.split(" ", 2)
        if word == "send":
            self.client.send_stanza(Message(to=rest[0], body=rest[1],
                                            typ="chat"))
        elif word == "expect":
            self.expecting = True
            say("expecting")
        elif word == "return":
            self.client.connect()
        elif word == "password":
            self.account("change_password", lambda _: say("changed"), rest[0])
        elif word == "remove":
            self.over = True
            self.account("unregister", lambda _: say("removed"))
        else:
            self.fail("unknown command:", word)
        self.read()


if __name__ == "__main__":
    if len(sys.argv) != 7 and sys.argv[7:] != ["register"]:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(Session(*sys.argv[1:]).run())
