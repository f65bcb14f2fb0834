#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does posternctl tls check find what is wrong with a mail server's STARTTLS, each thing by itself,
and pass one that is right: Postfix, and servers that are made to be wrong?"""
import json
import os
import ssl
import subprocess
import sys
import threading
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority, openssl  # noqa: E402
from client import PATIENCE  # noqa: E402
from dns import FAIL, Dns  # noqa: E402
from gateway import BUILD, free_port  # noqa: E402
from mta import Postfix  # noqa: E402
from setup import Case  # noqa: E402

CHECKS = ["connect", "starttls", "handshake", "authority", "dates", "name", "key", "signature", "SSL3.0",
          "TLS1.0", "TLS1.1"]
NAME = "sink.example"
EX_USAGE, EX_NOHOST, EX_TEMPFAIL, EX_PROTOCOL = 64, 68, 75, 76


class Raw:
    """Answers a ClientHello with these bytes, and no more; or, without any, says nothing."""

    def __init__(self, said, closes=True):
        self.said, self.closes, self.done = said, closes, threading.Event()

    def wrap_socket(self, sock, server_side):
        sock.recv(4096)
        sock.sendall(self.said)
        if not self.closes:
            self.done.wait(60)
        raise OSError("no more")


def server_hello(version):
    body = bytes([3, version]) + bytes(32) + b"\0" + b"\0\x2f" + b"\0"
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03" + bytes([version]) + len(message).to_bytes(2, "big") + message


class TlsCheck(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good = cls.authority.issue(NAME, kind="rsa")

    def check(self, target, *words, ca=True):
        """(exit status, the answer)."""
        done = subprocess.run([os.path.join(BUILD, "posternctl"), "--json", "tls", "check", target, *words,
                               *(["--ca", self.authority.cert] if ca else [])],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=90 * PATIENCE)
        self.assertEqual(done.stderr, b"")
        return done.returncode, json.loads(done.stdout)

    def rows(self, sink, *words, ca=True, name=NAME):
        """(exit status, {check: (result, seen)})."""
        status, said = self.check(f"127.0.0.1:{sink.port}", *(["--name", name] if name else []), *words,
                                  ca=ca)
        rows = said["hosts"][0]["addresses"][0]["checks"]
        self.assertEqual([r["check"] for r in rows], CHECKS)
        for row in rows:
            self.assertEqual("advice" in row, row["result"] in ("failed", "warning"), row)
            self.assertTrue(row["seen"], row)
        self.assertEqual(said["exit"], status)
        return status, {r["check"]: (r["result"], r["seen"]) for r in rows}

    def only(self, sink, check, text, *words, result="failed", **how):
        """That check comes out so, with that text, and all others are ok."""
        status, rows = self.rows(sink, *words, **how)
        self.assertEqual(rows[check][0], result, rows)
        self.assertIn(text, rows[check][1])
        others = {c: r for c, r in rows.items() if c != check and r[0] != "ok"}
        self.assertEqual(others, {})
        self.assertEqual(status, EX_PROTOCOL if result == "failed" else 0)
        return rows

    def context(self, cert=None, oldest=None, newest=None, ciphers=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():  # Python finds old versions deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = oldest or ssl.TLSVersion.TLSv1_2
            if newest:
                context.maximum_version = newest
        context.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(*(cert or self.good))
        return context

    def issue(self, name, *options, key=("rsa:2048",), days=("-days", "30"), sans=NAME, subject=NAME,
              digest="-sha256"):
        """A certificate of the test's authority, by the openssl command, as these options say."""
        base = os.path.join(self.folder, name)
        openssl("req", "-newkey", *key, "-nodes", "-keyout", base + ".key", "-out", base + ".csr",
                "-subj", "/CN=" + subject)
        with open(base + ".ext", "w") as f:
            f.write("basicConstraints=CA:FALSE\n" + (f"subjectAltName=DNS:{sans}\n" if sans else ""))
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.authority.cert, "-CAkey",
                self.authority.key, "-CAcreateserial", digest, *days, *options, "-extfile", base + ".ext",
                "-out", base + ".pem")
        return base + ".pem", base + ".key"

    # --- what is right

    def test_good(self):
        sink = self.sink(cert=self.good)
        status, rows = self.rows(sink)
        self.assertEqual((status, {r[0] for r in rows.values()}), (0, {"ok"}), rows)
        self.assertEqual(rows["connect"][1], "220 sink.example ESMTP")
        self.assertIn("TLSv1.3 TLS_AES_256_GCM_SHA384", rows["handshake"][1])
        self.assertIn('"Test CA"', rows["authority"][1])
        self.assertEqual(rows["name"][1], NAME)
        self.assertIn("RSA 2048, 112 bits", rows["key"][1])
        self.assertIn("RSA-SHA256" if "RSA-" in rows["signature"][1] else "ecdsa-with-SHA256",
                      rows["signature"][1])
        for version in CHECKS[-3:]:
            self.assertRegex(rows[version][1], r"^refused: alert \d+ \([a-z ]+\)$")
        # Four connections, each to STARTTLS, and no mail.
        self.assertEqual(sink.connections, 4)
        self.assertEqual([l.split(" ")[0] for l in sink.lines()],
                         ["EHLO", "STARTTLS", "EHLO", "QUIT"] + 3 * ["EHLO", "STARTTLS"])

    def test_good_by_its_host_name(self):
        """The name of the host counts where no other is given."""
        sink = self.sink(cert=self.authority.issue("localhost"), host="localhost")
        status, said = self.check(f"localhost:{sink.port}")
        self.assertEqual(said["hosts"][0]["name"], "localhost")
        answers = [a for a in said["hosts"][0]["addresses"] if a["address"].startswith("127.")]
        self.assertEqual({r["result"] for r in answers[0]["checks"]}, {"ok"}, said)

    def test_postfix(self):
        """As it comes it speaks TLS 1.0 and 1.1, which openssl says as well; with the setting that the
        advice names all is well."""
        with Postfix(self.authority) as postfix:
            for version in ("1", "1_1"):
                said = openssl("s_client", "-connect", f"127.0.0.1:{postfix.port}", "-starttls", "smtp",
                               "-tls" + version, "-cipher", "DEFAULT@SECLEVEL=0", data=b"QUIT\r\n")
                self.assertIn(b"Protocol  : TLSv1" + version[1:].replace("_", ".").encode(), said)
            status, rows = self.rows(postfix, name="postfix.example")
            self.assertEqual(status, EX_PROTOCOL)
            self.assertEqual([c for c, r in rows.items() if r[0] != "ok"], ["TLS1.0", "TLS1.1"], rows)
            self.assertIn("the server chose TLS1.0", rows["TLS1.0"][1])
            self.assertIn("ESMTP Postfix", rows["connect"][1])
            postfix.chroot("postconf", "smtpd_tls_protocols = >=TLSv1.2")
            postfix.chroot("postfix", "reload")
            status, rows = self.rows(postfix, name="postfix.example")
            self.assertEqual((status, {r[0] for r in rows.values()}), (0, {"ok"}), rows)

    # --- what is wrong, one thing each

    def test_expired(self):
        self.only(self.sink(cert=self.authority.issue_past("past", [NAME])), "dates", "expired on 2020-02-01")

    def test_soon_expired(self):
        self.only(self.sink(cert=self.issue("soon", days=("-days", "9"))), "dates", "valid only until",
                  result="warning")

    def test_wrong_name(self):
        self.only(self.sink(cert=self.good), "name", "is for sink.example, not for mx.other.example",
                  name="mx.other.example")
        self.only(self.sink(cert=self.good), "name", "not for 127.0.0.1", name=None)

    def test_name_in_the_cn_alone(self):
        self.only(self.sink(cert=self.issue("cn", sans=None)), "name", "by the CN alone", result="warning")

    def test_wildcard(self):
        cert = self.issue("wild", sans="*.wild.example")
        self.assertEqual(self.rows(self.sink(cert=cert), name="mx.wild.example")[0], 0)
        self.only(self.sink(cert=cert), "name", "not for a.mx.wild.example", name="a.mx.wild.example")

    def test_unknown_authority(self):
        """Nobody's CA, a CA that the system does not have, and no CA."""
        other = Authority(os.path.join(self.folder, "unknown"))
        self.only(self.sink(cert=other.issue(NAME)), "authority", 'issuer "Test CA"')
        self.only(self.sink(cert=self.good), "authority", 'issuer "Test CA"', ca=False)
        base = os.path.join(self.folder, "self")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", base + ".key", "-out",
                base + ".pem", "-days", "30", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:" + NAME)
        self.only(self.sink(cert=(base + ".pem", base + ".key")), "authority", "self-signed")

    def test_missing_intermediate(self):
        base = os.path.join(self.folder, "inter")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", base + ".key", "-out", base + ".csr",
                "-subj", "/CN=Intermediate")
        with open(base + ".ext", "w") as f:
            f.write("basicConstraints=critical,CA:TRUE\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.authority.cert, "-CAkey",
                self.authority.key, "-CAcreateserial", "-days", "30", "-extfile", base + ".ext", "-out",
                base + ".pem")
        root, self.authority.cert = self.authority.cert, base + ".pem"
        root_key, self.authority.key = self.authority.key, base + ".key"
        try:
            alone = self.issue("below")
        finally:
            self.authority.cert, self.authority.key = root, root_key
        self.only(self.sink(cert=alone), "authority", 'issuer "Intermediate"')
        with open(alone[0]) as leaf, open(base + ".pem") as inter:
            both = leaf.read() + inter.read()
        with open(base + "-chain.pem", "w") as f:
            f.write(both)
        self.assertEqual(self.rows(self.sink(cert=(base + "-chain.pem", alone[1])))[0], 0)

    def test_weak_key(self):
        cert = self.issue("weak", key=("rsa:1024",))
        self.only(self.sink(context=self.context(cert)), "key", "RSA 1024, 80 bits")

    def test_weak_signature(self):
        cert = self.issue("sha1", digest="-sha1")
        self.only(self.sink(context=self.context(cert)), "signature", "SHA1")

    def test_old_versions(self):
        """Beside new ones, each by itself; and as the newest that there is."""
        context = self.context(oldest=ssl.TLSVersion.TLSv1_1)
        self.only(self.sink(context=context), "TLS1.1", "the server chose TLS1.1")
        context = self.context(oldest=ssl.TLSVersion.TLSv1, newest=ssl.TLSVersion.TLSv1)
        status, rows = self.rows(self.sink(context=context))
        self.assertEqual(status, EX_PROTOCOL)
        self.assertEqual([c for c, r in rows.items() if r[0] == "failed"], ["handshake", "TLS1.0"], rows)
        self.assertIn("nothing newer is spoken", rows["handshake"][1])
        self.assertIn("refused: the server chose TLS1.0", rows["TLS1.1"][1])

    def test_ssl_3_0(self):
        """No library has it: a server that answers so, and one that has nothing else."""
        status, rows = self.rows(self.sink(context=Raw(server_hello(0))))
        self.assertEqual((status, rows["SSL3.0"]), (EX_PROTOCOL, ("failed", "it is spoken: the server "
                                                                  "chose SSL3.0")))
        self.assertEqual((rows["TLS1.0"][0], rows["TLS1.1"][0]), ("ok", "ok"))

    def test_suites(self):
        """Without forward secrecy, without AEAD."""
        newest = ssl.TLSVersion.TLSv1_2
        self.only(self.sink(context=self.context(newest=newest, ciphers="AES128-GCM-SHA256")), "handshake",
                  "no ECDHE", result="warning")
        self.only(self.sink(context=self.context(newest=newest, ciphers="ECDHE-RSA-AES128-SHA")),
                  "handshake", "no suite with AEAD", result="warning")

    def test_no_starttls(self):
        for how, text in (({"tls": None}, "STARTTLS is not offered"),
                          ({"behave": {"STARTTLS": "454 4.7.0 not now"}}, "refused: 454 not now"),
                          ({"behave": {"STARTTLS": b"220 2.0.0 go\r\n250 2.1.0 too soon\r\n"}}, "injection"),
                          ({"behave": {"STARTTLS": "RESET"}}, "the server"),
                          ({"behave": {"EHLO": "550 5.0.0 no"}}, "EHLO is refused"),
                          ({"behave": {"GREETING": "554 5.3.2 go away"}}, "refusal: 554 go away"),
                          ({"behave": {"GREETING": b"\x1b[2Jhello\n"}}, "")):
            status, rows = self.rows(self.sink(cert=self.good, **how))
            self.assertEqual((status, rows["starttls"][0]), (EX_PROTOCOL, "failed"), rows)
            self.assertIn(text, rows["starttls"][1])
            self.assertEqual({rows[c][0] for c in CHECKS[2:]}, {"skipped"})
            self.assertNotIn("\x1b", str(rows["connect"]))

    def test_garbage(self):
        status, rows = self.rows(self.sink(context=Raw(b"HTTP/1.1 400 what is that\r\n\r\n")))
        self.assertEqual((status, rows["handshake"][0]), (EX_PROTOCOL, "failed"))
        self.assertIn("no TLS record", rows["handshake"][1])
        for check in CHECKS[3:]:
            self.assertEqual(rows[check][0], "skipped", rows)

    def test_closed_instead_of_a_handshake(self):
        status, rows = self.rows(self.sink(context=Raw(b"")))
        self.assertEqual((status, rows["handshake"]), (EX_PROTOCOL, (
            "failed", "the server closed the connection")))
        self.assertEqual(rows["TLS1.0"], ("ok", "refused: the server closed the connection"))

    def test_alert_behind_the_handshake(self):
        """TLS 1.3: the client's handshake is over when the server finds that it lacks something."""
        context = self.context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority.cert)
        self.only(self.sink(context=context), "handshake", "alert 116")

    # --- all hosts of a domain

    def resolver(self, records):
        """This machine's, for the test alone: mounts are its own."""
        dns = Dns(53, "test.example", records)
        path = os.path.join(self.folder, "resolv.conf")
        with open(path, "w") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/resolv.conf"], check=True)
        self.addCleanup(dns.close)

    def test_mx(self):
        port = free_port()
        self.resolver({("two.test.example", "MX"): [(20, "b.test.example"), (10, "a.test.example")],
                       ("a.test.example", "A"): ["127.0.4.1"], ("b.test.example", "A"): ["127.0.4.2"],
                       ("own.test.example", "A"): ["127.0.4.1"],
                       ("half.test.example", "MX"): [(10, "a.test.example"), (20, "c.test.example")],
                       ("null.test.example", "MX"): [(0, "")], ("bad.test.example", "MX"): FAIL})
        for host, name in (("127.0.4.1", "a.test.example"), ("127.0.4.2", "b.test.example")):
            cert = self.authority.issue(name, [name, "own.test.example"])
            self.sink(host=host, port=port, cert=cert)
        status, said = self.check(f"two.test.example:{port}", "--mx")
        self.assertEqual((status, [(h["host"], h["name"], h["addresses"][0]["address"])
                                   for h in said["hosts"]]),
                         (0, [("a.test.example", "a.test.example", f"127.0.4.1:{port}"),
                              ("b.test.example", "b.test.example", f"127.0.4.2:{port}")]))
        status, said = self.check(f"own.test.example:{port}", "--mx")
        self.assertEqual((status, [h["host"] for h in said["hosts"]]), (0, ["own.test.example"]))
        status, said = self.check(f"half.test.example:{port}", "--mx")
        self.assertEqual((status, said["failed"], said["unreachable"]), (EX_TEMPFAIL, 0, 1))
        for domain, code, why in (("null", EX_NOHOST, "takes no mail"), ("none", EX_NOHOST, "not exist"),
                                  ("bad", EX_TEMPFAIL, "can't be looked up")):
            status, said = self.check(f"{domain}.test.example", "--mx")
            self.assertEqual((status, said["exit"]), (code, code))
            self.assertIn(why, said["error"])

    # --- who is not there

    def test_nobody(self):
        class Nobody:
            port = free_port()

        status, rows = self.rows(Nobody)
        self.assertEqual((status, rows["connect"]), (EX_TEMPFAIL, ("failed", "Connection refused")))
        self.assertEqual({rows[c][0] for c in CHECKS[1:]}, {"skipped"})

    def test_no_such_name(self):
        status, said = self.check("nobody.invalid")
        self.assertEqual((status, said["hosts"][0]["addresses"]), (EX_TEMPFAIL, []))
        self.assertTrue(said["hosts"][0]["why"])

    def test_usage(self):
        for words in ([], ["a b"], ["mx.example:0"], ["mx.example:x"], ["mx.example:70000"], [""], [":25"],
                      ["--mx", "127.0.0.1"], ["a", "b"]):
            done = subprocess.run([os.path.join(BUILD, "posternctl"), "tls", "check", *words],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
            self.assertEqual((done.returncode, done.stdout), (EX_USAGE, b""), words)
            self.assertTrue(done.stderr)

    def test_help(self):
        for words in (["tls", "check", "--help"], ["--help", "tls", "check"]):
            done = subprocess.run([os.path.join(BUILD, "posternctl"), *words], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for text in ("usage: posternctl tls check HOST[:PORT]", "--mx example.org", "--name", "76"):
                self.assertIn(text, done.stdout)
            self.assertLessEqual(max(len(l) for l in done.stdout.splitlines()), 100)

    def test_text_for_people(self):
        sink = self.sink(cert=self.good)
        run = lambda *words: subprocess.run(  # noqa: E731
            [os.path.join(BUILD, "posternctl"), "tls", "check", f"127.0.0.1:{sink.port}", "--ca",
             self.authority.cert, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)
        done = run("--name", NAME)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "All checks passed."))
        done = run()
        self.assertEqual(done.returncode, EX_PROTOCOL)
        self.assertRegex(done.stdout, r"(?m)^  name +failed: the certificate is for sink\.example")
        self.assertRegex(done.stdout, r"(?m)^    to do +Get a certificate that has the name")
        self.assertIn("Checks that failed: 1; warnings: 0; not done: 0", done.stdout)


if __name__ == "__main__":
    tap.main()
