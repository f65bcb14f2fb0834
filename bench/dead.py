#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does one destination that hangs cost the others anything? 4 KB messages to 100 domains in turn, in open
loop: all domains are well, one's name server says nothing, or one's host does not take connections. Rounds go
by turns; what is compared is the latency of the messages that were accepted, and the gateway's CPU time for
each of them."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/lib"))

from dns import Dns  # noqa: E402
from instruments import Certificate, Load, Sink, turns_run  # noqa: E402
from relay import Failure, Postern, port_free  # noqa: E402

SUITE = "TLS_AES_128_GCM_SHA256"
DOMAINS, DEAD = 100, 37
SESSIONS = 1000  # so that those which wait for what hangs leave others their own
KINDS = {"well.test": "all well", "mute.test": "a name server is silent", "hole.test": "a host takes no connections"}
HOLE = "127.0.0.9"


def records():
    found = {(f"mx{i}.test", "A"): ["127.0.0.1"] for i in range(DOMAINS)}
    found[("hole.mx.test", "A")] = [HOLE]
    for kind in KINDS:
        for i in range(DOMAINS):
            found[(f"d{i}.{kind}", "MX")] = [(10, f"mx{i}.test")]
    found[(f"d{DEAD}.hole.test", "MX")] = [(10, "hole.mx.test")]
    return found


class MxPostern(Postern):
    name = "postern-mx"
    files = {"postern-mx.conf": "postern.conf"}

    def __init__(self, stubs, *args):
        super().__init__(*args)
        self.values["STUBS"] = ", ".join(f'"{zone}=127.0.0.1:{port}"' for zone, port in stubs.items())

    def configure(self):
        # Nothing here is signed, and the root's key is not for names of a test.
        self.write("/etc/bench/anchor", "anchor.test. IN DS 20326 8 2 " + "00" * 32 + "\n")
        super().configure()


@contextlib.contextmanager
def hang(port):
    """A name server's port that takes questions, and an address whose queue is full: who connects hears
    nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute, \
            socket.create_server((HOLE, port), backlog=0) as hole, \
            socket.create_connection(hole.getsockname()):
        mute.bind(("127.0.0.1", 0))
        yield mute.getsockname()[1]


def send(load, gateway, kind, *options):
    done = subprocess.run(load.words(gateway, "--rcpt", f"x@{kind}", "--domains", DOMAINS, "--size", "4K",
                                     "--per-session", 0, *options),
                          capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError as e:
        raise Failure(f"the load made no report: {done.stderr}\n{gateway.log_tail()}") from e


def take(load, gateway, kind, rate, seconds):
    """One round; none but the dead one's messages may be refused."""
    before = gateway.group.cpu_seconds()
    sent = send(load, gateway, kind, "--sessions", SESSIONS, "--rate", rate, "--seconds", seconds)
    messages = sent["messages"]
    dead = len(range(DEAD, messages["started"], DOMAINS)) if kind != "well.test" else 0
    if (messages["rejected"], messages["failed"]) != (dead, 0):
        raise Failure(f"{KINDS[kind]}: {dead} messages can't be sent, but: {sent}\n{gateway.log_tail()}")
    return {"accepted": messages["accepted"], "rejected": dead, "latency_ms": sent["latency_ms"],
            "cpu_ms": (gateway.group.cpu_seconds() - before) * 1000 / messages["accepted"]}


def measure(args, folder):
    program = os.path.join(args.build, "postern-bench")
    sink, load, port = Sink(program, SUITE, "--starttls"), Load(program, SUITE), port_free()
    dns = Dns(port, "test", records(), ttl=3600)
    rounds = {kind: [] for kind in KINDS}
    with hang(sink.port) as mute:
        gateway = MxPostern({"test": port, f"d{DEAD}.mute.test": mute}, args.build, Certificate(folder),
                            sink.port, args.workers)
        try:
            gateway.start()
            for kind in KINDS:  # connections, tickets and answers are there
                send(load, gateway, kind, "--sessions", 20, "--messages", 5 * DOMAINS)
            kinds = list(KINDS)
            for i in range(args.rounds):
                for kind in kinds[i % len(kinds):] + kinds[:i % len(kinds)]:
                    rounds[kind].append(take(load, gateway, kind, args.rate, args.seconds))
        finally:
            gateway.end()
            sink.end()
            dns.close()
    return {"rate": args.rate, "rounds": rounds}


def median(rounds, pick):
    return statistics.median(pick(r) for r in rounds)


def show(args, found):
    print(f"4 KB messages to {DOMAINS} domains, {found['rate']} a second, {args.rounds} rounds of "
          f"{args.seconds} s, {args.workers} worker(s); medians, and each round's ratio to the first row's")
    print(f"{'':28}  accepted  deferred  p50 ms  p99 ms  CPU-ms each" + "  to the first row: p50, p99, CPU")
    picks = (lambda r: r["latency_ms"]["p50"], lambda r: r["latency_ms"]["p99"], lambda r: r["cpu_ms"])
    first = next(iter(found["rounds"].values()))
    for kind, rounds in found["rounds"].items():
        ratios = []
        for pick in picks:
            each = [pick(r) / pick(f) for r, f in zip(rounds, first)]
            ratios.append(f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})")
        values = [median(rounds, pick) for pick in picks]
        print(f"{KINDS[kind]:28}  {median(rounds, lambda r: r['accepted']):8.0f}  "
              f"{median(rounds, lambda r: r['rejected']):8.0f}  {values[0]:6.2f}  {values[1]:6.2f}  "
              f"{values[2]:11.4f}  {', '.join(ratios)}")


if __name__ == "__main__":
    sys.exit(turns_run("dead", __doc__, 6, ("--rate", 500, "messages a second"), measure, show))
