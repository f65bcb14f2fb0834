#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does an appliance get its certificate from an authority by ACME, by the key that it has, and put it in use;
does port 80 answer for nothing else, and only meanwhile; and does a refusal leave what was there? uacme
asks, pebble is the authority."""
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_root import SOURCE, Root  # noqa: E402
from certs import spki  # noqa: E402
from client import Client, wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from gateway import BUILD, Gateway, free_port, route  # noqa: E402
from setup import Case  # noqa: E402

OK, SYSTEM, TEMPORARY, CONFIG = 0, 71, 75, 78
NAME = "mx.acme.test"
HOOK = os.path.join(SOURCE, "images/tree/usr/lib/postern/acme-hook")


class Certificate(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # uacme takes UACME_CAINFO from 1.7.6 on (Debian 13). In the suite's own mount namespace the test's
        # authority is the system's, too.
        subprocess.run(["mount", "--bind", cls.authority.cert, "/etc/ssl/certs/ca-certificates.crt"], check=True)

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "/etc/ssl/certs/ca-certificates.crt"], check=True)
        super().tearDownClass()

    def setUp(self):
        for program in ("uacme", "pebble"):
            if not shutil.which(program):
                self.skipTest(f"there is no {program} (Debian's {program})")
        self.records = {(NAME, "A"): ["127.0.0.1"], ("more.acme.test", "A"): ["127.0.0.1"]}
        self.dns = Dns(free_port(), "acme.test", self.records)
        self.addCleanup(self.dns.close)
        self.directory = self.pebble()
        self.machine()

    def pebble(self):
        """An authority, whose own certificate is the test's; the URL of its directory."""
        chain, key = self.authority.issue_once("localhost")
        port = free_port()
        folder = tempfile.mkdtemp(dir=self.folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as f:
            json.dump({"pebble": {"listenAddress": f"127.0.0.1:{port}", "certificate": chain, "privateKey": key,
                                  "managementListenAddress": "", "httpPort": 80, "tlsPort": 443,
                                  "ocspResponderURL": "", "externalAccountBindingRequired": False}}, f)
        environment = dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0", PEBBLE_AUTHZREUSE="0")
        log = open(os.path.join(folder, "log"), "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            ["pebble", "-config", os.path.join(folder, "config.json"), "-dnsserver",
             "127.0.0.1:%d" % self.dns.sock.getsockname()[1]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_for(listens, 20, "pebble")
        return f"https://localhost:{port}/dir"

    def machine(self):
        self.root = Root(tempfile.mkdtemp(dir=self.folder))
        os.chmod(self.root.path, 0o755)
        self.root.appliance("1")
        chain, key = self.authority.issue("old." + NAME)
        self.cert, self.key = (self.root.at(f"/var/etc/postern/tls/mx.{end}") for end in ("pem", "key"))
        os.makedirs(os.path.dirname(self.cert))
        shutil.copy(chain, self.cert)
        shutil.copy(key, self.key)
        os.makedirs(self.root.at("/etc"), exist_ok=True)
        os.symlink("../var/etc/postern", self.root.at("/etc/postern"))
        for path, program in (("/usr/bin/uacme", shutil.which("uacme")), ("/usr/lib/postern/acme-hook", HOOK)):
            os.makedirs(os.path.dirname(self.root.at(path)), exist_ok=True)
            # A copy: it finds its folder by its own place.
            (os.symlink if path.endswith("uacme") else shutil.copy)(program, self.root.at(path))
        self.root.program("/usr/sbin/nft")
        self.settings([NAME])
        self.gateway_ = Gateway([route("hop.example", 1)], None,
                                {"tls": {"certificates": [{"cert": self.cert, "key": self.key}]}}, self.authority,
                                tempfile.mkdtemp(dir=self.folder))
        self.gateway_.start()
        self.addCleanup(self.gateway_.stop)
        with open(os.path.join(self.gateway_.folder, "postern.conf"), "rb") as f:
            self.root.write("/var/etc/postern/postern.conf", f.read(), 0o640)
        self.root.program("/usr/bin/posternctl", "exec %s --socket %s \"$@\"" % (
            os.path.join(os.path.realpath(BUILD), "posternctl"), self.gateway_.settings["gateway"]["control_socket"]))

    def settings(self, names):
        listed = ", ".join(f'"{name}"' for name in names)
        self.root.write("/var/etc/postern/appliance.conf",
                        f'hostname = "{NAME}";\nacme = {{ directory = "{self.directory}"; terms = "agreed";\n'
                        f'  names = [ {listed} ]; ca = "{self.authority.cert}"; }};\n', 0o600)

    def served(self):
        """The certificate that clients see."""
        with Client(self.gateway_.address()) as c:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            c.starttls(context)
            return ssl.DER_cert_to_PEM_cert(c.sock.getpeercert(binary_form=True))

    @staticmethod
    def leaf(path):
        with open(path, encoding="ascii") as f:
            end = "-----END CERTIFICATE-----\n"
            return f.read().split(end)[0] + end

    def names(self, path):
        out = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-ext", "subjectAltName"], check=True,
                             capture_output=True, text=True).stdout
        return sorted(word.strip().removeprefix("DNS:") for word in out.split("\n")[1].split(","))

    def test_first_and_renewed(self):
        before = spki(self.cert)
        code, said = self.root.ctl("certificate", timeout=120)
        self.assertEqual(code, OK, said)
        self.assertIn("a new certificate, in use", said)
        self.assertEqual(spki(self.cert), before)
        self.assertEqual(self.names(self.cert), [NAME])
        self.assertEqual(self.served(), self.leaf(self.cert))
        self.assertEqual(self.root.calls(), ["nft add element inet postern meanwhile { 80 timeout 10m }",
                                             "nft delete element inet postern meanwhile { 80 }", "posternctl reload"])
        with socket.socket() as s:
            self.assertNotEqual(s.connect_ex(("127.0.0.1", 80)), 0)
        self.assertEqual(os.listdir(self.root.at("/run/postern-system/acme")), [])
        self.assertEqual(os.stat(self.root.at("/var/lib/postern-system/acme")).st_mode & 0o777, 0o700)
        # A day later.
        first = self.leaf(self.cert)
        code, said = self.root.ctl("--json", "certificate", timeout=120)
        self.assertEqual((code, json.loads(said)["renewed"]), (OK, False))
        self.assertEqual(self.leaf(self.cert), first)
        self.assertEqual(self.root.calls().count("posternctl reload"), 1)
        # It is for other names now: a new one, by the same key.
        self.settings([NAME, "more.acme.test"])
        self.assertEqual(self.root.ctl("certificate", timeout=120)[0], OK)
        self.assertEqual(self.names(self.cert), ["more.acme.test", NAME])
        self.assertEqual(spki(self.cert), before)
        self.assertEqual(self.served(), self.leaf(self.cert))
        # Somebody put the old one back, as an import of settings does.
        with open(self.cert, "w", encoding="ascii") as f:
            f.write(first)
        code, said = self.root.ctl("--json", "certificate", timeout=120)
        self.assertEqual((code, json.loads(said)["renewed"]), (OK, True), said)

    def refused(self, code, text):
        before = self.leaf(self.cert)
        got, said = self.root.ctl("certificate", timeout=120)
        self.assertEqual(got, code, said)
        self.assertIn(text, said)
        self.assertEqual(self.leaf(self.cert), before)
        self.assertEqual(self.served(), before)
        notice = self.root.notices()["certificate"]
        self.assertTrue(notice.startswith("warning: no certificate by ACME: "), notice)
        self.assertNotIn("posternctl reload", self.root.calls())

    def test_authority_refuses(self):
        """A name that leads nowhere."""
        self.settings(["gone.acme.test"])
        self.refused(TEMPORARY, "no certificate: uacme:")
        # What was opened is closed again, and works again the next time.
        self.assertIn("nft delete element inet postern meanwhile { 80 }", self.root.calls())
        self.settings([NAME])
        self.assertEqual(self.root.ctl("certificate", timeout=120)[0], OK)
        self.assertNotIn("certificate", self.root.notices())

    def test_no_authority(self):
        """uacme itself tries three times, with 5 seconds between."""
        self.directory = f"https://localhost:{free_port()}/dir"
        self.settings([NAME])
        self.refused(TEMPORARY, "no account: uacme:")

    def test_port_is_taken(self):
        with socket.create_server(("127.0.0.1", 80)), socket.create_server(("::", 80), family=socket.AF_INET6):
            self.refused(SYSTEM, "port 80 can't be had")

    def test_not_asked_for(self):
        self.root.write("/var/etc/postern/appliance.conf", f'hostname = "{NAME}";\n', 0o600)
        code, said = self.root.ctl("certificate")
        self.assertEqual(code, OK)
        self.assertIn("no certificate is asked for", said)
        self.assertEqual(self.root.calls(), [])

    def test_no_gateway_settings(self):
        self.root.write("/var/etc/postern/postern.conf", "wrong\n", 0o640)
        code, said = self.root.ctl("certificate")
        self.assertEqual(code, CONFIG)
        self.assertIn("postern.conf is not accepted", said)

    def test_hook(self):
        """It makes files of tokens alone, and declines what is no http-01."""
        folder = self.root.at("/run/postern-system/acme")
        os.makedirs(folder)
        hook = self.root.at("/usr/lib/postern/acme-hook")

        def call(*words):
            return subprocess.run([hook, *words], stdin=subprocess.DEVNULL, capture_output=True,
                                  check=False).returncode
        self.assertEqual(call("begin", "http-01", NAME, "token-1_A", "answer"), 0)
        with open(os.path.join(folder, "token-1_A"), encoding="ascii") as f:
            self.assertEqual(f.read(), "answer")
        for words in (("begin", "dns-01", NAME, "token", "x"), ("begin", "http-01", NAME, "../x", "x"),
                      ("begin", "http-01", NAME, "a/b", "x"), ("begin", "http-01", NAME, "", "x"),
                      ("begin", "http-01", NAME, "token"), ("other", "http-01", NAME, "token", "x"),
                      ("begin", "http-01", NAME, ".hidden", "x")):
            self.assertEqual(call(*words), 1, words)
        self.assertEqual(os.listdir(folder), ["token-1_A"])
        self.assertEqual(call("done", "http-01", NAME, "token-1_A", "answer"), 0)
        self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    tap.main()
