#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An appliance is updated to the next version, and back: a bundle that was changed is refused; one whose
gateway does not run falls back by itself after three starts; a good one is blessed, and what /var has
survives; a rollback starts the one before; and whenever the plug is pulled while an update is written,
the version that ran starts again.

Wants a second version from the same keys, newer than the image's: ./dev image --version 99, and then ./dev
image, for the other tests take the image that was made last."""
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from disk import IMAGE_FOLDER, KEYS  # noqa: E402
from settings import Mail, Settings  # noqa: E402
from uki import Uki  # noqa: E402

SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
CUTS = 10
BOOTED_CUTS = 3


def bundle(version):
    return os.path.join(IMAGE_FOLDER, f"postern-{version}-x86_64.update")


def version_of(path):
    return re.match(r"postern-(.*)-x86_64", os.path.basename(path)).group(1)


class Update(appliance.Case):
    def setUp(self):
        super().setUp()
        self.old = version_of(self.image())
        found = sorted(version_of(path) for path in glob.glob(bundle("*")))
        if found == [self.old]:
            self.skipTest(f"there is no second version in {IMAGE_FOLDER}: ./dev image --version 99 makes it")
        self.new = next(version for version in found if version != self.old)

    def machine(self):
        machine = self.appliance()
        self.settings = Settings(machine.folder, machine)
        machine.credentials = self.settings.credentials()
        return machine

    def ready(self, machine, version):
        machine.expect(rf"^postern {re.escape(version)}\b")
        machine.ready()

    def status(self, machine):
        return json.loads(machine.ssh("posternctl --json system status"))

    def states(self, machine):
        """version: (state, runs, next)."""
        return {slot.get("version", "-"): (slot["state"], slot["runs"], slot["next"])
                for slot in self.status(machine)["slots"]}

    def update(self, machine, path, *options, wait=True):
        """posternctl system update over ssh: (exit code, what it said); the process where not waited for."""
        host, port = machine.at(22)
        with open(path, "rb") as f:
            process = subprocess.Popen(
                ["ssh", "-i", machine.ssh_key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
                 "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", f"root@{host}",
                 " ".join(["posternctl system update", *options, "-"])],
                stdin=f, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not wait:
            return process
        said = process.communicate(timeout=1800)[0]
        print(f"# update: {process.returncode}: {said.strip()}")
        return process.returncode, said

    def remade(self, change):
        """The bundle of the new version, signed by the same key, with its kernel changed."""
        folder = os.path.join(self.folder, "remade")
        os.makedirs(folder)
        with tarfile.open(bundle(self.new)) as tar:
            for member in tar:
                tar.extract(member, folder)
        path = os.path.join(folder, f"postern_{self.new}_x86-64.efi")
        with open(path, "rb") as f:
            uki = Uki(f.read())
        change(uki)
        with open(path, "wb") as f:
            f.write(uki.data)
        out = os.path.join(folder, "remade.update")
        subprocess.run([os.path.join(SOURCE, "images/bundle.sh"), self.new, *(os.path.join(
            folder, f"postern_{self.new}_x86-64.{kind}") for kind in ("root", "verity", "efi")),
            os.path.join(KEYS, "update.key"), out], check=True)
        return out

    def restart(self, machine):
        machine.ssh("systemctl --no-block start reboot.target", check=False)

    def starts(self, machine, version):
        """systemd's greeting, the first sign of which version was started."""
        machine.expect(rf"Welcome to \W*postern {re.escape(version)}\W", limit_s=600)

    def mail(self, machine, mail):
        mail.send(machine, "--messages", "4", "--sessions", "2", "--per-session", "2")

    def test_there_and_back(self):
        machine = self.machine()
        mail = Mail(self, self.settings)
        machine.power_on()
        self.ready(machine, self.old)
        self.wait_for_blessing(machine, self.old)
        self.assertEqual(self.states(machine), {self.old: ("good", True, True), "-": ("empty", False, False)})
        machine.ssh("echo kept >/var/lib/kept && sync")
        self.mail(machine, mail)

        # A bundle with one byte that is another.
        path = os.path.join(self.folder, "tampered.update")
        with open(bundle(self.new), "rb") as f:
            data = bytearray(f.read())
        data[len(data) // 2] ^= 1
        with open(path, "wb") as f:
            f.write(data)
        code, said = self.update(machine, path)
        self.assertEqual(code, 65, said)
        self.assertIn("is not the one that was signed", said)
        self.assertEqual(self.states(machine), {self.old: ("good", True, True), "-": ("empty", False, False)})

        # As it should be.
        code, said = self.update(machine, bundle(self.new))
        self.assertEqual(code, 0, said)
        self.assertEqual(self.states(machine), {self.new: ("trial", False, True), self.old: ("good", True, False)})
        self.restart(machine)
        self.starts(machine, self.new)
        self.ready(machine, self.new)
        self.wait_for_blessing(machine, self.new)
        self.assertEqual(self.states(machine), {self.new: ("good", True, True), self.old: ("good", False, False)})
        self.assertEqual(machine.ssh("cat /var/lib/kept").strip(), "kept")
        self.mail(machine, mail)

        # And back, by hand; also what is said where there is nothing to do.
        self.assertIn(f"version {self.new} runs already", self.update(machine, bundle(self.new))[1])
        self.assertIn(f"Version {self.old} starts next", machine.ssh("posternctl system rollback"))
        self.restart(machine)
        self.starts(machine, self.old)
        self.ready(machine, self.old)
        self.assertEqual(self.states(machine), {self.new: ("good", False, False), self.old: ("good", True, True)})
        self.assertEqual(machine.ssh("cat /var/lib/kept").strip(), "kept")
        self.mail(machine, mail)
        mail.all_arrived()

    def test_falls_back(self):
        """A version whose kernel has no TLS, so that its gateway never runs: three starts, and the machine is
        back by itself; then the same version as it should be."""
        machine = self.machine()
        mail = Mail(self, self.settings)
        machine.power_on()
        self.ready(machine, self.old)
        self.wait_for_blessing(machine, self.old)
        code, said = self.update(machine, self.remade(lambda uki: uki.put(
            ".cmdline", uki.get(".cmdline").rstrip(b"\0 \n") + b" module_blacklist=tls")))
        self.assertEqual(code, 0, said)
        self.restart(machine)
        for _ in range(3):
            self.starts(machine, self.new)
        self.starts(machine, self.old)
        self.ready(machine, self.old)
        self.assertEqual(self.states(machine), {self.new: ("bad", False, False), self.old: ("good", True, True)})
        self.assertIn(f"postern_{self.new}+0-3.efi", [slot.get("uki") for slot in self.status(machine)["slots"]])
        self.mail(machine, mail)
        mail.all_arrived()
        self.assertEqual(self.update(machine, bundle(self.new))[0], 0)
        self.assertEqual(self.states(machine), {self.new: ("trial", False, True), self.old: ("good", True, False)})

    def wait_for_blessing(self, machine, version):
        """The boot loader's counter goes a moment after the notice has come."""
        deadline = time.monotonic() + 300
        while self.states(machine)[version][0] != "good":
            self.assertLess(time.monotonic(), deadline, f"version {version} is not blessed")
            time.sleep(5)

    # --- the plug ---

    def written(self, machine):
        return sum(device["stats"]["wr_bytes"] for device in machine.qmp.ask("query-blockstats"))

    def cut(self, machine, number):
        """The disk and the firmware's variables as they would be, were the plug pulled now."""
        folder = os.path.join(self.folder, f"cut{number}")
        os.makedirs(folder)
        machine.qmp.ask("stop")
        try:
            disk = machine.disk.copy(os.path.join(folder, "disk"))
            subprocess.run(["cp", machine.variables, os.path.join(folder, "variables.fd")], check=True)
        finally:
            machine.qmp.ask("cont")
        return disk, os.path.join(folder, "variables.fd")

    def whole(self, disk, version, sizes=None):
        """SHA-256 of a version's parts on a disk (of so many bytes of each): root, its hashes, its kernel;
        None where one is missing, so that it can't be started."""
        parts, esp = disk.partitions(), disk.esp()
        ukis = [name for name in esp.names("/EFI/Linux") if name.lower().startswith(f"/efi/linux/postern_{version}")
                and name.lower().endswith(".efi")]
        labels = (f"postern_{version}", f"postern_{version}_verity")
        if not ukis or any(label not in parts for label in labels):
            return None
        found = [disk.read(*parts[label]) for label in labels] + [esp.read(ukis[0])]
        return [hashlib.sha256(part[:size]).hexdigest() for part, size in zip(found, sizes or map(len, found))]

    def test_power_cut(self):
        machine = self.machine()
        machine.power_on()
        self.ready(machine, self.old)
        self.wait_for_blessing(machine, self.old)
        one = self.whole(machine.disk, self.old)
        with tarfile.open(bundle(self.new)) as tar:
            two = [tar.extractfile(f"postern_{self.new}_x86-64.{kind}").read() for kind in ("root", "verity", "efi")]
        # It is written twice: to /var, and to its slot.
        sizes = [len(part) for part in two]
        began, all_bytes = self.written(machine), 2 * sum(sizes)
        process = self.update(machine, bundle(self.new), wait=False)
        cuts = []
        while process.poll() is None:
            if len(cuts) < CUTS - 1 and self.written(machine) - began >= all_bytes * (len(cuts) + 1) / CUTS:
                cuts.append(self.cut(machine, len(cuts)))
            time.sleep(0.05)
        self.assertEqual(process.wait(), 0, process.communicate()[0])
        while len(cuts) < CUTS:
            cuts.append(self.cut(machine, len(cuts)))
        machine.power_cut()
        ran = 0
        for disk, _ in cuts:
            self.assertEqual(self.whole(disk, self.old), one)
            new = self.whole(disk, self.new, sizes)
            if new is not None:  # where it can be started, it is there
                self.assertEqual(new, [hashlib.sha256(part).hexdigest() for part in two])
                ran += 1
        self.assertGreaterEqual(ran, 1)
        self.assertLess(ran, CUTS)
        for number in sorted({1, CUTS // 2, CUTS - 2})[:BOOTED_CUTS]:
            disk, variables = cuts[number]
            with self.subTest(cut=number):
                again = self.appliance(disk=disk)
                again.credentials = machine.credentials
                again.ssh_key, again.forwards = machine.ssh_key, machine.forwards
                subprocess.run(["cp", variables, again.variables], check=True)
                again.power_on()
                again.ready()
                # And the update goes on from there.
                if self.whole(disk, self.new) is None:
                    self.assertEqual(self.update(again, bundle(self.new))[0], 0)
                    self.assertEqual(self.states(again)[self.new][0], "trial")
                again.power_cut()


if __name__ == "__main__":
    appliance.main()
