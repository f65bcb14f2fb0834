#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which MTA-STS policy holds for a domain: the resolver process, confined as in the product, asks a
name server and an HTTPS server of the test's own; what it answers to a worker is compared.
"""
import gzip
import hashlib
import os
import queue
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority, openssl  # noqa: E402
from client import wait_for  # noqa: E402
from dns import FAIL, Dns  # noqa: E402
from gateway import BUILD, free_port  # noqa: E402
from https import Https, context, response  # noqa: E402
from setup import Case  # noqa: E402

ZONE = "sts.example"
ANCHOR = "anchor.example. IN DS 20326 8 2 " + "00" * 32 + "\n"
TIMEOUT_S = 2


def policy(mode="enforce", mx=("mx.example",), max_age=86400):
    return f"version: STSv1\nmode: {mode}\n" + "".join(f"mx: {m}\n" for m in mx) + f"max_age: {max_age}\n"


class Asker:
    """A resolver process and the program that asks it; answers come in any order."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests/unit/process/resolver_ask"), *arguments], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.log = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()
        self.logger = threading.Thread(target=self.read_log, daemon=True)
        self.logger.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line.strip())

    def send(self, *domains):
        for domain in domains:
            self.process.stdin.write(f"sts:{domain}\n")
        self.process.stdin.flush()

    def next(self, timeout=30):
        return self.lines.get(timeout=timeout)

    def ask(self, *domains):
        """{domain: answer}"""
        self.send(*domains)
        said = [self.next().split(" ", 1) for _ in domains]
        return {question[len("sts:"):]: answer for question, answer in said}

    def one(self, domain):
        return self.ask(domain)[domain]

    def close(self):
        """Whether it ended well."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        status = self.process.wait(20)
        self.logger.join(5)
        return status


class Sts(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w") as f:
            f.write(ANCHOR)
        cls.dns_port = free_port()
        cls.records = {}
        cls.dns = Dns(cls.dns_port, ZONE, cls.records, ttl=1)
        cls.port = free_port()
        names = [f"mta-sts.d{n}.{ZONE}" for n in range(300)]
        cls.https = Https(cls.port, cls.authority.issue("https", names))
        cls.made = 0

    def setUp(self):
        self.state = tempfile.mkdtemp(dir=self.folder)

    def domain(self, answer=None, txt="v=STSv1; id=1;", address="127.0.0.1"):
        """A new domain that has the record, and a server that gives the answer."""
        type(self).made += 1
        name = f"d{self.made}.{ZONE}"
        if txt is not None:
            self.records[(f"_mta-sts.{name}", "TXT")] = [txt] if isinstance(txt, str) else txt
        if address:
            self.records[(f"mta-sts.{name}", "A")] = [address] if isinstance(address, str) else address
        if answer is not None:
            self.answer(name, answer)
        return name

    def answer(self, name, answer):
        self.https.answers["mta-sts." + name] = (answer if callable(answer) or isinstance(answer, bytes)
                                                 else response(answer))

    def asker(self, ca=None):
        asker = Asker(self.anchor, f"{ZONE}=127.0.0.1:{self.dns_port}",
                      self.authority.cert if ca is None else ca, str(self.port), str(TIMEOUT_S), self.state)
        self.addCleanup(lambda: self.assertEqual(asker.close(), 0, asker.log))
        return asker

    def hits(self, name):
        return self.https.hits.count("mta-sts." + name)

    def cells(self, cells):
        """(domain, how the answer begins, fetches), all at once."""
        said = self.asker().ask(*(domain for domain, _, _ in cells))
        for number, (domain, want, fetches) in enumerate(cells):
            with self.subTest(f"{number} {want}"):
                self.assertRegex(said[domain], "^" + want)
                self.assertEqual(self.hits(domain), fetches)

    # --- the record

    def test_records(self):
        good, none = policy(), "nodata why=the domain has no record of MTA-STS"
        cname = self.domain(good, txt=None)
        self.records[(f"_mta-sts.{cname}", "CNAME")] = [f"_sts.elsewhere.{ZONE}"]
        self.records[(f"_sts.elsewhere.{ZONE}", "TXT")] = ["v=STSv1; id=far;"]
        failing = self.domain(good, txt=None)
        self.records[(f"_mta-sts.{failing}", "TXT")] = FAIL
        several = "nodata why=the domain has several records"
        bad = "nodata why=the domain's record of MTA-STS is malformed"
        self.cells([
            (self.domain(good), r"ok mode=enforce id=1 cached=0 ttl=60 left=86\d\d\d mx=mx.example$", 1),
            (self.domain(good, txt=None), none, 0),
            (self.domain(good, txt="v=spf1 -all"), none, 0),
            (self.domain(good, txt="v=STSv2; id=1;"), none, 0),
            (self.domain(good, txt=["v=spf1 -all", "v=STSv1; id=2;", "other"]), "ok mode=enforce id=2 ", 1),
            (self.domain(good, txt=["v=STSv1; id=1;", "v=STSv1; id=2;"]), several, 0),
            (self.domain(good, txt=["v=STSv1; id=1;", "v=STSv1; id=;"]), several, 0),
            (self.domain(good, txt="v=STSv1; id=a b;"), bad, 0),
            (self.domain(good, txt="v=STSv1;"), bad, 0),
            (self.domain(good, txt="v=STSv1; id=" + "a" * 33), bad, 0),
            (self.domain(good, txt=[["v=STS", "v1; i", "d=split;"]]), "ok mode=enforce id=split ", 1),
            (self.domain(good, txt="v=STSv1; id=" + "a" * 32), "ok mode=enforce id=a{32} ", 1),
            (cname, "ok mode=enforce id=far ", 1),
            (failing, "failed why=the domain's record of MTA-STS can't be looked up", 0),
        ])

    def test_names(self):
        name = self.domain(policy())
        self.cells([
            (name, "ok ", 1),
            (f"sub.{name}", "nodata ", 0),
            ("[127.0.0.1]", "nodata why=no domain of the internet", 0),
            ("a..b", "nodata why=no domain of the internet", 0),
            (("a" * 60 + ".") * 4 + "b" * 9, "nodata why=no domain of the internet", 0),
        ])
        self.assertRegex(self.asker().one(name.upper()), "^ok ")
        self.assertRegex(self.asker().one(name + "."), "^ok ")

    # --- the policy

    def test_policies(self):
        bad = "failed why=reading the policy: "
        self.cells([
            (self.domain(policy("testing")), "ok mode=testing ", 1),
            (self.domain(policy("none", ())), r"ok mode=none id=1 cached=0 ttl=60 left=86\d\d\d mx=$", 1),
            (self.domain(policy(mx=("a.example", "*.B.example"))), r"ok .* mx=a.example,\*.b.example$", 1),
            (self.domain(policy().replace("\n", "\r\n")), "ok mode=enforce ", 1),
            (self.domain(policy(max_age=0)), r"ok mode=enforce .* left=(60|59|58) ", 1),
            (self.domain(policy(max_age=31557600)), r"ok .* left=315575\d\d|ok .* left=31557600", 1),
            (self.domain(policy(max_age=40000000)), r"ok .* left=315575\d\d|ok .* left=31557600", 1),
            (self.domain(policy(max_age=99999999999)), bad + "the policy's max_age", 1),
            (self.domain(policy("report")), bad + "the policy's mode", 1),
            (self.domain(policy(mx=())), bad + "the policy has no mx", 1),
            (self.domain(policy(mx=["a.example"] * 65)), bad + "the policy has too many mx", 1),
            (self.domain(policy(mx=["*"])), bad + "a mx of the policy", 1),
            (self.domain(policy().replace("STSv1", "STSv2")), bad + "the policy's version", 1),
            (self.domain("<html>hello</html>"), bad + "the policy has a line", 1),
            (self.domain(""), bad + "the policy has no version", 1),
        ])

    # --- the server

    def chunked(self, size):
        def send(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(size // 1024):
                connection.sendall(b"400\r\n" + b"\n" * 1024 + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        return send

    def test_answers(self):
        good, fetching = policy(), "failed why=fetching the policy: "
        large = good + "\n" * (65536 - len(good))
        aim = self.domain(good)
        to_aim = f"Location: https://mta-sts.{aim}:{self.port}/.well-known/mta-sts.txt\r\n"
        def headers(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-More: " + b"a" * 900 + b"\r\n")
            while True:
                connection.sendall((b"X-More: " + b"a" * 900 + b"\r\n") * 100)
        cells = [
            (self.domain(response(good, kind="text/plain; charset=utf-8")), "ok ", 1),
            (self.domain(response(good, kind="TEXT/PLAIN")), "ok ", 1),
            (self.domain(response(good, kind="text/html")), fetching + "the file's type", 1),
            (self.domain(response(good, kind="text/plainer")), fetching + "the file's type", 1),
            (self.domain(response(good, kind=None)), fetching + "the file's type", 1),
            (self.domain(large), "ok ", 1),
            (self.domain(large + "\n"), fetching + "the file is larger", 1),
            (self.domain(self.chunked(128 * 1024)), fetching + "the file is larger", 1),
            (self.domain(self.chunked(1024)), "failed why=reading the policy", 1),
            (self.domain(response(gzip.compress(good.encode()), more="Content-Encoding: gzip\r\n")),
             "failed why=reading the policy", 1),
            (self.domain(response(good).replace(b"Length: ", b"Length: 9")), fetching, 1),
            (self.domain(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + good.encode()), "ok ", 1),
            (self.domain(good.encode()), fetching, 1),
            (self.domain(b"garbage\r\n\r\n"), fetching, 1),
            (self.domain(b""), fetching, 1),
            (self.domain(headers), fetching, 1),
        ]
        for code in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
            cells.append((self.domain(response(good, code, more=to_aim)),
                          fetching + f"the server answered {code[:3]}", 1))
        for code in ("203 Other", "206 Partial", "401 No", "404 Not Found", "500 Error", "503 Busy"):
            cells.append((self.domain(response(good, code)), fetching + f"the server answered {code[:3]}", 1))
        self.cells(cells)
        self.assertEqual(self.hits(aim), 0)
        self.assertEqual(self.https.paths, {"GET /.well-known/mta-sts.txt HTTP/1.1"})

    def test_addresses(self):
        good, fetching = policy(), "failed why=fetching the policy: "
        far = self.domain(good, address=None)
        self.records[(f"mta-sts.{far}", "CNAME")] = [f"web.{ZONE}"]
        self.records[(f"web.{ZONE}", "A")] = ["127.0.0.1"]
        plain = socket.create_server(("127.0.0.7", self.port))
        self.addCleanup(plain.close)
        def greet():
            while True:
                try:
                    connection, _ = plain.accept()
                except OSError:
                    return
                connection.sendall(response(good))
        threading.Thread(target=greet, daemon=True).start()
        down = self.domain(good, address=None)
        self.records[(f"mta-sts.{down}", "A")] = FAIL
        self.cells([
            (far, "ok ", 1),
            (self.domain(good, address=["127.0.0.9", "127.0.0.1"]), "ok ", 1),
            (self.domain(good, address="127.0.0.9"), fetching, 0),
            (self.domain(good, address="127.0.0.7"), fetching, 0),
            (self.domain(good, address=None), fetching + "its server's address can't be had", 0),
            (down, fetching + "its server's address can't be had", 0),
        ])

    def test_certificates(self):
        good, bad = policy(), "failed why=fetching the policy: the server's certificate: "
        other = Authority(os.path.join(self.folder, "other-ca"))

        def with_cert(authority, names, past=False):
            domain = self.domain(good)
            host = "mta-sts." + domain
            names = [n.format(host=host, domain=domain) for n in names]
            issue = authority.issue_past if past else authority.issue
            self.https.certs[host] = context(*issue(f"c-{domain}", names))
            return domain
        plain = self.domain(good)
        host = "mta-sts." + plain
        base = os.path.join(self.folder, "cn-only")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", base + ".key", "-out", base + ".csr",
                "-subj", "/CN=" + host)
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.authority.cert, "-CAkey",
                self.authority.key, "-CAcreateserial", "-days", "3", "-out", base + ".pem")
        self.https.certs[host] = context(base + ".pem", base + ".key")
        own = self.domain(good)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", base + "2.key", "-out",
                base + "2.pem", "-days", "3", "-subj", "/CN=mta-sts." + own, "-addext",
                f"subjectAltName=DNS:mta-sts.{own}")
        self.https.certs["mta-sts." + own] = context(base + "2.pem", base + "2.key")
        old = self.domain(good, address="127.0.0.8")
        server = Https(self.port, self.authority.issue("https-old", ["mta-sts." + old]), "127.0.0.8")
        self.addCleanup(server.close)
        server.context.minimum_version = ssl.TLSVersion.TLSv1
        server.context.maximum_version = ssl.TLSVersion.TLSv1_1
        server.context.set_ciphers("DEFAULT@SECLEVEL=0")
        server.answers = self.https.answers
        self.cells([
            (with_cert(self.authority, ["{host}"]), "ok ", 1),
            (with_cert(self.authority, ["*.{domain}"]), "ok ", 1),
            (with_cert(self.authority, ["other.example", "{host}"]), "ok ", 1),
            (with_cert(self.authority, ["{domain}"]), bad + ".*ost ?name mismatch", 0),
            (with_cert(self.authority, ["*." + ZONE]), bad + ".*ost ?name mismatch", 0),
            (with_cert(self.authority, ["mta-*.{domain}"]), bad + ".*ost ?name mismatch", 0),
            (with_cert(other, ["{host}"]), bad, 0),
            (with_cert(self.authority, ["{host}"], past=True), bad + "certificate has expired", 0),
            (plain, bad + ".*ost ?name mismatch", 0),
            (own, bad + "self.signed", 0),
            (old, "failed why=fetching the policy: ", 0),
        ])

    def test_authorities_of_the_system(self):
        """Without sts_ca: the test's own authority is none of them."""
        self.assertRegex(self.asker(ca="").one(self.domain(policy())),
                         "^failed why=fetching the policy: the server's certificate: ")

    # --- time

    def test_slow_servers_hold_nobody_else(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def silent(connection):
            release.wait(20)

        def drip(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while not release.wait(0.1):
                connection.sendall(b"\n")
        slow = [self.domain(silent) for _ in range(9)] + [self.domain(drip)]
        asker = self.asker()
        asker.send(*slow)
        wait_for(lambda: all(self.hits(d) for d in slow), 10, "ten fetches")
        quick = [self.domain(policy()) for _ in range(5)]
        asker.send(*quick)
        said = [asker.next() for _ in range(15)]
        self.assertEqual({s.split()[0] for s in said[:5]}, {f"sts:{d}" for d in quick})
        for line in said[5:]:
            self.assertRegex(line, "^sts:.* failed why=fetching the policy: Timeout was reached")

    def test_one_fetch_for_all_who_ask(self):
        entered, release = threading.Event(), threading.Event()

        def hold(connection):
            entered.set()
            release.wait(1)
            connection.sendall(response(policy()))
        domain = self.domain(hold)
        asker = self.asker()
        asker.send(*[domain] * 50)
        self.assertTrue(entered.wait(10))
        asker.send(*[domain] * 50)
        release.set()
        for _ in range(100):
            self.assertRegex(asker.next(), "ok mode=enforce ")
        self.assertEqual(self.hits(domain), 1)

    def test_many_questions_at_once(self):
        domains = [self.domain(policy(max_age=1000 + n)) for n in range(15)]
        asker = self.asker()
        for _ in range(20):
            asker.send(*domains)
        for _ in range(20 * len(domains)):
            self.assertRegex(asker.next(), "ok mode=enforce ")
        self.assertEqual([self.hits(d) for d in domains], [1] * len(domains))

    def test_a_failed_fetch_is_not_repeated(self):
        domain = self.domain(response("", "500 Error"))
        asker = self.asker()
        for _ in range(3):
            self.assertRegex(asker.one(domain), "^failed why=fetching the policy: the server answered 500")
        self.assertEqual(self.hits(domain), 1)
        wait_for(lambda: [l for l in asker.log if "sts_failed" in l and "retry_s=300" in l], 5, "a log line")

    # --- what is kept

    def file(self, domain):
        return os.path.join(self.state, "sts", domain)

    def keep(self, domain, body, id="1", age=0):
        """A file as the process writes it, of a policy that was fetched so many seconds ago."""
        os.makedirs(os.path.join(self.state, "sts"), exist_ok=True)
        head = f"postern sts 1\ndomain {domain}\nid {id}\nfetched {int(time.time()) - age}\n"
        digest = hashlib.sha256((head + body).encode()).hexdigest()
        with open(self.file(domain), "w") as f:
            f.write(f"{head}sha256 {digest}\n\n{body}")
        os.chown(self.file(domain), 65534, 65534)

    def test_asked_again(self):
        domain = self.domain(policy())
        asker = self.asker()
        self.assertRegex(asker.one(domain), "^ok mode=enforce id=1 cached=0 ")
        self.assertRegex(asker.one(domain), "^ok mode=enforce id=1 cached=1 ")
        self.assertEqual(self.hits(domain), 1)
        wait_for(lambda: [l for l in asker.log if "sts_policy" in l and "change=new" in l
                          and f"domain={domain}" in l], 5, "a log line")

    def test_restart(self):
        """And the server may be gone then."""
        domain = self.domain(policy(mx=("a.example", "*.b.example")))
        first = self.asker()
        said = first.one(domain)
        self.assertEqual(os.listdir(os.path.join(self.state, "sts")), [domain])
        self.assertEqual(first.close(), 0)
        self.answer(domain, response("", "404 Not Found"))
        again = self.asker().one(domain)
        self.assertRegex(again, r"^ok mode=enforce id=1 cached=1 ttl=60 left=86\d\d\d mx=a.example,\*.b.example$")
        self.assertRegex(said, "cached=0")
        self.assertEqual(self.hits(domain), 1)

    def test_kept_as_the_test_writes_it(self):
        """The files of the tests below are what the process itself writes."""
        domain = self.domain(policy())
        self.asker().one(domain)
        with open(self.file(domain)) as f:
            written = f.read()
        self.keep(domain, policy(), age=int(time.time()) - int(written.split()[8]))
        with open(self.file(domain)) as f:
            self.assertEqual(f.read(), written)

    def test_refresh(self):
        domain = self.domain(policy(mx=("new.example",)))
        self.keep(domain, policy(max_age=200000), age=90000)
        asker = self.asker()
        self.assertRegex(asker.one(domain), "^ok .* cached=1 .* mx=mx.example$")
        wait_for(lambda: "mx=new.example" in asker.one(domain), 10, "the new policy")
        self.assertEqual(self.hits(domain), 1)
        self.assertTrue([l for l in asker.log if "change=changed" in l])

    def test_refresh_at_half_its_age(self):
        domain = self.domain(policy(max_age=3600))
        self.keep(domain, policy(max_age=3600), age=1900)
        asker = self.asker()
        self.assertRegex(asker.one(domain), "^ok .* left=1[67]")
        wait_for(lambda: "left=3" in asker.one(domain), 10, "the new policy")

    def test_refresh_fails(self):
        for fault in (response("", "500 Error"), response("junk"), b""):
            domain = self.domain(fault)
            self.keep(domain, policy(max_age=200000), age=90000)
            asker = self.asker()
            self.assertRegex(asker.one(domain), "^ok mode=enforce .* cached=1 ")
            wait_for(lambda: [l for l in asker.log if "sts_failed" in l and domain in l
                              and "policy=old" in l], 10, "a log line")
            self.assertRegex(asker.one(domain), "^ok mode=enforce .* cached=1 .* mx=mx.example why=")
            self.assertEqual(self.hits(domain), 1)

    def test_refresh_while_dns_fails(self):
        domain = self.domain(policy(mx=("new.example",)), txt=None)
        self.records[(f"_mta-sts.{domain}", "TXT")] = FAIL
        self.keep(domain, policy(max_age=200000), age=90000)
        asker = self.asker()
        self.assertRegex(asker.one(domain), "^ok .* cached=1 .* mx=mx.example$")
        wait_for(lambda: "mx=new.example" in asker.one(domain), 10, "the new policy")

    def test_record_gone(self):
        """The policy holds until its time is over, and is not fetched again."""
        domain = self.domain(policy(), txt=None)
        self.keep(domain, policy(max_age=200000), age=90000)
        asker = self.asker()
        for _ in range(2):
            self.assertRegex(asker.one(domain), "^ok mode=enforce id=1 cached=1 ")
        self.assertEqual(self.hits(domain), 0)

    def test_id_changes(self):
        for mode, mx in (("testing", "mx.example"), ("none", ""), ("enforce", "other.example")):
            domain = self.domain(policy(mode, [mx] if mx else []), txt="v=STSv1; id=2;")
            self.keep(domain, policy())
            asker = self.asker()
            self.assertRegex(asker.one(domain), "^ok mode=enforce id=1 cached=1 ")
            wait_for(lambda: f"mode={mode} id=2" in asker.one(domain), 10, "the new policy")
            self.assertIn(f"mx={mx}", asker.one(domain))

    def test_id_stays(self):
        domain = self.domain(policy("testing"))
        self.keep(domain, policy())
        asker = self.asker()
        for _ in range(3):
            self.assertRegex(asker.one(domain), "^ok mode=enforce id=1 cached=1 ")
        self.assertEqual(self.hits(domain), 0)

    def test_time_is_over(self):
        domain, gone = self.domain(policy(mx=("new.example",))), self.domain(response("", "404 No"))
        for name in (domain, gone):
            self.keep(name, policy(max_age=1000), age=1001)
        asker = self.asker()
        self.assertRegex(asker.one(domain), "^ok .* cached=0 .* mx=new.example$")
        self.assertRegex(asker.one(gone), "^failed ")

    def test_clock_went_back(self):
        domain = self.domain(policy())
        self.keep(domain, policy(max_age=1000), age=-5000)
        self.assertRegex(self.asker().one(domain), r"^ok .* cached=1 .* left=(1000|99\d) ")

    def test_damaged_files(self):
        body, domains = policy(mx=("kept.example",)), [self.domain(policy()) for _ in range(8)]
        for domain in domains:
            self.keep(domain, body)

        def change(domain, how):
            with open(self.file(domain), "rb") as f:
                text = f.read()
            with open(self.file(domain), "wb") as f:
                f.write(how(text))
        change(domains[0], lambda t: t[:-1])
        change(domains[1], lambda t: t.replace(b"kept.example", b"evil.example"))
        change(domains[2], lambda t: t.replace(b"sts 1", b"sts 2"))
        change(domains[3], lambda t: b"")
        change(domains[4], lambda t: t + b"\n")
        change(domains[5], lambda t: t.replace(b"id 1\n", b"id 2\n"))
        os.replace(self.file(domains[6]), self.file(domains[7]))
        with open(self.file(domains[6]), "wb") as f:
            f.write(b"x" * 100000)
        os.mkfifo(self.file("d0." + ZONE))
        os.symlink(self.anchor, self.file("d00." + ZONE))
        asker = self.asker()
        for domain in domains:
            self.assertRegex(asker.one(domain), "^ok .* cached=0 .* mx=mx.example$")
        self.assertTrue([l for l in asker.log if "sts_damaged files=10" in l], asker.log)
        self.assertEqual(sorted(os.listdir(os.path.join(self.state, "sts"))), sorted(domains))


if __name__ == "__main__":
    tap.main()
