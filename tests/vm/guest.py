#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What init.sh starts in the virtual machine: runs the suites that run.py wrote down, first those
that run alone, then several at a time; where there are several processors, only those that are to meet
races have more than one. Passes on what they say, a line a test, and asks of each that
it really used kernel TLS, or really did not."""
import glob
import json
import os
import queue
import re
import resource
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402

KERNEL_TLS = re.compile(r"# kernel TLS: (\d+) sending, (\d+) receiving")


def suite_run(out, suite):
    """One test of its own: the suite got to its end, and used the records that it should."""
    began = time.monotonic()
    process = subprocess.Popen(suite["command"], env=dict(os.environ, **suite["env"]),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    timer = threading.Timer(suite["limit_s"], os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    count, plan, sockets, last, tail = 0, None, None, None, []
    for text in process.stdout:
        text = text.rstrip("\n")
        tail = [*tail[-20:], text]
        if found := re.fullmatch(r"(ok|not ok) \d+ - (.*)", text):
            if last:
                out.result(*last)
            count += 1
            last = (found[1] == "ok", f"{suite['name']}: {found[2]}", [])
        elif found := re.fullmatch(r"1\.\.(\d+)", text):
            plan = int(found[1])
        elif found := KERNEL_TLS.match(text):
            sockets = (int(found[1]), int(found[2]))
        elif last and text.startswith("#"):
            last[2].append(text)
    if last:
        out.result(*last)
    cpu_s = tap.end_wait(process)
    in_time = timer.is_alive()
    timer.cancel()
    trouble = (f"it took over {suite['limit_s']} s" if not in_time
               else None if plan == count and count else f"{count} of {plan} tests were heard of")
    trouble = trouble or records_wrong(suite["kernel_tls"], sockets)
    out.result(not trouble, f"{suite['name']}: it ran to its end, kernel TLS sockets {sockets} "
               f"({time.monotonic() - began:.0f} s, {cpu_s:.0f} s of CPU)",
               [trouble, *(f"#   {line}" for line in tail)] if trouble else [])


def records_wrong(wanted, sockets):
    if wanted is None:
        return None
    if sockets is None:
        return "this kernel does not count TLS sockets"
    if wanted and not min(sockets):
        return f"kernel TLS was not used for both directions: {sockets}"
    if not wanted and max(sockets):
        return f"kernel TLS was used: {sockets}"
    return None


def main():
    # As a service manager gives them; the kernel's own limit is too low for many sessions.
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    with open(os.environ["POSTERN_VM_JOB"], encoding="utf-8") as f:
        job = json.load(f)
    os.environ.update(job["env"])
    print(f"# {os.uname().release}", flush=True)
    out = tap.Printer()
    for suite in job["suites"]:
        if suite["alone"]:
            suite_run(out, suite)
    rest = [suite for suite in job["suites"] if not suite["alone"]]
    if others := glob.glob("/sys/devices/system/cpu/cpu[1-9]*/online"):
        processors_switch(others, "1")
        lanes_run(out, job["lanes"], [suite for suite in rest if suite["races"]])
        processors_switch(others, "0")
        rest = [suite for suite in rest if not suite["races"]]
    lanes_run(out, job["lanes"], rest)
    out.plan()
    return 1 if out.failed else 0


def processors_switch(files, word):
    for path in files:
        with open(path, "w", encoding="ascii") as f:
            f.write(word)
    print(f"# processors in use: {os.cpu_count()}", flush=True)


def lanes_run(out, count, suites):
    """So many at a time."""
    waiting = queue.SimpleQueue()
    for suite in suites:
        waiting.put(suite)

    def lane():
        while True:
            try:
                suite = waiting.get_nowait()
            except queue.Empty:
                return
            suite_run(out, suite)

    lanes = [threading.Thread(target=lane) for _ in range(count)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
