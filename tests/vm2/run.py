#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the gateway run on Debian's kernel, 6.1 on Debian 12? Boots Debian's User-Mode Linux with
the host's own files, read-only, runs guest.py inside, and passes its TAP on. A machine that says
nothing more is ended, and the last that it said is shown."""
import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))

import tap  # noqa: E402

KERNEL = "linux.uml"
MEMORY_MB = 1024
LIMIT_S = int(os.environ.get("POSTERN_VM_LIMIT_S", "170"))
TAIL_LINES = 40


def machine_start(folder):
    # Its memory is a file, in a file system of the host's memory if there is room: in a container
    # there may not be.
    memory = "/dev/shm"
    if not os.path.isdir(memory) or shutil.disk_usage(memory).free < MEMORY_MB * 2**20 * 5 // 4:
        memory = folder
    build = os.path.abspath(os.environ.get("POSTERN_BUILD", os.path.join(HERE, "../../build")))
    return subprocess.Popen(
        [KERNEL, f"mem={MEMORY_MB}M", "rootfstype=hostfs", "rootflags=/", "root=/dev/root", "ro",
         f"init={HERE}/init.sh", f"uml_dir={folder}/", "con=null", "con0=fd:0,fd:1", "loglevel=2",
         f"POSTERN_BUILD={build}", f"{tap.UNSHARED}=1", "POSTERN_ONLY=" + os.environ.get("ONLY", "")],
        env=dict(os.environ, TMPDIR=memory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)


class Console:
    """What the machine says, line by line: TAP is passed on, all is remembered for a while."""

    def __init__(self):
        self.tail = collections.deque(maxlen=TAIL_LINES)
        self.count, self.failed = 0, 0
        self.plan = self.status = None

    def line(self, text):
        self.tail.append(text)
        if re.match(r"(not )?ok \d+ - ", text):
            self.count += 1
            self.failed += text.startswith("not ")
        elif plan := re.fullmatch(r"1\.\.(\d+)", text):
            self.plan = int(plan[1])
            return
        elif status := re.fullmatch(r"vm: status (\d+)", text):
            self.status = int(status[1])
            return
        elif not text.startswith("#"):
            return
        print(text, flush=True)

    def trouble(self, limit_hit):
        """What is wrong with the run as a whole, or None."""
        if limit_hit:
            return f"ended after {LIMIT_S} seconds without an end of its own"
        if self.status is None:
            return "it ended without a status"
        if self.plan is None:
            return "its tests did not get to their end"
        if self.plan != self.count:
            return f"{self.plan} tests ran and {self.count} were heard of"
        if (self.status != 0) != (self.failed > 0):
            return f"status {self.status} and {self.failed} failed tests"
        return None


def machine_run(folder):
    """(the console, whether the time limit was hit)."""
    console, limit_hit = Console(), threading.Event()
    machine = machine_start(folder)

    def limit():
        limit_hit.set()
        os.killpg(machine.pid, signal.SIGKILL)

    timer = threading.Timer(LIMIT_S, limit)
    timer.start()
    for text in machine.stdout:
        console.line(text.rstrip("\r\n"))
    timer.cancel()
    machine.wait()
    return console, limit_hit.is_set()


def main():
    if not shutil.which(KERNEL):
        print(f"ok 1 - vm # SKIP there is no {KERNEL} (Debian's user-mode-linux, for amd64)\n1..1")
        return 0
    tap.enter_namespaces()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="postern-vm-") as folder:
        console, limit_hit = machine_run(folder)
    trouble = console.trouble(limit_hit)
    print(f"{'not ok' if trouble else 'ok'} {console.count + 1} - the machine ran to its end"
          f" ({time.monotonic() - began:.1f} s)")
    if trouble:
        print(f"#   {trouble}; the console's last lines:")
        for text in console.tail:
            print("#  ", text)
    print(f"1..{console.count + 1}", flush=True)
    return 1 if trouble or console.failed else 0


if __name__ == "__main__":
    sys.exit(main())
