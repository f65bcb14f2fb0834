#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does postern-platform set this machine's network namespace up, say why, find nothing to do a second
time, and bring everything back, also where the kernel refuses something or somebody else is at it? Does
it feed a watchdog only while the gateway is well?"""
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE, wait_for  # noqa: E402
from gateway import BUILD  # noqa: E402

PROGRAM = os.path.join(BUILD, "postern-platform")
# Of this namespace: what is of the whole machine stays, a test has no business there.
OWN = {"/proc/sys/net/core/somaxconn": "128", "/proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t2097152",
       "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
       "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "1"}
GLOBAL = "irq,steering,governor,tls,queues,rings,rss"
EX_USAGE, EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL = 64, 69, 73, 75


def run(*words):
    done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60 * PATIENCE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def all_read():
    return {path: read(path) for path in OWN}


class Tune(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="postern-platform-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.state = os.path.join(self.folder, "state")
        for path, value in OWN.items():
            with open(path, "w", encoding="ascii") as f:
                f.write(value)
        self.before = all_read()
        self.assertEqual(self.before, OWN)

    def tune(self, *words):
        code, out, err = run("tune", "--json", "--skip", GLOBAL, "--state-dir", self.state, *words)
        self.assertEqual((code, err), (0, ""))
        return json.loads(out)

    def outcomes(self, *words):
        """What came of each of our own settings, and what of the others."""
        ours, others = {}, set()
        for change in self.tune(*words)["changes"]:
            self.assertTrue(change["why"])
            path = "/" + change["target"]
            if path in OWN:
                ours[path] = (change["outcome"], change["to"])
            else:
                others.add(change["outcome"])
        return ours, others

    def test_a_plan_changes_nothing(self):
        ours, _ = self.outcomes("--dry-run")
        self.assertEqual(ours["/proc/sys/net/core/somaxconn"], ("planned", "8192"))
        self.assertEqual(set(ours), set(OWN))
        self.assertEqual(all_read(), self.before)
        self.assertFalse(os.path.exists(self.state))

    def test_it_is_done_once_and_comes_back(self):
        notice = os.path.join(self.folder, "notices/tune")
        ours, _ = self.outcomes("--notice", notice)
        self.assertEqual(set(ours), set(OWN))
        self.assertEqual({outcome for outcome, _ in ours.values()}, {"done"})
        after = all_read()
        self.assertEqual(after["/proc/sys/net/core/somaxconn"], "8192")
        self.assertEqual(after["/proc/sys/net/ipv4/tcp_wmem"], "4096\t16384\t16777216")
        self.assertEqual(after["/proc/sys/net/ipv4/ip_local_port_range"], "16384\t60999")
        self.assertRegex(read(notice), "^(ok|warning): ")
        # Again: what can be done is; old values stay the first ones.
        kept = read(os.path.join(self.state, "tune.state"))
        ours, _ = self.outcomes()
        self.assertEqual(ours, {})
        self.assertEqual(read(os.path.join(self.state, "tune.state")), kept)
        shown, _ = self.outcomes("--revert", "--dry-run")
        self.assertEqual({outcome for outcome, _ in shown.values()}, {"planned"})
        self.assertEqual(all_read(), after)
        ours, _ = self.outcomes("--revert")
        self.assertEqual({outcome for outcome, _ in ours.values()}, {"done"})
        self.assertEqual(all_read(), self.before)
        self.assertEqual(self.tune("--revert")["changes"], [])

    def test_what_somebody_else_brought_back_is_no_trouble(self):
        self.outcomes()
        with open("/proc/sys/net/core/somaxconn", "w", encoding="ascii") as f:
            f.write("128")
        ours, _ = self.outcomes("--revert")
        self.assertEqual(ours["/proc/sys/net/core/somaxconn"][0], "already")
        self.assertEqual(all_read(), self.before)

    def test_refusals_are_told_and_the_rest_is_done(self):
        # A container's view: sysctl files that can't be written.
        subprocess.run(["mount", "--bind", "-o", "ro", "/proc/sys/net/core", "/proc/sys/net/core"],
                       check=True, stdin=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys/net/core"], check=True,
                       stdin=subprocess.DEVNULL)
        self.addCleanup(subprocess.run, ["umount", "/proc/sys/net/core"], check=True)
        notice = os.path.join(self.folder, "tune")
        found = {c["target"]: c for c in self.tune("--notice", notice)["changes"]}
        refused = found["proc/sys/net/core/somaxconn"]
        self.assertEqual(refused["outcome"], "refused")
        self.assertIn("Read-only file system; this container may not", refused["trouble"])
        self.assertEqual(found["proc/sys/net/ipv4/tcp_slow_start_after_idle"]["outcome"], "done")
        self.assertIn("refused", read(notice))
        self.assertEqual(self.outcomes("--revert")[0]["/proc/sys/net/ipv4/tcp_wmem"][0], "done")
        self.assertEqual(all_read(), self.before)

    def test_only_one_may_tune(self):
        self.outcomes()
        with open(os.path.join(self.state, "tune.state"), encoding="ascii") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            code, _, err = run("tune", "--revert", "--state-dir", self.state)
            self.assertEqual(code, EX_TEMPFAIL)
            self.assertIn("another postern-platform", err)
        self.outcomes("--revert")

    def test_a_damaged_record_is_told(self):
        os.mkdir(self.state)
        with open(os.path.join(self.state, "tune.state"), "w", encoding="ascii") as f:
            f.write("postern-tune 1\nfile\t/etc/passwd\tx\n")
        code, _, err = run("tune", "--revert", "--state-dir", self.state)
        self.assertEqual(code, EX_CANTCREAT)
        self.assertIn("Reboot", err)
        notice = os.path.join(self.folder, "tune")
        code, _, _ = run("tune", "--state-dir", self.state, "--notice", notice)
        self.assertEqual(code, EX_CANTCREAT)
        self.assertRegex(read(notice), "^error: the machine is not tuned: .*tune.state can't be read.*Reboot")
        self.assertEqual(all_read(), self.before)


class Watchdog(unittest.TestCase):
    """Without a device: what it would do. With one: tests/vm/test_platform.py."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="postern-watchdog-")
        self.addCleanup(folder.cleanup)
        self.well = os.path.join(folder.name, "well")
        self.said = os.path.join(folder.name, "said")

    def start(self, *check):
        with open(self.said, "wb") as out:
            process = subprocess.Popen(
                [PROGRAM, "watchdog", "--dry-run", "--interval", "1", "--check-timeout", "1",
                 "--patience", "2", "--check", *check], stdin=subprocess.DEVNULL, stderr=out)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def says(self, text, times=1):
        wait_for(lambda: read(self.said).count(text) >= times, 60 * PATIENCE, text)

    def test_health_decides(self):
        process = self.start("test", "-e", self.well)
        self.says("waiting for the gateway to be well")
        with open(self.well, "wb"):
            pass
        self.says("the gateway is well, the watchdog is fed")
        os.unlink(self.well)
        self.says("still fed")
        self.says("fed no more, and resets the machine within 60 seconds")
        with open(self.well, "wb"):
            pass
        self.says("the gateway is well, the watchdog is fed", 2)
        process.terminate()
        self.assertEqual(process.wait(60 * PATIENCE), 0)
        self.says("stopped: nothing resets the machine where it hangs")

    def test_a_check_that_hangs_is_killed(self):
        process = self.start("sleep", "1000")
        self.says("took too long, and is killed", 2)
        process.terminate()
        self.assertEqual(process.wait(60 * PATIENCE), 0)
        self.assertNotIn("fed", read(self.said))

    def test_what_is_missing_is_told(self):
        for words, code, said in (
                (["--device", "/no/such", "--check", "true"], EX_UNAVAILABLE, "there is none"),
                ([], EX_USAGE, "--check COMMAND... is needed"),
                (["--patience", "19", "--check", "true"], EX_USAGE, "at least"),
                (["--timeout", "1", "--check", "true"], EX_USAGE, "a number from 4 to 3600")):
            got, out, err = run("watchdog", *words)
            self.assertEqual((got, out), (code, ""), words)
            self.assertIn(said, err)


class Probe(unittest.TestCase):
    def test_what_is_amiss_is_one_line(self):
        with tempfile.TemporaryDirectory(prefix="postern-platform-") as folder:
            notice = os.path.join(folder, "notices/hardware")
            code, out, err = run("probe", "--notice", notice)
            self.assertEqual((code, out), (0, ""))
            warnings = json.loads(run("probe", "--json")[1])["warnings"]
            line = read(notice)
            self.assertRegex(line, "^(ok|warning|error): ")
            self.assertEqual(len(err.splitlines()), len(warnings))
            if warnings:
                self.assertIn(warnings[0], line)


class Words(unittest.TestCase):
    def test_what_is_not_known_is_told(self):
        for words, said in ((["tune", "--skip", "tls,rngs"], 'knows no "rngs"; it knows: tls'),
                            (["tune", "--workers", "0"], "a number from 1 to 1024"),
                            (["tune", "--revrt"], '"--revrt" is not known here'),
                            (["probe", "more"], '"more" is not known here'),
                            (["tun"], 'no verb "tun"')):
            code, out, err = run(*words)
            self.assertEqual((code, out), (EX_USAGE, ""), words)
            self.assertIn(said, err)
        self.assertEqual(run()[0], EX_USAGE)

    def test_help_teaches(self):
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        for verb in ("probe", "tune", "watchdog"):
            self.assertIn(f"\n  {verb} ", out)
            for words in ((verb, "--help"), ("help", verb)):
                code, told, err = run(*words)
                self.assertEqual((code, err), (0, ""))
                self.assertIn(f"\n  postern-platform {verb}", told)
                self.assertIn("\nOptions:\n", told)


if __name__ == "__main__":
    tap.main()
