# SPDX-License-Identifier: Apache-2.0
"""CPU and memory of all processes of one relay."""

import os
import secrets
import signal
import time


def cgroup_mount():
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((w[1] for w in map(str.split, f) if w[2] == "cgroup2"), None)


def stat_fields(pid):
    """Fields of /proc/PID/stat from the third (state) on; the second may hold spaces."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Group:
    """The processes of one relay: a cgroup v2 of its own, which misses none, or, where that can't
    be made, the descendants of one process, found in /proc."""

    def __init__(self, name):
        self.leader = None
        self.path = None
        mount = cgroup_mount()
        if mount:
            # Process ids are not enough: two runs in namespaces of their own may have the same.
            path = os.path.join(mount, f"postern-bench-{secrets.token_hex(6)}-{name}")
            try:
                os.mkdir(path)
                with open(os.path.join(path, "cpu.stat"), encoding="utf-8") as f:
                    if f.read(10) == "usage_usec":
                        self.path = path
            except OSError:
                pass
        self.how = "cgroup v2" if self.path else "/proc (10 ms steps; short-lived processes are " \
                                                 "counted once their parent has reaped them)"

    def join(self):
        """To be run in a new process before its program."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="utf-8") as f:
                f.write("0")

    def processes(self):
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), encoding="utf-8") as f:
                return [int(line) for line in f]
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            fields = stat_fields(pid)
            if fields:
                parents[int(pid)] = int(fields[1])
        found = [self.leader] if self.leader in parents else []
        for pid in found:
            found += [p for p, parent in parents.items() if parent == pid]
        return found

    def cpu_seconds(self):
        if self.path:
            with open(os.path.join(self.path, "cpu.stat"), encoding="utf-8") as f:
                return int(f.readline().split()[1]) / 1e6
        ticks = 0
        for pid in self.processes():
            fields = stat_fields(pid)
            ticks += sum(map(int, fields[11:15])) if fields else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_kb(self):
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total

    def end(self):
        """Nothing of it is left afterwards."""
        for _ in range(100):
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not self.path:
                return
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)
