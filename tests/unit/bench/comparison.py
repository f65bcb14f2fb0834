#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the tables, the bars and the plots say what a comparison found?

usage: comparison.py FOLDER-OF-BENCH
"""

import argparse
import contextlib
import copy
import io
import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

BENCH = os.path.abspath(sys.argv.pop(1))
sys.dont_write_bytecode = True
sys.path.insert(0, BENCH)

import compare  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402

with open(os.path.join(BENCH, "bars.json"), encoding="utf-8") as plan_file:
    PLAN = json.load(plan_file)


def cell(relay, cpu, load="4k-100", version="1.3", **more):
    rounds = [dict({"round": i, "cpu_ms": ms, "cpu_s_gb": ms * 244, "per_client": ms * 10, "seconds": 2.0,
                    "bytes": 4096000, "received": 1000, "duplicates": 0, "corrupt": 0, "plain": 0,
                    "hop_handshakes": 3, "hop_resumed": 1}, **more) for i, ms in enumerate(cpu)]
    return {"load": load, "tls": version, "relay": relay, "messages": 1000, "size": 4096,
            "rounds": rounds}


def limit(cpu_ms_message, load="4k-100", version="1.3"):
    keys = ("open_s_gb", "seal_s_gb", "relay_s_gb", "relay_tls_s_gb", "client_full_ms",
            "server_resumed_ms", "client_resumed_ms", "limit_mb_s", "kernel_limit_mb_s")
    return dict({key: 1.0 for key in keys}, load=load, tls=version, cpu_ms_message=cpu_ms_message,
                server_full_ms=0.25)


def results(cells, limits=(), idle=()):
    titles = {"postern": "postern", "nginx": "nginx stream", "haproxy": "HAProxy", "postfix": "Postfix"}
    return {"machine": {"cpu": "A & B", "cores": 2, "kernel": "6.1", "load_average": 0.5, "date": "today"},
            "rounds": 3, "workers": 1, "quick": False, "suites": dict(PLAN["suites"]),
            "relays": {name: {"title": title, "version": "1", "cpu_counted_by": "cgroup v2"}
                       for name, title in titles.items()},
            "lacking": {"postern, kernel TLS": "no CONFIG_TLS"}, "cells": list(cells), "limits": list(limits), "idle": list(idle), "bars": [], "problems": []}


class Bars(unittest.TestCase):
    def judged(self, *args, **more):
        found = results(*args, **more)
        report.judge(PLAN, found)
        return {b["text"]: b for b in found["bars"]}

    def test_a_bar_compares_round_by_round(self):
        # A machine that was twice as slow in the second round: each ratio is 0.5 all the same.
        bars = self.judged([cell("postern", [1, 2, 1]), cell("haproxy", [2, 4, 2])])
        bar = bars["4 KB, 100 a session, TLS 1.3: at most 0.8 x HAProxy"]
        self.assertEqual((bar["found"], bar["met"]), (0.5, True))

    def test_a_missed_bar_is_missed(self):
        bars = self.judged([cell("postern", [1, 1, 1]), cell("haproxy", [1, 1, 1])])
        self.assertFalse(bars["4 KB, 100 a session, TLS 1.3: at most 0.8 x HAProxy"]["met"])

    def test_rounds_that_failed_are_left_out(self):
        ours, theirs = cell("postern", [1, 1, 9]), cell("haproxy", [2, 2, 2])
        del theirs["rounds"][2]
        bars = self.judged([ours, theirs])
        self.assertEqual(bars["4 KB, 100 a session, TLS 1.3: at most 0.8 x HAProxy"]["found"], 0.5)

    def test_what_was_not_measured_is_not_judged(self):
        self.assertEqual(self.judged([cell("haproxy", [1])]), {})
        self.assertEqual(self.judged([cell("postern", [1], version="1.2"), cell("haproxy", [1])]), {})

    def test_limits_and_handshakes(self):
        bars = self.judged([cell("postern", [10, 11, 12], load="10m"),
                            cell("postern", [0.4, 0.4, 0.4], load="4k-1")],
                           [limit(10.0, load="10m"), limit(1, load="4k-1")])
        of_limit = bars["10 MB, 1 a session, TLS 1.3: at most 1.25 x the userspace limit"]
        self.assertEqual((of_limit["found"], of_limit["met"]), (1.1, True))
        of_handshake = bars["4 KB, 1 a session, TLS 1.3: at most 2 x a server handshake in memory"]
        self.assertAlmostEqual(of_handshake["found"], 1.6)

    def test_idle_memory(self):
        idle = [{"relay": "postern", "tls": "1.3", "sessions": 10000, "kb_each": 6.5}]
        bar = self.judged([], idle=idle)["idle sessions, TLS 1.3: at most 6 KB each"]
        self.assertEqual((bar["found"], bar["met"]), (6.5, False))

    def test_each_bar_names_a_load_of_the_plan(self):
        loads = {row["name"] for row in PLAN["loads"]} | {PLAN["idle"]["name"]}
        for bar in PLAN["bars"]:
            self.assertIn(bar["load"], loads)
            self.assertIn(bar["tls"], PLAN["suites"])


class Tables(unittest.TestCase):
    found = results([cell("postern", [0.1, 0.3, 0.2], duplicates=2, corrupt=1),
                     dict(cell("haproxy", [0.2, 0.2, 0.2]),
                          latency={"rate": 100, "p50": 0.5, "p99": 2.25, "p99.9": 9, "max": 9})],
                    [limit(0.1)], [{"relay": "haproxy", "tls": "1.3", "sessions": 9850, "kb_each": 34.25}])

    def test_medians_extremes_and_sums(self):
        f = report.figures(self.found, self.found["cells"][0])
        self.assertEqual((f["cpu_ms"], f["cpu_ms_min"], f["cpu_ms_max"]), (0.2, 0.1, 0.3))
        self.assertEqual((f["duplicates"], f["bad"], f["messages"]), (6, 3, 3000))
        self.assertAlmostEqual(f["percent"], 50)

    def test_the_table_has_all(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            report.table(PLAN, self.found)
        for words in ("HAProxy", "0.200", "2.2", "9850", "34.2", "A & B", "no CONFIG_TLS", "TLS_AES_128_GCM_SHA256"):
            self.assertIn(words, out.getvalue())

    def test_markdown_replaces_what_stands_between_its_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "README.md")
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            for _ in range(2):
                report.markdown(PLAN, self.found, path)
            with open(path, encoding="utf-8") as f:
                got = f.read()
        self.assertTrue(got.startswith("before\n") and got.endswith(f"{report.END}\nafter\n"), got)
        self.assertNotIn("old", got)
        self.assertEqual(got.count("| HAProxy |"), 2)

    def test_markdown_replaces_nothing_in_a_file_without_its_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "README.md")
            for text, fits in (("by hand\n", False), (f"{report.BEGIN}\nby hand\n", False),
                               (f"{report.END}\nby hand\n{report.BEGIN}\n", False), ("", True),
                               (f"a{report.BEGIN}b{report.END}c", True)):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                self.assertEqual(report.markdown_fits(path), fits, text)
            self.assertTrue(report.markdown_fits(os.path.join(folder, "new.md")))

    def test_markdown_makes_a_file_of_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "new.md")
            report.markdown(PLAN, self.found, path)
            with open(path, encoding="utf-8") as f:
                self.assertIn("| postern |", f.read())


class Garbled(compare.Version):
    """Instead of relays: what becomes of the loads is the test's word."""

    def __init__(self, comparison, version, _certificate):
        self.c, self.version = comparison, version

    def run(self):
        relay = argparse.Namespace(title="HAProxy")
        for row in self.c.loads:
            found = self.guarded(relay, row, self.measure)
            if found:
                self.c.results["cells"].append(found)

    def measure(self, _relay, row):
        happens = self.c.args.happens.pop(0)
        if isinstance(happens, BaseException):
            raise happens
        return cell("haproxy", [happens], load=row["name"])


class Ends(unittest.TestCase):
    def compared(self, *happens):
        """Results as they were saved, and what ended the run."""
        with tempfile.TemporaryDirectory() as folder:
            args = argparse.Namespace(
                quick=True, rounds=1, build=folder, out=os.path.join(folder, "out"), workers=1,
                loads=["4k-1", "4k-100"], peers=[], tls=["1.3"], happens=list(happens))
            with mock.patch.object(compare, "Version", Garbled), \
                    mock.patch.object(compare, "Certificate"), contextlib.redirect_stderr(io.StringIO()):
                ended = None
                try:
                    compare.Comparison(args, PLAN).run()
                except BaseException as e:  # pylint: disable=broad-exception-caught
                    ended = e
            with open(os.path.join(args.out, "compare.json"), encoding="utf-8") as f:
                return json.load(f), ended

    def test_one_failure_costs_its_own_figures(self):
        for happens in (OSError(28, "No space left"), ValueError("garbled"), KeyError("messages"),
                        compare.Failure("not accepted"), ZeroDivisionError("by 0")):
            with self.subTest(happens=happens):
                found, ended = self.compared(happens, 2.0)
                self.assertIsNone(ended)
                self.assertEqual([c["load"] for c in found["cells"]], ["4k-100"])
                self.assertEqual(len(found["problems"]), 1)
                self.assertIn("HAProxy, 4 KB, 1 a session, TLS 1.3: ", found["problems"][0])

    def test_what_was_found_is_kept_where_the_run_is_ended(self):
        for happens in (SystemExit(143), KeyboardInterrupt()):
            with self.subTest(happens=happens):
                found, ended = self.compared(1.0, happens)
                self.assertIs(ended, happens)
                self.assertEqual([c["load"] for c in found["cells"]], ["4k-1"])
                self.assertEqual(found["problems"], ["the run was ended early"])


class Plots(unittest.TestCase):
    def test_each_measure_is_a_picture(self):
        found = copy.deepcopy(Tables.found)
        found["cells"].append(cell("postern", [3.0], load="10m", version="1.2"))
        with tempfile.TemporaryDirectory() as folder:
            written = plot.write_all(PLAN, found, folder)
            self.assertEqual(len(written), len(plot.MEASURES))
            for path in written:
                root = xml.etree.ElementTree.parse(path).getroot()
                words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
                self.assertTrue(any("HAProxy" in w for w in words), path)
                for e in root.iter():
                    for key in ("x", "x1", "x2", "cx", "y", "y1", "y2", "cy"):
                        if key in e.attrib:
                            self.assertGreaterEqual(float(e.attrib[key]), 0)
                            self.assertLessEqual(float(e.attrib[key]), float(
                                root.attrib["width" if "x" in key else "height"]))

    def test_what_was_not_measured_has_none(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(plot.write_all(PLAN, results([]), folder), [])

    def test_scales_hold_all_values(self):
        for values in ([0.05, 2], [1, 1], [3, 3.1], [1e-4, 1e6], [7.0, 1480], [2, 5]):
            for kind in (plot.LogScale, plot.LinearScale):
                scale = kind(values)
                for v in values:
                    self.assertTrue(-1e-9 <= scale.place(v) <= 1 + 1e-9, (kind, values))
                self.assertLessEqual(len(scale.marks), 12)
                self.assertGreaterEqual(len(scale.marks), 2)

    def test_figures_have_three_digits(self):
        for value, words in ((0.0891, "0.0891"), (1.7823, "1.78"), (15.81, "15.8"), (1479.2, "1479"), (0, "0")):
            self.assertEqual(plot.figure(value), words)


if __name__ == "__main__":
    unittest.main()
