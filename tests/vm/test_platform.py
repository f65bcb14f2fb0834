#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""postern-platform on a kernel with drivers, in the virtual machine: disks tell of their health; cards
are found and set by their drivers and come back; a watchdog is started, fed, left alone and stopped as health says. The machine is
the test's own: it has its network, and its watchdog (softdog) only says that it would reset."""
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE, wait_for  # noqa: E402
from gateway import BUILD, platform  # noqa: E402

PROGRAM = os.path.join(BUILD, "postern-platform")
DRIVERS = {"virtio_net", "vmxnet3"}


def cards():
    return {n["driver"]: n for n in platform()["interfaces"] if n["driver"] in DRIVERS}


def up(name):
    """What `ip link set NAME up` does: most cards have interrupts only then."""
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, siocgifflags, request))[1]
        fcntl.ioctl(sock, siocsifflags, struct.pack("16sH14x", name.encode(), flags | iff_up))


class Cards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for driver in DRIVERS:
            subprocess.run(["modprobe", driver], check=True, stdin=subprocess.DEVNULL)
        wait_for(lambda: set(cards()) == DRIVERS, 60 * PATIENCE, "the cards are there")
        for card in cards().values():
            up(card["name"])

    def tune(self, *words):
        done = subprocess.run([PROGRAM, "tune", "--json", "--state-dir", self.state, *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="postern-platform-")
        self.addCleanup(folder.cleanup)
        self.state = os.path.join(folder.name, "state")

    def test_cards_are_found(self):
        for driver, card in cards().items():
            self.assertTrue(card["device"], driver)
            self.assertRegex(card["address"], r"^0000:00:0[0-9a-f]\.0$")
            self.assertEqual(card["tls"]["tls-hw-tx-offload"], "none")
            self.assertEqual(card["offloads"]["rx-gro"], "on")
            self.assertGreater(card["rings"]["rx"]["max"], 0)
            self.assertTrue(any(q["irq_rx"] and q["irq_rx_cpus"] for q in card["queues"]), card)
        self.assertEqual(cards()["vmxnet3"]["rings"]["tx"], {"now": 512, "max": 4096})

    def test_a_card_is_set_by_its_driver_and_comes_back(self):
        before = cards()
        done = self.tune()
        name = before["vmxnet3"]["name"]
        ring = [c for c in done["changes"] if c["target"] == f"{name} tx"][0]
        self.assertEqual((ring["kind"], ring["from"], ring["outcome"]), ("ring", "512", "done"))
        self.assertEqual([n["text"] for n in done["notes"] if n["warns"]], [])
        after = cards()
        self.assertGreater(int(ring["to"]), 512)
        self.assertEqual(after["vmxnet3"]["rings"]["tx"]["now"], int(ring["to"]))
        for card in after.values():
            for queue in card["queues"]:
                self.assertIn(queue["irq_rx_cpus"], ("", "0", "1"))
        # What is left is what the kernel would not have.
        again = self.tune()
        self.assertEqual([c for c in again["changes"] if c["outcome"] != "refused"], [])
        self.tune("--revert")
        self.assertEqual({d: c["rings"] for d, c in cards().items()},
                         {d: c["rings"] for d, c in before.items()})
        self.assertEqual({d: c["queues"] for d, c in cards().items()},
                         {d: c["queues"] for d, c in before.items()})


class Disks(unittest.TestCase):
    """Each is asked in its own tongue."""

    def disks(self, kind):
        return [d for d in platform()["disks"] if d["name"].startswith(kind)]

    def test_an_nvme_disk_is_asked(self):
        wait_for(lambda: self.disks("nvme"), 60 * PATIENCE, "the disk is there")
        disk = self.disks("nvme")[0]
        self.assertEqual((disk["health"], disk["size_mb"]), ("good", 8), disk)
        self.assertFalse(disk["rotational"] or disk["removable"], disk)
        self.assertIn("QEMU", disk["model"])
        self.assertRegex(disk["why"], r"^[0-9]+ % used, [0-9]+ % spare, -?[0-9]+ C, 0 media errors$")

    def test_an_ata_disk_is_asked(self):
        for module in ("ahci", "sd_mod"):
            if subprocess.run(["modprobe", module], stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode:
                self.skipTest(f"this kernel has no {module}")
        wait_for(lambda: self.disks("sd"), 60 * PATIENCE, "the disk is there")
        disk = self.disks("sd")[0]
        self.assertEqual((disk["health"], disk["size_mb"]), ("good", 8), disk)
        self.assertEqual(disk["why"], "SMART: no threshold is passed")


class Watchdog(unittest.TestCase):
    STATE = "/sys/class/watchdog/watchdog0/state"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run(["modprobe", "softdog", "soft_noboot=1"], check=True,
                       stdin=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists("/dev/watchdog"), 60 * PATIENCE, "there is a watchdog")

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="postern-watchdog-")
        self.addCleanup(folder.cleanup)
        self.well, self.notice = (os.path.join(folder.name, n) for n in ("well", "notice"))
        self.said = os.path.join(folder.name, "said")
        self.log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, self.log)
        os.lseek(self.log, 0, os.SEEK_END)

    def start(self):
        with open(self.said, "ab") as out:
            process = subprocess.Popen(
                [PROGRAM, "watchdog", "--timeout", "4", "--interval", "1", "--check-timeout", "10",
                 "--patience", "11", "--notice", self.notice, "--check", "test", "-e", self.well],
                stdin=subprocess.DEVNULL, stderr=out)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        return process

    def state(self):
        with open(self.STATE, encoding="ascii") as f:
            return f.read().strip()

    def kernel_says(self, text):
        def read():
            try:
                return text in os.read(self.log, 8192).decode(errors="replace")
            except BlockingIOError:
                return False
        wait_for(read, 120 * PATIENCE, text)

    def notices(self, text):
        def read():
            try:
                with open(self.notice, encoding="ascii") as f:
                    return text in f.read()
            except FileNotFoundError:
                return False
        wait_for(read, 120 * PATIENCE, text)

    def be_well(self):
        with open(self.well, "wb"):
            pass

    def test_health_decides_over_a_reset(self):
        found = platform()["watchdogs"][0]
        self.assertEqual((found["identity"], found["active"]), ("Software Watchdog", False))
        process = self.start()
        self.notices("ok: waiting for the gateway to be well")
        self.assertEqual(self.state(), "inactive")
        self.be_well()
        self.notices("ok: the gateway is well")
        self.assertEqual(self.state(), "active")
        self.assertEqual(platform()["watchdogs"][0]["timeout_s"], 4)
        os.unlink(self.well)
        self.notices("error: ")
        self.kernel_says("postern-watchdog: the gateway did not come back")
        self.kernel_says("softdog: Triggered - Reboot ignored")
        self.be_well()
        self.notices("ok: the gateway is well")
        process.terminate()
        self.assertEqual(process.wait(60 * PATIENCE), 0)
        self.assertEqual(self.state(), "inactive")
        self.notices("ok: stopped")

    def test_only_one_program_has_it(self):
        with open("/dev/watchdog", "wb", buffering=0) as other:
            self.be_well()
            process = self.start()
            self.assertEqual(process.wait(60 * PATIENCE), 69)
            self.notices("another program feeds it")
            other.write(b"V")
        self.assertEqual(self.state(), "inactive")


if __name__ == "__main__":
    tap.main()
