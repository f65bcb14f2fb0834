#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is an administrator told of certificates that end soon or have ended, in the log, in the metrics, in
posternctl status and by a check, and no more once they are replaced; and does mail go on?"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, wait_for  # noqa: E402
from gateway import BUILD, free_port, route  # noqa: E402
from setup import Case  # noqa: E402


def posternctl(*words):
    return subprocess.run([os.path.join(BUILD, "posternctl"), *words], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, text=True)


class Expiry(Case):
    def setUp(self):
        self.port = free_port()
        self.own = self.authority.issue("own.example", days=9)
        self.client = self.authority.issue("client.example", days=29)
        past = self.authority.issue_past("mx.clinic.example", ["mx.clinic.example"])[0]
        self.pins = os.path.join(tempfile.mkdtemp(dir=self.folder), "clinic.example.conf")
        done = posternctl("partner", "add", "clinic.example", f"--write={self.pins}", "--cert", past)
        self.assertEqual(done.returncode, 0, done)

    def start(self, **tls):
        sink = self.sink()
        return self.gateway(
            [route("hop.example", sink.port,
                   tls={"client": {"cert": self.client[0], "key": self.client[1]}}),
             route("clinic.example", sink.port, tls={"level": "pin", "pin_file": self.pins})],
            None, {"gateway": {"metrics": f"127.0.0.1:{self.port}"},
                   "tls": {"certificates": [{"cert": self.own[0], "key": self.own[1]}], **tls}})

    def metrics(self):
        """{file: (name, use, when it ends)}"""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            rows = re.findall(r'(?m)^postern_certificate_not_after_seconds{file="([^"]*)",'
                              r'name="([^"]*)",use="([^"]*)"} (\d+)$', answer.read().decode())
        return {file: (name, use, int(end)) for file, name, use, end in rows}

    def told(self, gateway):
        """(file, event, use) of the log's lines."""
        return [(row["file"], event, row["use"]) for event in ("certificate_expired", "certificate_expires")
                for row in gateway.events(event)]

    def test_told_until_replaced(self):
        gateway = self.start()
        wait_for(lambda: gateway.events("certificate_expires"), 10, "a line")
        self.assertEqual(sorted(self.told(gateway)), sorted([
            (self.pins, "certificate_expired", "pin"), (self.own[0], "certificate_expires", "listener"),
            (self.client[0], "certificate_expires", "next_hop")]))
        row, = (r for r in gateway.events("certificate_expires") if r["file"] == self.own[0])
        self.assertIn(int(row["days_left"]), (8, 9))  # a second may have passed
        self.assertEqual(row["name"], "own.example")
        status, out, _ = gateway.ctl("status")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"(?m)^CERTIFICATE EXPIRED on 2020-02-01: {self.pins} \(mx.clinic.example\)$")
        self.assertRegex(out, rf"(?m)^CERTIFICATE EXPIRES on [-\d]{{10}}, in [89] days: {self.own[0]} ")
        listed = gateway.ctl_json("status")["certificates"]
        self.assertEqual([c["file"] for c in listed],
                         [self.pins, self.own[0], self.client[0], self.authority.cert])
        metrics = wait_for(self.metrics, 10, "metrics of certificates")
        self.assertEqual(metrics[self.pins], ("mx.clinic.example", "pin", 1580515200))
        self.assertEqual({file: use for file, (_, use, _) in metrics.items()},
                         {self.pins: "pin", self.own[0]: "listener", self.client[0]: "next_hop",
                          self.authority.cert: "ca"})
        with Client(gateway.address()) as c:
            c.starttls()
            self.assertRegex(c.message("x@hop.example", b"Subject: x\r\n\r\nx\r\n"), "^250 2")
        # Replaced, taken over, and told of no more; a metrics process of its own has that as well.
        self.authority.issue("own.example", days=200)
        before = len(gateway.events("certificate_expires"))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        wait_for(lambda: self.metrics()[self.own[0]][2] > metrics[self.own[0]][2], 10, "the new end")
        self.assertEqual([r["file"] for r in gateway.events("certificate_expires")[before:]],
                         [self.client[0]])
        pid, = (p["pid"] for p in gateway.ctl_json("status")["processes"] if p["process"] == "metrics")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(set(wait_for(self.metrics, 20, "metrics again")), set(metrics))

    def test_a_next_hop_once_a_day(self):
        """Of levels that judge its certificate, by its host, whatever connection and worker it was."""
        soon = self.authority.issue("soon.example", days=5)
        sinks = [self.sink(cert=soon), self.sink(cert=soon), self.sink()]
        verify = {"level": "verify", "ca": self.authority.cert, "names": ["soon.example", "sink.example"]}
        routes = [route("soon.example", sinks[0].port, tls=verify),
                  route("again.example", sinks[0].port, tls=verify),
                  route("any.example", sinks[1].port),
                  route("later.example", sinks[2].port, tls=verify)]
        gateway = self.gateway(routes, None, {"gateway": {"workers": 2}, "limits": {"hop_max_messages": 1}})
        for _ in range(3):
            for domain in ("any", "later", "soon", "again"):
                with Client(gateway.address()) as c:
                    c.starttls()
                    self.assertRegex(c.message(f"x@{domain}.example", b"Subject: x\r\n\r\nx\r\n"), "^250 2")
        wait_for(lambda: len(gateway.events("message")) == 12, 10, "the lines of messages")
        row, = gateway.events("certificate_expires")
        self.assertEqual((row["hop"], row["name"], row["use"]), ("127.0.0.1", "soon.example", "peer"))
        self.assertIn(int(row["days_left"]), (4, 5))

    def test_how_early_is_a_setting(self):
        gateway = self.start(expiry_warning_days=0)
        wait_for(lambda: gateway.events("certificate_expired"), 10, "a line")
        self.assertEqual(self.told(gateway), [(self.pins, "certificate_expired", "pin")])
        path = gateway.config_write()
        with open(path) as f:
            text = f.read().replace("expiry_warning_days = 0", "expiry_warning_days = 10")
        with open(path, "w") as f:
            f.write(text)
        done = posternctl("config", "check", path)
        self.assertEqual((done.returncode, done.stdout), (0, f"{path}: accepted\n"))
        self.assertRegex(done.stderr, rf"^{self.pins}: the certificate mx.clinic.example has expired on "
                         rf"2020-02-01\n{self.own[0]}: the certificate own.example expires on [-\d]{{10}}, "
                         r"in [89] days\n$")
        self.assertEqual(gateway.ctl("reload")[0], 0)
        wait_for(lambda: gateway.events("certificate_expires"), 10, "a line")
        self.assertEqual(self.told(gateway)[-1], (self.own[0], "certificate_expires", "listener"))


if __name__ == "__main__":
    tap.main()
