#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""When somebody on the way strips, refuses or garbles STARTTLS, or shows another certificate, does
any byte of mail go out on a weaker connection than the level demands? A capture answers."""
import os
import re
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from capture import Capture  # noqa: E402
from certs import Authority, spki  # noqa: E402
from client import Client, wait_for  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from setup import Case  # noqa: E402
from sink import CAPS, CUT, Sink  # noqa: E402


def garbage(connection):
    return b"220 2.0.0 go\r\n" + os.urandom(300)


def garbled_handshake(connection):
    connection.sock.sendall(b"220 2.0.0 go\r\n")
    connection.sock.recv(4096)
    return b"\x16\x03\x03\x00\x40" + os.urandom(64)


def alert(connection):
    connection.sock.sendall(b"220 2.0.0 go\r\n")
    connection.sock.recv(4096)
    return b"\x15\x03\x03\x00\x02\x02\x28"  # fatal, handshake_failure


def old_context(cert):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(*cert)
    return context


ATTACKS = {
    "stripped": dict(tls=None),
    "refused 454": dict(behave={"STARTTLS": "454 4.7.0 not now"}),
    "refused 502": dict(behave={"STARTTLS": "502 5.5.1 what"}),
    "cut at STARTTLS": dict(behave={"STARTTLS": CUT}),
    "garbage for 220": dict(behave={"STARTTLS": b"\x00\x01\x02\r\n"}),
    "garbage after 220": dict(behave={"STARTTLS": garbage}),
    "garbled handshake": dict(behave={"STARTTLS": garbled_handshake}),
    "alert": dict(behave={"STARTTLS": alert}),
    "TLS 1.1 only": dict(old=True),
}

# Those in which the next hop has no TLS to give; in the rest it breaks the protocol.
WITHOUT_TLS = ("stripped", "refused 454", "cut at STARTTLS", "garbled handshake", "alert",
               "TLS 1.1 only")


class Downgrade(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = Authority(os.path.join(cls.folder, "other"))
        attacks = dict(ATTACKS)
        cls.sinks, routes = {}, []
        levels = {"may": {"level": "may"}, "encrypt": {"level": "encrypt"},
                  "verify": {"level": "verify", "ca": cls.authority.cert, "names": ["sink.example"]},
                  "pin": {"level": "pin", "spki": [spki(cls.sink_cert[0])]}}
        attacks["other certificate"] = dict(cert=cls.other.issue("sink.example"))
        attacks["other name"] = dict(cert=cls.authority.issue("evil.example"))
        attacks["no attack"] = dict()
        for attack, how in attacks.items():
            cert = how.get("cert", cls.sink_cert)
            more = {k: v for k, v in how.items() if k not in ("cert", "old")}
            for level, tls in levels.items():
                context = old_context(cert) if "old" in how else None
                sink = Sink(port=free_port(), cert=cert, context=context, **more)
                domain = re.sub(r"\W", "-", f"{attack} {level}").lower() + ".example"
                cls.sinks[attack, level] = domain, sink
                routes.append({"domain": domain, "next_hop": f"127.0.0.1:{sink.port}", "tls": tls})
        # Each message has a connection of its own, so that each capture has its beginning.
        cls.gw = Gateway(routes, None, {"limits": {"hop_max_messages": 1}}, cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        for _, sink in cls.sinks.values():
            sink.close()

    def attempt(self, attack, level):
        """(RCPT's answer, the sink, bytes towards it in the capture)."""
        domain, sink = self.sinks[attack, level]
        with Capture() as capture, Client(self.gw.address(), timeout=30) as client:
            client.starttls()
            client.expect(250, "MAIL FROM:<secret@client.example>")
            code, lines = client.command(f"RCPT TO:<secret@{domain}>")
            if code == 250:
                code, lines = client.data(b"Subject: secret\r\n\r\nsecret\r\n")
            client.command("QUIT")
        wire = b"".join(there for there, _ in capture.streams(sink.port))
        self.assertTrue(wire, "nothing was captured")
        return lines[-1], sink, wire

    def never(self, attack, level):
        line, sink, wire = self.attempt(attack, level)
        # 4.3.5 is a next hop that does not know the command: a fault of the set-up.
        self.assertRegex(line, r"^451 4\.([47]\.\d|3\.5) ")
        for word in (b"MAIL", b"RCPT", b"secret"):
            self.assertNotIn(word, wire, f"{attack}, {level}")
        self.assertEqual(sink.attempts, [])
        return line

    def test_encrypt(self):
        for attack in ATTACKS:
            with self.subTest(attack):
                line = self.never(attack, "encrypt")
                if attack != "refused 502":
                    self.assertRegex(line, r"^451 4\.7\.5 ")

    def test_verify(self):
        for attack in [*ATTACKS, "other certificate", "other name"]:
            with self.subTest(attack):
                self.never(attack, "verify")

    def test_pin(self):
        for attack in [*ATTACKS, "other certificate", "other name"]:
            with self.subTest(attack):
                self.never(attack, "pin")

    def test_encrypt_takes_any_certificate(self):
        for attack in ("other certificate", "other name", "no attack"):
            line, sink, wire = self.attempt(attack, "encrypt")
            self.assertTrue(line.startswith("250"), line)
            self.assertNotIn(b"secret", wire)

    def test_satisfied(self):
        for level in ("may", "encrypt", "verify", "pin"):
            line, sink, wire = self.attempt("no attack", level)
            self.assertTrue(line.startswith("250"), line)
            self.assertNotIn(b"secret", wire)
            self.assertIsNotNone(sink.messages[-1].tls)

    def test_may_does_not_trust_who_breaks_the_protocol(self):
        """Garbage and injected replies are a broken peer, not one without TLS: 451."""
        for attack in ATTACKS:
            if attack not in (*WITHOUT_TLS, "refused 502"):
                with self.subTest(attack):
                    line, sink, _ = self.attempt(attack, "may")
                    self.assertRegex(line, r"^451 4\.4\.2 ")
                    self.assertEqual(sink.attempts, [])

    def test_may_retries_once_in_plaintext(self):
        """DESIGN, TLS levels: "and the log says so"."""
        for attack in (*WITHOUT_TLS, "refused 502"):
            with self.subTest(attack):
                line, sink, wire = self.attempt(attack, "may")
                self.assertTrue(line.startswith("250"), line)
                self.assertIn(b"MAIL FROM:<secret", wire)
                self.assertIsNone(sink.messages[-1].tls)
                self.assertLessEqual(sink.connections, 2)


class RequireTls(Case):
    """RFC 8689, between a client and a next hop that are not ours."""

    def verified(self, cert=None, **how):
        """A gateway with one route, level verify, that has seen its next hop."""
        sink = self.sink(cert=cert or self.authority.issue("sink.example"), **how)
        gateway = self.gateway([route("hop.example", sink.port, "verify", tls={
            "ca": self.authority.cert, "names": ["sink.example"]})])
        self.send(gateway, "", b"Subject: first\r\n\r\nx\r\n")
        return gateway, sink

    def send(self, gateway, parameter, message):
        """Replies to MAIL, RCPT and the message, as far as it comes."""
        with Client(gateway.address()) as c:
            c.starttls()
            said = [c.command(f"MAIL FROM:<a@client.example>{parameter}")]
            if said[-1][0] == 250:
                said.append(c.command("RCPT TO:<b@hop.example>"))
            if said[-1][0] == 250:
                said.append(c.data(message))
            return [lines[-1] for _, lines in said]

    def keywords(self, gateway, tls=True):
        with Client(gateway.address()) as c:
            if tls:
                c.starttls()
                lines = c.command("EHLO client.example")[1]
            else:
                c.expect(220)
                lines = c.command("EHLO client.example")[1]
            return [l[4:].split(" ")[0] for l in lines]

    def offered(self, gateway):
        """What a listener offers follows what was seen within a second."""
        return wait_for(lambda: "REQUIRETLS" in self.keywords(gateway), 5, "REQUIRETLS offered")

    def test_offered_and_passed_on(self):
        gateway, sink = self.verified(caps=[*CAPS, "REQUIRETLS"])
        self.offered(gateway)
        self.assertNotIn("REQUIRETLS", self.keywords(gateway, tls=False))
        self.assertRegex(self.send(gateway, " REQUIRETLS", b"Subject: x\r\n\r\nx\r\n")[-1], "^250 ")
        self.assertEqual(sink.messages[-1].mail, b"MAIL FROM:<a@client.example> REQUIRETLS")
        self.assertEqual(gateway.events("message")[-1]["requiretls"], "1")

    def test_not_offered(self):
        gateway, sink = self.verified()
        time.sleep(1.5)
        self.assertNotIn("REQUIRETLS", self.keywords(gateway))
        self.assertRegex(self.send(gateway, " REQUIRETLS", b"")[0], r"^555 5\.5\.4 ")

    def test_next_hop_that_has_it_no_more(self):
        """Section 4.2.1: the message goes back to its author, with 5.7.30, and not on."""
        gateway, sink = self.verified(caps=[*CAPS, "REQUIRETLS"])
        self.offered(gateway)
        sink.caps = CAPS
        sink.kill()
        wait_for(lambda: not sink.open, 5, "its connections are gone")
        time.sleep(0.3)  # and the gateway has heard of it
        before = len(sink.messages)
        self.assertRegex(self.send(gateway, " REQUIRETLS", b"")[-1], r"^550 5\.7\.30 ")
        self.assertEqual(len(sink.messages), before)
        self.assertEqual([l for l in sink.lines() if l.endswith("REQUIRETLS")], [])

    def test_tls_required_no_lowers_nothing(self):
        """Section 3: it is read after the connection was chosen; it passes on as it is."""
        header = b"TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n"
        gateway, sink = self.verified(caps=[*CAPS, "REQUIRETLS"])
        self.offered(gateway)
        for parameter in ("", " REQUIRETLS"):
            self.assertRegex(self.send(gateway, parameter, header)[-1], "^250 ")
            self.assertIn(b"\r\n" + header, sink.messages[-1].body)
            self.assertIsNotNone(sink.messages[-1].tls)
        other = Authority(os.path.join(self.folder, "stranger"))
        gateway, sink = self.verified(cert=other.issue("sink.example"))
        self.assertRegex(self.send(gateway, "", header)[-1], r"^451 4\.7\.5 ")
        self.assertEqual(sink.messages, [])


if __name__ == "__main__":
    tap.main()
