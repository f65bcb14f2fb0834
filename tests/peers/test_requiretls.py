#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does a message that requires TLS (RFC 8689) go only where a real handshake, and a zone that is signed, prove
the receiver, and where REQUIRETLS is taken; and do postern and the Postfix that has it agree?

Each cell has a listener, a route and a next hop of its own. The next hop is seen once, by a message that
requires nothing; then it, or whoever sits before it, is changed.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority, spki  # noqa: E402
from client import Client, wait_for  # noqa: E402
from gateway import Gateway  # noqa: E402
from mta import PostfixNew  # noqa: E402
from policy_world import Garbage, tlsa  # noqa: E402
from setup import Case  # noqa: E402
from sink import CAPS, CUT, Sink  # noqa: E402
from zones import HEAD, Zones  # noqa: E402

MESSAGE = b"Subject: required\r\n\r\nbody\r\n"
NAME_SERVER, DNS_PORT, SMTP_PORT = "127.0.0.53", 5300, 2525
TAKES = [*CAPS, "REQUIRETLS"]
NO_SUPPORT, NO_PROOF, NOT_NOW, DOWN = r"^550 5\.7\.30 ", r"^550 5\.7\.10 ", r"^451 4\.7\.5 ", r"^451 4\.4\.1 "
LEVELS = ("verify", "pin", "dane")
# What became of the next hop, and what the sender of a message that requires TLS hears.
CHANGES = {"same": "^250 ", "lacks": NO_SUPPORT, "before": NO_SUPPORT, "strip": NO_PROOF, "refuse": NO_PROOF,
           "garbage": NO_PROOF, "swap": NO_PROOF, "later": NOT_NOW, "cut": NOT_NOW, "down": DOWN}
# Listeners that never offer it: what is wrong with their routes.
NEVER = ("may", "encrypt", "mx", "without", "second", "unsigned")
POSTFIX = ("postfix-verify", "postfix-pin", "postfix-dane")


def place(number):
    return f"127.0.5.{number}"


class RequireTls(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cells = [f"{level}-{change}" for level in LEVELS for change in CHANGES]
        names = [f"{name}.safe.example" for name in (*cls.cells, *NEVER)]
        cls.good = cls.authority.issue("mx.test", names)
        cls.swapped = Authority(os.path.join(cls.folder, "other")).issue("mx.test", names)
        cls.postfix = PostfixNew(cls.authority).__enter__()
        cls.addClassCleanup(cls.postfix.__exit__)
        cls.zones_serve()
        cls.addClassCleanup(cls.zones.close)
        cls.sinks = {name: Sink(SMTP_PORT, place(number), cert=cls.good, caps=TAKES)
                     for number, name in enumerate((*cls.cells, *NEVER), 1)}
        for sink in cls.sinks.values():
            cls.addClassCleanup(sink.close)
        cls.sinks["without"].caps = CAPS
        cls.shared = cls.gateway_make()
        cls.addClassCleanup(cls.shared.stop)

    @classmethod
    def zones_serve(cls):
        cls.zones = Zones()
        safe = HEAD.format("safe.example", NAME_SERVER) + "to-mx MX 10 mx\n"
        safe += (f"postfix-dane A 127.0.0.1\n"
                 f"_{cls.postfix.port}._tcp.postfix-dane TLSA {tlsa(3, 1, 1, cls.postfix.cert)}\n")
        record = f"TLSA {tlsa(3, 1, 1, cls.good[0])}"
        for number, name in enumerate((*cls.cells, *NEVER), 1):
            safe += f"{name} A {place(number)}\n"
            if name != "unsigned":
                safe += f"_{SMTP_PORT}._tcp.{name} {record}\n"
        cls.zones.serve(NAME_SERVER, DNS_PORT, {"safe.example": cls.zones.sign("safe.example", safe)})
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w", encoding="ascii") as f:
            f.write(cls.zones.ds("safe.example"))

    @classmethod
    def route(cls, name, level, hops=None, cert=None, **tls):
        more = {"verify": {"ca": cls.authority.cert}, "pin": {"spki": [spki((cert or cls.good)[0])]}}
        hops = hops or [f"{name}.safe.example:{SMTP_PORT}"]
        return {"domain": f"{name}.example", "listeners": [name],
                "next_hop": hops if len(hops) > 1 else hops[0],
                "tls": {"level": level, **more.get(level, {}), **tls}}

    @classmethod
    def gateway_make(cls):
        routes = [cls.route(name, name.split("-")[0]) for name in cls.cells]
        routes += [cls.route("may", "may"), cls.route("encrypt", "encrypt"), cls.route("without", "verify"),
                   cls.route("second", "verify", [f"{n}.safe.example:{SMTP_PORT}" for n in ("second", "without")]),
                   cls.route("unsigned", "dane"),
                   {"domain": "*", "listeners": ["mx"], "next_hop": "mx", "mx_port": SMTP_PORT,
                    "tls": {"level": "dane"}}]
        own = {"cert": (cls.postfix.cert,), "hops": [f"127.0.0.1:{cls.postfix.port}"]}
        routes += [cls.route("postfix-verify", "verify", names=["postfix-new.example"], **own),
                   cls.route("postfix-pin", "pin", **own),
                   cls.route("postfix-dane", "dane", [f"postfix-dane.safe.example:{cls.postfix.port}"])]
        for route in routes[-3:]:
            route["domain"] = "postfix.example"
        listeners = [{"name": name, "address": "127.0.0.1:0", "tls": "starttls",
                      "relay_clients": ["127.0.0.0/8"]} for name in (*cls.cells, *NEVER, *POSTFIX)]
        settings = {"resolver": {"stub": [f"safe.example={NAME_SERVER}:{DNS_PORT}"],
                                 "trust_anchor": cls.anchor},
                    "limits": {"hop_connect_timeout_s": 3}}
        return Gateway(routes, listeners, settings, cls.authority).start()

    def client(self, name):
        client = Client(self.shared.address(name))
        self.addCleanup(client.close)
        return client, client.starttls()

    def offers(self, name):
        client, lines = self.client(name)
        client.close()
        return any("REQUIRETLS" in line for line in lines)

    def send(self, name, parameter="", message=MESSAGE, domain=None):
        """The last thing that a message's sender hears."""
        client, _ = self.client(name)
        code, lines = client.command(f"MAIL FROM:<a@client.example>{parameter}")
        if code == 250:
            code, lines = client.command(f"RCPT TO:<x@{domain or name + '.example'}>")
        if code == 250:
            code, lines = client.data(message)
        client.close()
        return lines[-1]

    def seen(self, name, domain=None):
        """A message was there, and the listener knows what the next hop takes."""
        self.assertRegex(self.send(name, domain=domain), "^250 ", name)
        wait_for(lambda: self.offers(name), 10, f"REQUIRETLS at {name}")

    def gone(self, sink):
        """None of the connections that are kept is left, and the gateway has noticed."""
        sink.kill()
        wait_for(lambda: not sink.open, 10, "the end of its connections")
        wait_for(lambda: not any(h["open"] for h in self.shared.ctl_json("routes")["hosts"]
                                 if h["host"].startswith(self.cell + ".")), 10, "that to be noticed")

    def change(self, sink, change):
        answers = {"refuse": "502 5.5.1 no", "later": "454 4.7.0 not now", "cut": CUT}
        if change in answers:
            sink.behave = {"STARTTLS": answers[change]}
        elif change == "lacks":
            sink.caps = CAPS
        elif change == "before":
            sink.behave = {"EHLO": lambda c: b"250-sink\r\n250 CHUNKING\r\n" if c.tls else
                           b"250-sink\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n"}
        elif change == "strip":
            sink.tls = None
        elif change == "garbage":
            sink.context = Garbage()
        elif change == "swap":
            sink.context = Sink(cert=self.swapped).context
        elif change == "down":
            sink.close()

    def cell_check(self, level, change):
        self.cell = f"{level}-{change}"
        sink = self.sinks[self.cell]
        self.seen(self.cell)
        if change != "same":
            self.change(sink, change)
            self.gone(sink)
        before = len(sink.lines())
        self.assertRegex(self.send(self.cell, " REQUIRETLS"), CHANGES[change])
        if change == "same":
            self.assertEqual(sink.messages[-1].mail, b"MAIL FROM:<a@client.example> REQUIRETLS")
            self.assertIsNotNone(sink.messages[-1].tls)
        else:
            self.assertEqual([l for l in sink.lines()[before:] if l.startswith(("MAIL", "RCPT"))], [])

    # --- what the next hop is, or has become

    def cells_check(self, level):
        for change in CHANGES:  # what a listener offers follows within a second: of all at once
            self.assertRegex(self.send(f"{level}-{change}"), "^250 ")
        for change in CHANGES:
            with self.subTest(change=change):
                self.cell_check(level, change)

    def test_level_verify(self):
        self.cells_check("verify")

    def test_level_pin(self):
        self.cells_check("pin")

    def test_level_dane(self):
        self.cells_check("dane")

    def test_listeners_that_do_not_offer_it(self):
        """Their levels prove nothing, or not every host was seen to take it: nothing is promised."""
        for name in NEVER:
            with self.subTest(listener=name):
                domain = "encrypt.safe.example" if name == "mx" else None
                self.assertRegex(self.send(name, domain=domain),
                                 "^451 4.7.5 " if name == "unsigned" else "^250 ")
        for name in NEVER:
            with self.subTest(listener=name):
                self.assertFalse(self.offers(name))
                self.assertRegex(self.send(name, " REQUIRETLS"), r"^555 5\.5\.4 ")

    def test_tls_required_no(self):
        """RFC 8689 section 5: it passes on as it is; here it lowers nothing."""
        header = b"TLS-Required: No\r\n" + MESSAGE
        for level in LEVELS:
            self.cell = f"{level}-same"
            with self.subTest(level=level):
                self.seen(self.cell)
                for parameter in ("", " REQUIRETLS"):
                    self.assertRegex(self.send(self.cell, parameter, header), "^250 ")
                    message = self.sinks[self.cell].messages[-1]
                    self.assertTrue(message.body.endswith(b"\r\n" + header))
                    self.assertEqual(message.mail.endswith(b" REQUIRETLS"), bool(parameter))
                    self.assertIsNotNone(message.tls)

    # --- with the Postfix that has it

    def test_postfix_takes_it(self):
        for name in POSTFIX:
            with self.subTest(listener=name):
                self.seen(name, "postfix.example")
                marker = f"Subject: required by {name}".encode()
                self.assertRegex(self.send(name, " REQUIRETLS", marker + b"\r\n\r\nbody\r\n",
                                           "postfix.example"), "^250 ")
                self.postfix.wait_message(marker)

    def sender(self, listener):
        sender = PostfixNew(self.authority, self.shared.address(listener)).__enter__()
        self.addCleanup(sender.__exit__)
        return sender

    def test_postfix_sends_to_postfix(self):
        """It demands that we offer it and show who we are, and the other one hears the demand from us."""
        self.seen("postfix-verify", "postfix.example")
        sender = self.sender("postfix-verify")
        for number, header in enumerate((b"", b"TLS-Required: No\r\n")):
            marker = b"Subject: from one to the other %d" % number
            sender.submit_required("a@client.example", "x@postfix.example",
                                   header + marker + b"\r\n\r\nbody\r\n")
            stored = self.postfix.wait_message(marker)
            self.assertIn(header.strip(), stored)
            said = [e for e in self.shared.events("message") if e.get("requiretls") == "1" and
                    e["to"] == "x@postfix.example" and e["from"] == "a@client.example"]
            self.assertEqual(said[-1]["result"], "relayed")

    def test_postfix_sends_back_what_we_do_not_promise(self):
        sender = self.sender("without")
        sender.submit_required("a@client.example", "x@without.example", MESSAGE)
        wait_for(lambda: "status=bounced" in sender.logs(), 30, "it to go back")
        self.assertRegex(sender.logs(), r"to=<x@without\.example>.*dsn=5\.7\.30, status=bounced")
        self.assertEqual([l for l in self.sinks["without"].lines() if l.endswith("REQUIRETLS")], [])


if __name__ == "__main__":
    tap.main()
