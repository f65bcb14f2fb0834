#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Can bytes sent in plaintext be taken for bytes of the TLS session, from either side, wherever the
network splits them? (RFC 3207 section 4; CVE-2021-38371)"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, Closed, tls_context  # noqa: E402
from gateway import route, strip_received  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402

PAUSE = 0.004  # enough for the first part to be read alone


class Commands(Case):
    injected = b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@client.example>\r\n"

    def test_after_starttls_at_every_split(self):
        gateway, sink = self.pair()
        for at in range(1, len(self.injected)):
            with self.subTest(at), Client(gateway.address(), timeout=5) as client:
                client.expect(220)
                client.expect(250, "EHLO client.example")
                client.send(self.injected[:at])
                time.sleep(PAUSE)
                try:
                    client.send(self.injected[at:])
                except OSError:
                    pass
                self.no_tls_with_leftovers(client, at)
        self.assertEqual(sink.attempts, [])

    def no_tls_with_leftovers(self, client, at):
        """The injected commands are never answered. The gateway may have said its 220 before they
        came; the handshake then meets them, and fails."""
        said = []
        try:
            while len(said) < 3:
                said.append(client.line())
        except (Closed, OSError):
            pass
        self.assertNotIn("250", [s[:3] for s in said], said)
        self.assertLessEqual(len([s for s in said if s.startswith("220")]), 1, said)
        if at <= len(b"STARTTLS\r\n") - 1:
            self.assertEqual([s for s in said if s.startswith("220")], [],
                             "handshake offered with bytes behind STARTTLS")

    def test_injected_before_the_handshake(self):
        """A command and then a genuine ClientHello: the handshake must not go through."""
        gateway, _ = self.pair()
        with Client(gateway.address(), timeout=5) as client:
            client.expect(220)
            client.expect(250, "EHLO client.example")
            client.expect(220, "STARTTLS")
            client.send(b"RSET\r\n")
            with self.assertRaises(OSError):
                client.tls(tls_context())

    def test_session_byte_by_byte(self):
        """The same session in single bytes gives the same message."""
        gateway, sink = self.pair()
        talk = (b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<x@hop.example>\r\n"
                b"DATA\r\n")
        body = b"Subject: bytes\r\n\r\n..\r\nbody\r\n.\r\n"
        with Client(gateway.address()) as client:
            client.expect(220)
            for i in range(len(talk)):
                client.send(talk[i:i + 1])
            for code in (250, 250, 250, 354):
                client.expect(code)
            for i in range(len(body)):
                client.send(body[i:i + 1])
                time.sleep(0.001)
            client.expect(250)
        self.assertEqual(strip_received(sink.messages[0].body)[1],
                         b"Subject: bytes\r\n\r\n.\r\nbody\r\n")


class Replies(Case):
    said = b"220 2.0.0 go\r\n250 2.0.0 injected\r\n250 2.0.0 more\r\n"

    def test_after_220_at_every_split(self):
        sinks = []
        for at in range(1, len(self.said)):
            def split(connection, at=at):
                connection.sock.sendall(self.said[:at])
                time.sleep(PAUSE)
                return self.said[at:]
            sinks.append(self.sink(behave={"STARTTLS": split}))
        gateway = self.gateway([route(f"s{i}.example", s.port) for i, s in enumerate(sinks)])
        for i, sink in enumerate(sinks):
            with self.subTest(i + 1), Client(gateway.address(), timeout=10) as client:
                client.starttls()
                client.expect(250, "MAIL FROM:<a@client.example>")
                code, lines = client.command(f"RCPT TO:<x@s{i}.example>")
                self.assertEqual(code, 451, lines)
                client.expect(250, "NOOP")
                self.assertEqual(sink.attempts, [])

    def test_reply_lines_without_end(self):
        """A next hop that never ends its reply costs a bounded amount of memory, and its time."""
        flood = b"250-" + b"x" * 500 + b"\r\n"

        def endless(connection):
            for _ in range(20000):
                connection.sock.sendall(flood)
            return b"250 end\r\n"
        sinks = [self.sink(behave={"EHLO": endless}),
                 self.sink(behave={"GREETING": lambda c: b"220 " + b"x" * 5_000_000})]
        gateway = self.gateway([route(f"s{i}.example", s.port) for i, s in enumerate(sinks)])
        for i in range(2):
            with Client(gateway.address(), timeout=30) as client:
                client.starttls()
                client.expect(250, "MAIL FROM:<a@client.example>")
                client.expect(451, f"RCPT TO:<x@s{i}.example>")

    def test_replies_to_nothing(self):
        """More replies than commands are a broken peer, not answers to later commands."""
        sink = self.sink(behave={"RCPT": b"250 2.1.5 ok\r\n250 2.0.0 stored\r\n250 2.0.0 stored\r\n"},
                         caps=NO_CHUNKING)
        gateway = self.gateway([route("hop.example", sink.port)])
        with Client(gateway.address()) as client:
            client.starttls()
            client.expect(250, "MAIL FROM:<a@client.example>")
            client.command("RCPT TO:<x@hop.example>")
            code, _ = client.command("DATA")
            if code == 354:
                client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
                code, _ = client.reply()
            self.assertNotEqual(code // 100, 2, "a 250 without the next hop's own for the message")


if __name__ == "__main__":
    tap.main()
