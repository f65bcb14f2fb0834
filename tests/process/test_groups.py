#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which key exchange groups do both legs get, are those that a listener or a route demands used and no
others, and is told what was used or missed?"""
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, tls_context, wait_for  # noqa: E402
from gateway import Gateway, free_port, route, strip_received  # noqa: E402
from setup import Case  # noqa: E402
from sink import Sink  # noqa: E402

HYBRID = "X25519MLKEM768"
BODY = b"Subject: groups\r\n\r\nbody\r\n"
EX_CONFIG = 78
# Python's own OpenSSL is the library that postern was built with.
HAS_HYBRID = ssl.OPENSSL_VERSION_INFO >= (3, 5)
LACKS = f"{ssl.OPENSSL_VERSION} has no {HYBRID}: that came with OpenSSL 3.5"

# Name: what the listener or route has for groups.
ASKED = {"any": None, "p384": ["P-384"], "classic": ["X25519", "P-384"],
         **({"hybrid": [HYBRID]} if HAS_HYBRID else {})}


def settings(groups):
    return {} if groups is None else {"groups": groups}


def with_group(context, name):
    """name as OpenSSL has it; None: all of the library's usual ones. Python below 3.12 knows no
    X25519 by name."""
    if name:
        context.set_ecdh_curve(name)
    return context


class Groups(Case):
    """A listener and, at each sink, a route for each row of ASKED. Sinks are named by the one group
    that they know: sink "all" knows what the library offers by itself."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sinks, routes = {}, []
        for knows, curve in (("all", None), ("p256", "prime256v1"), ("p384", "secp384r1")):
            context = with_group(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), curve)
            context.load_cert_chain(*cls.sink_cert)
            cls.sinks[knows] = Sink(port=free_port(), context=context)
            routes += [route(f"{asks}.{knows}.example", cls.sinks[knows].port, tls=settings(groups))
                       for asks, groups in ASKED.items()]
        listeners = [{"name": asks, "address": "127.0.0.1:0", "tls": "implicit", **settings(groups)}
                     for asks, groups in ASKED.items()]
        cls.gw = Gateway(routes, listeners, None, cls.authority).start()

    @classmethod
    def tearDownClass(cls):
        cls.gw.stop()
        for sink in cls.sinks.values():
            sink.close()

    def send(self, listener, asks, knows, curve=None):
        """(the final reply, the message's log line, what arrived or None)."""
        sink, before = self.sinks[knows], len(self.gw.events("message"))
        sink.clear()
        with Client(self.gw.address(listener)) as c:
            c.tls(with_group(tls_context(), curve))
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.expect(250, "MAIL FROM:<a@client.example>")
            code, lines = c.command(f"RCPT TO:<x@{asks}.{knows}.example>")
            if code == 250:
                code, lines = c.data(BODY)
            c.expect(221, "QUIT")
        rows = wait_for(lambda: self.gw.events("message")[before:], 10, "the message's log line")
        self.assertEqual(len(rows), 1)
        return lines[-1], rows[0], sink.messages[0] if sink.messages else None

    def relayed(self, *how, into, out, curve=None):
        """The message arrives, and is told to have come by one group and gone by another."""
        line, row, message = self.send(*how, curve=curve)
        self.assertRegex(line, r"^250 2\.")
        received, body = strip_received(message.body)
        self.assertEqual(body, BODY)
        self.assertRegex(" ".join(received.decode().split()), rf" tls TLS_\w+ group {into};")
        self.assertRegex(row["tls_in"], rf"^TLS1\.3:TLS_\w+:{into}:")
        self.assertRegex(row["tls_out"], rf"^TLS1\.3:TLS_\w+:{out}:")

    def deferred(self, asks, knows):
        """No group in common with the next hop: tried again later, and no word of mail until then."""
        line, row, message = self.send("any", asks, knows)
        self.assertRegex(line, r"^451 4\.7\.5 ")
        self.assertIsNone(message)
        sink = self.sinks[knows]
        self.assertIn("STARTTLS", sink.lines())
        self.assertFalse([l for l in sink.lines() if l.startswith(("MAIL", "RCPT"))], sink.lines())
        self.assertEqual(row["result"], "deferred")
        self.assertRegex(row["why"], "group")

    def refused(self, listener, curve, ours):
        """The handshake fails, and its log line says what would be right."""
        before = len(self.gw.events("tls_failed"))
        with Client(self.gw.address(listener)) as c, self.assertRaises((ssl.SSLError, OSError)):
            c.tls(with_group(tls_context(), curve))
        row = wait_for(lambda: self.gw.events("tls_failed")[before:], 10, "the log line")[0]
        self.assertEqual(row["listener"], listener)
        self.assertEqual(row["why"], "no key exchange group in common; "
                         f"our profile is modern, our groups are {ours}")

    def test_the_hybrid_group_is_preferred_on_both_legs(self):
        if not HAS_HYBRID:
            self.skipTest(LACKS)
        self.relayed("any", "any", "all", into=HYBRID, out=HYBRID)

    def test_the_hybrid_group_is_no_condition(self):
        self.relayed("any", "any", "p256", curve="prime256v1", into="P-256", out="P-256")
        self.relayed("any", "any", "p384", curve="secp384r1", into="P-384", out="P-384")

    def test_the_hybrid_group_is_required(self):
        if not HAS_HYBRID:
            self.skipTest(LACKS)
        self.relayed("hybrid", "hybrid", "all", into=HYBRID, out=HYBRID)
        self.refused("hybrid", "prime256v1", HYBRID)
        self.deferred("hybrid", "p256")

    def test_the_hybrid_group_is_forbidden(self):
        """The peers would rather have it where their library knows it."""
        self.relayed("classic", "classic", "all", into="X25519", out="X25519")

    def test_a_listener_s_group_is_required(self):
        self.relayed("p384", "any", "p256", into="P-384", out="P-256")
        self.refused("p384", "prime256v1", "P-384")

    def test_a_route_s_group_is_required(self):
        self.relayed("any", "p384", "p384", curve="prime256v1", into="P-256", out="P-384")
        self.deferred("p384", "p256")

    def test_routes_to_one_next_hop_share_no_connection_of_another_group(self):
        for asks, out in (("p384", "P-384"), ("classic", "X25519"), ("p384", "P-384")):
            self.relayed("any", asks, "all", curve="prime256v1", into="P-256", out=out)

    def test_a_group_that_the_library_lacks_is_never_left_out(self):
        for group in ("P-257", *(() if HAS_HYBRID else (HYBRID,))):
            made = Gateway([route("hop.example", 9, tls={"groups": ["P-384", group]})],
                           authority=self.authority)
            code, said = made.check()
            self.assertEqual(code, EX_CONFIG, said)
            self.assertIn(f'routes[0].tls.groups: found "{group}"', said)


if __name__ == "__main__":
    tap.main()
