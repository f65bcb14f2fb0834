#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The appliance's console, through a pseudo-terminal: does it show what the machine is like, and again
only when that changes; does the menu change settings as it says; and does nobody change anything, or get
a shell, without the administrator's password?"""
import json
import os
import pty
import re
import select
import signal
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_folder import KEY, POSTERNCTL, Appliance  # noqa: E402
from appliance_root import Root  # noqa: E402

PASSWORD = "correct horse battery"
CLEAR = "\x1b[H\x1b[2J"
SYSTEMCTL = "systemctl --no-block --job-mode=replace-irreversibly start "
MENU = "7 factory reset   8 restart   9 power off"

# Stands for the programs that the console runs: says what a gateway would, and keeps its arguments.
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >>%(root)s/ran
case "$*" in
"--json status") cat %(root)s/status.json ;;
"status") printf 'state running\\033[31m\\nsessions 0\\n' ;;
"system diagnostics") seq 1 100 ;;
esac
"""


class Terminal:
    """The console on a terminal of its own."""

    def __init__(self, root):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(POSTERNCTL, ["posternctl", "system", "--root", root, "console"])
        self.text = ""

    def read(self, seconds):
        """What comes within the time, or until nothing does any more."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            self.text += os.read(self.fd, 65536).decode("latin-1")
        except OSError:
            return False
        return True

    def expect(self, pattern, seconds=30):
        """Waits for it, and returns all up to there; the next search begins behind it."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                before, self.text = self.text[:found.end()], self.text[found.end():]
                return before
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in {self.text!r}")
            self.read(1)

    def send(self, text):
        os.write(self.fd, text.encode("latin-1"))

    def say(self, *exchange):
        """Pairs of a prompt that is waited for and what is typed then."""
        for pattern, line in exchange:
            self.expect(pattern)
            self.send(line + "\r")

    def end(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


# Stands for /usr/lib/postern/state.
STATE = """#!/bin/sh
cd %(root)s/var/lib/postern-system || exit
case "$*" in
recovery-key) cat recovery-key ;;
written-down) rm recovery-key ;;
*) exit 64 ;;
esac
"""


class Console(Appliance):
    RECOVERY_KEY = "var/lib/postern-system/recovery-key"

    def setUp(self):
        super().setUp()
        self.terminals = []
        self.status(listeners=[])
        os.makedirs(self.path("usr/bin"))
        for name in ("posternctl", "systemctl"):
            with open(self.path("usr/bin/" + name), "w", encoding="ascii") as f:
                f.write(PROGRAM % {"root": self.root})
                os.fchmod(f.fileno(), stat.S_IRWXU)

    def tearDown(self):
        for terminal in self.terminals:
            terminal.end()

    def status(self, listeners):
        self.write("status.json", json.dumps({"listeners": listeners}))

    def console(self):
        terminal = Terminal(self.root)
        self.terminals.append(terminal)
        return terminal

    def ran(self):
        """Programs that were run, but for the questions that the screen asks."""
        try:
            return [line for line in self.read("ran").splitlines() if line != "posternctl --json status"]
        except FileNotFoundError:
            return []

    def password_set(self, terminal):
        terminal.say((MENU + r"\r\n> ", "3"), ("1 set the password.*: ", "1"), ("New password: ", PASSWORD),
                     ("The same again: ", PASSWORD))
        self.assertIn("Done.", terminal.expect("Press Enter: "))
        terminal.send("\r")
        terminal.expect("0 shell\r\n> ")

    # --- the screen ---

    def test_screen(self):
        self.boot()
        self.write("run/postern-system/notices/ready", "ok: postern 9 ready\n")
        self.status([{"name": "internet", "address": "0.0.0.0:25"}])
        terminal = self.console()
        screen = terminal.expect("> ")
        self.assertTrue(screen.startswith(CLEAR), screen)
        self.assertIn("State       ready\r\n", screen)
        self.assertIn("Mail at     internet        0.0.0.0:25\r\n", screen)
        self.assertIn("warning: not configured: no settings were given; give them by a stick labelled\r\n  "
                      "POSTERN, or by the menu\r\n", screen)
        self.assertIn(MENU + "\r\n> ", screen)

    def test_it_is_shown_again_when_it_changes(self):
        self.boot()
        terminal = self.console()
        terminal.expect("> ")
        end = time.monotonic() + 6
        while time.monotonic() < end:
            terminal.read(1)
        self.assertEqual(terminal.text, "")
        terminal.send("4")
        terminal.expect("4")
        self.write("run/postern-system/notices/other", "error: a \x1b[2J thing\n")
        screen = terminal.expect(r"\r\n> 4")
        self.assertIn("error: a ?[2J thing\r\n", screen)
        self.assertIn("State       degraded", screen)

    def test_hostile_input(self):
        self.boot()
        terminal = self.console()
        terminal.expect("> ")
        terminal.send("\x1b[31m\x1b]0;x\x07\x00\xff\x9b" + "x" * 4000 + "\r")
        said = terminal.expect("Press Enter: ")
        self.assertIn("Type one of the numbers.", said)
        self.assertLess(len(said), 1500)
        self.assertNotRegex(said.replace("\r\n", ""), "[^ -~]")
        terminal.send("\r")
        terminal.expect(MENU)

    # --- the menu ---

    def test_network(self):
        self.boot()
        terminal = self.console()
        terminal.say(("> ", "1"), ("enp0s10 +52:54:00:00:00:10\r\n(?s:.*)Name of this machine.*: ",
                                   "mx.example.org"),
                     ("Interface.*: ", "enp0s10"), ("VLAN.*: ", "7"), ("Address.*: ", "192.0.2.25"),
                     ("That is not it; (?s:.*)Address.*: ", "192.0.2.25/24"), ("Its gateway.*: ", "192.0.2.1"),
                     ("Another address.*: ", ""), ("Name server.*: ", "192.0.2.53"), ("Set this up.*: ", "yes"))
        self.assertIn("Done.", terminal.expect("Press Enter: "))
        conf = self.etc("appliance.conf")
        for line in ('hostname = "mx.example.org";', 'interface = "enp0s10";', "vlan = 7;",
                     'addresses = [ "192.0.2.25/24" ];', 'gateways = [ "192.0.2.1" ];', 'dns = [ "192.0.2.53" ];'):
            self.assertIn(line, conf)
        self.assertIn("Address=192.0.2.25/24\n", self.read("run/systemd/network/101-postern.network"))
        self.assertIn('hostname = "mx.example.org"', self.etc("postern.conf"))
        # A gateway that no address leads to is found when all of it is checked.
        terminal.send("\r")
        terminal.say(("> ", "1"), ("Name.*: ", ""), ("Interface.*: ", ""), ("VLAN.*: ", ""),
                     ("Address.*: ", "192.0.2.25/24"), ("Its gateway.*: ", "198.51.100.1"),
                     ("Another address.*: ", ""), ("Name server.*: ", ""), ("Set this up.*: ", "yes"))
        said = terminal.expect("Press Enter: ")
        self.assertIn("gateways: found one that is in no network of\r\naddresses, or is the machine itself", said)
        self.assertIn("Nothing was changed.", said)
        self.assertEqual(self.etc("appliance.conf"), conf)

    def route(self, terminal, domain, hop, level, last="yes"):
        terminal.say(("> ", "2"), ("Domain.*: ", domain), ("Its mail server.*: ", hop), ("TLS towards.*: ", level),
                     ("Set this up.*: ", last))
        return terminal.expect("Press Enter: ")

    def test_routes(self):
        self.boot()
        terminal = self.console()
        self.assertIn("Done.", self.route(terminal, "example.org", "mail.example.org:25", "verify"))
        terminal.send("\r")
        self.assertIn("Done.", self.route(terminal, "clinic.example", "mx", "auto"))
        terminal.send("\r")
        self.assertIn("Nothing was changed.", self.route(terminal, "other.example", "mx", "auto", "no"))
        conf = self.etc("postern.conf")
        self.assertIn('{ domain = "example.org"; next_hop = "mail.example.org:25"; tls = { level = "verify"; }; }',
                      conf)
        self.assertIn('{ domain = "clinic.example"; next_hop = "mx"; tls = { level = "auto"; }; }', conf)
        self.assertNotIn("other.example", conf)
        self.assertNotIn("not-configured", conf)
        terminal.send("\r")
        self.assertIn("warning: no administrator's password is set", terminal.expect(MENU))
        self.assertNotIn("not configured", self.ctl("notices"))
        terminal.say(("> ", "2"), (r"  example\.org: mail\.example\.org:25, TLS verify\r\n(?s:.*)Domain.*: ",
                                   "remove example.org"))
        terminal.expect("Done.")
        self.assertNotIn('"example.org"', self.etc("postern.conf"))
        # sts asks for "mx": a check of the whole finds that, and what was there stays.
        terminal.send("\r")
        said = self.route(terminal, "third.example", "mail.example.org:25", "sts")
        self.assertIn("Nothing was changed.", said)
        self.assertNotIn("third.example", self.etc("postern.conf"))

    def test_an_administrators_postern_conf_is_left_alone(self):
        self.stick()
        self.boot()
        terminal = self.console()
        said = self.route(terminal, "other.example", "mx", "auto")
        self.assertIn("postern.conf was not made here: change it by a stick, or by SSH.", said)
        self.assertNotIn("other.example", self.etc("postern.conf"))
        # appliance.conf may change all the same.
        terminal.send("\r")
        terminal.say(("> ", "3"), ("1 set.*: ", "3"))
        terminal.expect("Done.")
        self.assertNotIn("ssh-ed25519", self.etc("appliance.conf"))
        self.assertFalse(os.path.exists(self.path("run/postern-system/ssh/authorized_keys")))

    def test_keys(self):
        self.boot()
        terminal = self.console()
        terminal.say(("> ", "3"), ("1 set.*: ", "2"), ("Public key.*: ", "ssh-rsa AAAA"),
                     ("That is not it(?s:.*)Public key.*: ", KEY))
        terminal.expect("Done.")
        self.assertEqual(self.read("run/postern-system/ssh/authorized_keys"), KEY + "\n")

    # --- the password ---

    def test_password(self):
        self.boot()
        terminal = self.console()
        terminal.say(("> ", "0"), ("only once an administrator's password is set(?s:.*)Press Enter: ", ""))
        self.password_set(terminal)
        hash_ = re.search(r'admin_password = "(\$y\$[^"]+)"', self.etc("appliance.conf")).group(1)
        self.assertNotIn(PASSWORD, self.etc("appliance.conf"))
        # Each change asks for it; what was typed is not shown.
        for item in "123789":
            terminal.send(item + "\r")
            terminal.say(("Administrator's password: ", PASSWORD))
            self.assertNotIn(PASSWORD, terminal.expect(r": $"))
            terminal.send("\x03")
            terminal.expect(r"0 shell\r\n> ")
        terminal.send("9\r")
        terminal.say(("Administrator's password: ", "wrong"))
        began = time.monotonic()
        terminal.send("guess\rguess\r")  # typed ahead, and lost
        terminal.expect("That is not the administrator's password.")
        self.assertGreater(time.monotonic() - began, 2.5)
        terminal.say(("Press Enter: ", ""))
        terminal.expect(r"0 shell\r\n> ")
        self.assertEqual(self.ran(), [])
        # Who looks only is not asked.
        terminal.send("4\r")
        self.assertIn("sessions 0", terminal.expect("Press Enter: "))
        terminal.send("\r")
        terminal.say(("> ", "3"), ("password: ", PASSWORD), ("1 set.*: ", "1"), ("New password: ", "short"),
                     ("too short(?s:.*)New password: ", "another password"),
                     ("again: ", "a third password"), ("not the same(?s:.*)New password: ", PASSWORD + "2"),
                     ("again: ", PASSWORD + "2"))
        terminal.expect("Done.")
        self.assertNotIn(hash_, self.etc("appliance.conf"))

    # --- the recovery key ---

    def test_recovery_key(self):
        """Behind the password it is shown, and goes from the disk when somebody says that it is written down."""
        self.boot()
        self.write("usr/lib/postern/state", STATE % {"root": self.root})
        os.chmod(self.path("usr/lib/postern/state"), stat.S_IRWXU)
        terminal = self.console()
        self.password_set(terminal)
        terminal.send("3\r")
        terminal.say(("Administrator's password: ", PASSWORD))
        self.assertNotIn("recovery key", terminal.expect("1 set.*: "))
        terminal.say(("", "4"))
        terminal.expect("Type 1, 2 or 3.")
        terminal.send("\x03")
        self.write(self.RECOVERY_KEY, "fughvkeh-fekklfjh\n")
        terminal.say((r"0 shell\r\n> ", "3"), ("Administrator's password: ", "wrong"))
        self.assertNotIn("fughvkeh", terminal.expect("Press Enter: "))
        terminal.send("\r")
        for answer in ("", "no"):
            terminal.say((r"0 shell\r\n> ", "3"), ("Administrator's password: ", PASSWORD),
                         ("4 shows the recovery key(?s:.*)1 set.*: ", "4"),
                         (r"fughvkeh-fekklfjh\r\nIs it written down\?.*: ", answer),
                         ("Nothing was changed.(?s:.*)Press Enter: ", ""))
            self.assertTrue(os.path.exists(self.path(self.RECOVERY_KEY)))
        terminal.say((r"0 shell\r\n> ", "3"), ("Administrator's password: ", PASSWORD), ("1 set.*: ", "4"),
                     ("Is it written down.*: ", "yes"), ("Done.(?s:.*)Press Enter: ", ""))
        self.assertFalse(os.path.exists(self.path(self.RECOVERY_KEY)))

    def test_shell(self):
        self.boot()
        terminal = self.console()
        self.password_set(terminal)
        terminal.send("0\r")
        terminal.say(("Administrator's password: ", PASSWORD), ("A shell", "echo $((6 * 7)); exit"))
        terminal.expect("\r42\r")
        terminal.expect(r"0 shell\r\n> ")
        terminal.send("0\r")
        terminal.say(("Administrator's password: ", "wrong"), ("not the administrator's(?s:.*)Enter: ", ""))
        terminal.expect(MENU)

    def test_settings_that_cannot_be_read_lock(self):
        self.boot()
        self.write("var/etc/postern/appliance.conf", "hostname = 1;\n")
        terminal = self.console()
        terminal.say(("0 shell\r\n> ", "7"), ("Administrator's password: ", ""))
        terminal.expect("That is not the administrator's password.")

    # --- programs ---

    def test_programs(self):
        self.boot()
        terminal = self.console()
        terminal.send("4\r")
        shown = terminal.expect("Press Enter: ")
        self.assertIn("state running?[31m\r\nsessions 0\r\n", shown)
        self.assertEqual(self.ran(), ["posternctl system status", "posternctl status"])
        terminal.send("\r")
        terminal.say(("> ", "5"), (r"\n22\r\nEnter: more, q: enough ", ""), (r"\n44\r\nEnter: more.* ", "q"),
                     ("Press Enter: ", ""))
        os.unlink(self.path("ran"))
        for item, question, word, call in (("7", "Type RESET", "RESET", "posternctl system reset --yes --reboot"),
                                           ("8", "Restart", "yes", SYSTEMCTL + "reboot.target"),
                                           ("9", "Power", "yes", SYSTEMCTL + "poweroff.target")):
            terminal.say((MENU + r"\r\n> ", item), (question + ".*: ", "no"))
            terminal.say(("Nothing was changed.(?s:.*)Press Enter: ", ""))
            self.assertNotIn(call, self.ran())
            terminal.say((MENU + r"\r\n> ", item), (question + ".*: ", word), ("Press Enter: ", ""))
            self.assertEqual(self.ran()[-1], call)
        terminal.say((MENU + r"\r\n> ", "6"))  # it runs from its own disk
        terminal.expect("Type one of the numbers.")

    def disk(self, device, removable):
        """The disk that the system runs from is this device."""
        self.write(device + "/removable", removable + "\n")
        block = self.path("sys/block/sda")
        os.makedirs(os.path.dirname(block), exist_ok=True)
        if os.path.islink(block):
            os.unlink(block)
        os.symlink(os.path.relpath(self.path(device), os.path.dirname(block)), block)

    def test_install_from_what_is_on_usb(self):
        """A stick says that it is removable, a USB disk does not."""
        self.boot()
        Root(self.root).appliance("9.1.0")
        usb = "sys/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0/host6/target6:0:0/6:0:0:0/block/sda"
        board = "sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda"
        for device, removable, offered in ((usb, "1", True), (usb, "0", True), (board, "1", True), (board, "0", False)):
            self.disk(device, removable)
            self.assertEqual("6 install to disk" in self.console().expect(MENU), offered, (device, removable))

    def test_it_needs_a_terminal(self):
        self.assertIn("needs a terminal", self.ctl("console", code=64))

    def test_it_ends_with_its_line(self):
        terminal = Terminal(self.root)
        terminal.expect("> ")
        os.close(terminal.fd)
        end = time.monotonic() + 30
        pid = 0
        while pid == 0 and time.monotonic() < end:
            pid, _ = os.waitpid(terminal.pid, os.WNOHANG)
            time.sleep(0.1)
        self.assertEqual(pid, terminal.pid)


if __name__ == "__main__":
    tap.main()
