#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An appliance looks after its hardware: it knows what it has, its cards are set up, its disks are asked,
and its watchdog starts it anew when the gateway is lost, and never for another reason."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from settings import Settings  # noqa: E402

NOTICES = "/run/postern-system/notices"
# The unit as it is, with times that a test can wait for.
SHORTER = """mkdir -p /run/systemd/system/postern-watchdog.service.d &&
sed -n 's/^ExecStart=\\(.* watchdog\\) /[Service]\\nExecStart=\\n&/p' \
/usr/lib/systemd/system/postern-watchdog.service |
sed 's/^ExecStart=.* watchdog /&--timeout 20 --interval 2 --check-timeout 20 --patience 25 /' \
>/run/systemd/system/postern-watchdog.service.d/shorter.conf &&
systemctl daemon-reload && systemctl restart postern-watchdog"""


class Hardware(appliance.Case):
    def wait_ssh(self, machine, command, wanted):
        machine.wait(lambda: wanted in machine.ssh(command, check=False), 120, f"{command}: {wanted}")

    def test_a_gateway_that_is_lost_resets_the_machine(self):
        machine = self.appliance(devices=(
            "-device", "i6300esb", "-blockdev", "null-co,node-name=nvme,size=8388608,read-zeroes=on",
            "-device", "nvme,drive=nvme,serial=nvme"))
        machine.credentials = Settings(machine.folder, machine).credentials()
        machine.power_on()
        machine.expect(r"postern \S+ ready")

        found = json.loads(machine.ssh("postern-platform probe --json"))
        self.assertEqual([w["identity"] for w in found["watchdogs"]], ["i6300ESB timer"])
        self.assertEqual([d["health"] for d in found["disks"] if d["name"].startswith("nvme")], ["good"])
        card = [n for n in found["interfaces"] if n["driver"] == "virtio_net"][0]
        self.assertTrue(any(q["irq_rx"] for q in card["queues"]), card)

        units = "postern-tune postern-watchdog"
        self.assertEqual(machine.ssh(f"systemctl is-active {units}").split(), ["active"] * 2)
        self.assertTrue(machine.ssh(f"cat {NOTICES}/tune").startswith("ok: the machine is tuned"))
        self.assertEqual(machine.ssh("cat /proc/sys/net/ipv4/tcp_slow_start_after_idle").strip(), "0")
        self.assertIn("Nothing to change", machine.ssh("postern-platform tune"))
        machine.ssh("systemctl start postern-hardware")
        self.assertRegex(machine.ssh(f"cat {NOTICES}/hardware"), r"^(ok|warning): ")
        self.wait_ssh(machine, "cat /sys/class/watchdog/watchdog0/state", "active")
        self.assertTrue(machine.ssh(f"cat {NOTICES}/watchdog").startswith("ok: the gateway is well"))

        # Who stops the gateway means to.
        machine.ssh("systemctl stop postern")
        self.assertEqual(machine.ssh("cat /sys/class/watchdog/watchdog0/state").strip(), "inactive")
        machine.ssh("systemctl start postern")
        machine.ssh(SHORTER)
        self.wait_ssh(machine, f"cat {NOTICES}/watchdog", "ok: the gateway is well")
        # Its control socket does not answer any more.
        machine.ssh("mount --bind /dev/null /run/postern/control.sock")
        machine.expect("postern-watchdog: the gateway did not come back")
        machine.expect(r"postern \S+ ready")
        self.assertIn("active", machine.ssh("systemctl is-active postern"))
        # Nor does it stay where systemd itself is lost.
        machine.ssh("kill -SEGV 1", check=False)
        machine.expect(r"Linux version|Welcome to")
        machine.ready()

    def test_a_card_without_a_driver_and_a_clock_years_off(self):
        """It says what is amiss, and its console is there: on the serial line, and on a screen with a keyboard."""
        machine = self.appliance(nics=0, clock="2001-02-03T04:05:06", devices=(
            "-device", "ne2k_pci,romfile=", "-device", "VGA", "-device", "usb-kbd"))
        machine.power_on()
        wanted = [r"the clock of this machine said\s+2001-02-03", r"no network interface: the\s+kernel has a driver "
                  r"for\s+none of this", r"/var is not encrypted: this\s+machine had no TPM"]
        machine.wait(lambda: all(re.search(pattern, machine.console.text) for pattern in wanted),
                     appliance.BOOT_LIMIT_S, f"{wanted}")
        machine.type("9\r")
        time.sleep(15)  # nobody here reads the screen
        machine.type("yes\r")
        machine.ends()


if __name__ == "__main__":
    appliance.main()
