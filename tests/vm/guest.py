#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What run.py runs in the virtual machine, with the programs that were just built: the unit tests
of what asks the kernel for something, the probe, the choice of who deals with TLS records, peers
that change keys, and the gateway under a load that is checked."""
import json
import os
import re
import resource
import signal
import subprocess
import sys

for folder in ("../lib", "../process"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), folder))

import tap  # noqa: E402
from bench import LIMITS, BenchCase, ledger_read  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import BUILD, route  # noqa: E402
from test_records import Records  # noqa: E402,F401
from test_rekey import Rekey  # noqa: E402,F401

# Parsers do the same on each kernel; these do not.
UNIT_FOLDERS = ("dataplane", "firmware", "gateway", "process", "upstream")
CIPHERS = {f"{version} {cipher}" for version in ("TLS1.2", "TLS1.3")
           for cipher in ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305")}


class Probe(BenchCase):
    def test_the_platform_is_found(self):
        done = subprocess.run([os.path.join(BUILD, "postern-platform"), "probe", "--json"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        print(f"# {found['kernel']}", flush=True)
        ring = found["io_uring"]
        self.assertTrue(ring["available"] and ring["usable"], ring)
        self.assertEqual(ring["why"], "")
        tls = found["kernel_tls"]
        self.assertTrue(tls["available"], tls)
        both = {c["cipher"] for c in tls["ciphers"] if c["tx"] and c["rx"]}
        self.assertEqual(both, CIPHERS, tls)
        release = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
        self.assertEqual(tls["rekey"], release >= (6, 14), tls)
        self.assertEqual(tls["splice_pages"], release >= (6, 5), tls)
        lacking = {f["id"] for f in found["kernel_fixes"]["fixes"] if not f["there"]}
        self.assertEqual("CVE-2026-23240" in lacking, release < (6, 12), found["kernel_fixes"])


class Unit(BenchCase):
    """A test for each of meson's own, added below."""


class Gateway(BenchCase):
    def loads(self, version):
        small = f"--starttls{version} --messages 60 --sessions 6 --per-session 10"
        big = f"--starttls{version} --messages 1 --size 10M"
        return [small, small + " --bdat", big, big + " --bdat"]

    def check_pair(self, sink_options, version_in, names):
        got = self.run_loads(sink_options, self.loads(version_in))
        self.assertEqual(len(got["sessions"]["tls"]), 1, got)
        self.assertRegex(list(got["sessions"]["tls"])[0], names)

    def test_tls13_in_tls13_out(self):
        self.check_pair((), "", "TLS_")

    def test_tls12_in_tls13_out(self):
        self.check_pair((), " --tls1.2", "TLS_")

    def test_tls13_in_tls12_out(self):
        self.check_pair(("--tls1.2",), "", "ECDHE-")

    def test_tls12_in_tls12_out(self):
        self.check_pair(("--tls1.2",), " --tls1.2", "ECDHE-")

    def under_load(self, *ledgers):
        """(sink, gateway, load), with some messages through; the load goes on."""
        sink, port = self.bench_sink(*(("--ledger", ledgers[1]) if ledgers else ()))
        gateway = self.gateway([route("hop.example", port)], settings=LIMITS)
        load = self.load(gateway, "--starttls", "--sessions", "4", "--per-session", "20",
                         "--messages", "1000000", *(("--ledger", ledgers[0]) if ledgers else ()))
        self.addCleanup(load.kill)
        wait_for(lambda: len(gateway.events("message")) >= 50, 20, "messages pass")
        return sink, gateway, load

    def test_a_reload_under_load_loses_nothing(self):
        sink, gateway, load = self.under_load()
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.events("reloaded"), 15, "reload")
        before = len(gateway.events("message"))
        wait_for(lambda: len(gateway.events("message")) >= before + 50, 20, "messages pass again")
        load.terminate()
        sent, got = self.report(load), self.report(sink)
        self.assertEqual(sent["sessions"]["lost"], 0, sent)
        self.assertEqual(sent["sessions"]["failed"], 0, sent)
        self.assertGreaterEqual(got["messages"]["verdicts"]["intact"],
                                sent["messages"]["accepted"])
        self.assertEqual(got["messages"]["corrupt"], 0)

    def test_a_drain_under_load_loses_nothing(self):
        ledgers = [os.path.join(self.folder, name) for name in ("accepted", "received")]
        sink, gateway, load = self.under_load(*ledgers)
        gateway.stop()  # SIGTERM; the status is 0
        load.terminate()
        sent, got = self.report(load), self.report(sink)
        accepted, received = map(ledger_read, ledgers)
        self.assertGreaterEqual(len(accepted), 20)
        self.assertEqual(len(accepted), sent["messages"]["accepted"])
        self.assertEqual(set(accepted) - set(received), set())
        self.assertEqual(got["messages"]["corrupt"], 0)


def unit_test(row):
    """A unittest method that runs one of meson's tests."""
    def run(self):
        env = dict(os.environ, **row["env"])
        done = subprocess.run(row["cmd"], cwd=row["workdir"], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        said = done.stdout.decode(errors="replace")
        self.assertEqual(done.returncode, 0, "\n" + said[-3000:])
    return run


def unit_tests_add():
    with open(os.path.join(BUILD, "meson-info", "intro-tests.json"), encoding="utf-8") as f:
        rows = json.load(f)
    for row in rows:
        place = re.search(r"/tests/unit/([a-z_]+)/test_([a-z0-9_]+)$", row["cmd"][0])
        if place and place[1] in UNIT_FOLDERS:
            setattr(Unit, f"test_{place[1]}_{place[2]}", unit_test(row))


if __name__ == "__main__":
    # As a service manager gives them; the kernel's own limit is too low for many sessions.
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    unit_tests_add()
    tap.main()
