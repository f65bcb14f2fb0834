#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each way to give an appliance its settings: a stick, its firmware (test_boot_mail.py has that with mail),
and the menu on the console of a machine that was given nothing; and what it says where they are wrong."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
from settings import Mail, Settings, HOST  # noqa: E402

DHCP_ADDRESS, ADDRESS = "10.0.2.15", "10.0.2.25"
PASSWORD = "correct horse battery"
MENU = "9 power off"


class FirstBoot(appliance.Case):
    def test_stick(self):
        """Settings of a stick are taken, the administrator's password among them; then those of another stick,
        which has it, are wrong and refused, by file and line, and mail goes on."""
        machine = self.appliance()
        settings = Settings(machine.folder, machine)
        settings.appliance["admin_password"] = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True,
            check=True).stdout.strip()
        mail = Mail(self, settings)
        machine.sticks = [self.stick(settings.files())]
        machine.power_on()
        machine.expect("settings of the stick POSTERN were taken")
        machine.ready()
        self.assertEqual(machine.ssh("hostname").strip(), "gw.example.org")
        mail.send(machine, "--messages", "2", "--sessions", "1")
        machine.button()
        machine.ends()
        files = settings.files()
        files["postern.conf"] += "nonsense = 1;\n"
        files["password"] = PASSWORD + "\r\n"
        machine.sticks = [self.stick(files)]
        machine.power_on()
        # The screen breaks its lines where they end.
        machine.expect(r"error: settings of the stick POSTERN are not taken: postern\.conf:\d+: nonsense: found an "
                       r"unknown key".replace(" ", r"\s+"))
        # An error that stands keeps the state from being "ready".
        machine.wait(lambda: machine.ssh("systemctl is-active postern.service", check=False).strip() == "active",
                     appliance.BOOT_LIMIT_S, "the gateway, active")
        mail.send(machine, "--messages", "2", "--sessions", "1")
        mail.all_arrived()
        machine.button()
        machine.ends()

    def test_bond_and_vlan(self):
        """Two cards as one, with an address of its own, and a VLAN on top; one card is lost, then the other."""
        machine = self.appliance(nics=2, address=ADDRESS)
        settings = Settings(machine.folder, machine)
        mail = Mail(self, settings)
        settings.appliance["network"] = [
            {"interface": "bond0", "bond": {"members": list(machine.macs()), "mode": "active-backup"},
             "addresses": [f"{ADDRESS}/24"], "gateways": [HOST]},
            {"interface": "bond0", "vlan": 99, "addresses": ["192.0.2.25/24", "2001:db8::25/64"]}]
        machine.credentials = settings.credentials()
        machine.power_on()
        machine.ready()
        second = machine.forward(1, 22, ADDRESS)
        for link, lost, port in (("net0", "net1", machine.at(22)[1]), ("net1", "net0", second)):
            machine.qmp.ask("set_link", name=link, up=True)
            machine.qmp.ask("set_link", name=lost, up=False)
            machine.forwards[22] = port
            self.assertIn("bond0", machine.ssh("ip -br address show up"))
            if link == "net0":
                mail.send(machine, "--messages", "2", "--sessions", "1")
        said = machine.ssh("cat /proc/net/bonding/bond0; ip -d -br address; ip -d link show vlan99")
        self.assertIn("Bonding Mode: fault-tolerance (active-backup)", said)
        self.assertRegex(said, r"vlan99@bond0 +UP +192\.0\.2\.25/24 2001:db8::25/64")
        self.assertIn("vlan protocol 802.1Q id 99", said)
        mail.all_arrived()
        machine.power_cut()

    def prompt(self, machine, pattern, line):
        machine.expect(pattern)
        machine.send(line + "\r")

    def test_console(self):
        """A machine that was given nothing answers and refuses; the menu gives it an address, a route, a
        key and a password, and mail goes through it."""
        machine = self.appliance(address=ADDRESS)
        settings = Settings(machine.folder, machine)
        mail = Mail(self, settings)
        machine.power_on()
        machine.expect("warning: not configured: no settings were given")
        machine.ready()
        machine.expect(MENU)
        by_dhcp = "127.0.0.1", machine.forward(0, 25, DHCP_ADDRESS)
        with socket.create_connection(by_dhcp, timeout=120) as s, s.makefile("rb") as answers:
            for command, code in ((None, b"220"), ("EHLO a.example", b"250"), ("MAIL FROM:<a@a.example>", b"250"),
                                  ("RCPT TO:<b@hop.example>", b"550")):
                if command:
                    s.sendall(command.encode() + b"\r\n")
                line = answers.readline()
                while line[3:4] == b"-":
                    line = answers.readline()
                self.assertEqual(line[:3], code, line)
        machine.send("1\r")
        for pattern, line in (("Name of this machine.*: ", "gw.example.org"), ("Interface.*: ", ""),
                              ("VLAN.*: ", ""), ("Address.*: ", f"{ADDRESS}/24"), ("Its gateway.*: ", HOST),
                              ("Another address.*: ", ""), ("Name server.*: ", ""),
                              ("Set this up.*: ", "yes"), ("Done.*\n+Press Enter: ", "")):
            self.prompt(machine, pattern, line)
        self.prompt(machine, "gw.example.org(?s:.*)" + MENU, "2")
        for pattern, line in (("Domain.*: ", "hop.example"), ("Its mail server.*: ", f"{HOST}:{settings.sink_port}"),
                              ("TLS towards.*: ", "encrypt"), ("Set this up.*: ", "yes"),
                              ("Done.*\n+Press Enter: ", "")):
            self.prompt(machine, pattern, line)
        self.prompt(machine, MENU, "3")
        for pattern, line in (("1 set the password.*: ", "2"), ("Public key.*: ", machine.ssh_public),
                              ("Done.*\n+Press Enter: ", "")):
            self.prompt(machine, pattern, line)
        mail.send(machine, "--messages", "2", "--sessions", "1")
        mail.all_arrived()
        machine.reached()
        self.assertEqual(machine.ssh("hostname").strip(), "gw.example.org")
        self.prompt(machine, MENU, "3")
        for pattern, line in (("1 set the password.*: ", "1"), ("New password: ", PASSWORD),
                              ("The same again: ", PASSWORD), ("Done.*\n+Press Enter: ", "")):
            self.prompt(machine, pattern, line)
        self.prompt(machine, "0 shell", "0")
        self.prompt(machine, "Administrator's password: ", "not this one")
        self.prompt(machine, "That is not the administrator's password.(?s:.*)Press Enter: ", "")
        self.prompt(machine, "0 shell", "0")
        self.prompt(machine, "Administrator's password: ", PASSWORD)
        self.prompt(machine, "A shell", "echo $((6 * 7)) at $(hostname); exit")
        machine.expect("42 at gw.example.org")
        self.prompt(machine, "0 shell", "9")
        self.prompt(machine, "Administrator's password: ", PASSWORD)
        self.prompt(machine, "Power the machine off.*: ", "yes")
        machine.ends()


if __name__ == "__main__":
    appliance.main()
