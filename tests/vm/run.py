#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do both record layers pass everything on Debian's kernels? Boots one machine for each vehicle that
is named, runs the same suites in it that run outside, with kernel records and with user records,
and passes its TAP on.

    run.py uml | 6.1 | 6.12 | newest ...      two at a time. In the environment, to develop:
    POSTERN_VM_SUITES  only suites whose names have one of these words
    POSTERN_VM_LIMIT_S  the time that a machine gets
"""
import concurrent.futures
import glob
import json
import os
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import tap  # noqa: E402
from machine import Console, Qemu, Uml, run  # noqa: E402

TESTS = os.path.dirname(HERE)
BUILD = os.path.abspath(os.environ.get("POSTERN_BUILD", os.path.join(TESTS, "../build")))
LAYERS = ("uring", "ktls")  # user records, kernel records
PEERS = ("Postfix", "Exim")
# Suite: parts of the names of its tests. The longest have one of their own.
KERNEL_UNITS = {"uring": ("dp_uring",), "records": ("dp_records",),
                "measure": ("record_measure",),
                "rest": ("Probe", "kernel_table", "firmware_tune_io", *(f"_process_{name}" for name in (
                    "aead_choice", "channel", "listener_set", "ratchet_table", "record_cache",
                    "record_choice", "resolver_client", "resolver_process", "sandbox", "shared",
                    "state_folder")))}
# These take too long in an emulated machine.
UNITS = {"relay": ("dp_relay", "dp_splice", "limit_relay"), **KERNEL_UNITS}
MESSAGES = {"6.1": ("bdat_to_bdat",), "6.12": ("data_to_data", "bdat_to_bdat"),
            "newest": ("data_to_data",)}
PROCESSORS = {"newest": 2}  # one machine of several will do to meet what races between them,
RACES = ("kernel uring", "kernel records", "load")  # and of it these: two cost the host far more
LIMIT_S = int(os.environ.get("POSTERN_VM_LIMIT_S", "1500"))
AT_ONCE = 2  # machines; most take one processor of the host
LANES = {"uml": 4}  # suites at a time
PATIENCE = "6"  # times what outside is long enough


def suite(name, file, layer=None, tests=(), kernel_tls=None, alone=False, shared=False):
    """kernel_tls: whether it must be in use; None for suites that may do either, without a layer.
    alone: nothing else runs meanwhile. shared: it has the machine's own network, not one apart."""
    env = {tap.UNSHARED: "1", **({"POSTERN_DATAPLANE": layer} if layer else {})}
    return {"name": f"{name} {layer}" if layer else name, "env": env, "limit_s": 600,
            "command": [*([] if shared else tap.UNSHARE), "/usr/bin/python3",
                        os.path.join(TESTS, file), *tests],
            "kernel_tls": layer == "ktls" if layer else kernel_tls, "alone": alone,
            "races": name in RACES}


def suites_of(vehicle):
    """A machine is there for its kernel: of the unit tests it runs those that ask the kernel for
    something. User-Mode Linux runs everything else with both record layers; an emulated machine,
    which is ten times slower, session scripts, loads and a few real messages with kernel records.
    OpenSMTPD is not among the peers here: its processes do not find each other in User-Mode
    Linux."""
    whole = vehicle == "uml"
    # What gateways measure is to be done in seconds.
    found = [suite("records", "process/test_records.py", alone=True),
             *(suite(f"kernel {name}", "vm/test_kernel.py", tests=tests,
                     kernel_tls=None if name == "rest" else True, alone=name == "measure")
               for name, tests in (UNITS if whole else KERNEL_UNITS).items()),
             suite("rekey", "process/test_rekey.py")]
    if not whole:  # which has cards and a watchdog
        found.append(suite("platform", "vm/test_platform.py", alone=True, shared=True))
    for layer in LAYERS if whole else LAYERS[1:]:
        found.append(suite("session", "session/run.py", layer))
        found.append(suite("load", "vm/test_gateway.py", layer))
        found.append(suite("peers messages", "peers/test_messages.py", layer,
                           MESSAGES.get(vehicle, ())))
    for layer in LAYERS if whole else ():
        for file in sorted(glob.glob(os.path.join(TESTS, "hostile/test_*.py"))):
            name = os.path.basename(file)
            found.append(suite(f"hostile {name[5:-3]}", f"hostile/{name}", layer))
        for name in ("senders", "next_hops"):
            found.append(suite(f"peers {name}", f"peers/test_{name}.py", layer,
                               [peer + "." for peer in PEERS]))
    words = os.environ.get("POSTERN_VM_SUITES", "").split()
    return [s for s in found if not words or any(word in s["name"] for word in words)]


def machine_of(vehicle, folder):
    if vehicle == "uml":
        return Uml(folder)
    done = subprocess.run([os.path.join(HERE, "kernels.sh"), vehicle], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True)
    return Qemu(folder, done.stdout.strip(), PROCESSORS.get(vehicle, 1))


class Tap:
    """One stream of results of all machines."""

    def __init__(self):
        self.lock = threading.Lock()

    def out(self, text):
        with self.lock:
            print(text, flush=True)


def vehicle_run(vehicle, stream):
    """The machine's console, at its end."""
    console = Console(vehicle, stream.out)
    lacks = (Uml if vehicle == "uml" else Qemu).lacks()
    if lacks:
        console.result("ok", f"not run # SKIP {lacks}")
        return console
    with tempfile.TemporaryDirectory(prefix="postern-vm-") as folder:
        job = os.path.join(folder, "job.json")
        with open(job, "w", encoding="utf-8") as f:
            env = {"POSTERN_BUILD": BUILD, "POSTERN_PATIENCE": PATIENCE}
            if vehicle == "uml":
                # This kernel may lose AVX-512 registers between a process's two threads.
                env["POSTERN_AEAD"] = "openssl"
            else:
                env["POSTERN_EMULATED"] = "yes"
            env["POSTERN_SIMULATION"] = "no"
            json.dump({"env": env, "lanes": LANES.get(vehicle, 3), "suites": suites_of(vehicle)}, f)
        run(machine_of(vehicle, folder), console, [f"POSTERN_VM_JOB={job}"], LIMIT_S)
    return console


def main():
    tap.enter_namespaces()
    stream = Tap()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        consoles = list(pool.map(lambda vehicle: vehicle_run(vehicle, stream), sys.argv[1:]))
    print(f"1..{sum(c.count for c in consoles)}", flush=True)
    return 1 if any(c.failed for c in consoles) else 0


if __name__ == "__main__":
    sys.exit(main())
