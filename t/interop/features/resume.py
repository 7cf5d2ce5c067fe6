"""Stream management (XEP-0198): the line breaks with messages on it in both
directions, the stream goes on over a new one, and each message comes once."""

import asyncio
import os
import re

from session import CA, HOST, PASSWORD, PORT, TIMEOUT, body, jid

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../../real/client_nbxmpp.py")
LINE = int(os.environ["FEATURES_LINE_PORT"])


class Line:
    """Between the client and where it logs in; breaks when told to."""

    def __init__(self):
        self.pair = None
        self.writers = []

    async def accept(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(HOST, PORT)
        # is it dead?
        pair = [False]
        self.pair, self.writers = pair, [writer, far_writer]
        await asyncio.gather(self.pump(pair, reader, far_writer),
                             self.pump(pair, far_reader, writer))

    async def pump(self, pair, reader, writer):
        try:
            while data := await reader.read(65536):
                # dead: what is on it gets lost
                if not pair[0]:
                    writer.write(data)
            if not pair[0]:
                writer.close()
        except OSError:
            if not pair[0]:
                writer.transport.abort()

    def hold(self):
        self.pair[0] = True

    def cut(self):
        """Both ends see a reset."""
        for writer in self.writers:
            writer.transport.abort()

    def hang(self):
        """Only the client does."""
        self.writers[0].transport.abort()


class Client:
    """A client of t/real, told line by line what to do."""

    async def start(self, name, *command):
        self.said = []
        self.seen = 0
        self.more = asyncio.Event()
        self.process = await asyncio.create_subprocess_exec(
            *command, "direct", CA, jid(name), PASSWORD,
            limit=1 << 22, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE)
        self.reading = asyncio.ensure_future(self.read())

    async def read(self):
        async for line in self.process.stdout:
            self.said.append(line.decode().rstrip("\n"))
            self.more.set()

    async def expect(self, regex):
        """The next line that matches."""
        async def search():
            while True:
                while self.seen < len(self.said):
                    self.seen += 1
                    match = re.match(regex, self.said[self.seen - 1])
                    if match:
                        return match
                self.more.clear()
                await self.more.wait()

        try:
            return await asyncio.wait_for(search(), TIMEOUT)
        except asyncio.TimeoutError:
            raise RuntimeError("no %s; the client said:\n%s" % (
                regex, "\n".join(self.said))) from None

    def say(self, *words):
        self.process.stdin.write((" ".join(words) + "\n").encode())

    async def end(self):
        self.process.stdin.close()
        status = await asyncio.wait_for(self.process.wait(), TIMEOUT)
        await self.reading
        return status


async def scenario(log, login):
    line = Line()
    server = await asyncio.start_server(line.accept, "127.0.0.1", LINE)

    bob = await login("bob", "two")
    bob.put("<presence/>")
    await bob.sync()

    alice = Client()
    await alice.start("alice", "/usr/bin/python3", CLIENT, "127.0.0.1",
                      str(LINE))
    match = await alice.expect(r"online (\S+)")
    where = match.group(1)
    await alice.expect("managed")
    log("managed")

    heard = []

    async def to_bob(words):
        m = await bob.expect("message", lambda m: body(m) == words)
        heard.append(body(m))

    def from_bob(words):
        bob.send_message(mto=where, mbody=words, mtype="chat")

    for how in "cut", "hang":
        from_bob("%s 1 to alice é 😀" % how)
        await alice.expect(r"message \S+ %s 1 " % how)
        alice.say("send", jid("bob"), "%s 1 to bob <&>" % how)
        await to_bob("%s 1 to bob <&>" % how)

        # these get lost on the way
        line.hold()
        from_bob("%s 2 to alice" % how)
        await bob.sync()
        alice.say("send", jid("bob"), "%s 2 to bob" % how)
        alice.say("expect")
        await alice.expect("expecting")

        getattr(line, how)()
        await alice.expect("dropped")
        from_bob("%s 3 to alice" % how)
        await bob.sync()

        alice.say("return")
        await alice.expect("resumed")
        log("resumed after", how)

        from_bob("%s 4 to alice" % how)
        await alice.expect(r"message \S+ %s 4 " % how)
        alice.say("send", jid("bob"), "%s 3 to bob" % how)
        await to_bob("%s 2 to bob" % how)
        await to_bob("%s 3 to bob" % how)

    log("alice has left:", await alice.end())
    await bob.sync()

    for line in alice.said:
        if line.startswith("message "):
            log("alice:", line.split(" ", 2)[2])
    for words in heard:
        log("bob:", words)
    log("and no more:", [body(m) for m in bob.left("message")])

    server.close()
    await bob.leave()
