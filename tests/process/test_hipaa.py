#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does docs/hipaa.md say what is so? Its configuration, word for word but for addresses, ports and
folders, meets the mail that it speaks of; the log is looked through for what it promises.
"""
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority  # noqa: E402
from client import Client, Closed, tls_context, wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from gateway import Gateway, free_port, libconfig  # noqa: E402
from setup import Case  # noqa: E402

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/hipaa.md")
BODY = b"Subject: a finding\r\nMessage-ID: <1@test.example>\r\n\r\nnothing to be seen\r\n"
TLS = r"^TLS1\.[23]:(TLS_AES|ECDHE_ECDSA_WITH_AES)_(128|256)_GCM_SHA(256|384):P-(256|384):ok$"


def page_blocks():
    with open(PAGE, encoding="utf-8") as f:
        return re.findall(r"^```\n(.*?)^```$", f.read(), re.M | re.S)


class Documented(Gateway):
    """text: the page's configuration; settings are the test's own, behind it."""

    def __init__(self, text, settings, authority):
        names = re.findall(r'name = "(\w+)"; address', text)
        super().__init__([], [{"name": name, "address": "127.0.0.1:0"} for name in names], settings,
                         authority)
        for listener in self.listeners:
            text = re.sub(rf'(name = "{listener["name"]}"; address = )"[^"]*"',
                          rf'\1"{listener["address"]}"', text)
        self.text = text

    def config_write(self):
        path = os.path.join(self.folder, "postern.conf")
        gateway = libconfig(dict(self.settings["gateway"], hostname="gw.hospital.example"))
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.sub(r"^gateway: .*$", f"gateway: {gateway};", self.text, flags=re.M))
            f.write(f"resolver: {libconfig(self.settings['resolver'])};\n")
        return path


class Hipaa(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.partners = Authority(os.path.join(cls.folder, "partners"))
        cls.lab = cls.partners.issue("mx.lab.example")
        cls.mail = cls.authority.issue("mail.hospital.example")
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w") as f:
            f.write("anchor.example. IN DS 20326 8 2 " + "00" * 32 + "\n")

    def documented(self, inside, lab):
        """The page's gateway, with the hospital's own server and the laboratory's."""
        cert, key = self.authority.issue("gw.hospital.example")
        dns_port = free_port()
        self.addCleanup(Dns(dns_port, "example", {
            ("mail.hospital.example", "A"): ["127.0.0.1"], ("mx.lab.example", "A"): ["127.0.0.1"],
            ("elsewhere.example", "MX"): [(10, "mx.elsewhere.example")],
            ("mx.elsewhere.example", "A"): ["127.0.0.1"]}).close)
        text = page_blocks()[0]
        for there, here in (("/etc/postern/gw.pem", cert), ("/etc/postern/gw.key", key),
                            ("/etc/postern/partners.pem", self.partners.cert),
                            ("/etc/postern/internal.pem", self.authority.cert),
                            ("mail.hospital.example:25", f"mail.hospital.example:{inside.port}"),
                            ("mx.lab.example:25", f"mx.lab.example:{lab.port}")):
            self.assertIn(there, text)
            text = text.replace(there, here)
        gateway = Documented(text, {"resolver": {
            "stub": [f"example=127.0.0.1:{dns_port}"], "trust_anchor": self.anchor}}, self.authority)
        gateway.start()
        self.addCleanup(gateway.stop)
        return gateway

    def hello(self, gateway, listener, cert=None, context=None):
        client = Client(gateway.address(listener))
        self.addCleanup(client.close)
        context = context or tls_context()
        if cert:
            context.load_cert_chain(*cert)
        client.starttls(context, "gw.hospital.example")
        client.expect(250, "EHLO client.example")
        return client

    def message(self, gateway, client, sender, recipient):
        """The reply to a message, and its line in the log."""
        before = len(gateway.events("message"))
        client.transaction(sender, [recipient])
        reply = client.data(BODY)
        wait_for(lambda: len(gateway.events("message")) > before, 5, "a line for the message")
        return reply, gateway.events("message")[before]

    def refused(self, gateway, client, sender, code):
        before = len(gateway.events("refused"))
        client.send(f"MAIL FROM:<{sender}>\r\n")
        self.assertEqual(client.reply()[0], code)
        wait_for(lambda: len(gateway.events("refused")) > before, 5, "a line for the refusal")
        return gateway.events("refused")[before]

    def test_mail_from_a_partner(self):
        inside, lab = self.sink(cert=self.mail), self.sink(cert=self.lab)
        gateway = self.documented(inside, lab)
        client = self.hello(gateway, "partners", self.lab)
        reply, line = self.message(gateway, client, "a@lab.example", "doctor@hospital.example")
        self.assertEqual(reply[0], 250)
        self.assertEqual(line["result"], "relayed")
        self.assertRegex(line["tls_in"], TLS)
        self.assertRegex(line["tls_out"], TLS)
        self.assertEqual((line["sender_rule"], line["sender_level"]), ("lab.example", "verify"))
        self.assertEqual((line["level"], line["verify"]), ("verify", "name mail.hospital.example"))
        self.assertNotIn("fallback", line)
        self.assertGreater(int(line["bytes"]), len(BODY) - 1)
        self.assertEqual(len(inside.messages), 1)
        self.assertTrue(inside.messages[0].body.endswith(BODY))

    def test_mail_to_a_partner(self):
        inside, lab = self.sink(cert=self.mail), self.sink(cert=self.lab)
        gateway = self.documented(inside, lab)
        client = self.hello(gateway, "outbound", self.mail)
        reply, line = self.message(gateway, client, "doctor@hospital.example", "a@lab.example")
        self.assertEqual(reply[0], 250)
        self.assertEqual((line["level"], line["verify"]), ("verify", "name mx.lab.example"))
        self.assertRegex(line["tls_in"], TLS)
        self.assertRegex(line["tls_out"], TLS)

    def test_nobody_else_uses_a_partners_sender(self):
        gateway = self.documented(self.sink(cert=self.mail), self.sink(cert=self.lab))
        line = self.refused(gateway, self.hello(gateway, "internet"), "a@lab.example", 550)
        self.assertEqual((line["sender_rule"], line["sender_level"]), ("lab.example", "verify"))

    def test_a_partner_without_tls_is_refused(self):
        gateway = self.documented(self.sink(cert=self.mail), self.sink(cert=self.lab))
        with Client(gateway.address("partners")) as client:
            client.expect(220)
            client.expect(250, "EHLO mx.lab.example")
            client.expect(530, "MAIL FROM:<a@lab.example>")
        lines = lambda: [e for e in gateway.events("session") if e.get("helo") == "mx.lab.example"]
        wait_for(lines, 5, "a line for the session")
        line = lines()[0]
        self.assertEqual((line["listener"], line["tls_in"], line["messages"]), ("partners", "none", "0"))

    def test_a_partner_without_a_certificate_gets_no_session(self):
        gateway = self.documented(self.sink(cert=self.mail), self.sink(cert=self.lab))
        for cert in (None, self.mail):
            with self.assertRaises((ssl.SSLError, Closed)):
                self.hello(gateway, "partners", cert)

    def test_other_suites_get_no_session(self):
        gateway = self.documented(self.sink(cert=self.mail), self.sink(cert=self.lab))
        for suite in ("ECDHE-ECDSA-CHACHA20-POLY1305", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"):
            context = tls_context(ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(suite)
            with self.assertRaises(ssl.SSLError):
                self.hello(gateway, "outbound", self.mail, context)

    def test_a_next_hop_that_proves_nothing_gets_nothing(self):
        inside, lab = self.sink(cert=self.lab), self.sink(cert=self.mail)
        gateway = self.documented(inside, lab)
        client = self.hello(gateway, "outbound", self.mail)
        before = len(gateway.events("message"))
        for recipient in ("a@lab.example", "b@elsewhere.example"):
            client.send(f"MAIL FROM:<doctor@hospital.example>\r\nRCPT TO:<{recipient}>\r\n")
            self.assertEqual([client.reply()[0], client.reply()[0]][1], 451)
            client.expect(250, "RSET")
        wait_for(lambda: len(gateway.events("message")) >= before + 2, 5, "lines")
        for line in gateway.events("message")[before:]:
            self.assertEqual(line["result"], "deferred")
            self.assertTrue(line["why"])
            self.assertNotIn("fallback", line)
        self.assertEqual((inside.messages, lab.messages), ([], []))

    def test_less_is_refused_when_read(self):
        text = page_blocks()[0]
        self.assertEqual(len(page_blocks()), 1)
        for there, here, said in (
                ('level = "dane"', 'level = "auto"', '"verify", "pin", "dane" or "sts"'),
                ("require_tls = true;", "", "require_tls"),
                ('profile = "hipaa";', 'profile = "hipaa"; groups = [ "X25519" ];', "P-256")):
            gateway = Documented(text.replace(there, here, 1), {}, self.authority)
            code, complaint = gateway.check()
            self.assertNotEqual(code, 0)
            self.assertIn(said, complaint)


if __name__ == "__main__":
    tap.main()
