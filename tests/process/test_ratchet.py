#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the gateway remember what TLS a destination had, over restarts, reloads and deaths; does mail
wait where there is less, until the administrator says otherwise; and does nothing else hold it?
"""
import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from certs import Authority  # noqa: E402
from client import Client, wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from gateway import free_port, route  # noqa: E402
from https import Https, response
from https import context as server_context  # noqa: E402
from setup import Case  # noqa: E402

BODY = b"Subject: ratchet\r\n\r\nbody\r\n"
EX_USAGE, EX_DATAERR, EX_NOPERM = 64, 65, 77
ZONE = "mail.example"
ANCHOR = "anchor.example. IN DS 20326 8 2 " + "00" * 32 + "\n"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\dZ"
NO_LIMITS = {"limits": {"hop_idle_s": 1, "hop_max_messages": 1, "hop_dead_s": 1}}


def policy(mode, *hosts):
    return "version: STSv1\nmode: %s\n%smax_age: 86400\n" % (mode, "".join(f"mx: {h}\n" for h in hosts))


class Refuses:
    """No handshake comes about."""

    def wrap_socket(self, sock, server_side):
        sock.recv(16)
        raise OSError("no TLS here")


class RatchetCase(Case):
    def turn(self, sink, tls="starttls", cert=None, context=None, behave=None):
        """The server is another one from here on."""
        sink.tls, sink.behave = tls, behave or {}
        if cert or context:
            sink.context = context or server_context(*cert)
        with contextlib.suppress(OSError):  # one that ends by itself just now
            sink.kill()
        sink.clear()
        return sink

    def send(self, gateway, domain="hop.example"):
        """(code, text) of the answer to RCPT, or else to the message."""
        with Client(gateway.address()) as c:
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.expect(250, "MAIL FROM:<a@client.example>")
            code, lines = c.command(f"RCPT TO:<b@{domain}>")
            if code == 250:
                code, lines = c.data(BODY)
            return code, " ".join(l[4:] for l in lines)

    def sent(self, gateway, domain="hop.example"):
        self.assertEqual(self.send(gateway, domain)[0], 250)

    def held(self, gateway, was, now, domain="hop.example", accept=None):
        """Deferred by the ratchet, in words that say all of it."""
        code, text = self.send(gateway, domain)
        self.assertEqual(code, 451, text)
        self.assertRegex(text, rf"^4\.7\.5 .*had {was} until {DATE}, now {now}\b.*; posternctl policy ratchet "
                               rf"accept {re.escape(accept or domain)} takes that$")
        return text

    def hosts(self, gateway, *names):
        return gateway.ctl_json("policy", "ratchet", *names)["hosts"]

    def known(self, gateway, count=1):
        """Once so many hosts are in the book: workers do not wait for it."""
        wait_for(lambda: len(self.hosts(gateway)) == count, 5, f"{count} hosts")
        return self.hosts(gateway)

    def file(self, gateway):
        return os.path.join(gateway.settings["gateway"]["state_dir"], "ratchet", "hosts")

    def counters(self, gateway):
        return gateway.ctl_json("status")["counters"]

    def process(self, gateway):
        return next(row for row in gateway.ctl_json("status")["processes"] if row["process"] == "ratchet")

    def start(self, gateway):
        gateway.start()
        # Its sockets take connections before anything else is ready.
        wait_for(lambda: self.process(gateway)["state"] == "ready", 10, "the ratchet's process")

    def restart(self, gateway):
        gateway.stop()
        self.start(gateway)


class FixedHop(RatchetCase):
    """Level may towards a sink that has STARTTLS at first, and then has not."""

    def setUp(self):
        self.port = free_port()
        self.here = f"127.0.0.1:{self.port}"
        self.open = None

    def offer(self, tls="starttls", **how):
        if not self.open:
            self.open = self.sink(port=self.port)
        return self.turn(self.open, tls, **how)

    def made(self, ratchet="hold", **more):
        return self.gateway([route("hop.example", self.port, "may", tls={"ratchet": ratchet}, **more)],
                            settings=NO_LIMITS)

    def test_hold_accept_raise_clear(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        row = self.known(gateway)[0]
        self.assertEqual((row["destination"], row["host"], row["level"], row["drop"], row["expired"]),
                         (self.here, self.here, "encrypt", None, False))
        self.assertRegex(row["last"], f"^{DATE}$")
        # What is remembered outlives a restart at once after the message.
        self.restart(gateway)
        self.assertEqual(self.hosts(gateway), [row])
        plain = self.offer(tls=None)
        text = self.held(gateway, "encrypt", "plaintext", accept=self.here)
        self.assertIn("STARTTLS", text)
        self.assertEqual([l for l in plain.lines() if l.startswith("MAIL")], [])
        self.assertEqual(plain.messages, [])
        wait_for(lambda: gateway.events("ratchet_drop"), 5, "the event")
        event = gateway.events("ratchet_drop")[0]
        self.assertEqual({k: event[k] for k in ("destination", "was", "now", "ratchet", "route")},
                         {"destination": self.here, "was": "encrypt", "now": "plaintext", "ratchet": "hold",
                          "route": "hop.example"})
        drop = self.hosts(gateway)[0]["drop"]
        self.assertEqual((drop["level"], drop["connections"]), ("plaintext", 1))
        # The hold outlives a restart too.
        self.restart(gateway)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)
        self.assertEqual(len(gateway.events("message")), 3)
        counters = self.counters(gateway)
        self.assertEqual((counters["postern_ratchet_drops_total"], counters["postern_ratchet_held_total"],
                          counters["postern_ratchet_hosts"], counters["postern_ratchet_hosts_dropped"]),
                         (1, 1, 1, 1))
        status, out, _ = gateway.ctl("policy", "ratchet", "accept", self.here)
        self.assertEqual((status, out.split(";")[0]), (0, f"{self.here}: 1 host taken as now offered"))
        with open(self.file(gateway)) as f:
            self.assertIn(f"{self.here} {self.here} plaintext ", f.read())
        self.sent(gateway)
        self.assertEqual(len(plain.messages), 1)
        self.assertIsNone(self.hosts(gateway)[0]["drop"])
        self.assertEqual(self.counters(gateway)["postern_ratchet_hosts_dropped"], 0)
        # TLS again is better than ever, and then less is less again.
        self.offer()
        self.sent(gateway)
        wait_for(lambda: gateway.events("ratchet_raised"), 5, "the raise")
        self.offer(tls=None)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)
        self.assertEqual(gateway.ctl_json("policy", "ratchet", "clear", self.here)["hosts"], 1)
        self.sent(gateway)

    def test_a_handshake_that_fails_is_no_way_around(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        for how in ({"behave": {"STARTTLS": "454 4.7.0 not now"}}, {"context": Refuses()}):
            with self.subTest(how=how):
                sink = self.offer(**how)
                self.held(gateway, "encrypt", "plaintext", accept=self.here)
                self.assertEqual([l for l in sink.lines() if l.startswith("MAIL")], [])

    def test_warn_goes_on_and_tells_once(self):
        self.offer()
        gateway = self.made("warn")
        self.sent(gateway)
        self.known(gateway)
        plain = self.offer(tls=None)
        for _ in range(3):
            self.sent(gateway)
        self.assertEqual(len(plain.messages), 3)
        wait_for(lambda: self.hosts(gateway)[0]["drop"]["connections"] == 3, 5, "three connections")
        self.assertEqual([e["ratchet"] for e in gateway.events("ratchet_drop")], ["warn"])
        self.assertEqual([m.get("ratchet_was") for m in gateway.events("message")],
                         [None, "encrypt", "encrypt", "encrypt"])
        counters = self.counters(gateway)
        self.assertEqual((counters["postern_ratchet_drops_total"], counters["postern_ratchet_held_total"]), (3, 0))
        # As before again: said once, and the drop is over.
        self.offer()
        self.sent(gateway)
        wait_for(lambda: gateway.events("ratchet_restored"), 5, "the restoration")
        self.assertIsNone(self.hosts(gateway)[0]["drop"])

    def test_off_remembers_nothing(self):
        self.offer()
        gateway = self.made("off")
        self.sent(gateway)
        self.offer(tls=None)
        self.sent(gateway)
        self.assertEqual(self.hosts(gateway), [])
        self.assertEqual(self.counters(gateway)["postern_ratchet_drops_total"], 0)

    def test_a_reload_changes_what_becomes_of_mail(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        self.offer(tls=None)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)
        before = self.process(gateway)["pid"]
        gateway.routes[0]["tls"]["ratchet"] = "warn"
        gateway.config_write()
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.sent(gateway)
        # One process for all generations, and one book.
        self.assertEqual(self.process(gateway)["pid"], before)
        gateway.routes[0]["tls"]["ratchet"] = "hold"
        gateway.config_write()
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)

    def test_another_state_dir_has_another_book(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        first = self.file(gateway)
        gateway.settings["gateway"]["state_dir"] = os.path.join(gateway.folder, "other")
        os.mkdir(gateway.settings["gateway"]["state_dir"])
        gateway.config_write()
        self.assertEqual(gateway.ctl("reload")[0], 0)
        wait_for(lambda: self.process(gateway)["state"] == "ready" and self.hosts(gateway) == [], 5, "a new book")
        with open(first) as f:
            self.assertIn(self.here, f.read())
        self.offer(tls=None)
        self.sent(gateway)

    def test_the_process_dies_and_nothing_else_does(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        wait_for(lambda: os.path.exists(self.file(gateway)), 5, "the file")
        self.offer(tls=None)
        before = self.process(gateway)["pid"]
        os.kill(before, signal.SIGSTOP)
        try:
            # Workers have what they need, and wait for nobody.
            self.held(gateway, "encrypt", "plaintext", accept=self.here)
            status, out, error = gateway.ctl("policy", "ratchet")
            self.assertEqual((status, "did not answer in time" in error), (75, True))
        finally:
            os.kill(before, signal.SIGKILL)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)
        wait_for(lambda: self.process(gateway)["pid"] not in (0, before)
                 and self.process(gateway)["state"] == "ready", 5, "a new one")
        self.held(gateway, "encrypt", "plaintext", accept=self.here)
        # What was told in between was not lost: it waited in the line.
        wait_for(lambda: self.hosts(gateway)[0]["drop"] and
                 self.hosts(gateway)[0]["drop"]["connections"] >= 2, 5, "the drops")

    def test_a_damaged_file_is_set_aside(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        gateway.stop()
        path = self.file(gateway)
        with open(path, "rb+") as f:
            text = f.read()
            f.seek(text.index(b"encrypt"))
            f.write(b"plainte")
        with open(path, "rb") as f:
            damaged = f.read()
        self.start(gateway)
        self.assertIn("ratchet/hosts is damaged: its sum is missing or wrong", gateway.log())
        with open(path + ".damaged", "rb") as f:
            self.assertEqual(f.read(), damaged)
        self.assertEqual(self.hosts(gateway), [])
        self.offer(tls=None)
        self.sent(gateway)
        self.known(gateway)

    @unittest.skipIf(os.getuid(), "only root can change users")
    def test_another_user_goes_on(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        row = self.known(gateway)
        gateway.stop()
        gateway.settings["gateway"]["user"] = "daemon"
        self.start(gateway)
        self.assertEqual(self.hosts(gateway), row)
        self.assertNotIn("damaged", gateway.log())
        self.assertEqual(pwd.getpwuid(os.stat(self.file(gateway)).st_uid).pw_name, "daemon")

    def test_without_a_folder_mail_goes_on(self):
        self.offer()
        gateway = self.made()
        gateway.stop()
        shutil.rmtree(os.path.dirname(self.file(gateway)))
        with open(os.path.join(gateway.folder, "state", "ratchet"), "w"):
            pass
        self.start(gateway)
        self.assertIn("what is remembered is not kept over a restart", gateway.log())
        self.sent(gateway)
        self.known(gateway)
        self.offer(tls=None)
        self.held(gateway, "encrypt", "plaintext", accept=self.here)

    def test_the_process_may_write_its_folder_alone(self):
        self.offer()
        gateway = self.made()
        pid = self.process(gateway)["pid"]
        with open(f"/proc/{pid}/status") as f:
            said = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual((said["NoNewPrivs"], said["Seccomp"], int(said["CapPrm"], 16)), ("1", "2", 0))
        folder = os.path.dirname(self.file(gateway))
        self.assertEqual(os.stat(folder).st_mode & 0o7777, 0o700)
        # Sockets to nobody but the supervisor and the workers.
        kinds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertEqual(len([k for k in kinds if k.startswith("socket:")]), 2, kinds)

    def test_explain_and_probe(self):
        self.offer()
        gateway = self.made()
        self.sent(gateway)
        self.known(gateway)
        host = gateway.ctl_json("policy", "explain", "b@hop.example")["hosts"][0]
        self.assertEqual({k: host["ratchet"][k] for k in ("level", "new_host", "hold")},
                         {"level": "encrypt", "new_host": False, "hold": True})
        status, out, _ = gateway.ctl("policy", "probe", "b@hop.example")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"before +encrypt until {DATE}; with less, mail waits\n")
        self.offer(tls=None)
        status, out, _ = gateway.ctl("--json", "policy", "probe", "b@hop.example")
        probed = json.loads(out)
        self.assertEqual((status, probed["exit"], probed["hosts"][0]["result"]), (EX_NOPERM, EX_NOPERM, "held"))
        self.assertIsNone(probed["hosts"][0]["tls"])
        status, out, _ = gateway.ctl("policy", "probe", "b@hop.example")
        self.assertRegex(out, r"result +mail waits: had encrypt until ")
        self.assertIn("by another way", re.sub(r"\s+", " ", out))
        # A probe leaves no trace.
        self.assertIsNone(self.hosts(gateway)[0]["drop"])
        self.assertEqual(self.counters(gateway)["postern_ratchet_drops_total"], 0)
        gateway.routes[0]["tls"]["ratchet"] = "warn"
        gateway.config_write()
        self.assertEqual(gateway.ctl("reload")[0], 0)
        status, out, _ = gateway.ctl("policy", "probe", "b@hop.example")
        self.assertEqual(status, 0)
        self.assertRegex(re.sub(r"\s+", " ", out), r"less now had encrypt until .* now plaintext")

    def test_posternctl(self):
        self.offer()
        gateway = self.made()
        status, out, _ = gateway.ctl("policy", "ratchet")
        self.assertEqual((status, out), (0, "none of 0 hosts that are remembered\n"))
        self.sent(gateway)
        self.known(gateway)
        status, out, _ = gateway.ctl("policy", "ratchet")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"DESTINATION +HOST +BEST +LAST +NOW +SINCE\s+{self.here} +- +encrypt \(route\) "
                              rf"+{DATE} +- +-")
        self.assertEqual(self.hosts(gateway, "elsewhere.example"), [])
        for words, code, said in ((("accept",), EX_USAGE, "usage: posternctl policy ratchet accept"),
                                  (("clear",), EX_USAGE, "usage: posternctl policy ratchet clear"),
                                  (("clear", "x.example", "--all"), EX_USAGE, "usage:"),
                                  (("accept", self.here), EX_DATAERR, "has not dropped"),
                                  (("clear", "x.example"), EX_DATAERR, "is not remembered")):
            with self.subTest(words=words):
                status, out, error = gateway.ctl("policy", "ratchet", *words)
                self.assertEqual((status, out), (code, ""))
                self.assertIn(said, error)
        status, out, _ = gateway.ctl("policy", "ratchet", "accept", "--help")
        self.assertEqual(status, 0)
        self.assertIn("Find out why it dropped before you accept", out)
        self.assertEqual(gateway.ctl_json("policy", "ratchet", "clear", "--all"),
                         {"done": "clear", "destination": "*", "hosts": 1})
        self.assertEqual(self.hosts(gateway), [])


class Mx(RatchetCase):
    """Level auto: what a domain publishes, and what its hosts have."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w") as f:
            f.write(ANCHOR)
        cls.dns_port, cls.https_port = free_port(), free_port()
        cls.records = {}
        cls.dns = Dns(cls.dns_port, ZONE, cls.records, ttl=1)
        cls.https = Https(cls.https_port, cls.authority.issue("https", [f"mta-sts.{ZONE}"]))
        cls.good = cls.authority.issue("mx", [f"mx1.{ZONE}", f"mx2.{ZONE}"])
        cls.bad = Authority(os.path.join(cls.folder, "other")).issue("mx", ["nobody.example"])

    def setUp(self):
        self.records.clear()
        self.sinks, self.smtp_port = {}, free_port()

    def offer(self, number, **how):
        """mx1 or mx2, at an address of its own."""
        host = f"127.0.2.{number}"
        self.records[(f"mx{number}.{ZONE}", "A")] = [host]
        if host not in self.sinks:
            self.sinks[host] = self.sink(port=self.smtp_port, host=host)
        how.setdefault("cert", self.good)
        return self.turn(self.sinks[host], **how)

    def publish(self, *numbers, mode=None):
        self.records[(ZONE, "MX")] = [(10 * (i + 1), f"mx{n}.{ZONE}") for i, n in enumerate(numbers)]
        for key in [(f"_mta-sts.{ZONE}", "TXT"), (f"mta-sts.{ZONE}", "A")]:
            self.records.pop(key, None)
        if mode:
            self.records[(f"_mta-sts.{ZONE}", "TXT")] = [f"v=STSv1; id={mode}{len(numbers)};"]
            self.records[(f"mta-sts.{ZONE}", "A")] = ["127.0.0.1"]
            self.https.answers[f"mta-sts.{ZONE}"] = response(policy(mode, f"*.{ZONE}"))
        time.sleep(2.5)  # their time to live

    def made(self, ratchet="hold"):
        settings = dict(NO_LIMITS, resolver={
            "trust_anchor": self.anchor, "stub": [f"{ZONE}=127.0.0.1:{self.dns_port}"], "insecure": [ZONE],
            "sts_ca": self.authority.cert, "sts_port": self.https_port})
        return self.gateway([{"domain": ZONE, "next_hop": "mx", "mx_port": self.smtp_port,
                              "tls": {"level": "auto", "ca": self.authority.cert, "ratchet": ratchet}}],
                            settings=settings)

    def test_a_policy_and_its_certificate_vanish(self):
        self.offer(1)
        self.publish(1, mode="enforce")
        gateway = self.made()
        self.sent(gateway, ZONE)
        row = self.known(gateway)[0]
        self.assertEqual((row["destination"], row["host"], row["level"], row["source"]),
                         (ZONE, f"mx1.{ZONE}", "verify", "sts"))
        # A policy that is withdrawn (RFC 8461 section 2.6), whoever it was that withdrew it, and whose
        # last one is out of the cache.
        gateway.stop()
        shutil.rmtree(os.path.join(gateway.folder, "state", "sts"))
        self.publish(1, mode="none")
        other = self.offer(1, cert=self.bad)
        self.start(gateway)
        self.held(gateway, "verify", "encrypt", ZONE)
        self.assertEqual(other.messages, [])
        self.restart(gateway)
        self.held(gateway, "verify", "encrypt", ZONE)
        self.offer(1, tls=None)
        self.held(gateway, "verify", "plaintext", ZONE)
        wait_for(lambda: len(gateway.events("ratchet_drop")) == 3, 5, "all drops")
        self.assertEqual([e["now"] for e in gateway.events("ratchet_drop")],
                         ["encrypt", "encrypt", "plaintext"])  # a new start tells anew
        # As it was: nobody has to accept anything.
        gateway.stop()
        shutil.rmtree(os.path.join(gateway.folder, "state", "sts"))
        self.offer(1)
        self.publish(1, mode="enforce")
        self.start(gateway)
        self.sent(gateway, ZONE)
        wait_for(lambda: self.hosts(gateway)[0]["drop"] is None, 5, "the end of the drop")

    def test_one_weak_host_among_others_is_no_drop(self):
        strong, weak = self.offer(1), self.offer(2, tls=None)
        self.publish(1, 2)
        gateway = self.made()
        self.sent(gateway, ZONE)
        self.publish(2, 1)
        # mx2 is new to the domain, and weaker than what is known of it.
        text = self.send(gateway, ZONE)
        self.assertEqual(text[0], 250)  # by mx1, which comes next
        self.assertEqual((len(strong.messages), weak.messages), (2, []))
        row = next(r for r in self.known(gateway, 2) if r["host"] == f"mx2.{ZONE}")
        self.assertEqual((row["new_host"], row["level"], row["drop"]["level"]), (True, "encrypt", "plaintext"))
        self.assertEqual(gateway.ctl_json("policy", "ratchet", "accept", ZONE, f"mx2.{ZONE}")["hosts"], 1)
        for first, second in ((2, 1), (1, 2), (2, 1)):
            self.publish(first, second)
            self.sent(gateway, ZONE)
        self.assertEqual((len(strong.messages), len(weak.messages)), (3, 2))
        self.assertEqual([r["drop"] for r in self.hosts(gateway)], [None, None])
        self.assertEqual(len(gateway.events("ratchet_drop")), 1)
        # The strong one is held to its own all the same.
        self.offer(1, tls=None)
        self.publish(1)
        self.held(gateway, "encrypt", "plaintext", ZONE)

    def test_forged_names_of_hosts_gain_nothing(self):
        self.offer(1)
        self.publish(1)
        gateway = self.made()
        self.sent(gateway, ZONE)
        self.known(gateway)
        forged = self.offer(2, tls=None)
        self.publish(2)
        text = self.held(gateway, "encrypt", "plaintext", ZONE)
        self.assertIn("other hosts of the domain had", text)
        self.assertEqual(forged.messages, [])
        # Nor does a host that stays away for the next ones become what they are held to.
        self.offer(3, tls=None)
        self.publish(3)
        self.held(gateway, "encrypt", "plaintext", ZONE)
        self.assertEqual(gateway.ctl_json("policy", "ratchet", "accept", ZONE)["hosts"], 2)
        self.sent(gateway, ZONE)


if __name__ == "__main__":
    tap.main()
