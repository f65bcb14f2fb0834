#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the openssl command, by hand, get the TLS that the configuration says: versions, suites,
groups, certificates by name, client certificates, resumption without early data?"""
import os
import re
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority, fingerprint  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from setup import Case  # noqa: E402
from sink import Sink  # noqa: E402

# The pause lets s_client read tickets; its input's end closes the connection.
TALK = "sleep 0.7; printf 'EHLO client.example\\r\\n'; sleep 0.5; printf 'QUIT\\r\\n'; sleep 0.5"


class Openssl(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hop = Sink(port=free_port(), cert=cls.sink_cert)
        pairs = [cls.authority.issue("gw.example.org"), cls.authority.issue("gw.example.org", kind="rsa"),
                 cls.authority.issue("other.example.org")]
        cls.client = cls.authority.issue("sender.example")
        listeners = [
            {"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"},
            {"name": "tls", "address": "127.0.0.1:0", "tls": "implicit"},
            {"name": "strict", "address": "127.0.0.1:0", "tls": "implicit",
             "profile": "nist-800-52r2"},
            {"name": "compatible", "address": "127.0.0.1:0", "tls": "implicit",
             "profile": "compatible"},
            {"name": "p384", "address": "127.0.0.1:0", "tls": "implicit", "groups": ["P-384"]},
            {"name": "asking", "address": "127.0.0.1:0", "tls": "implicit",
             "client_cert": "ask", "relay_certs": [fingerprint(cls.client[0])]},
            {"name": "vouched", "address": "127.0.0.1:0", "tls": "implicit", "client_cert": "ask",
             "client_ca": cls.authority.cert, "relay_names": [".partner.example"]}]
        cls.metrics = f"127.0.0.1:{free_port()}"
        cls.gw = Gateway([route("hop.example", cls.hop.port),
                          route("elsewhere.example", cls.hop.port, relay=True)], listeners,
                         {"senders": [{"domain": "partner.example", "level": "verify",
                                       "names": [".partner.example"]}],
                          "tls": {"certificates": [{"cert": c, "key": k} for c, k in pairs]},
                          "gateway": {"metrics": cls.metrics}},
                         cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        cls.hop.close()

    def talk(self, listener, *options, script=TALK, commands=False):
        port = self.gw.ports[listener]
        if listener == "internet":
            options = ("-starttls", "smtp", *options)
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}",
                   "-CAfile", self.authority.cert, *options]
        if not commands:  # an R at the start of a line would be one
            command.append("-ign_eof")
        speaker = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        done = subprocess.run(command, stdin=speaker.stdout, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30)
        speaker.wait()
        return done.stdout.decode("latin-1")

    def assertTalks(self, text, *patterns):
        for pattern in (r"250[ -]", *patterns):
            self.assertRegex(text, pattern)

    def resumed(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as f:
            return sum(int(line.split()[-1]) for line in f.read().decode().splitlines()
                       if line.startswith("postern_client_tls_resumed_total"))

    def test_starttls(self):
        self.assertTalks(self.talk("internet"), r"TLSv1\.3", r"Verify return code: 0", r"221 2\.0\.0")

    def test_implicit(self):
        self.assertTalks(self.talk("tls"), r"220 gw\.example\.org", r"TLSv1\.3", r"221 2\.0\.0")

    def test_tls12(self):
        for listener in ("internet", "tls"):
            self.assertTalks(self.talk(listener, "-tls1_2"), r"TLSv1\.2", "Extended master secret: yes")

    def test_suites(self):
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                      "TLS_CHACHA20_POLY1305_SHA256"):
            with self.subTest(suite):
                self.assertTalks(self.talk("tls", "-tls1_3", "-ciphersuites", suite), suite)
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                      "ECDHE-RSA-CHACHA20-POLY1305"):
            with self.subTest(suite):
                self.assertTalks(self.talk("tls", "-tls1_2", "-cipher", suite), suite)

    def test_no_suite_without_aead(self):
        for suite in ("ECDHE-RSA-AES128-SHA", "AES128-SHA256"):
            with self.subTest(suite):
                self.assertRegex(self.talk("compatible", "-tls1_2", "-cipher", suite),
                                 r"handshake failure|Cipher is \(NONE\)")

    def test_compatible_has_static_rsa(self):
        self.assertTalks(self.talk("compatible", "-tls1_2", "-cipher", "AES128-GCM-SHA256"),
                         "AES128-GCM-SHA256")
        self.assertRegex(self.talk("tls", "-tls1_2", "-cipher", "AES128-GCM-SHA256"),
                         r"handshake failure|Cipher is \(NONE\)")

    def test_strict_has_no_chacha(self):
        self.assertTalks(self.talk("strict"), r"TLS_AES_")
        self.assertRegex(self.talk("strict", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256",
                                   "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"),
                         r"handshake failure|Cipher is \(NONE\)")

    def test_no_old_version(self):
        for version in ("-tls1_1", "-tls1"):
            self.assertRegex(self.talk("compatible", version, "-cipher", "ALL:@SECLEVEL=0"),
                             r"Cipher is \(NONE\)|protocol version|no protocols")

    def test_certificate_by_name(self):
        self.assertTalks(self.talk("tls", "-servername", "other.example.org"),
                         r"subject=.*other\.example\.org")
        self.assertTalks(self.talk("tls", "-servername", "gw.example.org"),
                         r"subject=.*gw\.example\.org")

    def test_unknown_name_gets_the_default(self):
        self.assertTalks(self.talk("tls", "-servername", "unknown.example"),
                         r"subject=.*gw\.example\.org")

    def test_ecdsa_and_rsa_side_by_side(self):
        self.assertTalks(self.talk("tls", "-sigalgs", "ecdsa_secp256r1_sha256"),
                         r"Peer signature type: (ECDSA|ecdsa_secp256r1_sha256)")
        self.assertTalks(self.talk("tls", "-sigalgs", "rsa_pss_rsae_sha256"),
                         r"Peer signature type: (RSA-PSS|rsa_pss_rsae_sha256)")

    def test_resumption(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                kept = os.path.join(self.folder, "session" + version)
                before = self.resumed()
                self.assertTalks(self.talk("tls", version, "-sess_out", kept), r"New, TLS")
                self.assertTalks(self.talk("tls", version, "-sess_in", kept), r"Reused, TLS")
                # Workers publish their counters every second.
                wait_for(lambda b=before: self.resumed() > b, 10, "the resumption is counted")
                self.assertEqual(self.resumed() - before, 1)

    def test_no_early_data(self):
        """A client that asks for it is told by the ticket that there is none; one that sends it all
        the same is in tests/unit/crypto."""
        kept, early = os.path.join(self.folder, "session-early"), os.path.join(self.folder, "early")
        with open(early, "w", encoding="ascii") as f:
            f.write("EHLO early.example\r\n")
        self.assertTalks(self.talk("tls", "-tls1_3", "-sess_out", kept), r"Max Early Data: 0")
        text = self.talk("tls", "-tls1_3", "-sess_in", kept, "-early_data", early)
        self.assertTalks(text, r"Reused, TLS", r"Early data was (not sent|rejected)")
        self.assertNotIn("early.example", text)

    def test_groups(self):
        """The second has a key share of another group: a HelloRetryRequest."""
        for groups in ("P-384", "X25519:P-384"):
            self.assertTalks(self.talk("p384", "-groups", groups),
                             r"(Server|Peer) Temp Key: ECDH, secp384r1")
        self.assertNotRegex(self.talk("p384", "-groups", "X25519:P-256"), r"(?m)^250[ -]")
        self.assertNotRegex(self.talk("p384", "-tls1_2", "-groups", "X25519:P-256"), r"(?m)^250[ -]")

    def test_no_renegotiation(self):
        text = self.talk("tls", "-tls1_2", script="sleep 0.7; printf 'R\\n'; sleep 1", commands=True)
        self.assertNotRegex(text, r"(?m)Renegotiat\w* done|^250")

    def relay_try(self, *options, listener="asking", sender="a@c.example"):
        return self.talk(listener, *options, script="sleep 0.7; printf 'EHLO c.example\\r\\nMAIL FROM:"
                         f"<{sender}>\\r\\n'; sleep 0.3; printf 'RCPT TO:<x@elsewhere.example>\\r\\n';"
                         " sleep 1; printf 'QUIT\\r\\n'; sleep 0.3")

    def test_client_certificate_gives_the_right(self):
        self.assertRegex(self.relay_try("-cert", self.client[0], "-key", self.client[1]), r"250 2\.1\.5")

    def test_no_client_certificate_no_right(self):
        self.assertRegex(self.relay_try(), r"550 5\.7\.1")
        stranger = self.authority.issue("stranger.example")
        self.assertRegex(self.relay_try("-cert", stranger[0], "-key", stranger[1]), r"550 5\.7\.1")

    def with_certificate(self, name, sender, authority=None):
        """By the name in a certificate that client_ca vouches for, or does not."""
        cert, key = (authority or self.authority).issue(name)
        return self.relay_try("-cert", cert, "-key", key, listener="vouched", sender=sender)

    def test_a_vouched_name_gives_the_right_and_binds(self):
        self.assertRegex(self.with_certificate("mx.partner.example", "a@partner.example"),
                         r"250 2\.1\.5")
        self.assertRegex(self.with_certificate("mx.partner.example", "a@c.example"),
                         r"550 5\.7\.1 You may send")

    def test_a_name_that_nobody_vouches_for_gives_no_right(self):
        stranger = Authority(os.path.join(self.folder, "stranger"))
        for authority, name in ((stranger, "mx.partner.example"), (None, "mx.other.example")):
            text = self.with_certificate(name, "a@c.example", authority)
            self.assertRegex(text, r"550 5\.7\.1 Relaying denied")
            text = self.with_certificate(name, "a@partner.example", authority)
            self.assertRegex(text, r"550 5\.7\.1 Mail from this domain")
        lines = [l for l in self.gw.events("refused") if l.get("sender_rule") == "partner.example"]
        self.assertEqual({l["sender_level"] for l in lines}, {"verify"})

    def test_foreign_alpn_is_declined(self):
        text = self.talk("tls", "-alpn", "h2,http/1.1")
        self.assertFalse(re.search(r"ALPN protocol: h", text), "RFC-RULES Cross protocol")


if __name__ == "__main__":
    tap.main()
