#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Can one message become two, at us or at the next hop? The twelve endings of RFC-RULES, "Lines",
through DATA and BDAT, in plaintext and TLS, whole and split at each byte (each part a TLS record
of its own), towards a next hop that gets DATA and one that gets BDAT."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402
from sink import Sink  # noqa: E402

ENDINGS = [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r",
           b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n"]
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
BEFORE = b"Subject: first\r\n\r\nfirst"
AFTER = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<evil@%s.example>\r\nDATA\r\n"
         b"Subject: evil\r\n\r\nevil\r\n")


class Smuggling(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sinks = {"bdat": Sink(port=free_port(), cert=cls.sink_cert),
                     "data": Sink(port=free_port(), cert=cls.sink_cert, caps=NO_CHUNKING)}
        listeners = [{"name": n, "address": "127.0.0.1:0", "tls": "starttls", **more} for n, more in
                     (("reject", {}), ("normalize", {"bare_newline": "normalize"}),
                      ("scan", {"bdat_scan": True}))]
        # Hundreds of refused messages in a session are this suite's business.
        limits = {"max_errors": 1000, "max_commands": 100000, "max_messages": 0}
        cls.gw = Gateway([route(f"{n}.example", s.port) for n, s in cls.sinks.items()], listeners,
                         {"limits": limits}, cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        for sink in cls.sinks.values():
            sink.close()

    def connect(self, listener, tls):
        client = Client(self.gw.address(listener), timeout=15)
        self.addCleanup(client.close)
        if tls:
            client.starttls()
        else:
            client.expect(220)
            client.expect(250, "EHLO client.example")
        return client

    def try_one(self, client, framing, hop, ending, at):
        """at: where after BEFORE the bytes are split, or None. Returns the reply's code."""
        sink = self.sinks[hop]
        sink.clear()
        message = BEFORE + ending + AFTER % hop.encode()
        client.transaction("a@client.example", [f"x@{hop}.example"])
        if framing == "data":
            client.expect(354, "DATA")
            message += b".\r\n"
        else:
            client.send(b"BDAT %d LAST\r\n" % len(message))
        if at is None:
            client.send(message)
        else:
            client.send(message[:len(BEFORE) + at])
            time.sleep(0.002)
            client.send(message[len(BEFORE) + at:])
        code, lines = client.reply()
        client.expect(250, "RSET")  # the session is in step: nothing more was answered
        self.judge(sink, framing, hop, ending, code, lines)
        return code

    def judge(self, sink, framing, hop, ending, code, lines):
        where = f"{ending!r} {framing} to {hop}: {lines}"
        self.assertIn(code // 100, (2, 5), where)
        self.assertEqual([l for l in sink.lines() if "evil" in l], [], where)
        self.assertEqual(len(sink.complete), 1 if code == 250 else 0, where)
        self.assertEqual(sink.unknown, [], where)
        if hop == "data":
            for m in sink.complete:
                self.assertFalse(BARE.search(m.wire), where)
        for m in sink.complete:
            self.assertIn(b"Subject: evil", m.body, where)  # all of it is one body

    def all_of(self, listener, framing, hop, tls):
        codes = {}
        client = self.connect(listener, tls)
        for ending in ENDINGS:
            for at in [None, *range(-2, len(ending) + 3)]:
                codes.setdefault(ending, set()).add(
                    self.try_one(client, framing, hop, ending, at))
        for ending, seen in codes.items():
            self.assertEqual(len(seen), 1, f"{ending!r}: the split decides: {seen}")
        return {e: s.pop() for e, s in codes.items()}

    def expect_bare_refused(self, codes):
        for ending, code in codes.items():
            self.assertEqual(code, 250 if not BARE.search(ending) else 554, repr(ending))

    def test_data_to_data_plain(self):
        self.expect_bare_refused(self.all_of("reject", "data", "data", False))

    def test_data_to_data_tls(self):
        self.expect_bare_refused(self.all_of("reject", "data", "data", True))

    def test_data_to_bdat_plain(self):
        self.expect_bare_refused(self.all_of("reject", "data", "bdat", False))

    def test_data_to_bdat_tls(self):
        self.expect_bare_refused(self.all_of("reject", "data", "bdat", True))

    def test_bdat_to_data_plain(self):
        self.expect_bare_refused(self.all_of("reject", "bdat", "data", False))

    def test_bdat_to_data_tls(self):
        self.expect_bare_refused(self.all_of("reject", "bdat", "data", True))

    def test_bdat_to_bdat_passes_unseen(self):
        for tls in (False, True):
            codes = self.all_of("reject", "bdat", "bdat", tls)
            self.assertEqual(set(codes.values()), {250})

    def test_bdat_scan(self):
        self.expect_bare_refused(self.all_of("scan", "bdat", "bdat", True))

    def test_normalize(self):
        """Bare CR is refused even so; a bare LF never makes a lone dot."""
        for hop in ("data", "bdat"):
            codes = self.all_of("normalize", "data", hop, True)
            for ending, code in codes.items():
                if re.search(rb"\r(?!\n)", ending):
                    self.assertEqual(code, 554, repr(ending))

    def test_chunk_boundaries(self):
        """An ending laid across chunks, each split."""
        client = self.connect("reject", True)
        for ending in [*ENDINGS, b"\r\n.\r\n"]:
            for hop, sink in self.sinks.items():
                for at in range(1, len(ending)):
                    sink.clear()
                    first, second = BEFORE + ending[:at], ending[at:] + AFTER % hop.encode()
                    client.transaction("a@client.example", [f"x@{hop}.example"])
                    client.send(b"BDAT %d\r\n" % len(first) + first
                                + b"BDAT %d LAST\r\n" % len(second) + second)
                    client.reply()
                    code, lines = client.reply()
                    client.expect(250, "RSET")
                    self.judge(sink, "bdat", hop, ending, code, lines)


if __name__ == "__main__":
    tap.main()
