#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An appliance starts for the first time with settings from its firmware, and mail goes through it by
STARTTLS on both sides; the kernel's own counters say that the records are its."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from settings import Mail, Settings  # noqa: E402


class BootMail(appliance.Case):
    def counters(self, machine):
        lines = machine.ssh("cat /proc/net/tls_stat").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def test_first_boot_and_mail(self):
        machine = self.appliance()
        settings = Settings(machine.folder, machine)
        mail = Mail(self, settings)
        machine.credentials = settings.credentials()
        machine.power_on()
        machine.ready()
        print(f"# ready {machine.up_s():.0f} s after power on, {machine.cpu_s():.0f} s of CPU")
        before = self.counters(machine)
        mail.send(machine, "--messages", "40", "--sessions", "4", "--per-session", "10")
        mail.send(machine, "--messages", "40", "--sessions", "4", "--per-session", "10", "--bdat")
        mail.send(machine, "--messages", "1", "--size", "3M")
        mail.send(machine, "--messages", "1", "--size", "3M", "--bdat")
        after = self.counters(machine)
        got = mail.all_arrived()
        # Ten sessions came in; messages that went out may have shared one.
        for way in ("Tx", "Rx"):
            self.assertGreaterEqual(after[f"Tls{way}Sw"] - before[f"Tls{way}Sw"], 10 + got["sessions"]["accepted"])
        self.assertEqual(after["TlsDecryptError"], 0)
        machine.button()
        machine.ends()


if __name__ == "__main__":
    appliance.main()
