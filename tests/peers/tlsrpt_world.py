# SPDX-License-Identifier: Apache-2.0
"""Domains that ask for TLS reports, the server that takes them, and gateways that have something to
report."""
import base64
import datetime
import gzip
import http.server
import json
import os
import ssl
import threading

from certs import openssl
from gateway import Gateway, free_port, route
from schema import schema_check
from setup import Case
from zones import HEAD, Zones

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


class World(Case):
    shift_s = 0  # how far the gateway's clock is ahead of ours

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
        text += cls.more_records()
        cls.zones.serve(NAME_SERVER, DNS_PORT, {ZONE: text})
        cls.server = Reports(cls.authority.issue("reports", [f"reports.{ZONE}"]))
        cls.addClassCleanup(cls.server.shutdown)

    @classmethod
    def more_records(cls):
        return ""

    def yesterday(self):
        """As the gateway has it."""
        ahead = datetime.timedelta(seconds=self.shift_s, days=-1)
        return (datetime.datetime.now(datetime.timezone.utc) + ahead).date()

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
        path = os.path.join(state, f"{self.yesterday()}.{place}")
        start = datetime.datetime.combine(self.yesterday(), datetime.time(), datetime.timezone.utc)
        os.makedirs(state, exist_ok=True)
        with open(path, "w") as f:
            f.write(f"postern tlsrpt 1\nday {int(start.timestamp())} dropped 0\n"
                    + "".join(COUNTED.format(f"{n}.{ZONE}") for n in names) + "end\n")
        os.chmod(path, 0o644)

    def ends(self, gateway, day=None):
        """{domain: how its report of that day, or of yesterday, ended}"""
        path = os.path.join(gateway.folder, "state", "tlsrpt", f"{day or self.yesterday()}.ends")
        if not os.path.exists(path):
            return {}
        with open(path) as f:
            return {line.split()[0].split(".")[0]: line.split()[1] for line in f}

    def expect_report(self, packed, name):
        report = json.loads(gzip.decompress(packed))
        schema_check(report)
        self.assertEqual(report["report-id"], f"{self.yesterday()}.{name}.{ZONE}@gw.example.org")
        self.assertEqual(report["date-range"], {"start-datetime": f"{self.yesterday()}T00:00:00Z",
                                                "end-datetime": f"{self.yesterday()}T23:59:59Z"})
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
