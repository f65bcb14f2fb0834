#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway under load in the virtual machine, by each pair of TLS versions; the load checks every
byte. It reloads and drains meanwhile, and loses nothing."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from bench import LIMITS, BenchCase, ledger_read  # noqa: E402
from client import EMULATED, PATIENCE, wait_for  # noqa: E402
from gateway import route  # noqa: E402


class Gateway(BenchCase):
    def loads(self, version):
        small = f"--starttls{version} --messages 60 --sessions 6 --per-session 10"
        big = f"--starttls{version} --messages 1 --size {'3M' if EMULATED else '10M'}"
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
        # A session of twenty messages ends by itself before the old generation drains.
        gateway = self.gateway([route("hop.example", port)], settings={
            **LIMITS, "gateway": {"drain_timeout_s": int(20 * PATIENCE)}})
        load = self.load(gateway, "--starttls", "--sessions", "4", "--per-session", "20",
                         "--messages", "1000000", *(("--ledger", ledgers[0]) if ledgers else ()))
        self.addCleanup(load.kill)
        wait_for(lambda: gateway.event_count("message") >= 50, 20, "messages pass")
        return sink, gateway, load

    def test_a_reload_under_load_loses_nothing(self):
        sink, gateway, load = self.under_load()
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.events("reloaded"), 15, "reload")
        before = gateway.event_count("message")
        wait_for(lambda: gateway.event_count("message") >= before + 50, 20, "messages pass again")
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


if __name__ == "__main__":
    tap.main()
