#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do 200 real-world messages arrive byte for byte, but for our Received line, whatever the framing
on either side?"""
import email.mime.application
import email.mime.image
import email.mime.multipart
import email.mime.text
import email.policy
import glob
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import EMULATED, Client  # noqa: E402
from gateway import Gateway, free_port, route, strip_received  # noqa: E402
from mta import root_of  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402
from sink import Sink  # noqa: E402

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def packaged():
    """Test data of Debian's packages: mail of a hundred programs. Stored with LF, sent with CRLF;
    what has a bare CR even so can't be sent by DATA at all, and is left out."""
    for path in sorted(glob.glob(root_of("corpus") + "/*")):
        data = open(path, "rb").read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if data and not BARE.search(data):
            yield os.path.basename(path), data


def letters(rng, alphabet, count):
    return rng.randbytes(count).translate((alphabet * 256)[:256])


def made():
    """The edges that archives lack."""
    header = b"From: a@client.example\r\nSubject: made\r\n"
    rng = random.Random(5321)
    yield "no bytes at all", b""
    yield "an empty line", b"\r\n"
    yield "header only", header
    yield "header and empty line", header + b"\r\n"
    yield "one dot", header + b"\r\n.\r\n"
    yield "dots", header + b"\r\n" + b"".join(b"." * i + b"\r\n" for i in range(200))
    yield "dots first", b".\r\n..\r\n"
    yield "lines at the limit", header + b"\r\n" + (b"x" * 998 + b"\r\n") * 20
    yield "lines beyond the limit", header + b"\r\n" + (b"." + b"y" * 5000 + b"\r\n") * 5
    yield "one line of 300 KB", header + b"\r\n" + b"z" * 300000 + b"\r\n"
    yield "all bytes but CR and LF", header + b"\r\n" + bytes(
        b for b in range(256) if b not in (10, 13)) * 10 + b"\r\n"
    yield "empty lines", header + b"\r\n" * 5000
    yield "Received lines", b"Received: from a by b; now\r\n" * 90 + header + b"\r\nbody\r\n"
    yield "folded header", b"Subject: a\r\n\tb\r\n c\r\n" + header + b"\r\nbody\r\n"
    yield "large header", b"".join(b"X-%d: %s\r\n" % (i, b"h" * 60) for i in range(2000)) + b"\r\n"
    for size in (16383, 16384, 16385, 65535, 65536, 262143, 262144, 262145):
        body = letters(rng, b"abcdefgh.\t ", size - len(header) - 4)
        yield f"{size} bytes", header + b"\r\n" + body + b"\r\n"
    for i in range(25):
        outer = email.mime.multipart.MIMEMultipart("mixed")
        outer["From"], outer["Subject"] = "a@client.example", f"made {i} =?utf-8?q?=C3=84?="
        inner = email.mime.multipart.MIMEMultipart("alternative")
        inner.attach(email.mime.text.MIMEText("Grüße " * i, "plain", "utf-8"))
        inner.attach(email.mime.text.MIMEText("<p>Grüße</p>" * i, "html", "iso-8859-1"))
        outer.attach(inner)
        outer.attach(email.mime.application.MIMEApplication(rng.randbytes(i * 2000)))
        yield f"multipart {i}", outer.as_bytes(policy=email.policy.SMTP.clone(cte_type="8bit"))
    line = letters(rng, b"abcdefghijklmnopqrstuvwxyz.", 76) + b"\r\n"
    megabytes = 3 if EMULATED else 25
    yield f"{megabytes} MB", header + b"\r\n" + line * (megabytes * 1024 * 1024 // len(line))


class Messages(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sinks = {"bdat": Sink(port=free_port(), cert=cls.sink_cert),
                     "data": Sink(port=free_port(), cert=cls.sink_cert, caps=NO_CHUNKING)}
        cls.gw = Gateway([route(f"{name}.example", s.port) for name, s in cls.sinks.items()],
                         authority=cls.authority).start()
        cls.messages = list(packaged()) + list(made())

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        for sink in cls.sinks.values():
            sink.close()

    def cross(self, send, hop):
        sink, count, wrong = self.sinks[hop], 0, []
        with Client(self.gw.address(), timeout=60) as client:
            client.starttls()
            for name, message in self.messages:
                if not message.endswith(b"\r\n") and (send == "data" or hop == "data"):
                    message += b"\r\n"  # DATA can't say it otherwise; no line is changed
                client.transaction("a@client.example", [f"x@{hop}.example"])
                before = len(sink.messages)
                code, lines = client.data(message) if send == "data" else client.bdat(
                    self.chunks(message))
                if code != 250:
                    wrong.append(f"{name}: {lines}")
                    continue
                _, rest = strip_received(sink.messages[before].body)
                self.assertEqual(len(sink.messages), before + 1, name)
                if send == hop:
                    self.assertEqual(sink.messages[before].framing, hop.upper(), name)
                if rest != message:
                    wrong.append(f"{name}: {len(message)} bytes became {len(rest)}, different from "
                                 f"{first_difference(rest, message)} on")
                sink.clear()
                count += 1
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(count, 200)

    @staticmethod
    def chunks(message):
        """One, or several of odd sizes, as the message's size has it."""
        if len(message) % 2 or len(message) < 3:
            return [message]
        third = len(message) // 3
        return [message[:third], message[third:2 * third + 1], message[2 * third + 1:]]

    def test_data_to_data(self):
        self.cross("data", "data")

    def test_data_to_bdat(self):
        self.cross("data", "bdat")

    def test_bdat_to_data(self):
        self.cross("bdat", "data")

    def test_bdat_to_bdat(self):
        self.cross("bdat", "bdat")

    def test_corpus_is_large_enough(self):
        self.assertGreaterEqual(len(self.messages), 200)
        self.assertGreaterEqual(sum(b"multipart/" in m.lower() for _, m in self.messages), 30)


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


if __name__ == "__main__":
    tap.main()
