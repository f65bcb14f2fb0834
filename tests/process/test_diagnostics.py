#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do diagnostics hold what helps, and no secret, whichever part it comes by; and does a factory reset happen
only when somebody means it?"""
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_root import SYSTEMD, Root  # noqa: E402
from gateway import BUILD  # noqa: E402

OK, USAGE, UNAVAILABLE, CAN_T_CREATE = 0, 64, 69, 73
SECRETS = ["s3cret-of-relay", "s3cret-of-two-lines", "hashed0123456789", "PrivateKeyMaterial", "cbdefghi-jklnrtuv"]
RECOVERY = "-".join(["cbdefghi", "jklnrtuv"] * 4)
KEY = "-----BEGIN PRIVATE KEY-----\nPrivateKeyMaterial\n-----END PRIVATE KEY-----\n"
CRYPT = "$y$j9T$abcdefghijklmnop$hashed0123456789hashed0123456789"


class Case(unittest.TestCase):
    def machine(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = Root(folder.name)
        root.appliance("1")
        return root


class Diagnostics(Case):
    def open(self, data):
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            return {m.name: tar.extractfile(m).read().decode(errors="replace") for m in tar}

    def planted(self):
        """A machine with a secret in each place that is taken from, and in others."""
        root = self.machine()
        root.write("/var/etc/postern/postern.conf",
                   'gateway: { hostname = "mx.example"; };\nroutes = ( { domain = "*"; auth = { user = "u";\n'
                   '  password = "s3cret-of-relay"; }; },\n { auth = { password = "s3cret" "-of-two-lines"\n'
                   '   "s3cret-of-two-lines"; }; } );\n')
        root.write("/var/etc/postern/appliance.conf", f'hostname = "mx.example";\nadmin_password = "{CRYPT}";\n')
        root.write("/var/etc/postern/tls/mx.key", KEY)
        root.write("/var/lib/postern-system/recovery-key", RECOVERY)
        root.write("/etc/shadow", f"root:{CRYPT}:1:::::\n")
        root.write("/run/postern-system/notices/state", f"warning: the recovery key is {RECOVERY}\n")
        root.program("/usr/bin/journalctl", f"cat <<'END'\nid=1 from=<a@b.example> to=<c@d.example> status=250\n{KEY}"
                     f"PAM: {CRYPT}\npassphrase={SECRETS[0]}\nEND")
        root.program("/usr/bin/posternctl", f"echo '{{\"password\": \"{SECRETS[0]}\", \"state\": \"serving\"}}'")
        root.program("/usr/sbin/nft", "echo 'table inet postern'")
        # As without D-Bus.
        root.program("/usr/bin/networkctl", "[ $1 = list ] && echo '2 enp0s4 ether routable configured'")
        root.write("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
        root.program("/usr/sbin/ip", "echo 'no such device' >&2; exit 1")
        return root

    def test_contents(self):
        root = self.planted()
        file = os.path.join(root.path, "out.tgz")
        code, said = root.ctl("diagnostics", file)
        self.assertEqual(code, OK, said)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        with open(file, "rb") as f:
            parts = self.open(f.read())
        self.assertIn("status=250", parts["journal.txt"])
        self.assertIn('hostname = "mx.example"', parts["postern.conf"])
        self.assertIn('hostname = "mx.example"', parts["appliance.conf"])
        self.assertIn("IMAGE_VERSION=1", parts["os-release"])
        self.assertIn("serving", parts["status.json"])
        self.assertEqual(json.loads(parts["slots.json"])["version"], "1")
        self.assertEqual(parts["firewall.txt"], "table inet postern\n")
        self.assertIn("configured", parts["links.txt"])
        self.assertIn("192.0.2.53", parts["names.txt"])
        # What failed says why.
        self.assertIn("no such device", parts["addresses.txt"])
        self.assertIn("exit code 1", parts["addresses.txt"])
        self.assertIn("/usr/bin/chronyc: ", parts["time.txt"])
        self.assertIn("/usr/lib/postern/packages: not found", parts["packages"])

    def test_no_secret(self):
        root = self.planted()
        file = os.path.join(root.path, "out.tgz")
        self.assertEqual(root.ctl("diagnostics", file)[0], OK)
        with open(file, "rb") as f:
            parts = self.open(f.read())
        for name, text in parts.items():
            for secret in SECRETS:
                self.assertNotIn(secret, text, name)
        # They were there to be found.
        self.assertIn("[removed]", parts["journal.txt"])
        self.assertIn("[removed]", parts["postern.conf"])
        self.assertIn("[removed]", parts["appliance.conf"])
        self.assertIn("[removed]", parts["status.json"])

    def test_places(self):
        root = self.planted()
        code, said = root.ctl("--json", "diagnostics")
        self.assertEqual(code, OK, said)
        self.assertEqual(json.loads(said)["file"], root.at("/var/lib/postern-system/diagnostics.tgz"))
        done = subprocess.run([os.path.join(BUILD, "posternctl"), "system", "--root", root.path, "diagnostics", "-"],
                              capture_output=True, timeout=60, check=True)
        self.assertIn("journal.txt", self.open(done.stdout))
        code, said = root.ctl("diagnostics", "/nowhere/at/all.tgz")
        self.assertEqual(code, CAN_T_CREATE)
        self.assertIn("No such file", said)

    def test_endless_journal(self):
        """What says more than is taken is cut, and does not stop the rest."""
        root = self.planted()
        root.program("/usr/bin/journalctl", "head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo end")
        file = os.path.join(root.path, "out.tgz")
        self.assertEqual(root.ctl("diagnostics", file)[0], OK)
        with open(file, "rb") as f:
            parts = self.open(f.read())
        self.assertLessEqual(len(parts["journal.txt"]), 8 << 20)
        self.assertGreater(len(parts["journal.txt"]), 7 << 20)
        self.assertIn("firewall.txt", parts)


class Reset(Case):
    def typed(self, root, text):
        """(exit code, what it said) where somebody sits at a terminal."""
        controller, terminal = pty.openpty()
        with subprocess.Popen([os.path.join(BUILD, "posternctl"), "system", "--root", root.path, "reset"],
                              stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            os.close(terminal)
            os.write(controller, text)
            said = process.communicate(timeout=30)[0].decode()
        os.close(controller)
        return process.returncode, said

    def asked_for(self, root):
        return root.variable("FactoryReset", vendor=SYSTEMD)

    def test_typed(self):
        root = self.machine()
        code, said = self.typed(root, b"erase\n")
        self.assertEqual(code, OK, said)
        self.assertIn("It can't be undone", said)
        self.assertEqual(self.asked_for(root), "yes")
        self.assertEqual(root.notices(), {"reset": "warning: the next start erases the settings and all that is kept"})
        self.assertEqual(root.calls(), [])

    def test_not_typed(self):
        for text in (b"\n", b"yes\n", b"ERASE\n", b"erase it\n", b"\x04"):
            with self.subTest(text):
                root = self.machine()
                code, said = self.typed(root, text)
                self.assertEqual(code, USAGE)
                self.assertIn("nothing is erased", said)
                self.assertIsNone(self.asked_for(root))

    def test_nobody_there(self):
        root = self.machine()
        code, said = root.ctl("reset", data=b"erase\n")
        self.assertEqual(code, USAGE)
        self.assertIn("--yes", said)
        self.assertIsNone(self.asked_for(root))
        code, said = root.ctl("--json", "reset", "--yes", "--reboot")
        self.assertEqual((code, json.loads(said)), (OK, {"reset": True, "reboot": True}))
        self.assertEqual(self.asked_for(root), "yes")
        self.assertEqual(root.calls(), ["systemctl --no-block start reboot.target"])

    def test_no_uefi(self):
        root = self.machine()
        os.rename(root.at("/sys/firmware/efi"), root.at("/sys/firmware/none"))
        self.assertEqual(root.ctl("reset", "--yes")[0], UNAVAILABLE)


if __name__ == "__main__":
    tap.main()
