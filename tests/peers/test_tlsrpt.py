#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do TLS reports reach the domains that ask for them, as RFC 8460 says, and nobody else?

What was counted yesterday lies in state_dir when the gateway starts. Records come from a name server, HTTPS and
mail go to servers of the test's own; the signature of mail is checked by python3-dkim.
"""
import email
import email.policy
import os
import re
import sys

import dkim

# It brings another module dns than the tests have.
for name in [n for n in sys.modules if n.split(".")[0] == "dns"]:
    del sys.modules[name]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import wait_for  # noqa: E402
from tlsrpt_world import SELECTOR, SENDER, ZONE, World  # noqa: E402


class Tlsrpt(World):
    def expect_mail(self, message, name):
        self.assertRegex(message.mail.decode(), rf"(?i)^MAIL FROM:<tlsrpt@{SENDER}>")
        self.assertEqual(len(message.rcpts), 1)
        self.assertIn(f"<tls-reports@{name}.{ZONE}>", message.rcpts[0].decode())

        def record(query, timeout=5):
            self.assertEqual(query, f"{SELECTOR}._domainkey.{SENDER}.".encode())
            return self.public
        self.assertTrue(dkim.verify(message.body, dnsfunc=record, tlsrpt="strict"))
        for was, becomes in ((b"aggregate", b"aggregated"), (b"To: <", b"To: <x"),
                             (b"\r\n\r\n", b"\r\nFrom: <a@b.example>\r\n\r\n")):
            self.assertFalse(dkim.verify(message.body.replace(was, becomes, 1), dnsfunc=record,
                                         tlsrpt="strict"), was)
        mail = email.message_from_bytes(message.body, policy=email.policy.SMTP)
        self.assertNotRegex(mail["DKIM-Signature"], r"\bl=")
        self.assertEqual(mail["TLS-Report-Domain"], f"{name}.{ZONE}")
        self.assertEqual(mail["TLS-Report-Submitter"], SENDER)
        self.assertEqual(re.sub(r"\s+", " ", mail["Subject"]), f"Report Domain: {name}.{ZONE} Submitter: "
                         f"{SENDER} Report-ID: <{self.yesterday()}.{name}.{ZONE}@gw.example.org>")
        self.assertEqual((mail.get_content_type(), mail.get_param("report-type")),
                         ("multipart/report", "tlsrpt"))
        text, report = mail.get_payload()
        self.assertEqual(text.get_content_type(), "text/plain")
        self.assertEqual(report.get_content_type(), "application/tlsrpt+gzip")
        self.assertRegex(report.get_filename(), rf"^{SENDER}!{name}\.{ZONE}!\d+!\d+\.json\.gz$")
        self.expect_report(report.get_payload(decode=True), name)

    def test_by_https(self):
        gateway, sink = self.start(["https", "none", "twice", "odd"])
        wait_for(lambda: len(self.ends(gateway)) == 4, 20, "the ends")
        self.assertEqual(self.ends(gateway), {"https": "sent", "none": "unwanted", "twice": "unwanted",
                                              "odd": "unwanted"})
        (path, kind, body), = self.server.posts
        self.assertEqual((path, kind), ("/https", "application/tlsrpt+gzip"))
        self.expect_report(body, "https")
        self.assertEqual(sink.messages, [])
        status, out, _ = gateway.ctl("tlsrpt", "show", "--yesterday")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"(?m)^ +12 good +2 failed  https\.{ZONE}, report sent$")

    def test_by_mail(self):
        for kind in ("ed25519", "rsa"):
            gateway, sink = self.start(["mail"], kind)
            wait_for(lambda: self.ends(gateway) == {"mail": "sent"}, 20, "the mail")
            self.assertEqual(len(sink.messages), 1)
            self.expect_mail(sink.messages[0], "mail")
            self.assertIsNotNone(sink.messages[0].tls)
            # What we send, we read.
            path = os.path.join(gateway.folder, "mail.eml")
            with open(path, "wb") as f:
                f.write(sink.messages[0].body)
            status, out, error = gateway.ctl("tlsrpt", "read", path)
            self.assertEqual(status, 0, error)
            self.assertIn(f"mx.mail.{ZONE}, from This Test (tls@{SENDER}), policy tlsa", out)

    def test_by_a_listener_of_its_own(self):
        gateway, sink = self.start(["mail"], own=True)
        wait_for(lambda: self.ends(gateway) == {"mail": "sent"}, 20, "the mail")
        message, = sink.messages
        self.expect_mail(message, "mail")
        self.assertEqual(gateway.ctl_json("tlsrpt", "show")["domains"], [])

    def test_mail_that_is_refused_is_sent_again(self):
        refusals = {"RCPT": ["451 4.3.0 later"], "FINAL": ["554 5.3.0 no"]}

        def answer(place):
            return lambda connection: refusals[place].pop() if refusals[place] else "250 2.0.0 ok"
        gateway, sink = self.start(["mail"], behave={place: answer(place) for place in refusals})
        wait_for(lambda: self.ends(gateway) == {"mail": "sent"}, 20, "the third try")
        self.assertEqual([len(sink.attempts), len(sink.complete), len(sink.messages)], [3, 2, 1])
        self.expect_mail(sink.messages[0], "mail")
        self.assertEqual([(e["domain"], e["tries"]) for e in gateway.events("tlsrpt_retry")],
                         [(f"mail.{ZONE}", "1"), (f"mail.{ZONE}", "2")])

    def test_one_place_is_enough_and_each_is_tried(self):
        gateway, sink = self.start(["first", "second"])
        wait_for(lambda: len(self.ends(gateway)) == 2, 20, "the ends")
        self.assertEqual(self.ends(gateway), {"first": "sent", "second": "sent"})
        self.assertEqual([p[0] for p in sorted(self.server.posts)], ["/broken", "/first"])
        message, = sink.messages
        self.expect_mail(message, "second")

    def test_tried_again(self):
        gateway, _ = self.start(["again", "other", "moved"])
        wait_for(lambda: self.ends(gateway).get("again") == "sent", 30, "the third try")
        self.assertEqual(len(self.server.of("/again")), 3)
        # Neither a certificate for another name, nor a redirect.
        self.assertEqual(set(self.ends(gateway)), {"again"})
        self.assertEqual(self.server.of("/other") + self.server.of("/moved-to"), [])
        self.assertTrue(self.server.of("/moved"))

    def test_not_again_after_a_restart(self):
        gateway, _ = self.start(["https"])
        wait_for(lambda: self.ends(gateway) == {"https": "sent"}, 20, "the report")
        gateway.stop()
        # One more that is due shows that the next process has been at work.
        gateway, _ = self.start(["first"], folder=gateway.folder)
        wait_for(lambda: self.ends(gateway) == {"https": "sent", "first": "sent"}, 20, "the other report")
        self.assertEqual([p[0] for p in self.server.posts], ["/https", "/first"])

    def test_nobody_to_take_mail(self):
        gateway, sink = self.start(["mail", "https"], more=dict.fromkeys(("submission", "dkim_key", "dkim_selector")))
        wait_for(lambda: len(self.ends(gateway)) == 2, 20, "the ends")
        self.assertEqual(self.ends(gateway), {"mail": "unwanted", "https": "sent"})
        self.assertEqual(sink.messages, [])


if __name__ == "__main__":
    tap.main()
