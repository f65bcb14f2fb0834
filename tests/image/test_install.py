#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An appliance that runs from a stick writes itself and its settings to a disk of the machine; that
disk starts without the stick, and says that it is ready. Disks that can't be taken are refused."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from disk import Disk  # noqa: E402
from settings import Settings  # noqa: E402


class Install(appliance.Case):
    def blank(self, name, size_mb):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.truncate(size_mb * 2**20)
        return path

    def disk_name(self, machine, size_mb):
        """What the kernel calls the disk of that size."""
        return machine.ssh(f"for disk in /sys/block/sd*; do [ $(cat $disk/size) != {size_mb * 2048} ] || "
                           "basename $disk; done").strip()

    def test_to_a_disk_of_the_machine(self):
        large = self.blank("large_sectors", 2600)
        stick = self.appliance(devices=("-drive", f"if=none,id=large,format=raw,file={large}", "-device",
                                        "virtio-blk-pci,drive=large,logical_block_size=4096,physical_block_size=4096"))
        stick.credentials = Settings(stick.folder, stick).credentials()
        target, small = self.blank("target", 2500), self.blank("small", 1500)
        stick.power_on()
        stick.ready()
        stick.stick_in(target, "target")
        stick.stick_in(small, "small")
        stick.ssh("udevadm settle; ls /sys/block")
        name, name_small = self.disk_name(stick, 2500), self.disk_name(stick, 1500)
        install = "posternctl system install --yes"
        said = stick.ssh(f"{install} {name_small}; echo status $?")
        self.assertRegex(said, rf"the disk {name_small} is too small: it has 1500 MB, \d+ MB are needed\nstatus 69")
        self.assertRegex(stick.ssh(f"{install} vdb; echo status $?"),
                         r"the disk vdb has sectors of 4096 bytes, 512 are needed: .*\nstatus 69")
        self.assertRegex(stick.ssh(f"{install} vda; echo status $?"), r"this system runs from vda.*\nstatus 69")
        self.assertRegex(stick.ssh(f"{install} sdz; echo status $?"), rf"no disk sdz; there are: .*{name}.*\nstatus 69")
        self.assertRegex(stick.ssh(f"posternctl system install {name} </dev/null; echo status $?"),
                         r"(?s)All that is on it is lost.*nobody to ask.*status 64")
        with open(small, "rb") as file:
            self.assertEqual(file.read(1 << 20).strip(b"\0"), b"")
        with open(target, "rb") as file:
            self.assertEqual(file.read(1 << 20).strip(b"\0"), b"")
        said = stick.ssh(f"{install} {name}", limit_s=400)
        self.assertRegex(said, rf"Installed version \S+ on {name}\. Remove the stick and restart\.")
        stick.power_cut()

        disk = Disk(target)
        names = [os.path.basename(path) for path in disk.esp().names("/EFI/Linux")]
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0].lower(), r"^postern_.+\+3\.efi$")
        machine = self.appliance(disk=disk, like=None)
        machine.ssh_key = stick.ssh_key  # the administrator's key went along with the settings
        machine.power_on()
        machine.ready()
        print(f"# ready {machine.up_s():.0f} s after power on, {machine.cpu_s():.0f} s of CPU")
        self.assertIn("hop.example", machine.ssh("cat /etc/postern/postern.conf"))
        self.assertRegex(machine.ssh("posternctl system status"), r"on vda")
        machine.button()
        machine.ends()


if __name__ == "__main__":
    appliance.main()
