#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do TLS reports reach the domains that ask for them, as RFC 8460 says, and nobody else?

What was counted yesterday lies in state_dir when the gateway starts. Records come from a name server, HTTPS and
mail go to servers of the test's own; the signature of mail is checked by python3-dkim.
"""
import base64
import datetime
import email
import email.policy
import gzip
import http.server
import json
import os
import re
import ssl
import sys
import threading

import dkim

# It brings another module dns than the tests have.
for name in [n for n in sys.modules if n.split(".")[0] == "dns"]:
    del sys.modules[name]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import openssl  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import Gateway, free_port, route  # noqa: E402
from schema import schema_check  # noqa: E402
from setup import Case  # noqa: E402
from zones import HEAD, Zones  # noqa: E402

NAME_SERVER, DNS_PORT, REPORTS, HTTPS_PORT = "127.0.0.53", 5300, "127.0.3.2", 4443
ZONE = "open.example"
SELECTOR, SENDER = "tls1", "client.example"

COUNTED = """domain {0}
policy tlsa mx.{0} 7 2
string 3 1 1 abcd
failure tlsa-invalid 2 192.0.2.1 192.0.2.2 mx.{0} none of them matches
policy no-policy-found {0} 5 0
"""
# Which domains there are, and what each publishes at _smtp._tls; {u} is the URL of our server.
RECORDS = {
    "https": ["v=TLSRPTv1; rua={u}/https"],
    "mail": ["v=TLSRPTv1;rua=mailto:tls-reports@mail.open.example"],
    "first": ["v=TLSRPTv1; rua={u}/first,mailto:tls-reports@first.open.example"],
    "second": ["v=TLSRPTv1; rua={u}/broken, mailto:tls-reports@second.open.example"],
    "again": ["v=TLSRPTv1; rua={u}/again"],
    "moved": ["v=TLSRPTv1; rua={u}/moved"],
    "other": ["v=TLSRPTv1; rua=https://other.open.example:4443/other"],
    "twice": ["v=TLSRPTv1; rua={u}/twice", "v=TLSRPTv1; rua={u}/twice-more"],
    "odd": ["v=TLSRPTv1; rua=ftp://ftp.open.example/odd"],
    "none": [],
}


def yesterday():
    return datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=1)


class Reports(http.server.ThreadingHTTPServer):
    """What was posted: self.posts is a list of (path, content type, body). A path answers as said in
    self.answers, 201 unless."""

    def __init__(self, cert):
        self.posts, self.answers = [], {}
        super().__init__((REPORTS, HTTPS_PORT), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cert)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, path):
        return [post for post in self.posts if post[0] == path]

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, self.headers["Content-Type"], body))
        answers = self.server.answers.get(self.path) or [201]
        code = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"https://reports.{ZONE}:{HTTPS_PORT}/moved-to")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Tlsrpt(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zones = Zones()
        cls.addClassCleanup(cls.zones.close)
        text = HEAD.format(ZONE, NAME_SERVER) + f"reports A {REPORTS}\nother A {REPORTS}\n"
        for name, records in RECORDS.items():
            for record in records:
                record = record.format(u=f"https://reports.{ZONE}:{HTTPS_PORT}")
                text += f'_smtp._tls.{name} TXT "{record[:20]}" "{record[20:]}"\n'
        cls.zones.serve(NAME_SERVER, DNS_PORT, {ZONE: text})
        cls.server = Reports(cls.authority.issue("reports", [f"reports.{ZONE}"]))
        cls.addClassCleanup(cls.server.shutdown)

    def setUp(self):
        self.server.posts.clear()
        self.server.answers.clear()
        self.server.answers.update({"/broken": [500], "/again": [500, 503, 202], "/moved": [302]})

    def key(self, kind):
        """(file, the record of the public half)"""
        key = os.path.join(self.folder, f"dkim-{kind}.pem")
        openssl("genpkey", "-algorithm", *{"ed25519": ["ed25519"], "rsa": [
            "rsa", "-pkeyopt", "rsa_keygen_bits:2048"]}[kind], "-out", key)
        public = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
        public = public[-32:] if kind == "ed25519" else public
        return key, b"v=DKIM1; k=" + kind.encode() + b"; s=tlsrpt; p=" + base64.b64encode(public)

    def start(self, names, kind="ed25519", folder=None, more=None, own=False, **how):
        """A gateway that counted sessions with these domains yesterday, and a sink for its mail. own: that goes
        by a listener of its own."""
        sink, port = self.sink(**how), free_port()
        key, self.public = self.key(kind)
        send = {"from": f"tlsrpt@{SENDER}", "submission": f"127.0.0.1:{sink.port}", "dkim_key": key,
                "dkim_selector": SELECTOR, "delay_s": 0, "retry_s": 1, **(more or {})}
        settings = {
            "tlsrpt": {"organization": "This Test", "contact": f"tls@{SENDER}",
                       "send": {k: v for k, v in send.items() if v is not None}},
            "resolver": {"stub": [f"{ZONE}={NAME_SERVER}:{DNS_PORT}"], "insecure": [ZONE],
                         "sts_ca": self.authority.cert, "timeout_s": 3, "reverse": False}}
        routes = [{"domain": "*", "next_hop": "mx", "tls": {"level": "auto"}}]
        listeners = [{"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"}]
        if own:  # as docs/tlsrpt.md has it
            settings["tlsrpt"]["send"]["submission"] = f"127.0.0.1:{port}"
            listeners += [{"name": "reports", "address": f"127.0.0.1:{port}", "tls": "none",
                           "relay_clients": ["127.0.0.1"]}]
            routes.insert(0, route("*", sink.port, "may", listeners=["reports"], report=False,
                                   tls={"ratchet": "off"}))
        gateway = Gateway(routes, listeners, settings, self.authority, folder)
        self.counts_write(gateway, names, 6 if folder else 5)
        gateway.start()
        self.addCleanup(gateway.stop)
        return gateway, sink

    def counts_write(self, gateway, names, place):
        """As a process of that place would have left them."""
        state = os.path.join(gateway.folder, "state", "tlsrpt")
        path = os.path.join(state, f"{yesterday()}.{place}")
        start = datetime.datetime.combine(yesterday(), datetime.time(), datetime.timezone.utc)
        os.makedirs(state, exist_ok=True)
        with open(path, "w") as f:
            f.write(f"postern tlsrpt 1\nday {int(start.timestamp())} dropped 0\n"
                    + "".join(COUNTED.format(f"{n}.{ZONE}") for n in names) + "end\n")
        os.chmod(path, 0o644)

    def ends(self, gateway):
        """{domain: how its report ended}"""
        path = os.path.join(gateway.folder, "state", "tlsrpt", f"{yesterday()}.ends")
        if not os.path.exists(path):
            return {}
        with open(path) as f:
            return {line.split()[0].split(".")[0]: line.split()[1] for line in f}

    def expect_report(self, packed, name):
        report = json.loads(gzip.decompress(packed))
        schema_check(report)
        self.assertEqual(report["report-id"], f"{yesterday()}.{name}.{ZONE}@gw.example.org")
        self.assertEqual(report["date-range"], {"start-datetime": f"{yesterday()}T00:00:00Z",
                                                "end-datetime": f"{yesterday()}T23:59:59Z"})
        one, other = report["policies"]
        self.assertEqual(one["policy"], {"policy-type": "tlsa", "policy-string": ["3 1 1 abcd"],
                                         "policy-domain": f"mx.{name}.{ZONE}"})
        self.assertEqual(one["summary"], {"total-successful-session-count": 7,
                                          "total-failure-session-count": 2})
        self.assertEqual(one["failure-details"], [{
            "result-type": "tlsa-invalid", "sending-mta-ip": "192.0.2.1",
            "receiving-ip": "192.0.2.2", "receiving-mx-hostname": f"mx.{name}.{ZONE}",
            "failed-session-count": 2, "failure-reason-code": "none of them matches"}])
        self.assertEqual(other["summary"]["total-successful-session-count"], 5)

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
                         f"{SENDER} Report-ID: <{yesterday()}.{name}.{ZONE}@gw.example.org>")
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
