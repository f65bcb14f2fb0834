#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do 99 destinations have all of their mail while the hundredth hangs: its name server, its next hop,
or the resolver process itself?"""
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from bench import LIMITS, BenchCase, ledger_read  # noqa: E402
from client import Client, wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from gateway import free_port  # noqa: E402

DOMAINS, DEAD = 100, 37
ZONE = "many.example"
MESSAGE = b"Subject: many\r\n\r\nbody\r\n"
MANY = 1100  # more than a worker may have questions out


class DeadDestination(BenchCase):
    def setUp(self):
        self.bench, self.mx_port = self.bench_sink()
        self.dns_port, self.silent_port = free_port(), free_port()
        records = {}
        for i in range(DOMAINS):
            records[(f"d{i}.{ZONE}", "MX")] = [(10, f"mx{i}.{ZONE}")]
            records[(f"mx{i}.{ZONE}", "A")] = ["127.0.0.1"]
        self.dns = Dns(self.dns_port, ZONE, records)
        self.addCleanup(self.dns.close)
        self.anchor = os.path.join(self.folder, "anchor")
        with open(self.anchor, "w", encoding="ascii") as f:
            f.write("anchor.example. IN DS 20326 8 2 " + "00" * 32 + "\n")
        self.ledger = os.path.join(self.folder, f"accepted-{free_port()}")

    def start(self, *stubs, timeout_s=3):
        routes = [{"domain": "*", "next_hop": "mx", "mx_port": self.mx_port, "tls": {"level": "auto"}}]
        listeners = [{"name": "internet", "address": "127.0.0.1:0", "tls": "starttls",
                      "relay_clients": ["127.0.0.0/8"]}]
        settings = {"resolver": {"stub": [f"{ZONE}=127.0.0.1:{self.dns_port}", *stubs], 
                                 "trust_anchor": self.anchor, "timeout_s": timeout_s, "reverse": False},
                    "limits": dict(LIMITS["limits"], hop_connect_timeout_s=3, hop_command_timeout_s=3)}
        return self.gateway(routes, listeners, settings)

    def silent(self, zone=f"d{DEAD}.{ZONE}"):
        """A name server that takes questions and says nothing; how its stub is written."""
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", self.silent_port))
        return f"{zone}=127.0.0.1:{self.silent_port}"

    def all_but_one(self, gateway, code, messages=1000):
        """One load to all; each message of each other domain is accepted, and has arrived, and each one for
        the dead one has that answer."""
        sent = self.report(self.load(gateway, "--starttls", "--rcpt", f"x@{ZONE}", "--domains", str(DOMAINS),
                                     "--messages", str(messages), "--sessions", "20", "--per-session", "0",
                                     "--ledger", self.ledger))
        accepted = sorted(int(number) for _, number in ledger_read(self.ledger))
        self.assertEqual(accepted, [n for n in range(messages) if n % DOMAINS != DEAD], sent)
        self.assertEqual(sent["messages"]["rejected"], messages // DOMAINS, sent)
        self.assertEqual(set(sent["texts"]), {"451"}, sent)
        self.assertIn(code, sent["texts"]["451"])
        got = self.report(self.bench)
        self.assertEqual(got["messages"]["verdicts"]["intact"], len(accepted))
        self.assertEqual(got["messages"]["duplicates"], 0)

    def test_its_name_server_is_silent(self):
        self.all_but_one(self.start(self.silent()), "4.4.3")

    def test_nobody_takes_its_connections(self):
        hole = socket.create_server(("127.0.0.9", self.mx_port), backlog=0)
        self.addCleanup(hole.close)
        taken = socket.create_connection(hole.getsockname())  # its only place: others get no answer
        self.addCleanup(taken.close)
        self.dns.records[(f"mx{DEAD}.{ZONE}", "A")] = ["127.0.0.9"]
        self.all_but_one(self.start(), "4.4.1")

    def test_its_host_never_greets(self):
        mute = socket.create_server(("127.0.0.9", self.mx_port), backlog=64)
        self.addCleanup(mute.close)
        self.dns.records[(f"mx{DEAD}.{ZONE}", "A")] = ["127.0.0.9"]
        self.all_but_one(self.start(), "4.4.")

    def to(self, domain, client):
        """The reply to one message there, or to its recipient."""
        client.expect(250, "MAIL FROM:<a@client.example>")
        code, lines = client.command(f"RCPT TO:<x@{domain}>")
        if code == 250:
            code, lines = client.data(MESSAGE)
        return lines[-1]

    def in_transaction(self, gateway):
        return sum(s["state"] == "data_wait" for s in gateway.ctl_json("sessions")["sessions"])

    def test_more_wait_for_it_than_may_ask(self):
        """What is kept of others, and what must be asked, does not wait in the same line."""
        gateway = self.start(self.silent(), timeout_s=60)
        with Client(gateway.address()) as client:
            client.starttls()
            self.assertRegex(self.to(f"d1.{ZONE}", client), "^250 ")
            crowd = self.load(gateway, "--plain", "--rcpt", f"x@d{DEAD}.{ZONE}", "--messages", str(MANY),
                              "--sessions", str(MANY))
            self.addCleanup(crowd.communicate)
            self.addCleanup(crowd.kill)
            wait_for(lambda: self.in_transaction(gateway) == MANY, 20, "all to wait for the dead one")
            for domain in (f"d1.{ZONE}", f"d2.{ZONE}"):
                self.assertRegex(self.to(domain, client), "^250 ")
        self.assertEqual(crowd.poll(), None)

    def test_many_name_servers_are_silent(self):
        """They don't keep others from being asked."""
        gateway = self.start(self.silent(f"hung.{ZONE}"), timeout_s=60)
        crowd = self.load(gateway, "--plain", "--rcpt", f"x@hung.{ZONE}", "--domains", "300",
                          "--messages", "300", "--sessions", "300")
        self.addCleanup(crowd.communicate)
        self.addCleanup(crowd.kill)
        wait_for(lambda: self.in_transaction(gateway) == 300, 20, "all to wait for dead ones")
        with Client(gateway.address()) as client:
            client.starttls()
            for i in range(20):
                self.assertRegex(self.to(f"d{i}.{ZONE}", client), "^250 ")
        self.assertEqual(crowd.poll(), None)

    def test_the_resolver_process_stands_still(self):
        """What is kept of a domain is enough for its mail."""
        gateway = self.start()
        pid = next(p["pid"] for p in gateway.ctl_json("status")["processes"] if p["process"] == "resolver")
        with Client(gateway.address()) as client:
            client.starttls()
            for i in range(DOMAINS):
                if i != DEAD:
                    self.assertRegex(self.to(f"d{i}.{ZONE}", client), "^250 ")
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(os.kill, pid, signal.SIGCONT)
            self.all_but_one(gateway, "4.4.3")


if __name__ == "__main__":
    tap.main()
