#!/usr/bin/python3
"""An auth service for nginx-xmpp: users in a file, passwords as scrypt hashes.

  auth.py --users FILE --add USER@DOMAIN        asks for the password
  auth.py --users FILE [--listen 9000] [--backend 127.0.0.1:5322]

nginx:  auth_http http://127.0.0.1:9000/;
The same password is used at the XMPP server, which must offer PLAIN without
TLS on the backend address.  Needs nothing but Python 3.
"""

import argparse
import getpass
import hashlib
import hmac
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes


def scrypt(password, salt):
    return hashlib.scrypt(password, salt=salt, n=2**14, r=8, p=1, dklen=32)


def users(path):
    """Reads the file anew each time, so that a change needs no restart."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return {user: (salt, key) for user, salt, key in map(str.split, f)}


def add(path, user):
    password = getpass.getpass("password of %s: " % user).encode()
    salt = os.urandom(16)
    known = users(path)
    known[user] = (salt.hex(), scrypt(password, salt).hex())
    new = path + ".new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
              "w", encoding="utf-8") as f:
        for name, (salt, key) in known.items():
            f.write("%s %s %s\n" % (name, salt, key))
    os.replace(new, path)


class Handler(BaseHTTPRequestHandler):
    def header(self, name):
        # nginx escapes with %XX what a header cannot carry
        value = self.headers.get(name, "").encode("latin-1")
        return unquote_to_bytes(value)

    def do_GET(self):
        user = self.header("Auth-User").decode("utf-8", "replace")
        method = self.headers.get("Auth-Method")
        # an unknown user costs the same time as a wrong password
        salt, wanted = users(self.server.path).get(user, ("00" * 16, ""))
        got = scrypt(self.header("Auth-Pass"), bytes.fromhex(salt)).hex()

        self.send_response_only(204)
        if method == "plain" and hmac.compare_digest(got, wanted):
            self.send_header("Auth-Status", "OK")
            self.send_header("Auth-Server", self.server.backend[0])
            self.send_header("Auth-Port", self.server.backend[1])
        else:
            self.send_header("Auth-Status", "wrong user or password")
            self.send_header("Auth-Error-Code", "not-authorized")
            # three tries, two seconds apart; without the header nginx hangs up
            if int(self.headers.get("Auth-Login-Attempt", "1")) < 3:
                self.send_header("Auth-Wait", "2")
        self.end_headers()


def main():
    args = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", required=True, metavar="FILE")
    args.add_argument("--add", metavar="USER@DOMAIN")
    args.add_argument("--listen", type=int, default=9000, metavar="PORT")
    args.add_argument("--backend", default="127.0.0.1:5322",
                      metavar="ADDRESS:PORT")
    args = args.parse_args()

    if args.add:
        add(args.users, args.add)
        return

    server = ThreadingHTTPServer(("127.0.0.1", args.listen), Handler)
    server.path = args.users
    server.backend = args.backend.rsplit(":", 1)
    server.serve_forever()


if __name__ == "__main__":
    main()
