#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does mail from real clients reach the real Postfix, Exim and OpenSMTPD as next hops, with TLS on
both legs, and does each TLS level demand of them what it says?"""
import os
import smtplib
import ssl
import subprocess
import sys
from email.message import EmailMessage

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from capture import Capture, starttls_judge  # noqa: E402
from certs import Authority, fingerprint, spki  # noqa: E402
from client import PATIENCE, Client  # noqa: E402
from gateway import Gateway  # noqa: E402
from mta import SERVERS  # noqa: E402
from setup import Case  # noqa: E402


def swaks(address, recipient, *more):
    return subprocess.run(["swaks", "--server", address[0], "--port", str(address[1]),
                           "--from", "a@client.example", "--to", recipient, "--ehlo",
                           "client.example", "--tls", *more], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE)


class NextHop:
    """Run for each server by the classes below."""

    server = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mta = SERVERS[cls.server](cls.authority).__enter__()
        name, port = f"{cls.server}.example", cls.mta.port
        other = Authority(os.path.join(cls.folder, "other-ca"))
        # One recipient domain is known to the server; the rest prove levels by what they refuse.
        cls.levels = {
            "encrypt": {"level": "encrypt"},
            "verify": {"level": "verify", "ca": cls.authority.cert, "names": [name]},
            "pin": {"level": "pin", "spki": [spki(cls.mta.cert)]},
            "fingerprint": {"level": "pin", "fingerprints": [fingerprint(cls.mta.cert)]},
            "wrong-ca": {"level": "verify", "ca": other.cert, "names": [name]},
            "wrong-name": {"level": "verify", "ca": cls.authority.cert, "names": ["x.example"]},
            "wrong-pin": {"level": "pin", "spki": [spki(other.cert)]}}
        cls.gateways = {}
        for level, tls in cls.levels.items():
            cls.gateways[level] = Gateway([{"domain": name, "next_hop": f"127.0.0.1:{port}",
                                            "tls": tls}], authority=cls.authority).start()
        cls.gateways["chunks"] = Gateway([{"domain": name, "next_hop": f"127.0.0.1:{port}",
                                           "data_to_bdat": True, "tls": cls.levels["encrypt"]}],
                                         authority=cls.authority).start()
        cls.name = name
        cls.capture = Capture()  # connections to the next hop outlive a test: the pool keeps them

    @classmethod
    def tearDownClass(cls):
        cls.capture.stop()
        for gateway in cls.gateways.values():
            gateway.stop()
        cls.mta.__exit__()

    def test_swaks(self):
        marker = f"swaks to {self.server}"
        done = swaks(self.gateways["encrypt"].address(), "x@" + self.name,
                     "--header", "Subject: " + marker, "--body", "line\n.dot\n..dots\nend\n")
        self.assertEqual(done.returncode, 0, done.stdout)
        stored = self.mta.wait_message(marker.encode())
        self.assertIn(b"\n.dot\n..dots\nend\n", stored)
        self.assertRegex(stored, rb"by gw\.example\.org\s+\(postern\)\s+with\s+ESMTPS\s+id ")
        for leg, port in (("in", self.gateways["encrypt"].ports["internet"]),
                          ("out", self.mta.port)):
            judged = [starttls_judge(*s) for s in self.capture.streams(port)]
            secured = [j for j in judged if j[1]]
            self.assertTrue(secured, f"no TLS on the leg {leg}")
            self.assertEqual({j[0] for j in secured}, {0}, f"plaintext on the leg {leg}")

    def test_smtplib(self):
        message = EmailMessage()
        message["Subject"] = f"smtplib to {self.server}"
        message["From"], message["To"] = "a@client.example", "x@" + self.name
        message.set_content("Grüße\n" + "x" * 900 + "\n", cte="8bit")
        message.add_attachment(os.urandom(200000), maintype="application", subtype="octet-stream")
        context = ssl.create_default_context(cafile=self.authority.cert)
        with smtplib.SMTP(*self.gateways["encrypt"].address(), timeout=30 * PATIENCE) as client:
            client.ehlo("client.example")
            client._host = "gw.example.org"  # the name that smtplib checks
            client.starttls(context=context)
            client.send_message(message)
            client.send_message(message)
        stored = self.mta.wait_message(b"Subject: smtplib to")
        self.assertIn("Grüße".encode(), stored)

    def test_hundred_in_a_session(self):
        with Client(self.gateways["encrypt"].address()) as client:
            client.starttls()
            for i in range(100):
                client.transaction("a@client.example", ["x@" + self.name])
                code, lines = client.data(b"Subject: hundred %d.\r\n\r\nbody\r\n" % i)
                self.assertEqual(code, 250, lines)
        self.mta.wait_message(b"Subject: hundred 99.")

    def test_data_in_chunks(self):
        """Where the server offers CHUNKING; where not, the setting changes nothing."""
        line = b".a line that begins with a dot, and is as long as lines of mail are at most %d\r\n"
        with Client(self.gateways["chunks"].address()) as client:
            client.starttls()
            for i, lines in enumerate((1, 10, 9000, 30, 20000)):
                client.transaction("a@client.example", ["x@" + self.name])
                body = b"".join(line % n for n in range(lines))
                code, answer = client.data(b"Subject: in chunks %d.\r\n\r\n" % i + body)
                self.assertEqual(code, 250, answer)
                stored = self.mta.wait_message(b"Subject: in chunks %d." % i)
                self.assertIn(body.replace(b"\r\n", b"\n"), stored.replace(b"\r\n", b"\n"))

    def accepted(self, level):
        done = swaks(self.gateways[level].address(), "x@" + self.name, "--header",
                     f"Subject: level {level} {self.server}")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.mta.wait_message(f"Subject: level {level} {self.server}".encode())

    def refused(self, level):
        with Client(self.gateways[level].address()) as client:
            client.starttls()
            client.expect(250, "MAIL FROM:<a@client.example>")
            lines = client.expect(451, f"RCPT TO:<x@{self.name}>")
            self.assertTrue(lines[-1].startswith("451 4.7.5"), lines)

    def test_level_verify(self):
        self.accepted("verify")

    def test_level_pin_spki(self):
        self.accepted("pin")

    def test_level_pin_fingerprint(self):
        self.accepted("fingerprint")

    def test_level_verify_other_ca(self):
        self.refused("wrong-ca")

    def test_level_verify_other_name(self):
        self.refused("wrong-name")

    def test_level_pin_other_key(self):
        self.refused("wrong-pin")


class Postfix(NextHop, Case):
    server = "postfix"


class Exim(NextHop, Case):
    server = "exim"


class OpenSmtpd(NextHop, Case):
    server = "opensmtpd"


if __name__ == "__main__":
    tap.main()
