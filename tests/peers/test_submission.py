#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do clients log in by AUTH as RFC 4954 has it, with users that posternctl made, and send what they
may: swaks, Python's smtplib, and SCRAM by RFC 5802 done here?"""
import base64
import hashlib
import hmac
import json
import os
import pty
import re
import select
import smtplib
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import fingerprint, spki  # noqa: E402
from client import Client, tls_context  # noqa: E402
from gateway import BUILD, Gateway, free_port, route  # noqa: E402
from setup import Case  # noqa: E402
from sink import Sink  # noqa: E402

PASSWORD = "pässword 1"


def user_add(folder, name, password, file="users", json=False):
    return subprocess.run([os.path.join(BUILD, "posternctl"), *(["--json"] if json else []), "user", "add", name,
                           *([os.path.join(folder, file)] if file else [])],
                          input=password.encode() + b"\n", capture_output=True, timeout=30)


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Scram:
    """RFC 5802 section 5, the client's side."""

    def __init__(self, user, password, header="n,,"):
        self.password, self.header = password, header
        self.bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"

    def first(self):
        return self.header + self.bare

    def final(self, challenge):
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        assert parts["r"].startswith("fyko+d2lbbFgONRv9qkxdawL") and len(parts["r"]) > 30
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(),
                                     base64.b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c={b64(self.header)},r={parts['r']}"
        message = ",".join((self.bare, challenge, bare)).encode()
        proof = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        self.signature = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message,
                                                "sha256"))
        return bare + ",p=" + b64(bytes(a ^ b for a, b in zip(key, proof)))


class Submission(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, password in (("anna", PASSWORD), ("bert@example.org", PASSWORD),
                               ("clara", "plain words")):
            done = user_add(cls.folder, name, password)
            assert done.returncode == 0, done
        users = os.path.join(cls.folder, "users")
        cls.hop = Sink(port=free_port(), cert=cls.sink_cert)
        cls.gw = Gateway(
            [route("hop.example", cls.hop.port), route("elsewhere.example", cls.hop.port, relay=True)],
            [{"name": "submission", "address": "127.0.0.1:0", "auth_users": users, "require_auth": True,
              "require_tls": True},
             {"name": "submissions", "address": "127.0.0.1:0", "tls": "implicit", "auth_users": users},
             {"name": "internet", "address": "127.0.0.1:0"}],
            {"senders": [{"domain": "example.org", "level": "verify", "users": ["bert@example.org"],
                          "listeners": ["submission", "submissions"]}]},
            cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        cls.hop.close()

    def setUp(self):
        self.hop.clear()

    def session(self):
        client = Client(self.gw.address("submission"))
        self.addCleanup(client.close)
        return client, client.starttls()

    def scram(self, client, scram):
        code, lines = client.command("AUTH SCRAM-SHA-256 " + b64(scram.first()))
        self.assertEqual(code, 334, lines)
        challenge = base64.b64decode(lines[-1][4:]).decode()
        return client.command(b64(scram.final(challenge)))

    def test_offered_in_tls_only(self):
        client = Client(self.gw.address("submission"))
        self.addCleanup(client.close)
        client.expect(220)
        self.assertNotIn("AUTH", str(client.expect(250, "EHLO client.example")))
        client.expect(530, "AUTH PLAIN " + b64("\0anna\0" + PASSWORD))
        client.expect(220, "STARTTLS")
        client.tls()
        self.assertIn("250-AUTH SCRAM-SHA-256 PLAIN LOGIN", client.expect(250, "EHLO client.example"))
        self.assertIn("530 5.7.0 Authentication required", client.expect(530, "MAIL FROM:<a@b.example>"))
        with Client(self.gw.address("internet")) as internet:
            self.assertNotIn("AUTH", str(internet.starttls()))
            internet.expect(502, "AUTH PLAIN " + b64("\0anna\0" + PASSWORD))

    def test_scram(self):
        client, _ = self.session()
        scram = Scram("anna", PASSWORD)
        code, lines = self.scram(client, scram)
        self.assertEqual((code, base64.b64decode(lines[-1][4:]).decode()), (334, scram.signature))
        client.expect(235, "")
        client.expect(503, "AUTH LOGIN")
        client.transaction("anna@else.example", ["x@elsewhere.example"])
        self.assertEqual(client.data(b"Subject: x\r\n\r\nhello\r\n")[0], 250)
        received = self.hop.messages[-1].body
        self.assertRegex(received, rb"(?s)^Received: .*with\s+ESMTPSA\s")

    def test_scram_refuses(self):
        for scram in (Scram("anna", "wrong"), Scram("nobody", PASSWORD),
                      Scram("anna", PASSWORD, "n,a=bert@example.org,")):
            client, _ = self.session()
            code, lines = self.scram(client, scram)
            self.assertEqual((code, lines[-1][:9]), (535, "535 5.7.8"), scram.bare)
            client.expect(530, "MAIL FROM:<a@b.example>")

    def test_attempts(self):
        client, _ = self.session()
        for _ in range(2):
            client.expect(535, "AUTH PLAIN " + b64("\0anna\0wrong"))
        client.expect(535, "AUTH PLAIN " + b64("\0nobody\0wrong"))
        client.expect(421)
        self.assertTrue(client.closed())
        lines = [(e["result"], e["claimed"]) for e in self.gw.events("auth")]
        self.assertIn(("refused", "nobody"), lines)

    def test_attempts_of_an_address(self):
        """Bounded over sessions and workers; another address is not hurt."""
        users = os.path.join(self.folder, "users")
        gateway = self.gateway([route("hop.example", self.hop.port)],
                               [{"name": "submissions", "address": "127.0.0.1:0", "tls": "implicit",
                                 "auth_users": users}],
                               {"limits": {"max_auth_failures_per_hour": 4}, "gateway": {"workers": 2}})

        def login(password, source):
            with Client(gateway.address("submissions"), source=(source, 0)) as client:
                client.tls()
                client.expect(220)
                client.expect(250, "EHLO client.example")
                return client.command("AUTH PLAIN " + b64("\0anna\0" + password))[0]

        self.assertEqual([login("wrong", "127.0.0.2") for _ in range(4)], [535] * 4)
        self.assertEqual([login(p, "127.0.0.2") for p in ("wrong", PASSWORD)], [454, 454])
        self.assertEqual(login(PASSWORD, "127.0.0.3"), 235)

    def test_long_responses(self):
        """RFC 4954 section 4.3: 12288 bytes with CRLF, in however many records; not one group more."""
        client, _ = self.session()
        for pieces, code in (((12284,), 535), ((6000, 6284), 535), ((12288,), 500), ((16000, 9000), 500)):
            client.expect(334, "AUTH PLAIN")
            for piece in pieces:
                client.send("A" * piece)
            self.assertEqual(client.command("")[0], code, pieces)
            client = client if pieces != (6000, 6284) else self.session()[0]
        client.expect(500, "NOOP " + "A" * 4000)
        client.expect(235, "AUTH PLAIN " + b64("\0anna\0" + PASSWORD))

    def test_smtplib(self):
        for listener, method in (("submission", "auth_plain"), ("submissions", "auth_login")):
            host, port = self.gw.address(listener)
            if listener == "submission":
                smtp = smtplib.SMTP(host, port)
                smtp.starttls(context=tls_context())
            else:
                smtp = smtplib.SMTP_SSL(host, port, context=tls_context())
            with smtp:
                smtp.ehlo()
                smtp.user, smtp.password = "clara", "wrong"
                with self.assertRaises(smtplib.SMTPAuthenticationError):
                    smtp.auth(method.split("_")[1].upper(), getattr(smtp, method))
                smtp.password = "plain words"
                smtp.auth(method.split("_")[1].upper(), getattr(smtp, method),
                          initial_response_ok=method == "auth_login")
                smtp.sendmail("c@else.example", ["x@elsewhere.example"], "Subject: x\r\n\r\nhello\r\n")

    def swaks(self, *options):
        host, port = self.gw.address("submission")
        return subprocess.run(["swaks", "--server", host, "--port", str(port), "-tls", "--from",
                               "b@example.org", "--to", "x@elsewhere.example", "--helo", "c.example",
                               *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)

    def test_swaks(self):
        for mechanism in ("PLAIN", "LOGIN"):
            good = self.swaks("--auth", mechanism, "--auth-user", "bert@example.org", "--auth-password",
                              PASSWORD)
            self.assertEqual(good.returncode, 0, good.stdout)
            bad = self.swaks("--auth", mechanism, "--auth-user", "bert@example.org", "--auth-password", "x")
            self.assertEqual(bad.returncode, 28, bad.stdout)
            self.assertIn(b"535 5.7.8", bad.stdout)
        message = [e for e in self.gw.events("message") if e.get("user") == "bert@example.org"][-1]
        self.assertEqual((message["result"], message["sender_rule"]), ("relayed", "example.org"))

    def test_users_are_bound_to_their_senders(self):
        for user, sender, code in (("anna", "a@example.org", 550), ("anna", "a@else.example", 250),
                                   ("bert@example.org", "b@example.org", 250),
                                   ("bert@example.org", "b@else.example", 550)):
            client, _ = self.session()
            client.expect(235, "AUTH PLAIN " + b64(f"\0{user}\0{PASSWORD}"))
            client.expect(code, f"MAIL FROM:<{sender}> AUTH=<>")

    def test_user_add(self):
        """Nothing of the password is kept, another line stays, and what is no name is no user."""
        path = os.path.join(self.folder, "added")
        self.assertEqual(user_add(self.folder, "anna", "one", "added").returncode, 0)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        os.chmod(path, 0o600)
        self.assertEqual(user_add(self.folder, "bert", "two", "added").returncode, 0)
        with open(path) as f:
            before = f.read().splitlines()
        self.assertEqual(user_add(self.folder, "anna", "three", "added").returncode, 0)
        with open(path) as f:
            after = f.read().splitlines()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual([line.split(":")[0] for line in after], ["bert", "anna"])
        self.assertEqual((after[0], after[1] == before[0]), (before[1], False))
        self.assertRegex(after[1], r"^anna:SCRAM-SHA-256\$4096:[\w+/]{22}==\$[\w+/]{43}=:[\w+/]{43}=$")
        self.assertNotIn("three", after[1])
        printed = user_add(self.folder, "anna", "one", None)
        self.assertRegex(printed.stdout.decode(), r"^anna:SCRAM-SHA-256\$")
        for name, password, status in (("an na", "x", 64), ("a:b", "x", 64), ("", "x", 64),
                                       ("anna", "", 65), ("anna", "x" * 300, 65), ("anna", "\x07", 65)):
            self.assertEqual(user_add(self.folder, name, password, "added").returncode, status, name)
        with open(os.path.join(self.folder, "broken"), "w") as f:
            f.write("anna:secret\n")
        broken = user_add(self.folder, "bert", "x", "broken", json=True)
        self.assertEqual(broken.returncode, 65)
        self.assertIn(b"line 1", broken.stdout)

    def test_password_at_a_terminal(self):
        """It does not show."""
        outer, inner = pty.openpty()
        done = subprocess.Popen([os.path.join(BUILD, "posternctl"), "user", "add", "anna"], stdin=inner,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(os.close, outer)
        self.addCleanup(os.close, inner)
        for _ in range(2):
            while not re.search(rb"(Password|more): $", done.stderr.peek() or b" "):
                done.stderr.read1()
            done.stderr.read1()
            os.write(outer, b"hidden\n")
        out, _ = done.communicate(timeout=20)
        self.assertRegex(out, rb"^anna:SCRAM-SHA-256\$")
        self.assertEqual(select.select([outer], [], [], 0)[0], [], "something was shown")

    def test_configuration(self):
        """A file that anybody may read, or that is none, never starts a gateway."""
        path = os.path.join(self.folder, "bad")
        good = user_add(self.folder, "anna", "one", None).stdout.decode()
        for text, mode, why in (("anna:secret\n", 0o640, "line 1"), (None, 0o640, "can't be read"),
                                ("", 0o640, "no user"), (good, 0o644, "chmod o=")):
            if text is None:
                os.unlink(path)
            else:
                with open(path, "w") as f:
                    f.write(text)
                os.chmod(path, mode)
            gateway = Gateway([route("hop.example", self.hop.port)],
                              [{"name": "submission", "address": "127.0.0.1:0", "auth_users": path}],
                              authority=self.authority)
            status, said = gateway.check()
            self.assertEqual(status, 78, said)
            self.assertIn(why, said)
            self.assertIn("listeners[0].auth_users", said)


class Partners(Case):
    """What partner add prints, against what the openssl command says of the same files."""

    def add(self, *words):
        return subprocess.run([os.path.join(BUILD, "posternctl"), *words], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=30)

    def test_pins(self):
        now, _ = self.authority.issue("mx.partner.example", days=200)
        after, _ = self.authority.issue("mx2.partner.example", days=400)
        done = self.add("partner", "add", "partner.example", "--cert", now, "--next", after)
        self.assertEqual((done.returncode, done.stderr), (0, b""), done)
        text = done.stdout.decode()
        for name in (now, after):
            for pin in (fingerprint(name), spki(name)):
                self.assertEqual(text.count(pin), 2, text)
        told = json.loads(self.add("--json", "partner", "add", "partner.example", "--cert", now,
                                   "--next", after).stdout)
        for told_of, days in zip(told["certificates"], (200, 400), strict=True):
            self.assertIn(told_of["days_left"], (days - 1, days))  # a second may have passed
        self.assertIn("relay = true;", told["route"])  # else anybody could send there
        # The configuration takes both as they are.
        gateway = Gateway([], [{"name": "internet", "address": "127.0.0.1:0", "client_cert": "ask"}],
                          authority=self.authority)
        path = gateway.config_write()
        with open(path) as f:
            conf = f.read()
        with open(path, "w") as f:
            f.write(re.sub(r"(?m)^routes.*(\n[)];)?", "", conf) +
                    f"routes = ( {told['route']} );\nsenders = ( {told['sender']} );\n")
        check = self.add("config", "check", path)
        self.assertEqual(check.returncode, 0, check)

    def test_warnings(self):
        soon, _ = self.authority.issue("soon.partner.example", days=9)
        done = self.add("partner", "add", "partner.example", "--cert", soon)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, rb"expires on \d{4}-\d\d-\d\d, in [89] days")
        self.assertIn(b"no --next", done.stderr)
        same = self.add("partner", "add", "partner.example", "--cert", soon, "--next", soon)
        self.assertIn(b"the same key", same.stderr)

    def write(self, path, *words):
        return self.add("--json", "partner", "add", "partner.example", f"--write={path}", *words)

    def test_pin_file(self):
        certs = [self.authority.issue(f"mx{i}.partner.example", days=200)[0] for i in range(3)]
        folder = tempfile.mkdtemp(dir=self.folder)
        path = os.path.join(folder, "partner.conf")

        def written(*words):
            done = self.write(path, *words)
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(os.listdir(folder), ["partner.conf"])  # nothing is left beside it
            with open(path, encoding="utf-8") as f:
                return json.loads(done.stdout), f.read()

        told, text = written("--cert", certs[0])
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)
        self.assertEqual([c["same"] for c in told["changes"]], [False, True])
        told, text = written("--next", certs[1])
        self.assertEqual([c["same"] for c in told["changes"]], [True, False])
        self.assertEqual(told["warnings"], [])
        for name in certs[:2]:
            for pin in (fingerprint(name), spki(name)):
                self.assertEqual(text.count(pin), 1, text)
        os.chmod(path, 0o640)
        told, text = written("--cert", certs[1], "--next", certs[2])
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertNotIn(spki(certs[0]), text)
        self.assertIn(spki(certs[0]), told["changes"][0]["before"])
        self.assertEqual(len(told["warnings"]), 1)
        self.assertIn(spki(certs[0]) + " (mx0.partner.example) is not among the pins any more",
                      told["warnings"][0])
        self.assertEqual(told["pin_file"], path)
        self.assertIn(f'pin_file = "{path}"', told["route"])
        # The configuration takes what is printed, and the file.
        gateway = Gateway([], [{"name": "internet", "address": "127.0.0.1:0", "client_cert": "ask"}],
                          authority=self.authority)
        conf = gateway.config_write()
        with open(conf) as f:
            groups = re.sub(r"(?m)^routes.*(\n[)];)?", "", f.read())
        with open(conf, "w") as f:
            f.write(f"{groups}routes = ( {told['route']} );\nsenders = ( {told['sender']} );\n")
        check = self.add("config", "check", conf)
        self.assertEqual(check.returncode, 0, check)

    def test_pin_file_of_others(self):
        """What is no pin file of that partner stays as it is."""
        cert = self.authority.cert
        folder = tempfile.mkdtemp(dir=self.folder)
        mine, theirs, junk, link, fifo = (os.path.join(folder, n) for n in
                                          ("mine", "theirs", "junk", "link", "fifo"))
        self.assertEqual(self.write(mine, "--cert", cert).returncode, 0)
        with open(theirs, "w") as f, open(mine) as own:
            f.write(own.read().replace("partner.example", "other.example"))
        with open(junk, "w") as f:
            f.write("[mysqld]\nuser = mysql\n")
        os.symlink(mine, link)
        os.mkfifo(fifo)
        for path, says in ((theirs, "is the pin file of other.example"), (junk, "junk:1: syntax error"),
                           (link, "is a symbolic link"), (fifo, "is no file"), (folder, "is no file"),
                           (os.path.join(folder, "none", "x"), "No such file or directory")):
            before = os.path.isfile(path) and open(path).read()
            done = self.write(path, "--cert", cert)
            self.assertEqual(done.returncode, 73, done)
            self.assertIn(says, json.loads(done.stdout)["error"])
            self.assertEqual(os.path.isfile(path) and open(path).read(), before)
        self.assertEqual(sorted(os.listdir(folder)), ["fifo", "junk", "link", "mine", "theirs"])
        new = self.write(os.path.join(folder, "new"), "--next", cert)
        self.assertEqual(new.returncode, 64)
        self.assertIn("no current pin yet", json.loads(new.stdout)["error"])
        self.assertEqual(self.add("partner", "add", "partner.example", "--next", cert).returncode, 64)

    def test_refused(self):
        junk = os.path.join(self.folder, "junk")
        with open(junk, "w") as f:
            f.write("nothing\n")
        for words, status in ((["partner.example"], 64), (["--cert", junk], 64),
                              (["partner.example", "--cert", junk], 65),
                              (["partner.example", "--cert", junk + "s"], 65),
                              (["a\"b", "--cert", self.authority.cert], 65),
                              (["", "--cert", self.authority.cert], 65)):
            done = self.add("partner", "add", *words)
            self.assertEqual((done.returncode, done.stdout), (status, b""), words)


if __name__ == "__main__":
    tap.main()
