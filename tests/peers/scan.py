#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What do testssl.sh and sslscan find at the listeners? Nothing of medium severity or worse."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from setup import Case  # noqa: E402
from sink import Sink  # noqa: E402

BAD = ("MEDIUM", "HIGH", "CRITICAL")
# Of the test's own certificate authority, not of the gateway: a chain that no browser knows, no
# place to ask for revocation, no transparency log, no name for the address 127.0.0.1.
OURS = re.compile(r"^(cert_chain_of_trust|cert_trust|cert_crlDistributionPoints|cert_ocspURL|"
                  r"cert_revocation|OCSP_stapling|DNS_CAArecord|certificate_transparency|"
                  r"cert_mustStapleExtension|cert_notAfter|cert_validityPeriod|cert_extlifeSpan|"
                  r"cert_expirationStatus|cert_caIssuers|overall_grade|grade_cap.*|.*_score.*)")
# Protocols, suite categories, server defaults, vulnerabilities, forward secrecy: about a minute
# each. The simulation of browsers and the list of each suite say nothing more here.
CHECKS = ["-p", "-s", "-f", "-S", "-U"]


class Scan(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hop = Sink(port=free_port(), cert=cls.sink_cert)
        listeners = [{"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"},
                     {"name": "tls", "address": "127.0.0.1:0", "tls": "implicit"}]
        # A scan makes hundreds of sessions and errors from one address.
        limits = {"max_sessions_per_address": 10000, "max_errors": 1000}
        cls.gw = Gateway([route("hop.example", cls.hop.port)], listeners, {"limits": limits},
                         cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        cls.hop.close()

    def run_testssl(self, listener, *options):
        found = os.path.join(self.folder, listener + ".json")
        done = subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch",
                               "--nodns", "none", "--ip", "127.0.0.1", "--jsonfile", found,
                               "--connect-timeout", "10", "--openssl-timeout", "10",
                               *options, *CHECKS, f"gw.example.org:{self.gw.ports[listener]}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=600)
        self.assertTrue(os.path.exists(found), done.stdout.decode("latin-1")[-3000:])
        with open(found) as f:
            findings = json.load(f)
        said = {f["id"]: f for f in findings}
        self.assertIn("TLS1_3", said, "the scan did not get through")
        self.assertGreater(len(findings), 40)
        bad = [f"{f['severity']} {f['id']}: {f['finding']}" for f in findings
               if f["severity"] in BAD and not OURS.match(f["id"])]
        self.assertEqual(bad, [])

    def test_testssl_starttls(self):
        self.run_testssl("internet", "--starttls", "smtp")

    def test_testssl_implicit(self):
        self.run_testssl("tls")

    def run_sslscan(self, listener, *options):
        done = subprocess.run(["sslscan", "--no-colour", "--show-certificate", "--sni-name=gw.example.org",
                               *options, f"127.0.0.1:{self.gw.ports[listener]}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300)
        text = done.stdout.decode("latin-1")
        for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
            self.assertRegex(text, rf"{re.escape(version)}\s+disabled")
        for version in ("TLSv1.2", "TLSv1.3"):
            self.assertRegex(text, rf"{re.escape(version)}\s+enabled")
        suites = re.findall(r"^(?:Preferred|Accepted)\s+(\S+)\s+(\d+) bits\s+(\S+)", text, re.M)
        self.assertGreaterEqual(len(suites), 3, text)
        for _, bits, suite in suites:
            self.assertGreaterEqual(int(bits), 128)
            self.assertRegex(suite, r"GCM|CHACHA20|CCM", "a suite without AEAD")
        self.assertNotRegex(text, r"(?<!not )vulnerable to heartbleed")
        self.assertNotRegex(text, r"Compression enabled|Secure session renegotiation supported.*insecure")

    def test_sslscan_starttls(self):
        self.run_sslscan("internet", "--starttls-smtp")

    def test_sslscan_implicit(self):
        self.run_sslscan("tls")


if __name__ == "__main__":
    tap.main()
