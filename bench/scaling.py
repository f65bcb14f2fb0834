#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a second worker cost the first one anything? CPU time a message of one worker on one core, of
two workers on two, and of two gateways that share nothing, on the same two: what the second row
costs more than the third is the price of what workers share. Wall-clock time says little where
load, sink and gateway compete for few cores; CPU of the gateway alone is counted, by cgroup."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from group import stat_fields
from instruments import Certificate, Load, Sink, machine
from relay import Failure, Postern

SUITE = "TLS_AES_128_GCM_SHA256"
LOADS = {
    "4k-100": {"title": "4 KB, 100 a session", "size": 4096, "per_session": 100, "sessions": 20,
               "messages": 8000},
    "4k-1": {"title": "4 KB, 1 a session", "size": 4096, "per_session": 1, "sessions": 20,
             "messages": 600},
    "100k-10": {"title": "100 KB, 10 a session", "size": 102400, "per_session": 10, "sessions": 20,
                "messages": 600},
}


class Pinned(Postern):
    """A gateway on some cores, with a worker for each."""

    def __init__(self, name, cores, *args):
        self.name, self.cores = name, cores
        super().__init__(*args, len(cores))

    def command(self):
        return ["taskset", "-c", ",".join(map(str, self.cores)), *super().command()]


class Row:
    """Gateways that take a load together."""

    def __init__(self, name, title, gateways):
        self.name, self.title, self.gateways = name, title, gateways
        self.rounds = []

    def cpu_seconds(self):
        return sum(g.group.cpu_seconds() for g in self.gateways)

    def take(self, load, sink, row):
        """One round: each gateway has its part of messages and sessions at the same time."""
        parts = len(self.gateways)
        part = dict(row, sessions=row["sessions"] // parts)
        messages = row["messages"] // parts
        before, clients, began = self.cpu_seconds(), clients_cpu(sink), time.monotonic()
        with ThreadPoolExecutor(parts) as pool:
            # In the order of the gateways; what went wrong in a thread is raised here.
            done = list(pool.map(lambda gateway: load.run(gateway, part, messages), self.gateways))
        wall = time.monotonic() - began
        for gateway, report in zip(self.gateways, done):
            sink.await_run(report["run"], messages, gateway)
        total = messages * parts
        self.rounds.append({
            "messages": total,
            "cpu_ms_per_message": (self.cpu_seconds() - before) * 1000 / total,
            "client_cpu_ms_per_message": (clients_cpu(sink) - clients) * 1000 / total,
            "messages_per_s": total / wall,
        })

    def median(self, key):
        return statistics.median(r[key] for r in self.rounds)


def clients_cpu(sink):
    """Of loads that have ended, and of the sink."""
    ended = os.times()
    fields = stat_fields(sink.process.pid)
    if not fields:
        raise Failure("the sink has ended")
    return ended.children_user + ended.children_system + \
        sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def measure(args, load_row, folder):
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise Failure("two cores are needed")
    sink = Sink(os.path.join(args.build, "postern-bench"), SUITE)
    common = (args.build, Certificate(folder), sink.port)
    rows = [Row("one", "1 worker on 1 core", [Pinned("one", cores[:1], *common)]),
            Row("two", "2 workers on 2 cores", [Pinned("two", cores, *common)]),
            Row("apart", "2 gateways, 1 core each", [Pinned("left", cores[:1], *common),
                                                     Pinned("right", cores[1:], *common)])]
    load = Load(os.path.join(args.build, "postern-bench"), SUITE)
    gateways = [g for row in rows for g in row.gateways]
    try:
        for gateway in gateways:
            gateway.start()
        for i in range(args.rounds + 1):
            turn = i % len(rows)
            for row in rows[turn:] + rows[:turn]:
                row.take(load, sink, load_row)
        for row in rows:
            del row.rounds[0]  # connections, tickets and memory were made in it
    finally:
        for gateway in gateways:
            gateway.end()
        sink.end()
    return rows


def print_rows(title, rows):
    print(f"\n{title}\n{'':24}  CPU-ms a message  to the first  messages a CPU-s  messages a s"
          "  client CPU-ms")
    first = rows[0].median("cpu_ms_per_message")
    for row in rows:
        cost = row.median("cpu_ms_per_message")
        ratios = [r["cpu_ms_per_message"] / f["cpu_ms_per_message"]
                  for r, f in zip(row.rounds, rows[0].rounds)]
        print(f"{row.title:24}  {cost:16.4f}  {cost / first:5.2f} ({min(ratios):.2f}-"
              f"{max(ratios):.2f})  {1000 / cost:15.0f}  {row.median('messages_per_s'):12.0f}"
              f"  {row.median('client_cpu_ms_per_message'):13.4f}", flush=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(here, "../build"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", action="append", choices=LOADS, help="one or more; all unless given")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds is at least 1")
    found = {"machine": machine(), "rounds": args.rounds, "loads": {}}
    with tempfile.TemporaryDirectory(prefix="postern-scaling-") as folder:
        for name in args.load or LOADS:
            rows = measure(args, LOADS[name], folder)
            print_rows(LOADS[name]["title"], rows)
            found["loads"][name] = {row.name: row.rounds for row in rows}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(found, f, indent=1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as e:
        print(f"scaling: {e}", file=sys.stderr)
        sys.exit(1)
