#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An appliance that somebody has changed: the firmware refuses another boot manager, the boot manager
another UKI, the kernel another root, and the console says so. Secure Boot's keys come from the EFI
partition, by the boot manager's menu, as on a real machine in its setup mode."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from disk import KEYS, run  # noqa: E402
from uki import Uki, key_make  # noqa: E402

KERNEL_RUNS = r"Linux version|Welcome to|postern-state:"


class SecureBoot(appliance.Case):
    """Each begins with a machine whose firmware has our keys."""

    def make_enrolled(self):
        machine = self.appliance(secure_boot=True, tpm=True)
        machine.power_on()
        machine.expect(r"Enroll Secure Boot keys: postern")
        machine.send("jj\r")
        machine.expect("(?i)enroll")
        machine.expect("UEFI Secure Boot is enabled")
        machine.power_cut()
        return machine.keep(tempfile.mkdtemp())

    def enrolled(self):
        return self.appliance(like=self.once(self.make_enrolled))

    def refused(self, machine, pattern):
        machine.power_on()
        machine.expect(pattern, unless=KERNEL_RUNS)

    def test_as_signed(self):
        machine = self.enrolled()
        machine.power_on()
        machine.expect("UEFI Secure Boot is enabled")
        machine.expect(r"postern-state: making /var on \S+ \(tpm\)")
        machine.expect(r"postern-state: warning: write the recovery key down", unless="postern-state: error")

    def test_changed_uki(self):
        machine = self.enrolled()
        esp, path = machine.disk.esp(), machine.disk.uki()
        uki = Uki(esp.read(path))
        uki.flip(".initrd")
        esp.write(path, bytes(uki.data))
        self.refused(machine, r"Error loading \\EFI\\Linux\\postern_\S+: Access denied")

    def test_uki_of_another_key(self):
        machine = self.enrolled()
        esp, path = machine.disk.esp(), machine.disk.uki()
        key = key_make(os.path.join(machine.folder, "other.key"))
        cert = os.path.join(machine.folder, "other.pem")
        run("openssl", "req", "-new", "-x509", "-key", key, "-subj", "/CN=other", "-out", cert)
        esp.write(path, Uki(esp.read(path)).sign(key, cert))
        self.refused(machine, r"Error loading \\EFI\\Linux\\postern_\S+: Access denied")

    def test_changed_boot_manager(self):
        machine = self.enrolled()
        esp = machine.disk.esp()
        for path in ("/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"):
            program = Uki(esp.read(path))
            program.flip(".text")
            esp.write(path, bytes(program.data))
        self.refused(machine, r"BdsDxe: failed to load .*: Access Denied")

    def test_a_new_version_of_ours(self):
        machine = self.enrolled()
        esp, path = machine.disk.esp(), machine.disk.uki()
        uki = Uki(esp.read(path))
        uki.command_line_change(b"panic=30", b"panic=31")
        uki.sign_pcr(os.path.join(KEYS, "pcr.key"))
        esp.write(path, uki.sign(os.path.join(KEYS, "db.key"), os.path.join(KEYS, "db.pem")))
        machine.power_on()
        machine.expect("UEFI Secure Boot is enabled")
        machine.expect(r"postern-state: warning: write the recovery key down", unless="postern-state: error")


class Root(appliance.Case):
    def slot(self, machine, suffix):
        """(offset, size) of the filled slot's partition."""
        return next(place for label, place in machine.disk.partitions().items()
                    if label.startswith("postern_") and label.endswith("_verity") == (suffix == "_verity"))

    def test_changed_block(self):
        machine = self.appliance()
        machine.disk.flip(self.slot(machine, "")[0] + 1024)  # the superblock
        machine.power_on()
        machine.expect(r"verity: .*corrupted", unless="postern-state:")

    def test_changed_hashes(self):
        machine = self.appliance()
        offset, _ = self.slot(machine, "_verity")
        machine.disk.flip(offset + 4096, 4096)  # the top of the tree
        machine.power_on()
        machine.expect(r"verity: .*corrupted|THIS SYSTEM CAN'T START", unless="postern-state:")

    def test_no_hashes(self):
        machine = self.appliance()
        offset, _ = self.slot(machine, "_verity")
        machine.disk.write(offset, bytes(4096))
        machine.power_on()
        machine.expect(r"THIS SYSTEM CAN'T START: the root in .* is not the one that was signed with it",
                       unless="postern-state:")


if __name__ == "__main__":
    appliance.main()
