# SPDX-License-Identifier: Apache-2.0
"""postern-bench on both sides of a gateway. It shares no code with the gateway, and its sink checks
every byte of every message."""
import json
import os
import subprocess

from client import PATIENCE
from gateway import BUILD, free_port, route
from setup import Case

PROGRAM = os.path.join(BUILD, "postern-bench")
LIMITS = {"limits": {"max_sessions": 5000, "max_sessions_per_address": 5000}}


def ledger_read(path):
    """(run, number) of each message."""
    with open(path, encoding="ascii") as f:
        return [tuple(line.split()[:2]) for line in f]


class BenchCase(Case):
    def bench_sink(self, *options):
        port = free_port()
        process = subprocess.Popen(
            [PROGRAM, "sink", "--listen", f"127.0.0.1:{port}", "--starttls", "--seconds", "300", "--json",
             *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertIn("sink listens", process.stderr.readline())
        return process, port

    def load(self, gateway, *options):
        return subprocess.Popen(
            [PROGRAM, "load", "--target", "127.0.0.1:%d" % gateway.ports["internet"], "--json",
             "--rcpt", "sink@hop.example", "--timeout", str(int(20 * PATIENCE)), *options],
            stdout=subprocess.PIPE, text=True)

    def report(self, process):
        if process.args[1] == "sink":
            process.terminate()
        return json.loads(process.communicate(timeout=120 * PATIENCE)[0])

    def accepted_whole(self, process):
        """The load's report, once each of its messages was accepted and no session failed."""
        sent = self.report(process)
        self.assertEqual(sent["messages"]["accepted"], sent["messages"]["started"], sent)
        self.assertEqual(sent["sessions"]["failed"], 0, sent)
        return sent

    def run_loads(self, sink_options, loads):
        """Each load is accepted whole, and the sink has each message once, intact, under TLS. The
        sink's report."""
        sink, port = self.bench_sink(*sink_options)
        gateway = self.gateway([route("hop.example", port)], settings=LIMITS)
        started = 0
        for options in loads:
            with self.subTest(options=options):
                sent = self.accepted_whole(self.load(gateway, *options.split()))
                started += sent["messages"]["started"]
        got = self.report(sink)
        self.assertEqual(got["messages"]["verdicts"]["intact"], started)
        self.assertEqual(sum(r["unique"] for r in got["runs"]), started)
        for word in ("duplicates", "corrupt", "aborted", "plain", "bare_lf"):
            self.assertEqual(got["messages"][word], 0, word)
        return got
