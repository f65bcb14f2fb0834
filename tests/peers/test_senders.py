#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do the queues of the real Postfix, Exim and OpenSMTPD deliver through postern, and empty
themselves, also when the next hop refuses or defers?"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from capture import Capture, starttls_judge  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from mta import SERVERS  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402
from sink import Sink  # noqa: E402


class Sender:
    """Run for each server by the classes below."""

    server = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hop = Sink(port=free_port(), cert=cls.sink_cert)
        cls.data = Sink(port=free_port(), cert=cls.sink_cert, caps=NO_CHUNKING)
        cls.gw = Gateway([route("hop.example", cls.hop.port), route("data.example", cls.data.port)],
                         authority=cls.authority).start()
        cls.capture = Capture()  # servers keep connections from one test to the next
        cls.mta = SERVERS[cls.server](cls.authority, relay=cls.gw.address()).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.mta.__exit__()
        cls.capture.stop()
        cls.gw.stop()
        cls.hop.close()
        cls.data.close()

    def arrived(self, sink, marker, seconds=40):
        def find():
            return next((m for m in sink.messages if marker in m.body), None)
        try:
            return wait_for(find, seconds, f"{marker!r} from {self.server}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.mta.logs()[-2500:]}\n{self.gw.log()[-2500:]}") from e

    def test_message(self):
        self.mta.submit("a@client.example", ["x@hop.example"],
                        b"Subject: one\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.\r\n..\r\n"
                        + b"y" * 900 + b"\r\nend of it\r\n")
        m = self.arrived(self.hop, b"Subject: one")
        self.assertTrue(m.body.endswith(b"\r\n.\r\n..\r\n" + b"y" * 900 + b"\r\nend of it\r\n"),
                        m.body[-1200:])
        self.assertTrue(m.body.startswith(b"Received: from "))
        self.assertIsNotNone(m.tls)
        # The capture may be behind what it sees.
        secured = wait_for(lambda: [j for s in self.capture.streams(self.gw.ports["internet"])
                                    if (j := starttls_judge(*s))[1]], 10, "the capture")
        self.assertEqual({j[0] for j in secured}, {0})

    def test_to_a_hop_without_chunking(self):
        self.mta.submit("a@client.example", ["x@data.example"], b"Subject: two\r\n\r\n.\r\nbody\r\n")
        m = self.arrived(self.data, b"Subject: two")
        self.assertEqual(m.framing, "DATA")
        self.assertTrue(m.body.endswith(b"\r\n\r\n.\r\nbody\r\n"), m.body)

    def test_large(self):
        body = b"".join(b"%07d %s\r\n" % (i, b"z" * 60) for i in range(70000))
        self.mta.submit("a@client.example", ["x@hop.example"], b"Subject: large\r\n\r\n" + body)
        self.assertTrue(self.arrived(self.hop, b"Subject: large").body.endswith(body))

    def test_several_recipients(self):
        self.mta.submit("a@client.example", [f"r{i}@hop.example" for i in range(20)],
                        b"Subject: many\r\n\r\nbody\r\n")
        def recipients():
            return {r for m in self.hop.messages if b"Subject: many" in m.body for r in m.rcpts}
        wait_for(lambda: len(recipients()) == 20, 40, "20 recipients")

    def test_queue_of_fifty(self):
        for i in range(50):
            self.mta.submit("a@client.example", [f"x{i}@hop.example"],
                            b"Subject: fifty %d\r\n\r\nbody\r\n" % i)
        wait_for(lambda: sum(b"Subject: fifty" in m.body for m in self.hop.messages) >= 50, 90,
                 "50 messages")
        self.assertEqual(len({tuple(m.rcpts) for m in self.hop.messages
                              if b"Subject: fifty" in m.body}), 50)

    def test_retries_after_4yz(self):
        tries = []

        def later(connection):
            tries.append(connection.number)
            return "451 4.3.0 later" if len(tries) < 2 else "250 2.0.0 now"
        self.hop.behave["FINAL"] = later
        try:
            self.mta.submit("a@client.example", ["x@hop.example"], b"Subject: again\r\n\r\nbody\r\n")
            wait_for(lambda: tries, 30, "the first try")
            time.sleep(1)
            self.mta.retry()
            self.arrived(self.hop, b"Subject: again", 60)
        finally:
            del self.hop.behave["FINAL"]
        self.assertGreaterEqual(len(tries), 2)


class Postfix(Sender, Case):
    server = "postfix"


class Exim(Sender, Case):
    server = "exim"


class OpenSmtpd(Sender, Case):
    server = "opensmtpd"


if __name__ == "__main__":
    tap.main()
