#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the gateway lose, double or change a message under load, by any way in and out, and when a
worker dies in the middle?"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from bench import LIMITS, BenchCase, ledger_read  # noqa: E402
from gateway import route  # noqa: E402


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def is_worker(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as f:
            return "worker" in f.read()
    except OSError:
        return False


class Load(BenchCase):
    def test_data_and_bdat_arrive_intact(self):
        self.run_loads((), (
            "--starttls --messages 300 --sessions 10 --per-session 10",
            "--starttls --messages 300 --sessions 10 --per-session 10 --bdat",
            "--starttls --messages 100 --sessions 10 --per-session 10 --bdat --chunk 1000 --size 20000",
            "--starttls --messages 8 --sessions 4 --per-session 4 --bdat --chunk 17 --size 3000",
            "--starttls --messages 4 --sessions 2 --size 10M",
            "--starttls --messages 4 --sessions 2 --size 10M --bdat --chunk 64K",
            "--plain --messages 100 --sessions 10 --per-session 10"))

    def test_each_suite_arrives_intact(self):
        self.run_loads((), [
            f"--starttls --messages 60 --sessions 10 --per-session 3 --size 100000 --suites {suite}"
            for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                          "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                          "ECDHE-ECDSA-CHACHA20-POLY1305")])

    def test_next_hops_without_extensions(self):
        loads = ("--starttls --messages 100 --sessions 10 --per-session 10 --bdat",
                 "--starttls --messages 2 --sessions 2 --size 5M")
        for sink_options in (("--no-chunking",), ("--no-pipelining",), ("--tls1.2",),
                             ("--no-chunking", "--no-pipelining", "--delay-ms", "10")):
            with self.subTest(sink=sink_options):
                self.run_loads(sink_options, loads)

    def test_a_thousand_sessions(self):
        self.run_loads((), ("--starttls --messages 2000 --sessions 1000 --per-session 2",))

    def test_a_resuming_client_resumes_each_time(self):
        """RFC 8446 appendix C.4: a client uses a ticket once, and needs a new one each time."""
        _, port = self.bench_sink()
        gateway = self.gateway([route("hop.example", port)])
        for version in ((), ("--tls1.2",)):
            with self.subTest(version=version):
                sent = self.report(self.load(gateway, "--starttls", "--resume", "--messages", "10",
                                             *version))
                self.assertEqual(sent["sessions"]["resumed"], 9)

    def test_dying_workers_and_refusals_lose_nothing(self):
        """What the sender saw accepted has arrived; what it did not see may have (a duplicate)."""
        ledgers = [os.path.join(self.folder, name) for name in ("accepted", "received")]
        sink, port = self.bench_sink("--fail-rate", "0.1", "--code", "452", "--ledger", ledgers[1])
        gateway = self.gateway([route("hop.example", port)],
                               settings=dict(LIMITS, gateway={"workers": 2}))
        load = self.load(gateway, "--starttls", "--sessions", "40", "--per-session", "50", "--size", "20000",
                         "--seconds", "6", "--ledger", ledgers[0])
        killed = 0
        for _ in range(3):
            time.sleep(1.5)
            workers = [p for p in children(gateway.process.pid) if is_worker(p)]
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                killed += 1
        sent, got = self.report(load), self.report(sink)
        accepted, received = map(ledger_read, ledgers)
        self.assertEqual(killed, 3)
        self.assertGreater(len(accepted), 100)
        self.assertEqual(len(accepted), sent["messages"]["accepted"])
        self.assertEqual(set(accepted) - set(received), set())
        self.assertEqual(got["messages"]["corrupt"], 0)
        self.assertEqual(got["messages"]["verdicts"]["intact"], len(received))


if __name__ == "__main__":
    tap.main()
