#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plays the session scripts of this folder against a live posternd. One script, one test.

A script is a transcript. Its head says which rule it proves and what differs from the usual set-up:
    # rule: RFC-RULES STARTTLS, "bytes after it are an attack" (RFC 3207 section 4)
    # listener: internet | tls | inside | trusted | lenient
    # with: limits.max_errors = 3
Then, line by line:
    S: 250 2.1.0 *        a line from the gateway; * and ? are wildcards
    R: 250 *              a whole reply of any number of lines; the pattern is for its last line,
                          and `has:` / `hasnot:` look at any line of the latest reply
    C: EHLO client        a line to it; lines in a row go out in one write
    C> QUIT\\r\\n         bytes to it, with Python's escapes; {4000*x} repeats
    S*100 250 *           that many lines like this
    TLS                   a handshake;  CLOSED  the gateway has closed, saying nothing more
    GONE                  the gateway closes, and says nothing with 2yz before it does
    WAIT 1.5              seconds
    N: MAIL FROM:<a@b>*   the next hop heard this line, after those already named
    N! RCPT*              and never one like this
    BODY: <bytes>         what arrived, after our Received line, is exactly this
    RECEIVED: *ESMTPS*    our Received line, unfolded
    NOTHING               no message arrived
Recipients choose the next hop by domain: see DOMAINS; and its answers: see tests/lib/sink.py.
"""
import fnmatch
import glob
import os
import re
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import tap  # noqa: E402
from certs import Authority  # noqa: E402
from client import Client, Closed, wait_for  # noqa: E402
from gateway import Gateway, free_port, merge, route, strip_received  # noqa: E402
from sink import CAPS, Sink  # noqa: E402

NO_CHUNKING = [c for c in CAPS if c not in ("CHUNKING", "BINARYMIME")]

# Domain: what its next hop offers, and how it is reached.
DOMAINS = {
    "hop.example": dict(),
    "data.example": dict(caps=NO_CHUNKING),
    "poor.example": dict(caps=["PIPELINING"]),
    "lockstep.example": dict(caps=["8BITMIME"]),
    "chunks.example": dict(route={"data_to_bdat": True}),
    "nochunks.example": dict(caps=NO_CHUNKING, route={"data_to_bdat": True}),
    "small.example": dict(caps=["PIPELINING", "SIZE 20000", "CHUNKING"]),
    "plain.example": dict(tls=None, level="none"),
    "notls.example": dict(tls=None, level="encrypt"),
    "may.example": dict(tls=None, level="may"),
    "nogreeting.example": dict(behave={"GREETING": "554 5.3.2 no service"}),
    "busy.example": dict(behave={"GREETING": "421 4.3.2 busy"}),
    "noehlo.example": dict(behave={"EHLO": "550 5.7.0 no", "HELO": "550 5.7.0 no"}),
    "refused.example": dict(behave={"STARTTLS": "454 4.7.0 not now"}),
    "inject.example": dict(behave={"STARTTLS": b"220 2.0.0 go\r\n250 injected\r\n"}),
    "demands.example": dict(behave={"MAIL": "530 5.7.0 must authenticate"}),
}


class Scripts(unittest.TestCase):
    """The cases are made from the files, below."""

    gateways, sinks, authority = {}, {}, None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-session-")
        os.chmod(cls.folder, 0o755)
        cls.authority = Authority(os.path.join(cls.folder, "ca"))
        cert = cls.authority.issue("sink.example")
        cls.routes = [route("down.example", free_port())]
        for domain, how in DOMAINS.items():
            how = dict(how)
            level = how.pop("level", "encrypt")
            more = how.pop("route", {})
            cls.sinks[domain] = Sink(port=free_port(), cert=cert, **how)
            cls.routes.append(route(domain, cls.sinks[domain].port, level, **more))
        cls.routes.append(route("elsewhere.example", cls.sinks["hop.example"].port, relay=True))
        cls.routes.append(route("inside.example", cls.sinks["hop.example"].port,
                                listeners=["inside"]))

    @classmethod
    def tearDownClass(cls):
        for g in cls.gateways.values():
            g.stop()

    @classmethod
    def gateway(cls, changes):
        """One gateway for all scripts with the same settings."""
        key = tuple(sorted(changes))
        if key not in cls.gateways:
            settings = {}
            for path, value in changes:
                words = path.split(".")
                for word in reversed(words):
                    value = {word: value}
                settings = merge(settings, value)
            listeners = [
                {"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"},
                {"name": "tls", "address": "127.0.0.1:0", "tls": "implicit"},
                {"name": "inside", "address": "127.0.0.1:0", "tls": "starttls",
                 "require_tls": True, "relay_clients": ["127.0.0.0/8"]},
                {"name": "trusted", "address": "127.0.0.1:0", "tls": "starttls",
                 "xclient_clients": ["127.0.0.0/8"]},
                {"name": "proxied", "address": "127.0.0.1:0", "tls": "starttls",
                 "proxy_clients": ["127.0.0.0/8"]},
                {"name": "lenient", "address": "127.0.0.1:0", "tls": "starttls",
                 "bare_newline": "normalize"},
                {"name": "scanning", "address": "127.0.0.1:0", "tls": "starttls",
                 "bdat_scan": True}]
            cls.gateways[key] = Gateway(cls.routes, listeners, settings, cls.authority).start()
        return cls.gateways[key]

    def play(self, path):
        head, steps = script_read(path)
        for sink in self.sinks.values():
            sink.clear()
        gateway = self.gateway(head["with"])
        Player(self, gateway, head).play(steps)


class Player:
    def __init__(self, case, gateway, head):
        self.case = case
        self.client = Client(gateway.address(head["listener"]))
        self.heard_at = 0
        self.reply = []

    def play(self, steps):
        pending = b""
        try:
            for number, word, rest in steps:
                if word in ("C:", "C>"):
                    pending += unescape(rest) if word == "C>" else unescape(rest) + b"\r\n"
                    continue
                if pending:
                    self.client.send(pending)
                    pending = b""
                try:
                    if word.startswith("S*"):
                        for _ in range(int(word[2:])):
                            self.said(rest)
                        continue
                    getattr(self, WORDS[word])(rest)
                except (AssertionError, Closed, TimeoutError) as e:
                    raise AssertionError(f"line {number}, {word} {rest}: {e!r}") from e
        finally:
            self.client.close()

    def said(self, pattern):
        line = self.client.line()
        self.reply.append(line)
        assert fnmatch.fnmatchcase(line, bracket(pattern)), f"heard {line!r}"

    def replied(self, pattern):
        _, self.reply = self.client.reply()
        assert fnmatch.fnmatchcase(self.reply[-1], bracket(pattern)), f"heard {self.reply}"

    def has(self, pattern):
        assert any(fnmatch.fnmatchcase(l[4:], bracket(pattern)) for l in self.reply), self.reply

    def hasnot(self, pattern):
        assert not any(fnmatch.fnmatchcase(l[4:], bracket(pattern)) for l in self.reply), self.reply

    def tls(self, _):
        self.client.tls()

    def closed(self, _):
        assert self.client.closed(), "still open, or more was said"

    def gone(self, _):
        try:
            while True:
                line = self.client.line()
                assert not line.startswith("2"), f"heard {line!r}"
        except Closed:
            pass

    def wait(self, seconds):
        time.sleep(float(seconds))

    def heard_lines(self):
        return [l for s in self.case.sinks.values() for l in s.lines()]

    def heard(self, pattern):
        def find():
            lines = self.heard_lines()
            for i in range(self.heard_at, len(lines)):
                if fnmatch.fnmatchcase(lines[i], bracket(pattern)):
                    return i + 1
            return None
        self.heard_at = wait_for(find, 5, f"the next hop to hear {pattern}; it heard "
                                 f"{self.heard_lines()}")

    def never_heard(self, pattern):
        time.sleep(0.1)
        found = [l for l in self.heard_lines() if fnmatch.fnmatchcase(l, bracket(pattern))]
        assert not found, found

    def message(self):
        messages = [m for s in self.case.sinks.values() for m in s.messages]
        assert messages, "no message arrived"
        return messages[-1]

    def body(self, want):
        _, rest = strip_received(self.message().body)
        assert rest == unescape(want), f"arrived {rest[:300]!r}"

    def received(self, pattern):
        line, _ = strip_received(self.message().body)
        unfolded = re.sub(rb"\r\n[ \t]*", b" ", line).decode("latin-1").strip()
        assert fnmatch.fnmatchcase(unfolded, bracket(pattern)), unfolded

    def nothing(self, _):
        time.sleep(0.1)
        arrived = [m.body[:200] for s in self.case.sinks.values() for m in s.complete]
        assert not arrived, arrived


WORDS = {"S:": "said", "R:": "replied", "has:": "has", "hasnot:": "hasnot", "TLS": "tls",
         "CLOSED": "closed", "GONE": "gone", "WAIT": "wait", "N:": "heard", "N!": "never_heard",
         "BODY:": "body", "RECEIVED:": "received", "NOTHING": "nothing"}


def bracket(pattern):
    """[ is itself: addresses have it."""
    return pattern.replace("[", "[[]")


def unescape(text):
    text = re.sub(r"\{(\d+)\*([^}]+)\}", lambda m: m.group(2) * int(m.group(1)), text)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def script_read(path):
    head, steps = {"listener": "internet", "with": [], "rule": ""}, []
    with open(path, encoding="latin-1") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            m = re.match(r"# (rule|listener|with): (.*)", line)
            if m and m.group(1) == "with":
                name, value = m.group(2).split(" = ")
                head["with"].append((name, int(value) if value.isdigit() else value.strip('"')))
            elif m:
                head[m.group(1)] = m.group(2)
            elif line.strip() and not line.startswith("#"):
                word, _, rest = line.partition(" ")
                if word not in WORDS and word not in ("C:", "C>") and word[:2] != "S*":
                    raise SystemExit(f"{path}:{number}: no such step: {word}")
                steps.append((number, word, rest))
    if not head["rule"]:
        raise SystemExit(f"{path}: names no rule")
    return head, steps


for script in sorted(glob.glob(os.path.join(HERE, "*.session"))):
    name = "test_" + os.path.basename(script).removesuffix(".session").replace("-", "_")
    setattr(Scripts, name, lambda self, path=script: self.play(path))

if __name__ == "__main__":
    tap.main()
