#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much CPU and memory do postern and other relays use for the same mail, and how near is each to
what the machine allows? Runs the same loads through all of them, interleaved, checks every byte,
and prints one table; JSON and SVG plots beside it. Exit status 0: every bar of bench/bars.json that
was measured is met; 1: one is missed; 2: something could not be measured. bench/README.md has the
method and its limits. Needs root, for cgroups, chroot and tmpfs."""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

import plot
import report
from instruments import Certificate, Load, Sink, limit, machine
from relay import FILES, HERE, RELAYS, Failure

SETTLE_S = 0.3  # what a relay still does after its last delivery belongs to the load
IDLE_SETTLE_S = 1
BAR = 30


class Progress:
    """A bar where standard error is a terminal, else a line for each step."""

    def __init__(self, steps):
        self.steps, self.done, self.began = steps, 0, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, text, steps=1):
        self.done = min(self.done + steps, self.steps)
        part = self.done / self.steps
        if self.terminal:
            left = (time.monotonic() - self.began) * (1 / part - 1)
            print(f"\r\033[K[{'#' * int(part * BAR):{BAR}}] {part:4.0%} {left / 60:4.1f} min left  "
                  f"{text}"[:200], end="", file=sys.stderr, flush=True)
        else:
            print(f"{part:4.0%} {text}", file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class Comparison:
    """One run: what is measured with, and what was found."""

    def __init__(self, args, plan):
        self.args, self.plan = args, plan
        self.size = "quick" if args.quick else "full"
        self.rounds = args.rounds or plan["rounds"][self.size]
        self.program = os.path.join(args.build, "postern-bench")
        self.loads = [row for row in plan["loads"] if row["name"] in args.loads]
        self.idle = plan["idle"]["name"] in args.loads
        wanted = [(kind, kind.lacking(args.build)) for kind in RELAYS if kind.name in args.peers]
        self.kinds = [kind for kind, why in wanted if not why]
        each = 1 + sum(1 + self.rounds + (row["rate"] > 0) for row in self.loads) + self.idle
        self.progress = Progress(len(args.tls) * (len(self.loads) + len(self.kinds) * each))
        self.results = {"machine": machine(), "rounds": self.rounds, "workers": args.workers,
                        "quick": args.quick, "suites": {v: plan["suites"][v] for v in args.tls},
                        "relays": {}, "limits": [], "cells": [], "idle": [], "bars": [],
                        "lacking": {kind.title: why for kind, why in wanted if why},
                        "problems": []}

    def problem(self, text):
        self.results["problems"].append(text)

    def guarded(self, what, measure, *args):
        """One measurement, which may fail in any way: a relay's garbled answer, a full disk. That is
        noted, and the hours that others take are not lost."""
        try:
            return measure(*args)
        except Exception as e:  # pylint: disable=broad-exception-caught
            why = str(e) if isinstance(e, Failure) else f"{type(e).__name__}: {e}"
            self.problem(f"{what}: {why}")
            return None

    def run(self):
        """Whatever ends it, a signal too: what was found until then is saved."""
        try:
            with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
                certificate = Certificate(folder)
                for version in self.args.tls:
                    self.guarded(f"TLS {version}", lambda: Version(self, version, certificate).run())
        except BaseException:
            self.problem("the run was ended early")
            raise
        finally:
            self.progress.end()
            self.save()

    def save(self):
        """All that was found so far; whole even where this program is killed meanwhile."""
        report.judge(self.plan, self.results)
        os.makedirs(self.args.out, exist_ok=True)
        path = os.path.join(self.args.out, "compare.json")
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.results, f, indent=2)
        os.replace(path + ".new", path)


class Version:
    """The part of a comparison with one version of TLS: a sink, and all relays before it."""

    def __init__(self, comparison, version, certificate):
        self.c, self.version, self.certificate = comparison, version, certificate
        self.suite = comparison.plan["suites"][version]
        self.load = Load(comparison.program, self.suite)
        self.sink = Sink(comparison.program, self.suite)
        self.relays = []

    def run(self):
        try:
            for kind in self.c.kinds:
                self.c.guarded(f"{kind.title}, TLS {self.version}", self.relay_start, kind)
            for row in self.c.loads:
                self.c.guarded(f"limits, {row['title']}, TLS {self.version}", self.limit_measure, row)
                self.load_measure(row)
                self.c.save()
            if self.c.idle:
                for relay in self.relays:
                    self.guarded(relay, self.c.plan["idle"], self.idle_measure)
            self.sink_judge()
        finally:
            for relay in self.relays:
                self.c.guarded(f"the end of {relay.title}", relay.end)
            self.sink.end()

    def relay_start(self, kind):
        relay = kind(self.c.args.build, self.certificate, self.sink.port, self.c.args.workers)
        try:
            self.c.progress.step(f"TLS {self.version}: starting {relay.title}")
            relay.start()
            self.c.results["relays"][relay.name] = {
                "title": relay.title, "version": relay.version(), "cpu_counted_by": relay.group.how,
                "is_mta": relay.is_mta, "has_workers": relay.has_workers}
        except BaseException:
            relay.end()
            raise
        self.relays.append(relay)

    def guarded(self, relay, row, measure, *args):
        return self.c.guarded(f"{relay.title}, {row['title']}, TLS {self.version}",
                              measure, relay, row, *args)

    def limit_measure(self, row):
        self.c.progress.step(f"TLS {self.version}, {row['title']}: limits")
        found = limit(self.c.program, row, self.version, self.c.plan["limit_rounds"][self.c.size])
        self.c.results["limits"].append(dict(found, load=row["name"], tls=self.version))

    def load_measure(self, row):
        """Interleaved rounds, so that what else this machine does meets all relays alike."""
        cells = {}
        for relay in self.relays:
            self.c.progress.step(f"TLS {self.version}, {row['title']}: {relay.title}, warming up")
            messages = self.guarded(relay, row, self.count_find)
            if messages:
                cells[relay.name] = {"load": row["name"], "tls": self.version, "relay": relay.name,
                                     "messages": messages, "size": row["size"], "rounds": []}
        for i in range(self.c.rounds):
            for relay in self.relays if i % 2 == 0 else reversed(self.relays):
                if relay.name in cells:
                    found = self.guarded(relay, row, self.round_measure, cells[relay.name]["messages"])
                    if found:
                        found["round"] = i
                        cells[relay.name]["rounds"].append(found)
                        if len(cells[relay.name]["rounds"]) == 1:
                            self.c.results["cells"].append(cells[relay.name])
                        self.c.progress.step(
                            f"TLS {self.version}, {row['title']}, round {i + 1}: {relay.title} "
                            f"{found['cpu_ms']:.3f} ms CPU a message")
        for relay in self.relays:
            cell = cells.get(relay.name)
            if cell and cell["rounds"]:
                if row["rate"]:
                    self.c.progress.step(f"TLS {self.version}, {row['title']}: {relay.title}, latency")
                    cell["latency"] = self.guarded(relay, row, self.latency_measure)

    @staticmethod
    def row_of(relay, row):
        """The load for this relay, and the part that it is of the whole one."""
        sessions = row.get("fewer", {}).get(relay.name, row["sessions"])
        return dict(row, sessions=sessions), sessions / row["sessions"]

    def count_find(self, relay, row):
        """How many messages take cell_seconds: whole turns of all sessions where it is more than
        the least."""
        row, part = self.row_of(relay, row)
        least = int(row["least"][self.c.size] * part)
        few = max(row["sessions"], least // 5)
        sent = self.load.run(relay, row, few)
        self.sink.await_run(sent["run"], few, relay)
        wanted = self.c.plan["cell_seconds"][self.c.size] * few / max(sent["seconds"], 0.001)
        turn = row["sessions"] * row["per_session"]
        return max(least, int(wanted / turn) * turn)

    def round_measure(self, relay, row, messages):
        row, _ = self.row_of(relay, row)
        before = self.sink.report()
        cpu = relay.group.cpu_seconds()
        began = time.monotonic()
        sent = self.load.run(relay, row, messages)
        after = self.sink.await_run(sent["run"], messages, relay)
        seconds = time.monotonic() - began
        time.sleep(SETTLE_S)
        cpu = relay.group.cpu_seconds() - cpu
        return {"cpu_ms": cpu / messages * 1e3, "cpu_s_gb": cpu / (messages * row["size"]) * 1e9,
                "per_client": cpu / sent["cpu_seconds"], "seconds": seconds,
                "bytes": after["bytes"] - before["bytes"], **counts(before, after), "load": sent}

    def latency_measure(self, relay, row):
        """Percentiles in open loop, at the same rate for all."""
        row, part = self.row_of(relay, row)
        messages = int(row["rate"] * self.c.plan["latency_seconds"][self.c.size] * part)
        sent = self.load.run(relay, row, messages, "--rate", row["rate"])
        self.sink.await_run(sent["run"], messages, relay)
        return dict(sent["latency_ms"], rate=row["rate"])

    def idle_measure(self, relay, row):
        self.c.progress.step(f"TLS {self.version}, {row['title']}: {relay.title}")
        wanted = row["sessions"][self.c.size]
        sessions = min(wanted, relay.sessions_most(), row["fewer"].get(relay.name, wanted))
        before = relay.group.pss_kb()
        during = []

        def held():
            time.sleep(IDLE_SETTLE_S)
            during.append(relay.group.pss_kb())
        self.load.idle(relay, sessions, row["hold_seconds"][self.c.size], held)
        self.c.results["idle"].append(
            {"relay": relay.name, "tls": self.version, "sessions": sessions, "pss_kb_before": before,
             "pss_kb": during[0], "kb_each": (during[0] - before) / sessions})

    def sink_judge(self):
        messages = self.sink.report()["messages"]
        if messages["corrupt"] or messages["plain"]:
            self.c.problem(f"TLS {self.version}: the sink received {messages['corrupt']} corrupt "
                           f"messages and {messages['plain']} in plaintext")


def counts(before, after):
    """What the sink saw of one round beside whole messages."""
    return {key: after["messages"][key] - before["messages"][key]
            for key in ("received", "duplicates", "corrupt", "plain")} | {
        f"hop_{key}": after["sessions"][key] - before["sessions"][key]
        for key in ("handshakes", "resumed")}


def names(text, allowed, what):
    chosen = text.split(",")
    for name in chosen:
        if name not in allowed:
            raise argparse.ArgumentTypeError(f"no {what} \"{name}\"; there are: {','.join(allowed)}")
    return chosen


def arguments(plan):
    loads = [row["name"] for row in plan["loads"]] + [plan["idle"]["name"]]
    peers = [kind.name for kind in RELAYS]
    parser = argparse.ArgumentParser(prog="postern-bench compare", description=__doc__)
    parser.add_argument("--build", default=os.path.join(HERE, "../build"),
                        help="folder of postern-bench and posternd (that of postern-bench itself)")
    parser.add_argument("--quick", action="store_true", help="one round of short loads")
    parser.add_argument("--loads", type=lambda t: names(t, loads, "load"), default=loads,
                        metavar="NAME,...", help=f"of {','.join(loads)} (all)")
    parser.add_argument("--peers", type=lambda t: names(t, peers, "peer"), default=peers,
                        metavar="NAME,...", help=f"of {','.join(peers)} (all)")
    parser.add_argument("--tls", type=lambda t: names(t, list(plan["suites"]), "version"),
                        default=list(plan["suites"]), metavar="VERSION,...", help="1.3,1.2 (both)")
    parser.add_argument("--rounds", type=int, help="of each load (5; with --quick 1)")
    parser.add_argument("--workers", type=int, default=1,
                        help="workers of postern, nginx and HAProxy (1)")
    parser.add_argument("--from", dest="saved", metavar="FILE",
                        help="measure nothing: show the results in FILE")
    parser.add_argument("--out", metavar="FOLDER", help="for compare.json and the plots (BUILD/compare)")
    parser.add_argument("--markdown", metavar="FILE",
                        help="write the tables there too: a new file, or one with the two lines "
                             "\"measured\", between them")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, no table")
    args = parser.parse_args()
    if args.rounds is not None and args.rounds < 1 or args.workers < 1:
        parser.error("--rounds and --workers are at least 1")
    if not args.saved and os.geteuid() != 0:
        parser.error("needs root, for cgroups, chroot and tmpfs")
    if args.markdown and not report.markdown_fits(args.markdown):
        parser.error(f"{args.markdown} has no lines \"{report.BEGIN}\" and \"{report.END}\": nothing "
                     "of it is replaced")
    args.build = os.path.abspath(args.build)
    args.out = os.path.abspath(args.out or os.path.join(args.build, "compare"))
    return args


def measured(args, plan):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    comparison = Comparison(args, plan)
    comparison.run()
    return comparison.results


def main():
    with open(os.path.join(HERE, "bars.json"), encoding="utf-8") as f:
        plan = json.load(f)
    args = arguments(plan)
    if args.saved:
        with open(args.saved, encoding="utf-8") as f:
            results = json.load(f)
        report.judge(plan, results)
    else:
        results = measured(args, plan)
    os.makedirs(args.out, exist_ok=True)
    plots = plot.write_all(plan, results, args.out)
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        report.table(plan, results)
        print(f"\nall figures and {len(plots)} plots: {args.out}")
    if args.markdown:
        report.markdown(plan, results, args.markdown)
    for text in results["problems"]:
        print(f"PROBLEM {text}", file=sys.stderr)
    return 2 if results["problems"] else 0 if all(b["met"] for b in results["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
