# SPDX-License-Identifier: Apache-2.0
"""What bench/compare.py measures with: the certificate of all relays, the sink behind them, the
load in front of them, and the machine they run on."""

import argparse
import json
import os
import platform
import select
import subprocess
import sys
import tempfile
import time

from relay import Failure

LOAD_TIMEOUT_S = 120
# All relays take these too (bench/peers): newer libraries would each begin with another hybrid.
GROUPS = "X25519:P-256"
DELIVERY_TIMEOUT_S = 120


class Certificate:
    """ECDSA P-256, the same for all relays."""

    def __init__(self, folder):
        self.cert = os.path.join(folder, "relay.crt")
        self.key = os.path.join(folder, "relay.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=relay",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.cert],
                       check=True, capture_output=True)


class Sink:
    """postern-bench sink behind all relays; it tells what it has so far whenever it is asked."""

    def __init__(self, program, suite, tls="--tls"):
        self.process = subprocess.Popen(
            [program, "sink", "--listen", "127.0.0.1:0", tls, "--suites", suite,
             "--groups", GROUPS, "--seconds", "7200", "--timeout", "600", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline().decode()
        if "listens on" not in line:
            raise Failure(f"no sink: {line}")
        self.port = int(line.rsplit(":", 1)[1])

    def report(self):
        self.process.send_signal(10)  # SIGUSR1
        if not select.select([self.process.stdout], [], [], 30)[0]:
            raise Failure("the sink does not answer")
        try:
            return json.loads(self.process.stdout.readline())
        except ValueError as e:
            raise Failure("the sink has ended: somebody else must have ended it") from e

    def await_run(self, run, messages, relay):
        """Until it has that many different messages of a run; its report then."""
        end = time.monotonic() + DELIVERY_TIMEOUT_S
        while True:
            report = self.report()
            got = next((r["unique"] for r in report["runs"] if r["run"] == run), 0)
            if got >= messages:
                return report
            if report["messages"]["not_tallied"]:
                raise Failure("the sink has no room left to count messages: a run with fewer rounds "
                              "or loads has")
            if time.monotonic() > end:
                raise Failure(f"{relay.title} accepted {messages} messages and delivered {got}:\n"
                              + relay.log_tail())
            time.sleep(0.05)

    def end(self):
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


class Load:
    """postern-bench load towards a relay, full handshakes always."""

    def __init__(self, program, suite):
        self.program, self.suite = program, suite

    def words(self, relay, *options):
        return [self.program, "load", "--target", f"127.0.0.1:{relay.port}", "--tls", "--no-resume",
                "--suites", self.suite, "--groups", GROUPS, "--timeout", "30", "--json", *map(str, options)]

    def run(self, relay, row, messages, *options):
        """One load; all of it was accepted, or it is a Failure."""
        done = subprocess.run(
            self.words(relay, "--messages", messages, "--size", row["size"], "--per-session",
                       row["per_session"], "--sessions", row["sessions"], "--seconds",
                       LOAD_TIMEOUT_S, *options),
            capture_output=True, text=True, timeout=2 * LOAD_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise Failure(f"{relay.title} did not accept all {messages} messages "
                          f"(exit status {done.returncode}): {done.stderr}{done.stdout}\n"
                          + relay.log_tail())
        return json.loads(done.stdout)

    def idle(self, relay, sessions, seconds, held):
        """Opens sessions, calls held once all are open, and lets them go; the report."""
        process = subprocess.Popen(
            self.words(relay, "--idle", "--sessions", sessions, "--opening", 32, "--seconds", seconds),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if not select.select([process.stderr], [], [], LOAD_TIMEOUT_S)[0]:
                raise Failure(f"{relay.title} does not open {sessions} idle sessions in "
                              f"{LOAD_TIMEOUT_S} s\n{relay.log_tail()}")
            line = process.stderr.readline()
            held()
            out, _ = process.communicate(timeout=LOAD_TIMEOUT_S)
        finally:
            process.kill()
            process.communicate()
        if process.returncode != 0:
            raise Failure(f"{relay.title} does not hold {sessions} idle sessions: {line}{out}\n"
                          + relay.log_tail())
        return json.loads(out)


def limit(program, row, version, rounds):
    """postern-bench limit for a load and a version of TLS."""
    done = subprocess.run(
        [program, "limit", "--size", str(row["size"]), "--per-session", str(row["per_session"]),
         "--sessions", str(row["sessions"]), "--tls", version, "--rounds", str(rounds), "--json"],
        capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise Failure(f"postern-bench limit: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")),
                     platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "load_average": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d %H:%M")}


def turns_run(name, doc, rounds, rate, measure, show):
    """The program of a benchmark whose rounds go by turns: its options, what measure(args, folder)
    finds, shown by show(args, found) and written down. rate: an option, its default, its help."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--build", default=os.path.join(here, "../build"))
    numbers = [parser.add_argument("--rounds", type=int, default=rounds),
               parser.add_argument("--seconds", type=int, default=5),
               parser.add_argument("--workers", type=int, default=1),
               parser.add_argument(rate[0], type=int, default=rate[1], help=rate[2])]
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if min(getattr(args, number.dest) for number in numbers) < 1:
        parser.error("numbers are at least 1")
    try:
        with tempfile.TemporaryDirectory(prefix=f"postern-{name}-") as folder:
            found = measure(args, folder)
        show(args, found)
    except Failure as e:
        print(f"{name}: {e}", file=sys.stderr)
        return 1
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine(), **found}, f, indent=1)
    return 0
