#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does mail to and from a partner go on when the partner changes to the key that its pin file has as
the next one, and wait or be refused for any other; and does a damaged pin file change nothing?"""
import os
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, tls_context, wait_for  # noqa: E402
from gateway import BUILD, route  # noqa: E402
from setup import Case  # noqa: E402

BODY = b"Subject: pins\r\n\r\nbody\r\n"


class Partner(Case):
    def setUp(self):
        self.certs = [self.authority.issue(f"mx{i}.clinic.example") for i in range(3)]
        self.pins = os.path.join(tempfile.mkdtemp(dir=self.folder), "clinic.example.conf")

    def add(self, *words):
        subprocess.run([os.path.join(BUILD, "posternctl"), "partner", "add", "clinic.example",
                        f"--write={self.pins}", *words], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=60, check=True)

    def partner(self):
        """A gateway that knows the partner by its pin file, and the partner's server."""
        sink = self.sink(cert=self.certs[0])
        gateway = self.gateway(
            [route("clinic.example", sink.port, tls={"level": "pin", "pin_file": self.pins})],
            [{"name": "internet", "address": "127.0.0.1:0", "client_cert": "ask"}],
            {"senders": [{"domain": "clinic.example", "level": "verify", "pin_file": self.pins}],
             "limits": {"hop_dead_s": 1}})
        return gateway, sink

    @staticmethod
    def change(sink, cert):
        """Its server is started again with another certificate: no connection, no session outlives it."""
        sink.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        sink.context.load_cert_chain(*cert)
        sink.kill()

    def send(self, gateway, cert=None, sender="a@client.example"):
        """The last reply to a message to the partner."""
        context = tls_context()
        if cert:
            context.load_cert_chain(*cert)
        with Client(gateway.address()) as c:
            c.starttls(context)
            c.expect(250, "EHLO client.example")
            for line in (f"MAIL FROM:<{sender}>", "RCPT TO:<x@clinic.example>"):
                code, lines = c.command(line)
                if code != 250:
                    return lines[-1]
            return c.data(BODY)[1][-1]

    def reload(self, gateway):
        status, _, error = gateway.ctl("reload")
        return status, error

    def test_mail_to_a_partner_that_changes_its_key(self):
        self.add("--cert", self.certs[0][0], "--next", self.certs[1][0])
        gateway, sink = self.partner()
        self.assertRegex(self.send(gateway), "^250 2")
        self.change(sink, self.certs[1])
        self.assertRegex(self.send(gateway), "^250 2")
        self.change(sink, self.certs[2])
        self.assertRegex(self.send(gateway), "^451 4.7.5 ")
        self.assertEqual(len(sink.messages), 2)
        rows = wait_for(lambda: gateway.events("message")[2:], 10, "three lines")
        self.assertIn("none of 2 pins matches", rows[0]["why"])
        # The administrator learns the third key; nothing but the file changes.
        self.add("--cert", self.certs[2][0])
        self.assertEqual(self.reload(gateway), (0, ""))
        self.assertRegex(self.send(gateway), "^250 2")
        self.assertEqual(len(sink.messages), 3)

    def test_mail_from_a_partner_that_changes_its_certificate(self):
        self.add("--cert", self.certs[0][0], "--next", self.certs[1][0])
        gateway, _ = self.partner()
        for cert in self.certs[:2]:
            self.assertRegex(self.send(gateway, cert, "b@clinic.example"), "^250 2")
        for cert in (self.certs[2], None):
            self.assertRegex(self.send(gateway, cert, "b@clinic.example"), "^550 5.7.1 ")

    def test_what_could_not_be_read_is_not_written(self):
        for domain in ("clinic.example.", "-clinic.example", "clinic..example", "192.0.2.1", "a" * 64 + ".example"):
            done = subprocess.run([os.path.join(BUILD, "posternctl"), "partner", "add",
                                   f"--write={self.pins}", "--cert", self.certs[0][0], "--", domain],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 65, done.stderr)
            self.assertIn("partner: found", done.stderr)
            self.assertEqual(os.listdir(os.path.dirname(self.pins)), [])

    def test_a_damaged_file_changes_nothing(self):
        self.add("--cert", self.certs[0][0])
        gateway, _ = self.partner()
        self.assertRegex(self.send(gateway), "^250 2")
        with open(self.pins) as f:
            whole = f.read()
        for damaged, says in (("", "partner: found nothing, it must be set"),
                              (whole[:-30], "clinic.example.conf:7: syntax error"),
                              (whole.replace("spki", "spkii"), "the nearest known one is \"spki\""),
                              (whole.replace("sha256/", "sha1/"), "current.spki: found \"sha1/")):
            with open(self.pins, "w") as f:
                f.write(damaged)
            status, error = self.reload(gateway)
            self.assertEqual(status, 78)
            self.assertIn(self.pins, error)
            self.assertIn(says, error)
            self.assertRegex(self.send(gateway), "^250 2")
        os.unlink(self.pins)
        status, error = self.reload(gateway)
        self.assertEqual(status, 78)
        self.assertRegex(error, r"postern.conf:\d+: routes\[0\].tls.pin_file: found that .* can't be read")
        self.assertRegex(self.send(gateway), "^250 2")
        code, said = gateway.check()
        self.assertEqual(code, 78, said)


if __name__ == "__main__":
    tap.main()
