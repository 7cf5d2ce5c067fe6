"""A program in a terminal of its own, for clients that are driven by keys.

    with Terminal(["program", "argument"]) as terminal:
        terminal.wait(lambda: something_is_so())
        terminal.type("text and Enter")
    # it has ended, and if not, was made to
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

SECONDS = 60


class Terminal:
    def __init__(self, command, rows=50, columns=240, **environment):
        self.screen = b""
        self.pid, self.fd = pty.fork()

        if self.pid == 0:
            os.environ.update(environment, TERM="xterm")
            os.execvp(command[0], command)

        # It has a session of its own, and would be left behind.
        signal.signal(signal.SIGTERM, self.stop)

        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def stop(self, *_):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)

        sys.exit(1)

    # What is drawn has to be read, or the program waits.
    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return

        try:
            self.screen += os.read(self.fd, 65536)
        except OSError:
            time.sleep(seconds)

    # Without the sequences that move and colour.
    def text(self):
        text = self.screen.decode(errors="replace")

        return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\([0AB]|.)", " ", text)

    def ended(self):
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = None

        return not self.pid

    # Returns what the condition says when it is something.
    def wait(self, condition, seconds=SECONDS):
        end = time.monotonic() + seconds

        while time.monotonic() < end:
            result = condition()
            if result:
                return result
            if self.ended():
                break
            self.read(0.1)

        result = condition()
        if not result:
            sys.exit("in vain, the screen had: " + self.text()[-3000:])

        return result

    # Enter comes when the text is drawn: some take both together for a paste.
    def type(self, text):
        self.press(text)
        self.press("\r")

    def press(self, keys):
        self.write(keys)
        drawn = None

        while drawn != len(self.screen):
            drawn = len(self.screen)
            self.read(0.2)

    def write(self, text):
        data = text.encode()

        while data:
            self.read(0)
            data = data[os.write(self.fd, data[:100]):]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end = time.monotonic() + 5

        while not self.ended() and time.monotonic() < end:
            self.read(0.1)

        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
