#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does mail go where signed zones say, and nowhere at all where they lie or can't be had?

The zones are signed here and served by nsd, over real delegations; the parent's key is the anchor.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from gateway import BUILD, Gateway, free_port  # noqa: E402
from setup import Case  # noqa: E402
from sink import Sink  # noqa: E402
from zones import HEAD, Zones, without  # noqa: E402

MESSAGE = b"Subject: signed\r\n\r\nbody\r\n"
PARENT, CHILDREN, ELSEWHERE, FORWARDER = "127.0.0.53", "127.0.0.54", "127.0.0.55", "127.0.0.56"
PORT = 5300  # of the servers that the configuration names; delegations always lead to port 53
H1, H2, H3, H6 = "127.0.1.1", "127.0.1.2", "127.0.1.3", "::1"
REVERSE = "127.in-addr.arpa"
REVERSE6 = "1" + ".0" * 31 + ".ip6.arpa"
CHILD_NAMES = ("signed", "unsigned", "broken", "expired", "stripped")

DANE = "3 1 1 " + "11" * 32

TREE = HEAD.format("tree.example", PARENT) + f"""
h1 A {H1}
h2 A {H2}
h3 A {H3}
six AAAA {H6}
dual A {H1}
dual AAAA {H6}
halfdown A {H1}
halfdown AAAA 2001:db8::25
xn--bcher-kva MX 10 h1
alias CNAME h1
order MX 20 h2
order MX 10 h1
backup MX 10 nobody
backup MX 20 h2
nobody A 127.0.1.99
equal MX 10 h1
equal MX 10 h2
equal MX 20 h3
null MX 0 .
notnull MX 0 .
notnull MX 10 h1
weare MX 10 h1
weare MX 20 gw.example.org.
weare MX 20 h2
wefirst MX 10 gw.example.org.
wefirst MX 20 h2
implicit A {H1}
toalias MX 10 alias
inner CNAME order
away CNAME order.other.example.
tobroken CNAME host.broken
tounsigned CNAME host.unsigned
loop1 CNAME loop2
loop2 CNAME loop1
dangling CNAME nothing
nodata TXT "no mail here"
v6 MX 10 six
both MX 10 dual
half MX 10 halfdown
badhost MX 10 host.broken
badfirst MX 10 host.broken
badfirst MX 20 h2
nohost MX 10 nothing
unreadable MX 10 bad\\032name
client A 127.0.2.1
client AAAA ::1
also A 127.0.2.4
many MX 1 h1
t1 A {H1}
_25._tcp.t1 TLSA {DANE}
two A {H1}
_25._tcp.two TLSA {DANE}
_25._tcp.two TLSA 2 0 1 {"22" * 32}
two6 AAAA {H6}
_25._tcp.two6 TLSA {DANE}
odd A {H1}
_25._tcp.odd TLSA 0 0 0 010203
other587 A {H1}
_587._tcp.other587 TLSA {DANE}
twild A {H1}
*._tcp.twild TLSA {DANE}
tcname A {H1}
_25._tcp.tcname CNAME _dane
_dane TLSA {DANE}
tcnameun A {H1}
_25._tcp.tcnameun CNAME _25._tcp.tl.unsigned
tcnamebad A {H1}
_25._tcp.tcnamebad CNAME _25._tcp.tlchanged.broken
unsignedtlsa A {H1}
_tcp.unsignedtlsa NS ns.unsigned
downtlsa A {H1}
_tcp.downtlsa NS ns.unsigned
downdual AAAA {H6}
downdual A {H1}
_tcp.downdual NS ns.unsigned
tlsaonly TXT "no address"
_25._tcp.tlsaonly TLSA {DANE}
aexpanded CNAME t1
athrough CNAME aexpanded
aboth CNAME t1
_25._tcp.aboth TLSA 3 0 1 {"33" * 32}
aoriginal CNAME h2
_25._tcp.aoriginal TLSA 3 0 1 {"33" * 32}
anone CNAME h2
adown CNAME downtlsa
_25._tcp.adown TLSA {DANE}
ainsecure CNAME tl.unsigned
_25._tcp.ainsecure TLSA {DANE}
ainsecurenone CNAME tl.unsigned
aaway CNAME h1.other.example.
_25._tcp.aaway TLSA {DANE}
ainsecuredown CNAME tl.unsigned
_tcp.ainsecuredown NS ns.unsigned
abroken CNAME tl.unsigned
_25._tcp.abroken CNAME _25._tcp.tlchanged.broken
atl CNAME tl.signed
""" + "".join(f"many MX {9 + i} a-host-that-nobody-has-number-{i}\n" for i in range(60)) + "".join(
    f"{c} NS ns.{c}\nns.{c} A {CHILDREN}\n" for c in CHILD_NAMES)

CHILD = f"""
@ MX 10 mx
mx A {H1}
host A {H1}
other A {H2}
changed MX 10 mx
removed MX 10 mx
nomx MX 10 mx
nomx A {H1}
nodata TXT "no mail here"
*.wild MX 10 mx
tl A {H1}
_25._tcp.tl TLSA {DANE}
tlchanged A {H1}
_25._tcp.tlchanged TLSA {DANE}
tlremoved A {H1}
_25._tcp.tlremoved TLSA {DANE}
tlnone A {H1}
toparent CNAME t1.tree.example.
_25._tcp.toparent TLSA {DANE}
plain NS ns.plain
ns.plain A {CHILDREN}
"""

OTHER = HEAD.format("other.example", ELSEWHERE) + f"order MX 10 h1\nh1 A {H1}\n"

REVERSES = HEAD.format(REVERSE, PARENT) + """
1.2.0 PTR client.tree.example.
2.2.0 PTR client.tree.example.
3.2.0 PTR host.broken.tree.example.
4.2.0 PTR client.tree.example.
4.2.0 PTR also.tree.example.
5.2.0 PTR changed.tree.example.
"""


def tree_serve(zones):
    """All zones, signed or spoilt; returns the text of the trust anchors."""
    child = {c: HEAD.format(f"{c}.tree.example", CHILDREN) + CHILD for c in CHILD_NAMES}
    served = {f"{c}.tree.example": text for c, text in child.items()}
    for name, options in (("signed", ["-n"]), ("broken", []),
                          ("expired", ["-i", "20200101000000", "-e", "20200201000000"])):
        zone = f"{name}.tree.example"
        served[zone] = zones.sign(zone, child[name], *options)
    served["plain.signed.tree.example"] = HEAD.format("plain.signed.tree.example", CHILDREN) + CHILD
    # Who answers in the zone's stead: other data, and what is there denied.
    broken = served["broken.tree.example"]
    broken = broken.replace(f"host.broken.tree.example.\t60\tIN\tA\t{H1}",
                            f"host.broken.tree.example.\t60\tIN\tA\t{H2}")
    broken = broken.replace("MX\t10 mx.broken", "MX\t10 other.broken")
    broken = without(broken, "removed.broken.tree.example")
    broken = without(broken, "_25._tcp.tlremoved.broken.tree.example", kind="TLSA")
    broken = re.sub(r"(?m)^(_25\._tcp\.tlchanged\S*\s+60\s+IN\s+TLSA\s+3 1 1 )1111", r"\g<1>2222", broken)
    served["broken.tree.example"] = without(broken, "nomx.broken.tree.example", kind="MX")
    secured = ("signed", "broken", "expired", "stripped")
    tree = TREE + "".join(zones.ds(f"{c}.tree.example") for c in secured)
    parents = {"tree.example": zones.sign("tree.example", tree),
               REVERSE: zones.sign(REVERSE, REVERSES).replace("changed.tree", "client.tree"),
               REVERSE6: HEAD.format(REVERSE6, PARENT) + "@ PTR client.tree.example.\n",
               "servfail.example": None}
    served["_tcp.unsignedtlsa.tree.example"] = (
        HEAD.format("_tcp.unsignedtlsa.tree.example", CHILDREN) + f"_25 TLSA {DANE}\n")
    for host in ("downtlsa", "downdual", "ainsecuredown"):
        served[f"_tcp.{host}.tree.example"] = None
    zones.serve(CHILDREN, 53, served)
    zones.serve(PARENT, PORT, parents)
    zones.serve(ELSEWHERE, PORT, {"other.example": OTHER})
    zones.serve(FORWARDER, PORT, {**parents, **served, "other.example": OTHER})
    return zones.ds("tree.example") + zones.ds(REVERSE)


class Resolver(Case):
    """One gateway for all tests that leave its processes alone."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zones = Zones()
        cls.addClassCleanup(cls.zones.close)
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w") as f:
            f.write(tree_serve(cls.zones))
        cls.port, cls.live, cls.down, cls.silent = (free_port() for _ in range(4))
        cls.live_dns = Dns(cls.live, "live.example", {}, ttl=2)
        cls.silent_sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        cls.silent_sock.bind(("127.0.0.1", cls.silent))
        cls.sinks = {h: Sink(port=cls.port, host=h, cert=cls.sink_cert) for h in (H1, H2, H3, H6)}
        cls.stubs = [f"{zone}={PARENT}:{PORT}" for zone in ("tree.example", REVERSE, REVERSE6,
                                                            "servfail.example", "refused.example")]
        cls.stubs += [f"other.example={ELSEWHERE}:{PORT}", f"live.example=127.0.0.1:{cls.live}",
                      f"down.example=127.0.0.1:{cls.down}",
                      f"silent.example=127.0.0.1:{cls.silent}"]
        cls.shared = cls.make()
        cls.addClassCleanup(cls.shared.stop)

    @classmethod
    def make(cls, **resolver):
        rights = ["127.0.0.0/8", "::1/128"]
        listeners = [{"name": n, "address": a, "tls": "starttls", "relay_clients": rights}
                     for n, a in (("internet", "127.0.0.1:0"), ("six", "[::1]:0"))]
        routes = [{"domain": "*", "next_hop": "mx", "mx_port": cls.port, "tls": {"level": "encrypt"}}]
        settings = {"resolver": dict({"stub": cls.stubs, "trust_anchor": cls.anchor, "timeout_s": 3,
                                      "reverse": True}, **resolver),
                    "limits": {"hop_connect_timeout_s": 3}}
        return Gateway(routes, listeners, settings, cls.authority).start()

    def setUp(self):
        self.gateway_used = self.shared
        self.clear()

    def clear(self):
        for sink in self.sinks.values():
            sink.clear()

    def send(self, domain, gateway=None, client=None):
        """The reply to one message for the domain: to its recipient where that is refused."""
        if client is None:
            with Client((gateway or self.gateway_used).address(), timeout=30) as client:
                client.starttls()
                return self.send(domain, client=client)
        return client.message(f"x@{domain}", MESSAGE)

    def arrived(self):
        """Messages by host."""
        return {h: len(s.messages) for h, s in self.sinks.items() if s.messages}

    def goes(self, domain, *hosts):
        """A message goes to one of the hosts."""
        self.clear()
        self.assertRegex(self.send(domain), "^250 ", domain)
        got = self.arrived()
        self.assertTrue(sum(got.values()) == 1 and set(got) <= set(hosts), f"{domain}: {got}")

    def goes_nowhere(self, domain, reply):
        attempts = {h: s.connections for h, s in self.sinks.items()}
        self.assertRegex(self.send(domain), reply, domain)
        self.assertEqual({h: s.connections for h, s in self.sinks.items()}, attempts, domain)

    def deferred(self, *domains):
        for domain in domains:
            self.goes_nowhere(domain, r"^451 4\.4\.3 ")

    # --- where mail goes

    def test_order_of_preference(self):
        self.goes("order.tree.example", H1)

    def test_backup_when_the_first_is_down(self):
        self.goes("backup.tree.example", H2)

    def test_equals_share(self):
        """RFC 5321 section 5.1: equal preferences are tried in random order."""
        with Client(self.shared.address(), timeout=30) as client:
            client.starttls()
            for _ in range(60):
                self.assertRegex(self.send("equal.tree.example", client=client), "^250 ")
        got = self.arrived()
        self.assertEqual(set(got), {H1, H2})
        self.assertGreaterEqual(min(got.values()), 10, got)

    def test_only_hosts_better_than_we_are(self):
        """RFC 5321 section 5.1: hosts no better than us would send the mail back."""
        self.goes("weare.tree.example", H1)
        self.goes_nowhere("wefirst.tree.example", r"^451 4\.4\.6 ")

    def test_no_mx_is_the_address(self):
        self.goes("implicit.tree.example", H1)

    def test_mx_that_is_an_alias(self):
        self.goes("toalias.tree.example", H1)

    def test_domain_that_is_an_alias(self):
        """RFC 5321 section 5.1: the alias's target is then looked at."""
        self.goes("inner.tree.example", H1)
        self.goes("away.tree.example", H1)
        self.goes("tounsigned.tree.example", H1)

    def test_children(self):
        self.goes("signed.tree.example", H1)
        self.goes("unsigned.tree.example", H1)
        self.goes("plain.signed.tree.example", H1)
        self.goes("any.wild.signed.tree.example", H1)

    def test_ipv6(self):
        self.goes("v6.tree.example", H6)
        self.goes("both.tree.example", H6)

    def test_ipv4_where_ipv6_is_down(self):
        self.goes("half.tree.example", H1)

    def test_answer_over_tcp(self):
        """More records than fit into a datagram; what is kept of them is the best."""
        self.goes("many.tree.example", H1)

    def test_internationalized_domain(self):
        """RFC 6531 section 3.2: DNS has it in A-labels."""
        with Client(self.shared.address(), timeout=30) as client:
            client.starttls()
            client.expect(250, "MAIL FROM:<a@client.example> SMTPUTF8")
            client.expect(250, "RCPT TO:<x@bücher.tree.example>")
            self.assertEqual(client.data(MESSAGE)[0], 250)
        self.assertEqual(self.arrived(), {H1: 1})
        self.assertEqual(self.sinks[H1].messages[0].rcpts, ["RCPT TO:<x@bücher.tree.example>".encode()])

    # --- what bounces, because the zone says so with proof

    def test_null_mx(self):
        self.goes_nowhere("null.tree.example", r"^556 5\.1\.10 ")
        self.goes("notnull.tree.example", H1)

    def test_no_such_domain(self):
        for domain in ("nothing.tree.example", "nothing.signed.tree.example", "dangling.tree.example",
                       "nothing.unsigned.tree.example", "nothing.plain.signed.tree.example"):
            self.goes_nowhere(domain, r"^550 5\.1\.2 ")

    def test_neither_mx_nor_address(self):
        for domain in ("nodata.tree.example", "nodata.signed.tree.example",
                       "nodata.unsigned.tree.example"):
            self.goes_nowhere(domain, r"^550 5\.1\.2 ")

    # --- what is deferred, and goes nowhere else

    def test_changed_records(self):
        self.deferred("changed.broken.tree.example", "broken.tree.example", "host.broken.tree.example")

    def test_denied_records(self):
        """A false "no such name" bounces nothing, a false "no MX" makes no implicit one."""
        self.deferred("removed.broken.tree.example", "nomx.broken.tree.example")

    def test_expired_signatures(self):
        self.deferred("expired.tree.example", "nothing.expired.tree.example")

    def test_stripped_signatures(self):
        self.deferred("stripped.tree.example", "nothing.stripped.tree.example")

    def test_alias_to_changed_records(self):
        self.deferred("tobroken.tree.example")

    def test_alias_loop(self):
        self.deferred("loop1.tree.example")

    def test_host_with_changed_address(self):
        self.deferred("badhost.tree.example")
        self.goes("badfirst.tree.example", H2)

    def test_host_without_address(self):
        self.goes_nowhere("nohost.tree.example", r"^451 4\.4\.4 ")

    def test_host_that_is_no_host_name(self):
        self.deferred("unreadable.tree.example")

    def test_server_fails(self):
        self.deferred("a.servfail.example", "a.refused.example")

    def test_server_is_silent(self):
        began = time.monotonic()
        self.deferred("a.silent.example")
        self.assertLess(time.monotonic() - began, 5)

    def test_server_is_down_and_back(self):
        self.deferred("a.down.example")
        dns = Dns(self.down, "down.example", {("a.down.example", "A"): [H1]}, ttl=2)
        self.addCleanup(dns.close)
        wait_for(lambda: self.send("a.down.example").startswith("250"), 15, "the name server's return")
        self.assertEqual(self.arrived(), {H1: 1})

    def test_forwarder(self):
        """All questions to one server, which answers for every zone, as a recursive one does."""
        self.gateway_used = self.own(stub=[], forward=[f"{FORWARDER}:{PORT}"])
        self.goes("order.tree.example", H1)
        self.goes("signed.tree.example", H1)
        self.goes("unsigned.tree.example", H1)
        self.goes("away.tree.example", H1)
        self.deferred("changed.broken.tree.example", "nomx.broken.tree.example",
                      "expired.tree.example", "stripped.tree.example")
        self.goes_nowhere("nothing.signed.tree.example", r"^550 5\.1\.2 ")

    # --- who the client is

    def received(self, address, listener="internet"):
        """The Received line of a mail from the address. No mail waits for its client's name: by
        the third connection the answer is in the cache."""
        for _ in range(3):
            with Client(self.shared.address(listener), source=(address, 0)) as client:
                client.expect(220)
                time.sleep(0.2)
                client.expect(250, "EHLO client.example")
                self.assertRegex(self.send("implicit.tree.example", client=client), "^250 ")
        return self.sinks[H1].messages[-1].body.split(b"\r\n")[0].decode()

    def test_client_name_confirmed(self):
        self.assertIn("(client.tree.example [127.0.2.1])", self.received("127.0.2.1"))
        self.assertIn("(also.tree.example [127.0.2.4])", self.received("127.0.2.4"))
        self.assertIn("(client.tree.example [IPv6:::1])", self.received("::1", "six"))

    def test_client_name_not_confirmed(self):
        for address in ("127.0.2.2", "127.0.2.3", "127.0.2.5", "127.0.2.6"):
            self.assertIn(f"(unknown [{address}])", self.received(address))

    # --- the cache

    def asked(self, name, kind):
        return self.live_dns.asked.count((name, kind))

    def test_ttl(self):
        records, name = self.live_dns.records, "ttl.live.example"
        records[(name, "MX")] = [(10, "h1.live.example")]
        records[("h1.live.example", "A")], records[("h2.live.example", "A")] = [H1], [H2]
        began = time.monotonic()
        self.goes(name, H1)
        records[(name, "MX")] = [(10, "h2.live.example")]
        self.goes(name, H1)
        if time.monotonic() - began < 1:
            self.assertEqual(self.asked(name, "MX"), 1)
        time.sleep(max(0, began + 3.2 - time.monotonic()))
        self.goes(name, H2)
        self.assertEqual(self.asked(name, "MX"), 2)

    def test_absence_is_kept_no_longer(self):
        records, name = self.live_dns.records, "new.live.example"
        self.goes_nowhere(name, r"^550 5\.1\.2 ")
        self.goes_nowhere(name, r"^550 5\.1\.2 ")
        self.assertEqual(self.asked(name, "MX"), 1)
        records[(name, "A")] = [H1]
        time.sleep(3.2)
        self.goes(name, H1)

    # --- the process

    def pid(self, gateway):
        for row in gateway.ctl_json("status")["processes"]:
            if row["process"] == "resolver" and row["state"] == "ready":
                return row["pid"]
        return None

    def kill(self, gateway):
        os.kill(wait_for(lambda: self.pid(gateway), 10, "a resolver"), signal.SIGKILL)

    def own(self, **resolver):
        gateway = self.make(**resolver)
        self.addCleanup(gateway.stop)
        return gateway

    def test_killed_while_it_is_asked(self):
        """The new process is asked what the old one was asked."""
        slow = free_port()
        dns = Dns(slow, "slow.example", {("a.slow.example", "A"): [H1]}, delay=0.4)
        self.addCleanup(dns.close)
        self.stubs.append(f"slow.example=127.0.0.1:{slow}")
        self.addCleanup(self.stubs.pop)
        gateway = self.own()
        replies = []
        thread = threading.Thread(target=lambda: replies.append(self.send("a.slow.example", gateway)))
        thread.start()
        wait_for(lambda: dns.asked, 5, "the question")
        self.kill(gateway)
        thread.join(20)
        self.assertRegex(replies[0], "^250 ")
        self.assertEqual(self.arrived(), {H1: 1})

    def test_stopped(self):
        """A resolver that hangs defers mail, in time."""
        gateway = self.gateway_used = self.own(timeout_s=1)
        self.goes("order.tree.example", H1)
        pid = self.pid(gateway)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            self.deferred("equal.tree.example")
            self.assertLess(time.monotonic() - began, 2.5)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.goes("order.tree.example", H1)

    def test_killed_under_load(self):
        """Each message is deferred or answered for; what was answered for has arrived."""
        gateway = self.own()
        replies, stop = [], threading.Event()

        def load(number):
            with Client(gateway.address(), timeout=30) as client:
                client.starttls()
                for i in range(10000):
                    if stop.is_set():
                        break
                    domain = f"n{number}-{i}.wild.signed.tree.example"
                    replies.append(self.send(domain, client=client))
        threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.4)
            self.kill(gateway)
        wait_for(lambda: self.pid(gateway), 10, "a resolver")
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join(30)
        good = [r for r in replies if r.startswith("250")]
        self.assertEqual([r for r in replies if r not in good and not r.startswith("451 4.4.3")], [])
        self.assertEqual(self.arrived(), {H1: len(good)})
        self.assertEqual(len(gateway.events("process_died")), 3)
        self.assertRegex(self.send("order.tree.example", gateway), "^250 ")

    # --- what is validated

    def ask(self, *questions):
        """What the resolver process itself says: no reply shows whether an answer was validated."""
        done = subprocess.run([os.path.join(BUILD, "tests/unit/process/resolver_ask"), self.anchor,
                               ",".join(self.stubs), "", "443", "5", "", *questions],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, text=True)
        return done, done.stdout.splitlines()

    def answers(self, wanted):
        wanted = [w.strip() for w in wanted.split("\n")]
        done, said = self.ask(*(w.split()[0] for w in wanted))
        # A record that an earlier look-up brought along has lost the seconds since.
        said = [re.sub(r"ttl=5\d\b", "ttl=60", got) for got in said]
        for want, got in zip(wanted, said):
            with self.subTest(want):
                self.assertEqual(got.strip() if "ttl=" in want else got.split(" ttl=")[0].strip(), want)
        self.assertEqual((done.returncode, len(said)), (0, len(wanted)), done.stdout + done.stderr)

    def test_secure_insecure_bogus(self):
        self.answers("""\
            mx:order.tree.example ok secure=1 ttl=60 10/h1.tree.example 20/h2.tree.example
            mx:signed.tree.example ok secure=1 ttl=60 10/mx.signed.tree.example
            mx:any.wild.signed.tree.example ok secure=1 ttl=60 10/mx.signed.tree.example
            mx:inner.tree.example ok secure=1 ttl=60 10/h1.tree.example 20/h2.tree.example
            mx:nodata.tree.example nodata secure=1
            mx:nodata.signed.tree.example nodata secure=1
            mx:nothing.tree.example nxdomain secure=1
            mx:nothing.signed.tree.example nxdomain secure=1
            mx:null.tree.example ok secure=1 ttl=60 0/
            addr:dual.tree.example ok secure=1 ttl=60 ::1 127.0.1.1
            addr:h1.tree.example ok secure=1 ttl=60 127.0.1.1
            addr:alias.tree.example ok secure=1 ttl=60 127.0.1.1
            mx:unsigned.tree.example ok secure=0 ttl=60 10/mx.unsigned.tree.example
            mx:plain.signed.tree.example ok secure=0 ttl=60 10/mx.plain.signed.tree.example
            mx:nothing.unsigned.tree.example nxdomain secure=0
            mx:nodata.unsigned.tree.example nodata secure=0
            mx:away.tree.example ok secure=0 ttl=60 10/h1.other.example
            addr:tounsigned.tree.example ok secure=0 ttl=60 127.0.1.1
            mx:order.other.example ok secure=0 ttl=60 10/h1.other.example
            mx:changed.broken.tree.example bogus secure=0
            mx:removed.broken.tree.example bogus secure=0
            mx:nomx.broken.tree.example bogus secure=0
            addr:host.broken.tree.example bogus secure=0
            addr:tobroken.tree.example bogus secure=0
            mx:expired.tree.example bogus secure=0
            mx:stripped.tree.example bogus secure=0
            mx:loop1.tree.example failed secure=0
            mx:a.servfail.example failed secure=0
            ptr:127.0.2.1 ok client.tree.example
            ptr:127.0.2.2 nodata
            ptr:127.0.2.3 bogus
            ptr:127.0.2.5 bogus
            ptr:127.0.2.6 nxdomain""")

    def test_tlsa_of_hosts(self):
        """RFC 7672 section 2.2: which records count, and what is a failure."""
        one, six = "3/1/1/" + "11" * 32, "0/0/0/010203"
        self.answers(f"""\
            tlsa:t1.tree.example ok base=t1.tree.example ttl=60 {one}
            tlsa:T1.Tree.Example ok base=T1.Tree.Example ttl=60 {one}
            tlsa:nothing.wild.signed.tree.example nodata base=nothing.wild.signed.tree.example
            tlsa:two6.tree.example ok base=two6.tree.example ttl=60 {one}
            tlsa:odd.tree.example ok base=odd.tree.example ttl=60 {six}
            tlsa:twild.tree.example ok base=twild.tree.example ttl=60 {one}
            tlsa:tcname.tree.example ok base=tcname.tree.example ttl=60 {one}
            tlsa:tl.signed.tree.example ok base=tl.signed.tree.example ttl=60 {one}
            tlsa:other587.tree.example nodata base=other587.tree.example
            tlsa:h1.tree.example nodata base=h1.tree.example
            tlsa:tlnone.signed.tree.example nodata base=tlnone.signed.tree.example
            tlsa:nothing.tree.example nodata base=nothing.tree.example
            tlsa:nodata.tree.example nodata base=nodata.tree.example
            tlsa:tlsaonly.tree.example nodata base=tlsaonly.tree.example
            tlsa:tl.unsigned.tree.example nodata base=tl.unsigned.tree.example
            tlsa:tl.plain.signed.tree.example nodata base=tl.plain.signed.tree.example
            tlsa:h1.other.example nodata base=h1.other.example
            tlsa:unsignedtlsa.tree.example nodata base=unsignedtlsa.tree.example
            tlsa:tcnameun.tree.example nodata base=tcnameun.tree.example
            tlsa:tcnamebad.tree.example bogus base=tcnamebad.tree.example
            tlsa:tl.broken.tree.example ok base=tl.broken.tree.example ttl=60 {one}
            tlsa:tlchanged.broken.tree.example bogus base=tlchanged.broken.tree.example
            tlsa:tlremoved.broken.tree.example bogus base=tlremoved.broken.tree.example
            tlsa:host.broken.tree.example bogus base=host.broken.tree.example
            tlsa:tl.expired.tree.example bogus base=tl.expired.tree.example
            tlsa:tl.stripped.tree.example bogus base=tl.stripped.tree.example
            tlsa:downtlsa.tree.example failed base=downtlsa.tree.example
            tlsa:downdual.tree.example failed base=downdual.tree.example
            tlsa:a.servfail.example failed base=a.servfail.example""")

    def test_tlsa_of_two_records(self):
        """While a certificate is rolled over; the server says in which order."""
        said = self.ask("tlsa:two.tree.example")[1][0].split()
        self.assertEqual(said[:3], ["tlsa:two.tree.example", "ok", "base=two.tree.example"])
        self.assertEqual(sorted(said[4:]), ["2/0/1/" + "22" * 32, "3/1/1/" + "11" * 32])

    def test_tlsa_of_aliases(self):
        one, three = "3/1/1/" + "11" * 32, "3/0/1/" + "33" * 32
        self.answers(f"""\
            tlsa:aexpanded.tree.example ok base=t1.tree.example ttl=60 {one}
            tlsa:athrough.tree.example ok base=t1.tree.example ttl=60 {one}
            tlsa:atl.tree.example ok base=tl.signed.tree.example ttl=60 {one}
            tlsa:aboth.tree.example ok base=t1.tree.example ttl=60 {one}
            tlsa:aoriginal.tree.example ok base=aoriginal.tree.example ttl=60 {three}
            tlsa:anone.tree.example nodata base=anone.tree.example
            tlsa:adown.tree.example failed base=adown.tree.example
            tlsa:ainsecure.tree.example ok base=ainsecure.tree.example ttl=60 {one}
            tlsa:ainsecurenone.tree.example nodata base=ainsecurenone.tree.example
            tlsa:aaway.tree.example ok base=aaway.tree.example ttl=60 {one}
            tlsa:ainsecuredown.tree.example failed base=ainsecuredown.tree.example
            tlsa:abroken.tree.example bogus base=abroken.tree.example
            tlsa:toparent.signed.tree.example ok base=t1.tree.example ttl=60 {one}
            tlsa:toparent.unsigned.tree.example nodata base=toparent.unsigned.tree.example
            tlsa:tobroken.tree.example bogus base=tobroken.tree.example
            tlsa:tounsigned.tree.example nodata base=tounsigned.tree.example
            tlsa:loop1.tree.example failed base=loop1.tree.example
            tlsa:dangling.tree.example nodata base=dangling.tree.example""")


if __name__ == "__main__":
    tap.main()
