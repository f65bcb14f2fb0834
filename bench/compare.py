#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much CPU does postern use to relay mail, next to Postfix, and how much memory for an idle
TLS session? One table; the exit status is 1 where a bar of bench/bars.json is missed and 2 where
something could not be measured. Method and limits: bench/README.md. Needs root: cgroups, chroot,
tmpfs."""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from relay import HERE, TOP, Certificate, Failure, Postern, Postfix, Sink

LOAD_TIMEOUT_S = 300
DELIVERY_TIMEOUT_S = 120
SETTLE_S = 0.5  # what a relay still does after its last delivery belongs to the load


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, build, quick, plan):
        self.size = "quick" if quick else "full"
        self.plan = plan
        self.program = os.path.join(build, "postern-bench")
        self.sink = Sink(self.program, plan["suites"])
        self.problems = []

    def load(self, relay, messages, size=4096, per_session=1, sessions=1):
        """One load through the relay; the JSON of postern-bench load. All of it has reached the
        sink, whole and once, or it is a Failure."""
        done = subprocess.run(
            [self.program, "load", "--target", f"127.0.0.1:{relay.port}", "--starttls",
             "--no-resume", "--suites", self.plan["suites"], "--messages", str(messages),
             "--size", str(size), "--per-session", str(per_session), "--sessions", str(sessions),
             "--seconds", str(LOAD_TIMEOUT_S), "--timeout", "30", "--json"],
            capture_output=True, text=True, timeout=2 * LOAD_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise Failure(f"{relay.name} did not accept all {messages} messages "
                          f"(exit status {done.returncode}): {done.stderr}{done.stdout}\n"
                          + relay.log_tail())
        sent = json.loads(done.stdout)
        end = time.monotonic() + DELIVERY_TIMEOUT_S
        while (got := self.sink.received(sent["run"])) < messages:
            if time.monotonic() > end:
                raise Failure(f"{relay.name} accepted {messages} messages and delivered {got}:\n"
                              + relay.log_tail())
            time.sleep(0.05)
        return sent

    def measure(self, relay, row):
        """CPU-seconds of all the relay's processes for one round of a load."""
        messages = row["messages"][self.size]
        before = relay.group.cpu_seconds()
        began = time.monotonic()
        sent = self.load(relay, messages, row["size"], row["per_session"], row["sessions"])
        seconds = time.monotonic() - began
        time.sleep(SETTLE_S)
        cpu = relay.group.cpu_seconds() - before
        return {"cpu_seconds": cpu, "cpu_ms_per_message": cpu / messages * 1e3,
                "cpu_seconds_per_gb": cpu / (messages * row["size"]) * 1e9,
                "messages": messages, "seconds": seconds, "load": sent}

    def measure_load(self, relays, row):
        """Interleaved rounds, so that what else this machine does meets all relays alike."""
        rounds = {r.name: [] for r in relays}
        for i in range(self.plan["rounds"][self.size]):
            for relay in relays if i % 2 == 0 else reversed(relays):
                result = self.measure(relay, row)
                rounds[relay.name].append(result)
                say(f"  {row['title']}, round {i + 1}, {relay.name}: "
                    f"{result['cpu_ms_per_message']:.3f} ms CPU a message, {result['seconds']:.1f} s")
        return rounds

    def measure_idle(self, relay):
        sessions = self.plan["idle"]["sessions"][self.size]
        before = relay.group.pss_kb()
        process = subprocess.Popen(
            [self.program, "load", "--target", f"127.0.0.1:{relay.port}", "--starttls", "--idle",
             "--no-resume", "--suites", self.plan["suites"], "--sessions", str(sessions),
             "--seconds", "8", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = process.stderr.readline()
        time.sleep(2)
        during = relay.group.pss_kb()
        out, _ = process.communicate(timeout=LOAD_TIMEOUT_S)
        if process.returncode != 0:
            raise Failure(f"{relay.name} does not hold {sessions} idle sessions: {line}{out}\n"
                          + relay.log_tail())
        say(f"  {sessions} idle sessions, {relay.name}: {before} KB before, {during} KB with them")
        return {"sessions": sessions, "pss_kb_before": before, "pss_kb": during,
                "kb_each": (during - before) / sessions}

    def relay_start(self, kind, build, certificate):
        """The relay, running, and seen to relay; None (and a problem noted) otherwise."""
        relay = kind(build, certificate, self.sink.port)
        try:
            relay.start()
            self.load(relay, 5, per_session=2)
            return relay
        except (Failure, OSError, subprocess.SubprocessError) as e:
            self.problems.append(f"{kind.name}: {e}")
            relay.end()
            return None


def summary(rounds):
    """Of one relay and load."""
    cpu = [r["cpu_ms_per_message"] for r in rounds]
    return {"cpu_ms_per_message": statistics.median(cpu), "min": min(cpu), "max": max(cpu),
            "cpu_seconds_per_gb": statistics.median(r["cpu_seconds_per_gb"] for r in rounds),
            "messages_per_second": statistics.median(r["messages"] / r["seconds"] for r in rounds)}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")),
                     platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def run(bench, args, results):
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        certificate = Certificate(folder)
        kinds = [k for k in (Postfix, Postern) if args.only in (None, k.name)]
        relays = []
        try:
            for kind in kinds:
                say(f"starting {kind.name}")
                relay = bench.relay_start(kind, args.build, certificate)
                if relay:
                    relays.append(relay)
                    results["relays"][relay.name] = {"version": relay.version(),
                                                     "cpu_counted_by": relay.group.how}
            for row in bench.plan["loads"] if relays else []:
                try:
                    rounds = bench.measure_load(relays, row)
                    results["loads"][row["name"]] = {
                        name: dict(summary(r), rounds=r) for name, r in rounds.items()}
                except (Failure, subprocess.SubprocessError) as e:
                    bench.problems.append(f"{row['title']}: {e}")
            for relay in relays:
                if relay.name == Postern.name:
                    try:
                        results["idle"] = bench.measure_idle(relay)
                    except (Failure, subprocess.SubprocessError) as e:
                        bench.problems.append(f"{bench.plan['idle']['title']}: {e}")
        finally:
            for relay in relays:
                relay.end()


def judge(plan, results):
    """Adds ratio, bar and verdict to each load; True where no measured bar is missed."""
    good = True
    for row in plan["loads"]:
        load = results["loads"].get(row["name"], {})
        if Postfix.name in load and Postern.name in load:
            ratio = (load[Postfix.name]["cpu_ms_per_message"]
                     / max(load[Postern.name]["cpu_ms_per_message"], 1e-9))
            load["times_less"] = ratio
            load["bar"] = row["times_less"]
            load["met"] = ratio >= row["times_less"]
            good = good and load["met"]
    if results["idle"]:
        results["idle"]["bar"] = plan["idle"]["max_kb_each"]
        results["idle"]["met"] = results["idle"]["kb_each"] <= plan["idle"]["max_kb_each"]
        good = good and results["idle"]["met"]
    return good


def table(plan, results):
    print(f"{results['machine']}; {results['rounds']} round(s), medians (min to max); "
          f"{plan['suites']} on both sides")
    for name, relay in results["relays"].items():
        print(f"{name}: {relay['version']}; CPU of all its processes by {relay['cpu_counted_by']}")
    print()
    print(f"{'load':30} {'relay':8} {'CPU ms a message':>26} {'CPU s/GB':>9} {'msg/s':>8} "
          f"{'less CPU':>9} {'bar':>6}")
    for row in plan["loads"]:
        load = results["loads"].get(row["name"], {})
        for name in (Postfix.name, Postern.name):
            if name not in load:
                print(f"{row['title']:30} {name:8} {'not measured':>26}")
                continue
            s = load[name]
            cpu = f"{s['cpu_ms_per_message']:.3f} ({s['min']:.3f} to {s['max']:.3f})"
            line = (f"{row['title']:30} {name:8} {cpu:>26} {s['cpu_seconds_per_gb']:9.2f} "
                    f"{s['messages_per_second']:8.1f}")
            if name == Postern.name and "met" in load:
                line += (f" {load['times_less']:8.1f}x {row['times_less']:5}x "
                         f"{'met' if load['met'] else 'MISSED'}")
            print(line)
    idle = results["idle"]
    if idle:
        print(f"{plan['idle']['title']:30} {Postern.name:8} "
              f"{idle['kb_each']:.1f} KB PSS each at {idle['sessions']}, bar "
              f"{idle['bar']} KB {'met' if idle['met'] else 'MISSED'}")
    else:
        print(f"{plan['idle']['title']:30} {Postern.name:8} {'not measured':>26}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(TOP, "build"), help="build directory")
    parser.add_argument("--quick", action="store_true", help="one round, short loads (1 minute)")
    parser.add_argument("--only", choices=[Postfix.name, Postern.name], help="measure one relay")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, no table")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    if os.geteuid() != 0:
        parser.error("needs root, for cgroups, chroot and tmpfs")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with open(os.path.join(HERE, "bars.json"), encoding="utf-8") as f:
        plan = json.load(f)
    bench = Bench(args.build, args.quick, plan)
    results = {"machine": machine(), "rounds": plan["rounds"][bench.size], "relays": {},
               "loads": {}, "idle": None, "sink": None}
    try:
        run(bench, args, results)
        results["sink"] = bench.sink.report()
        messages = results["sink"]["messages"]
        if messages["corrupt"] or messages["plain"]:
            bench.problems.append(f"the sink received {messages['corrupt']} corrupt messages and "
                                  f"{messages['plain']} in plaintext")
    except Failure as e:
        bench.problems.append(str(e))
    finally:
        bench.sink.end()
    good = judge(plan, results)
    results["problems"] = bench.problems
    with open(os.path.join(args.build, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=2)
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        table(plan, results)
        print(f"\nall figures: {os.path.join(args.build, 'bench.json')}")
    for problem in bench.problems:
        say(f"PROBLEM {problem}")
    return 2 if bench.problems else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
