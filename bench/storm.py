#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a burst of new connections keep running sessions waiting? Latency of 4 KB messages in sessions
that are open already, at 60% of what the gateway took from them at most, without and with a second
client that opens so many sessions a second, each up to the end of its handshake. Rounds go by turns;
no gate: on a machine whose cores load, sink and storm share, their own waiting is in each figure."""

import contextlib
import json
import os
import statistics
import subprocess
import sys

from instruments import Certificate, Load, Sink, turns_run
from relay import Failure, Postern

SUITE = "TLS_AES_128_GCM_SHA256"
SESSIONS = 20
SHARE = 0.6
BAR = 2.0


@contextlib.contextmanager
def client(load, gateway, what, *options):
    """A client, and the function that waits for its report; none is left behind."""
    with subprocess.Popen(load.words(gateway, *options), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        def report():
            out, _ = process.communicate()
            try:
                return json.loads(out)
            except ValueError as e:
                raise Failure(f"{what} made no report: {out!r}\n{gateway.log_tail()}") from e
        try:
            yield report
        finally:
            process.kill()


def running(load, gateway, seconds, rate):
    with client(load, gateway, "the load", "--size", "4K", "--sessions", SESSIONS, "--per-session", 0,
                "--seconds", seconds, "--rate", rate) as report:
        return report()


def quiet_take(load, gateway, seconds, rate):
    sent = running(load, gateway, seconds, rate)
    if sent["messages"]["accepted"] != sent["messages"]["started"]:
        raise Failure(f"messages were not accepted: {sent}\n{gateway.log_tail()}")
    return {"messages": sent["messages"]["accepted"], "latency_ms": sent["latency_ms"]}


def storm_take(load, gateway, seconds, rate, storm_rate):
    with client(load, gateway, "the storm", "--handshakes", "--sessions", 200, "--rate", storm_rate,
                "--seconds", seconds) as report:
        found = quiet_take(load, gateway, seconds, rate)
        opened = report()
    return dict(found, handshakes=opened["messages"]["accepted"],
                handshakes_failed=opened["messages"]["failed"], handshake_ms=opened["handshake_ms"])


def measure(args, folder):
    program = os.path.join(args.build, "postern-bench")
    sink = Sink(program, SUITE)
    load = Load(program, SUITE)
    gateway = Postern(args.build, Certificate(folder), sink.port, args.workers)
    quiet, stormy = [], []
    try:
        gateway.start()
        most = running(load, gateway, args.seconds, 0)["messages_per_second"]
        rate = SHARE * most
        for i in range(args.rounds):
            for storm in (0, args.storm) if i % 2 else (args.storm, 0):
                if storm:
                    stormy.append(storm_take(load, gateway, args.seconds, rate, storm))
                else:
                    quiet.append(quiet_take(load, gateway, args.seconds, rate))
    finally:
        gateway.end()
        sink.end()
    return {"most_per_second": most, "rate": rate, "quiet": quiet, "storm": stormy}


def median(rounds, *keys):
    values = []
    for value in rounds:
        for key in keys:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def show(args, found):
    print(f"4 KB messages in {SESSIONS} open sessions, {found['rate']:.0f} a second "
          f"({SHARE:.0%} of {found['most_per_second']:.0f}), {args.rounds} rounds of {args.seconds} s, "
          f"{args.workers} worker(s); medians")
    print(f"{'':34}  p50 ms  p99 ms  p99.9 ms")
    for title, name in (("without a storm", "quiet"),
                        (f"with {args.storm} handshakes a second", "storm")):
        row = [median(found[name], "latency_ms", p) for p in ("p50", "p99", "p99.9")]
        print(f"{title:34}  {row[0]:6.2f}  {row[1]:6.2f}  {row[2]:8.2f}")
    pairs = [s["latency_ms"]["p99"] / q["latency_ms"]["p99"]
             for s, q in zip(found["storm"], found["quiet"])]
    done = median(found["storm"], "handshakes") / args.seconds
    print(f"p99 with to without: {statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}); "
          f"bar {BAR:.1f}, no gate")
    print(f"handshakes done: {done:.0f} a second, p99 {median(found['storm'], 'handshake_ms', 'p99'):.2f} ms,"
          f" {sum(r['handshakes_failed'] for r in found['storm'])} failed")


if __name__ == "__main__":
    sys.exit(turns_run("storm", __doc__, 5, ("--storm", 500, "handshakes a second"), measure, show))
