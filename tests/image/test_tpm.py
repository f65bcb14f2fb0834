#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What opens /var, and what does not: the same system and a new version signed by the same PCR key, on
the same TPM. For everything else the console says what has changed, nothing is formatted, and the
recovery key or a factory reset is the way on."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from disk import KEYS, run  # noqa: E402
from settings import Settings, config_text  # noqa: E402
from uki import Uki, key_make  # noqa: E402

LUKS = b"LUKS\xba\xbe"


class StateCase(appliance.Case):
    def outcome(self, machine):
        """(level, text) of what postern-state says in this boot."""
        return machine.expect(r"postern-state: (ok|warning|error): ([^\n]*)\n").groups()

    def boot(self, machine):
        machine.power_on()
        return self.outcome(machine)

    def opens(self, machine):
        level, text = self.boot(machine)
        self.assertNotEqual(level, "error", text)
        self.assertIn("recovery key", text)

    def stays_shut(self, machine, why):
        level, text = self.boot(machine)
        self.assertEqual(level, "error", text)
        self.assertIn("/var is shut: " + why, text)
        # The way on is named, and what is there is kept.
        self.assertIn("recovery key", text)
        self.assertIn("reset", text)
        self.assertEqual(self.state_head(machine), LUKS)
        return text

    def state_head(self, machine):
        return machine.disk.read(machine.disk.partitions()["postern-var"][0], 6)


class Sealed(StateCase):
    """Each begins with the machine that make_sealed() leaves."""

    def make_sealed(self):
        machine = self.appliance(tpm=True)
        settings = Settings(machine.folder, machine)
        settings.appliance["admin_password"] = "$6$postern$" + 86 * "."  # nobody's: it is forgotten
        machine.credentials = settings.credentials()
        self.opens(machine)
        self.assertEqual(self.state_head(machine), LUKS)
        machine.ready()
        machine.recovery_key = machine.ssh("/usr/lib/postern/state recovery-key").strip()
        machine.ssh("echo mine >/var/lib/mine; sync")
        machine.power_cut()
        return machine.keep(tempfile.mkdtemp())

    def sealed(self, **how):
        return self.appliance(like=self.once(self.make_sealed), **how)

    def uki_change(self, machine, change):
        esp, path = machine.disk.esp(), machine.disk.uki()
        uki = Uki(esp.read(path))
        self.assertIn(uki.policy(), uki.signed_policies())
        change(uki)
        esp.write(path, bytes(uki.data))

    def another_version(self, uki):
        uki.command_line_change(b"panic=30", b"panic=31")

    def test_a_new_version_signed_by_the_same_key_opens_it(self):
        machine = self.sealed()

        def change(uki):
            self.another_version(uki)
            uki.sign_pcr(os.path.join(KEYS, "pcr.key"))

        self.uki_change(machine, change)
        self.opens(machine)
        machine.ready()
        self.assertEqual(machine.ssh("cat /var/lib/mine"), "mine\n")
        self.assertIn("panic=31", machine.ssh("cat /proc/cmdline"))

    def test_another_command_line_in_the_uki(self):
        machine = self.sealed()
        self.uki_change(machine, self.another_version)
        self.stays_shut(machine, "this system is not as it was signed")

    def test_another_pcr_key(self):
        machine = self.sealed()
        key = key_make(os.path.join(machine.folder, "other.key"))
        self.uki_change(machine, lambda uki: uki.sign_pcr(key))
        # There is a stick, too, which nobody here can read.
        odd = os.path.join(self.folder, "odd")
        run("truncate", "-s", "16M", odd)
        run("mkfs.ext4", "-q", "-L", "POSTERN-KEY", odd)
        machine.sticks = [odd]
        self.assertIn("its file system has to be FAT",
                      self.stays_shut(machine, "this version is signed by another PCR key"))

    def test_words_added_to_the_command_line(self):
        self.stays_shut(self.sealed(words="postern.added=1"), "something was added to the kernel's command line")

    def test_no_tpm(self):
        self.stays_shut(self.sealed(tpm=False), "there is no TPM now")

    def test_another_tpm_and_the_recovery_key(self):
        machine = self.sealed()
        key = self.made_once.recovery_key
        self.assertRegex(key, r"^([cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}$")
        machine.tpm = appliance.Tpm(os.path.join(machine.folder, "another"))
        wrong = key[:-1] + ("b" if key[-1] == "c" else "c")
        machine.sticks = [self.stick({"recovery-key": wrong}, label="POSTERN-KEY")]
        level, text = self.boot(machine)
        self.assertEqual(level, "error")
        self.assertIn("this is another TPM", text)
        self.assertIn("does not open it", text)
        machine.power_cut()
        machine.sticks = [self.stick({"recovery-key": key.upper().replace("-", " ") + "\r\n"},
                                      label="POSTERN-KEY")]
        level, text = self.boot(machine)
        self.assertEqual(level, "warning")
        self.assertIn("opened by the recovery key", text)
        machine.ready()
        self.assertEqual(machine.ssh("cat /var/lib/mine"), "mine\n")
        # It stands for the administrator's password, too, on a stick with settings; the TPM, which opens /var now,
        # does not.
        taken = config_text({"hostname": "taken.example.org", "ssh_keys": [machine.ssh_public]})
        for typed, said in ((wrong, "are not taken: recovery-key: it does not open /var"), (key, "were taken;")):
            machine.power_cut()
            machine.sticks = [self.stick({"appliance.conf": taken, "recovery-key": typed + "\r\n"})]
            self.opens(machine)
            machine.expect(("settings of the stick POSTERN " + said).replace(" ", r"\s+"))
        machine.ready()
        self.assertEqual(machine.ssh("hostname").strip(), "taken.example.org")

    def test_factory_reset(self):
        machine = self.sealed()
        self.opens(machine)
        machine.ready()
        self.assertIn("Erased at this restart", machine.ssh("posternctl system reset --yes --reboot"))
        machine.expect("postern-state: factory reset")
        self.assertEqual(self.outcome(machine)[0], "warning")
        machine.ready()
        self.assertIn("No such file", machine.ssh("cat /var/lib/mine", check=False))
        key = machine.ssh("/usr/lib/postern/state recovery-key").strip()
        self.assertNotEqual(key, self.made_once.recovery_key)
        machine.power_cut()
        # Once is enough.
        machine.power_on()
        machine.expect(r"postern-state: (ok|warning): ", unless="factory reset:")


class Plain(StateCase):
    def test_no_tpm_then_damage_then_mended(self):
        machine = self.appliance()
        level, text = self.boot(machine)
        self.assertEqual(level, "warning")
        self.assertIn("/var is not encrypted", text)
        machine.power_cut()
        # The group descriptors, which ext4 has copies of.
        offset = machine.disk.partitions()["postern-var"][0]
        self.assertEqual(machine.disk.read(offset + 1024 + 56, 2), b"\x53\xef")
        machine.disk.write(offset + 4096, bytes(4096))
        level, text = self.boot(machine)
        self.assertEqual(level, "warning")
        self.assertIn("was damaged and is mended", text)

    def test_no_room(self):
        machine = self.appliance(disk_mb=None)
        level, text = self.boot(machine)
        self.assertEqual(level, "error")
        size_mb = int(re.search(r"take one of at least (\d+) MB", text)[1])
        machine.power_cut()
        # What it says is enough is enough.
        with open(machine.disk.path, "ab") as f:
            f.truncate(size_mb * 2**20)
        self.assertEqual(self.boot(machine)[0], "warning")


if __name__ == "__main__":
    appliance.main()
