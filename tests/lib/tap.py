# SPDX-License-Identifier: Apache-2.0
"""Runs the unittest cases of a file and prints TAP, a line a test, which `dev` counts.

Every suite runs in network, process and mount namespaces of its own: ports are free to choose,
suites run beside each other, a capture on lo sees nothing else, and no process is left behind.
"""
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
import unittest

UNSHARED = "POSTERN_TEST_UNSHARED"
UNSHARE = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]


def loopback_up():
    """What `ip link set lo up` does; a new network namespace has it down."""
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, siocgifflags, request))[1]
        fcntl.ioctl(sock, siocsifflags, struct.pack("16sH14x", b"lo", flags | iff_up))


def enter_namespaces():
    if os.environ.get(UNSHARED) != "1":
        os.environ[UNSHARED] = "1"
        os.execvp("unshare", [*UNSHARE, sys.executable, *sys.argv])
    loopback_up()


def end_wait(process):
    """Waits for the end of a Popen: the CPU-seconds of it, and of those that it waited for."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def kernel_tls_count():
    """How many sockets of this network namespace were given kernel records, by direction; says
    nothing where the kernel has none."""
    try:
        with open("/proc/net/tls_stat", encoding="ascii") as f:
            counts = dict(line.split() for line in f)
    except OSError:
        return
    sums = [sum(int(counts.get(f"Tls{way}{how}", 0)) for how in ("Sw", "Device"))
            for way in ("Tx", "Rx")]
    print(f"# kernel TLS: {sums[0]} sending, {sums[1]} receiving", flush=True)


class Printer:
    """Prints results and counts them; threads may share it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count, self.failed = 0, 0

    def result(self, good, text, notes=()):
        """notes: lines about it."""
        with self.lock:
            self.count += 1
            self.failed += not good
            print(f"{'ok' if good else 'not ok'} {self.count} - {text}")
            for note in notes:
                print(note if str(note).startswith("#") else f"#   {note}")
            sys.stdout.flush()

    def judge(self, good, text, *why):
        """why: what is said where it is not good."""
        self.result(good, text, () if good else why)

    def plan(self):
        print(f"1..{self.count}", flush=True)


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.out = Printer()
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def line(self, ok, test, note=""):
        name = test.id().removeprefix("__main__.") if hasattr(test, "id") else str(test)
        took = time.monotonic() - self.began if self.began else 0
        self.out.result(ok, f"{name}{note} ({took:.1f} s)")

    def explain(self, error):
        """The message, and where in the tests: unittest's own frames say nothing."""
        here = os.sep + "tests" + os.sep
        for frame in traceback.extract_tb(error[2]):
            if here in frame.filename:
                print(f"#   {os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}")
        for line in "".join(traceback.format_exception_only(error[0], error[1])).splitlines():
            print("#  ", line, flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line(False, test)
        self.explain(err)

    def addError(self, test, err):
        super().addError(test, err)
        self.line(False, test)
        self.explain(err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print("#   in", subtest, flush=True)
            self.line(False, subtest)
            self.explain(err)


def main():
    """To be called by a suite's file instead of unittest.main. Arguments: parts of test names; those
    behind a "-" are left out."""
    enter_namespaces()
    # A peer that closes early must be an error of one write, never the end of the suite.
    ctypes.CDLL(None).signal(13, 1)
    wanted = [word for word in sys.argv[1:] if word[0] != "-"]
    unwanted = [word[1:] for word in sys.argv[1:] if word[0] == "-"]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    if wanted or unwanted:
        flat = [t for group in suite for t in group]
        suite = unittest.TestSuite(
            t for t in flat if not any(w in t.id() for w in unwanted)
            and (not wanted or any(w in t.id() for w in wanted)))
    result = TapResult()
    # One folder for all that the suite makes, readable to the users that servers run as.
    tempfile.tempdir = tempfile.mkdtemp(prefix="postern-suite-")
    os.chmod(tempfile.tempdir, 0o755)
    suite.run(result)
    if result.wasSuccessful():  # else the logs in it may say why
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    kernel_tls_count()
    result.out.plan()
    sys.exit(0 if result.wasSuccessful() else 1)
