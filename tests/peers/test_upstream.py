#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is the way to the next hop the one that the route says: pool, TLS session resumption, lists, MX,
source address, name, client certificate, AUTH, XCLIENT?"""
import os
import select
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, wait_for  # noqa: E402
from dns import FAIL, Dns  # noqa: E402
from gateway import free_port, route  # noqa: E402
from setup import Case  # noqa: E402
from sink import CAPS  # noqa: E402

MESSAGE = b"Subject: way\r\n\r\nbody\r\n"


class Upstream(Case):
    def send(self, gateway, recipient="x@hop.example", count=1, sender="a@client.example"):
        """Replies to the message, or to the recipient where it was refused."""
        with Client(gateway.address(), timeout=30) as client:
            client.starttls()
            replies = [client.message(recipient, MESSAGE, sender) for _ in range(count)]
            client.command("QUIT")
        return replies

    def sent(self, gateway, *args, **more):
        for line in self.send(gateway, *args, **more):
            self.assertTrue(line.startswith("250"), f"{line}\n{gateway.log()[-1500:]}")

    # --- the pool

    def test_connection_is_reused(self):
        gateway, sink = self.pair()
        self.sent(gateway, count=5)
        self.sent(gateway, count=5)
        self.assertEqual((len(sink.messages), sink.connections), (10, 1))

    def test_idle_connection_is_closed(self):
        gateway, sink = self.pair(settings={"limits": {"hop_idle_s": 1}})
        self.sent(gateway)
        wait_for(lambda: not sink.open, 5, "the end of the idle connection")
        self.assertIn("QUIT", sink.lines())

    def test_messages_of_a_connection(self):
        gateway, sink = self.pair(settings={"limits": {"hop_max_messages": 3}})
        self.sent(gateway, count=7)
        self.assertEqual((len(sink.messages), sink.connections), (7, 3))

    def test_limits_mailmax_of_the_next_hop(self):
        gateway, sink = self.pair(caps=[*CAPS, "LIMITS MAILMAX=2"])
        self.sent(gateway, count=6)
        per = {}
        for m in sink.messages:
            per[m.connection] = per.get(m.connection, 0) + 1
        self.assertLessEqual(max(per.values()), 2)

    def test_other_policy_other_connection(self):
        """Legs are keyed by the whole TLS policy: a verified one is not shared with `encrypt`."""
        sink = self.sink()
        verify = {"ca": self.authority.cert, "names": ["sink.example"]}
        gateway = self.gateway([route("hop.example", sink.port),
                                route("safe.example", sink.port, "verify", tls=verify)])
        self.sent(gateway, "x@hop.example")
        self.sent(gateway, "x@safe.example")
        self.assertEqual(sink.connections, 2)

    # --- resumption

    def resumed(self, version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sink_cert)
        context.minimum_version = context.maximum_version = version
        gateway, sink = self.pair(context=context, settings={"limits": {"hop_max_messages": 1}})
        for _ in range(4):
            self.sent(gateway)
            time.sleep(0.1)
        self.assertEqual([r for _, _, r in sink.handshakes][0], False)
        self.assertGreaterEqual([r for _, _, r in sink.handshakes].count(True), 2, sink.handshakes)

    def test_resumption_tls13(self):
        self.resumed(ssl.TLSVersion.TLSv1_3)

    def test_resumption_tls12(self):
        self.resumed(ssl.TLSVersion.TLSv1_2)

    # --- which host

    def test_list_with_failover(self):
        sink = self.sink()
        down = free_port()
        gateway = self.gateway([{"domain": "hop.example", "tls": {"level": "encrypt"},
                                 "next_hop": [f"127.0.0.1:{down}", f"127.0.0.1:{sink.port}"]}])
        self.sent(gateway, count=2)
        self.assertEqual(len(sink.messages), 2)

    def test_failover_from_a_busy_host(self):
        busy, sink = self.sink(behave={"GREETING": "421 4.3.2 busy"}), self.sink()
        gateway = self.gateway([{"domain": "hop.example", "tls": {"level": "encrypt"},
                                 "next_hop": [f"127.0.0.1:{busy.port}", f"127.0.0.1:{sink.port}"]}])
        self.sent(gateway, count=2)

    def test_no_failover_after_an_answer(self):
        """MX failover only before the first RCPT answer."""
        first, second = self.sink(), self.sink()
        gateway = self.gateway([{"domain": "hop.example", "tls": {"level": "encrypt"},
                                 "next_hop": [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"]}])
        line = self.send(gateway, sender="final-cut@client.example")[0]
        self.assertRegex(line, r"^451 4\.4\.2 ")
        self.assertEqual(second.connections, 0)

    def test_ipv6(self):
        sink = self.sink(host="::1")
        gateway = self.gateway([route("hop.example", sink.port, host="::1")], listeners=[
            {"name": "internet", "address": "[::1]:0", "tls": "starttls"}])
        self.sent(gateway)
        self.assertIn(b"[IPv6:::1]", sink.messages[0].body)

    def mx(self, records, **more):
        """A gateway that asks a server of ours for mx.corp.example."""
        port = free_port()
        dns = Dns(port, "corp.example", records)
        self.addCleanup(dns.close)
        routes = [{"domain": d, "next_hop": "mx", "mx_port": more["port"],
                   "tls": more.get("tls", {"level": "encrypt"})} for d in ("mx.corp.example", ".mx.corp.example")]
        settings = {"resolver": {"reverse": False, "stub": [f"corp.example=127.0.0.1:{port}"],
                                 "insecure": ["corp.example"], "timeout_s": 3},
                    "limits": more.get("limits", {})}
        return self.gateway(routes, settings=settings), dns

    def test_mx_in_order_of_preference(self):
        port = free_port()
        first = self.sink(host="127.0.0.11", port=port)
        second = self.sink(host="127.0.0.12", port=port)
        gateway, _ = self.mx({("mx.corp.example", "MX"): [(20, "b.corp.example"), (10, "a.corp.example")],
                              ("a.corp.example", "A"): ["127.0.0.11"], ("b.corp.example", "A"): ["127.0.0.12"]},
                             port=port)
        self.sent(gateway, "x@mx.corp.example", count=2)
        self.assertEqual((len(first.messages), second.connections), (2, 0))

    def test_mx_failover(self):
        port = free_port()
        second = self.sink(host="127.0.0.12", port=port)
        gateway, _ = self.mx({("mx.corp.example", "MX"): [(10, "a.corp.example"), (20, "b.corp.example")],
                              ("a.corp.example", "A"): ["127.0.0.11"], ("b.corp.example", "A"): ["127.0.0.12"]},
                             port=port)
        self.sent(gateway, "x@mx.corp.example")
        self.assertEqual(len(second.messages), 1)

    def test_address_that_does_not_answer(self):
        """RFC 8305: IPv6 leads nowhere, and the other family is tried beside it, long before the time for
        a connection is over; a transaction is."""
        port = free_port()
        sink = self.sink(host="127.0.0.11", port=port)
        hole = socket.create_server(("::1", port), backlog=1, family=socket.AF_INET6)
        self.addCleanup(hole.close)
        full = []
        for _ in range(4):  # a listener whose queue is full drops what comes
            s = socket.socket(socket.AF_INET6)
            s.setblocking(False)
            s.connect_ex(("::1", port))
            full.append(s)
            self.addCleanup(s.close)
        self.assertEqual(len(select.select([], full, [], 1)[1]), 2)
        gateway, _ = self.mx({("mx.corp.example", "MX"): [(10, "a.corp.example")],
                              ("a.corp.example", "AAAA"): ["::1"], ("a.corp.example", "A"): ["127.0.0.11"]},
                             port=port, limits={"hop_connect_timeout_s": 300, "hop_budget_s": 300})
        self.sent(gateway, "x@mx.corp.example")
        self.assertEqual(len(sink.messages), 1)
        host = gateway.ctl_json("routes")["hosts"][0]
        self.assertEqual((host["open"], host["dead_for_ms"]), (1, 0), host)

    def test_no_mx_is_the_address(self):
        """RFC 5321 section 5.1: the implicit MX."""
        port = free_port()
        sink = self.sink(host="127.0.0.11", port=port)
        gateway, _ = self.mx({("mx.corp.example", "A"): ["127.0.0.11"]}, port=port)
        self.sent(gateway, "x@mx.corp.example")
        self.assertEqual(len(sink.messages), 1)

    def test_null_mx(self):
        """RFC 7505: the domain takes no mail: 556 5.1.10."""
        gateway, _ = self.mx({("mx.corp.example", "MX"): [(0, ".")]}, port=25)
        self.assertRegex(self.send(gateway, "x@mx.corp.example")[0], r"^55\d 5\.1\.10 ")

    def test_no_such_domain(self):
        gateway, _ = self.mx({("other.corp.example", "A"): ["127.0.0.11"]}, port=25)
        self.assertRegex(self.send(gateway, "x@no.mx.corp.example")[0], r"^5\d\d 5\.1\.2 ")

    def test_dns_fails(self):
        """A look-up that fails defers, never bounces."""
        gateway, _ = self.mx({("mx.corp.example", "MX"): FAIL}, port=25)
        self.assertRegex(self.send(gateway, "x@mx.corp.example")[0], r"^451 4\.4\.[13] ")

    def test_mx_verify_never_by_a_name_from_dns(self):
        """`verify` with mx accepts the domain and its subdomains, never a name learnt from DNS."""
        port = free_port()
        self.sink(host="127.0.0.11", port=port, cert=self.authority.issue("a.corp.example"))
        inside = self.authority.issue("in.mx.corp.example")
        self.sink(host="127.0.0.12", port=port, cert=inside)
        tls = {"level": "verify", "ca": self.authority.cert}
        records = {("mx.corp.example", "MX"): [(10, "a.corp.example")], ("a.corp.example", "A"): ["127.0.0.11"],
                   ("sub.mx.corp.example", "MX"): [(10, "b.corp.example")], ("b.corp.example", "A"): ["127.0.0.12"]}
        gateway, _ = self.mx(records, port=port, tls=tls)
        self.assertRegex(self.send(gateway, "x@mx.corp.example")[0], r"^451 4\.7\.5 ")
        records[("mx.corp.example", "MX")] = [(10, "b.corp.example")]
        gateway, _ = self.mx(records, port=port, tls=tls)
        self.sent(gateway, "x@mx.corp.example")

    def test_mx_one_domain_a_transaction(self):
        """A transaction has one destination: the route and, with mx, the recipient domain."""
        port = free_port()
        self.sink(host="127.0.0.11", port=port)
        gateway, _ = self.mx({("mx.corp.example", "A"): ["127.0.0.11"], ("sub.mx.corp.example", "A"): ["127.0.0.11"]},
                             port=port)
        with Client(gateway.address()) as client:
            client.starttls()
            client.transaction("a@client.example", ["x@mx.corp.example", "y@mx.corp.example"])
            code, lines = client.command("RCPT TO:<z@sub.mx.corp.example>")
            self.assertEqual((code, lines[0][:9]), (452, "452 4.5.3"))

    # --- who we are to it

    def test_source_address(self):
        gateway, sink = self.pair(route_more={"source": "127.0.0.5"}, behave={
            "MAIL": lambda c: peers.append(c.sock.getpeername()[0]) or "250 2.1.0 ok"})
        peers = []
        self.sent(gateway)
        self.assertEqual(set(peers), {"127.0.0.5"})

    def test_helo(self):
        gateway, sink = self.pair(route_more={"helo": "other.example.org"})
        self.sent(gateway)
        self.assertEqual({l for l in sink.lines() if l.startswith("EHLO")}, {"EHLO other.example.org"})

    def test_client_certificate(self):
        cert, key = self.authority.issue("gw-client.example.org")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authority.cert)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*self.sink_cert)
        gateway, sink = self.pair(context=context, route_more={
            "tls": {"client": {"cert": cert, "key": key}}})
        self.sent(gateway)

    def test_auth(self):
        for mechanism in ("plain", "login"):
            with self.subTest(mechanism):
                gateway, sink = self.pair(
                    caps=[*CAPS, "AUTH PLAIN LOGIN"], route_more={
                        "auth": {"mechanism": mechanism, "user": "gw", "password": "geheim"}})
                self.sent(gateway)
                lines = [(l, tls) for _, l, tls in sink.transcript if l.startswith(b"AUTH")]
                self.assertEqual([t for _, t in lines], [True])
                want = b"AGd3AGdlaGVpbQ==" if mechanism == "plain" else b"Z2VoZWlt"
                self.assertTrue(any(want in l for _, l, _ in sink.transcript))

    def test_auth_refused_is_our_fault(self):
        gateway, _ = self.pair(caps=[*CAPS, "AUTH PLAIN"], behave={"AUTH": "535 5.7.8 no"}, route_more={
            "auth": {"mechanism": "plain", "user": "gw", "password": "geheim"}})
        self.assertRegex(self.send(gateway)[0], r"^451 4\.3\.5 ")

    def test_xclient(self):
        gateway, sink = self.pair(caps=[*CAPS, "XCLIENT NAME ADDR HELO PROTO"],
                                  route_more={"xclient": True})
        self.sent(gateway)
        said = [l for l in sink.lines() if l.startswith("XCLIENT")]
        self.assertTrue(said and "ADDR=127.0.0.1" in said[0] and "HELO=client.example" in said[0], said)

    def test_implicit_tls(self):
        gateway, sink = self.pair(tls="implicit", route_more={"tls": {"mode": "implicit"}})
        self.sent(gateway)
        self.assertNotIn("STARTTLS", sink.lines())

    # --- what is known afterwards

    def test_log_line(self):
        gateway, _ = self.pair()
        self.sent(gateway)
        events = wait_for(lambda: gateway.events("message"), 5, "the log line")
        self.assertEqual(len(events), 1)
        line = events[0]
        for key in ("client", "helo", "tls_in", "tls_out"):
            self.assertIn(key, line)
        self.assertIn("TLS1.3", line["tls_in"])
        self.assertIn("TLS1.3", line["tls_out"])

    def test_log_escapes(self):
        gateway, _ = self.pair()
        with Client(gateway.address()) as client:
            client.starttls()
            client.send(b"MAIL FROM:<\"a\\\"b = c\"@client.example>\r\nRCPT TO:<x@hop.example>\r\n")
            client.reply(), client.reply()
            client.send(b"RSET\r\nMAIL FROM:<a@\x1b[31m\xff.example>\r\nQUIT\r\n")
            for _ in range(3):
                client.reply()
        time.sleep(0.3)
        with open(gateway.log_path, "rb") as f:
            text = f.read()
        self.assertFalse([b for b in text if b != 10 and not 32 <= b < 127], text)


if __name__ == "__main__":
    tap.main()
