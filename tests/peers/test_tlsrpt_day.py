#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does each domain get one report of each day, with all of that day's sessions, when the day turns, a
gateway is restarted, or dies, and what is sent fails?

The gateway's calendar is ahead of the test's (lib/calendar.c), so that its midnight comes when it is wanted.
"""
import datetime
import gzip
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, wait_for  # noqa: E402
from gateway import BUILD, Gateway, free_port  # noqa: E402
from schema import schema_check  # noqa: E402
from tlsrpt_world import DNS_PORT, HTTPS_PORT, NAME_SERVER, ZONE, World  # noqa: E402

BODY = b"Subject: a day\r\n\r\nbody\r\n"
HOUR, DAY = 3600, 86400
MANY = [f"many{i}" for i in range(32)]
PLAIN_HOST = "127.0.4.2"


class Ahead(Gateway):
    """shift_s: by how much."""

    def program(self):
        return ["env", "LD_PRELOAD=" + os.path.join(BUILD, "tests/lib/libcalendar.so"),
                f"POSTERN_AHEAD_S={self.shift_s}", *super().program()]


class Day(World):
    @classmethod
    def more_records(cls):
        rua = f"v=TLSRPTv1; rua=https://reports.{ZONE}:{HTTPS_PORT}"
        text = "".join(f'_smtp._tls.{name} TXT "{rua}/{path}"\n' for name, path in [
            *((name, "many") for name in MANY), ("turn", "turn"), ("plain", "plain"),
            ("hopeless", "broken")])
        return text + f"""turn MX 1 mx.turn\nmx.turn A 127.0.0.1
plain MX 1 mx.plain\nmx.plain A {PLAIN_HOST}\n"""

    def setUp(self):
        super().setUp()
        now = datetime.datetime.now(datetime.timezone.utc)
        self.midnight = datetime.datetime.combine(now.date(), datetime.time(), datetime.timezone.utc)
        self.midnight += datetime.timedelta(days=2)  # never one of our own
        self.mx = free_port()
        self.folder_, self.served = None, 0

    def until(self, second):
        """How far the gateway's clock is from so many seconds after the midnight of the test."""
        return self.midnight.timestamp() + second - time.time() - self.shift_s

    def start(self, at, names=(), place=7, **send):
        """A gateway whose clock begins so many seconds after that midnight, with the state of the last one. It
        counted sessions with these domains on the day before."""
        self.shift_s = 0
        self.shift_s = int(self.until(at))
        settings = {
            "tlsrpt": {"organization": "This Test", "contact": "tls@client.example",
                       "send": {"from": "tlsrpt@client.example", "delay_s": 1, "retry_s": 1, **send}},
            "limits": {"hop_max_messages": 1},
            "resolver": {"stub": [f"{ZONE}={NAME_SERVER}:{DNS_PORT}"], "insecure": [ZONE],
                         "sts_ca": self.authority.cert, "timeout_s": 3, "reverse": False}}
        gateway = Ahead([{"domain": ZONE, "next_hop": "mx"},
                         {"domain": f".{ZONE}", "next_hop": "mx", "mx_port": self.mx,
                          "tls": {"level": "auto"}}], None, settings, self.authority, self.folder_)
        gateway.shift_s = self.shift_s
        self.folder_ = gateway.folder
        if names:
            self.counts_write(gateway, names, place)
        gateway.start()
        self.addCleanup(gateway.stop)
        wait_for(lambda: gateway.log().count("supervisor serving") > self.served, 10, "its processes")
        self.served = gateway.log().count("supervisor serving")
        return gateway

    def send(self, gateway, *names):
        """A message, and so a session, to each."""
        with Client(gateway.address()) as c:
            c.starttls()
            for name in names:
                self.assertRegex(c.message(f"x@{name}.{ZONE}", BODY), "^250 2")

    def shown(self, gateway, *words):
        """{domain: (good, failed)} of tlsrpt show; the resolver process has had its turn then."""
        told = gateway.ctl_json("tlsrpt", "show", *words)
        return {d["domain"].split(".")[0]: (d["good"], d["failed"]) for d in told["domains"]}

    def reports(self, path):
        """Those that were posted there."""
        found = [json.loads(gzip.decompress(body)) for _, _, body in self.server.of("/" + path)]
        for report in found:
            schema_check(report)
        return found

    def expect(self, report, name, day, good, failed=0):
        """day: 0 ends at the midnight, 1 begins with it."""
        date = (self.midnight + datetime.timedelta(days=day - 1)).date()
        self.assertEqual(report["report-id"], f"{date}.{name}.{ZONE}@gw.example.org")
        self.assertEqual(report["date-range"], {"start-datetime": f"{date}T00:00:00Z",
                                                "end-datetime": f"{date}T23:59:59Z"})
        policy, = report["policies"]
        self.assertEqual(policy["summary"], {"total-successful-session-count": good,
                                             "total-failure-session-count": failed})
        self.assertEqual([f["result-type"] for f in policy.get("failure-details", [])],
                         ["starttls-not-supported"] * (failed > 0))

    def test_the_day_turns(self):
        """Sessions before midnight are in that day's report, what comes after it in the next one."""
        self.sink(port=self.mx)
        self.sink(port=self.mx, host=PLAIN_HOST, tls=None)
        gateway = self.start(at=-20)
        self.send(gateway, "turn", "turn", "plain", "turn")
        counted = {"turn": (3, 0), "plain": (0, 1)}
        wait_for(lambda: self.shown(gateway) == counted, 5, "the counts")
        self.assertGreater(self.until(0), 0, "it is still that day")
        time.sleep(self.until(0) + 0.1)
        self.send(gateway, "turn")
        wait_for(lambda: self.shown(gateway) == {"turn": (1, 0)}, 5, "the new day's counts")
        self.assertEqual(self.shown(gateway, "--yesterday"), counted)
        wait_for(lambda: self.ends(gateway) == {"turn": "sent", "plain": "sent"}, 60, "the reports")
        self.expect(self.reports("turn")[0], "turn", 0, 3)
        self.expect(self.reports("plain")[0], "plain", 0, 0, 1)
        gateway.stop()
        # Not again after a restart; one more that is due shows that the process has been at work.
        gateway = self.start(HOUR, ["https"])
        wait_for(lambda: self.ends(gateway).get("https") == "sent", 20, "the other report")
        gateway.stop()
        self.assertEqual(sorted(p[0] for p in self.server.posts), ["/https", "/plain", "/turn"])
        # The next day's.
        gateway = self.start(DAY + HOUR)
        wait_for(lambda: self.ends(gateway) == {"turn": "sent"}, 20, "the next day's report")
        gateway.stop()
        self.assertEqual(len(self.reports("turn")), 2)
        self.expect(self.reports("turn")[1], "turn", 1, 1)
        self.assertEqual(len(self.server.posts), 4)

    def test_counts_outlive_the_process(self):
        """It is killed before midnight, and another one sends after it."""
        self.sink(port=self.mx)
        gateway = self.start(at=-HOUR)
        self.send(gateway, "turn", "turn")
        today = (self.midnight - datetime.timedelta(days=1)).date()
        path = os.path.join(gateway.folder, "state", "tlsrpt", f"{today}.0")
        wait_for(lambda: os.path.exists(path), 15, "the day's file")
        self.assertEqual(self.shown(gateway), {"turn": (2, 0)})
        process, gateway.process = gateway.process, None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        gateway = self.start(at=-HOUR / 2)
        self.send(gateway, "turn")
        wait_for(lambda: self.shown(gateway) == {"turn": (3, 0)}, 5, "the sum")
        gateway.stop()
        self.assertEqual(self.server.posts, [])
        gateway = self.start(at=HOUR)
        wait_for(lambda: self.ends(gateway) == {"turn": "sent"}, 20, "the report")
        report, = self.reports("turn")
        self.expect(report, "turn", 0, 3)

    def test_reports_are_spread(self):
        """None in the first minutes, some after two of four hours, each once in the end."""
        gateway = self.start(240, MANY, delay_s=4 * HOUR)
        self.assertEqual(set(self.shown(gateway, "--yesterday")), set(MANY))
        time.sleep(1)
        self.assertEqual(self.shown(gateway), {})
        self.assertEqual(self.server.posts, [])
        gateway.stop()
        gateway = self.start(2 * HOUR, delay_s=4 * HOUR)
        seen = -1
        while seen < (seen := len(self.server.posts)) or seen == 0:
            time.sleep(3)  # which is long: each takes milliseconds, and eight go at once
        self.assertIn(seen, range(1, len(MANY)))  # but for once in 2^31
        wait_for(lambda: len(self.ends(gateway)) == seen, 10, "the ends")
        gateway.stop()
        gateway = self.start(4 * HOUR + 1, delay_s=4 * HOUR)
        wait_for(lambda: len(self.ends(gateway)) == len(MANY), 20, "all of them")
        self.assertEqual(set(self.ends(gateway).values()), {"sent"})
        reports = self.reports("many")
        self.assertEqual(sorted(r["report-id"] for r in reports),
                         sorted(f"{self.yesterday()}.{name}.{ZONE}@gw.example.org" for name in MANY))

    def test_what_fails_is_given_up_when_the_day_ends(self):
        gateway = self.start(-15, ["hopeless"])
        day = self.yesterday()
        wait_for(lambda: self.ends(gateway, day) == {"hopeless": "given-up"}, 30, "its end")
        tries = len(self.server.of("/broken"))
        self.assertGreater(tries, 1)
        row, = gateway.events("tlsrpt_given_up")
        self.assertEqual((row["domain"], row["tries"]), (f"hopeless.{ZONE}", str(tries)))
        gateway.stop()
        gateway = self.start(HOUR, ["https"])
        wait_for(lambda: self.ends(gateway) == {"https": "sent"}, 20, "the next day's report")
        self.assertEqual(len(self.server.of("/broken")), tries)


if __name__ == "__main__":
    tap.main()
