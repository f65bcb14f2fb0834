# SPDX-License-Identifier: Apache-2.0
"""A folder that stands for an appliance's file system, for posternctl system --root."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from certs import Authority
from gateway import BUILD

POSTERNCTL = os.path.join(BUILD, "posternctl")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJtUO3Uv anna"
APPLIANCE = f'hostname = "mx.example.org";\nssh_keys = [ "{KEY}" ];\n'
GATEWAY = """gateway: { hostname = "mx.example.org"; };
tls: { certificates = ( { cert = "%s"; key = "tls/mx.key"; } ); };
listeners = ( { name = "internet"; address = "0.0.0.0:25"; } );
routes = ( { domain = "example.org"; next_hop = "%s"; } );
"""


def users_have_postern():
    """gateway.user is looked up as on the appliance, which has the user."""
    with open("/etc/passwd", encoding="ascii") as f:
        text = f.read()
    if "\npostern:" in text:
        return
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write(text + "postern:x:61234:61234::/nonexistent:/usr/sbin/nologin\n")
    os.chmod(f.name, 0o644)
    subprocess.run(["mount", "--bind", f.name, "/etc/passwd"], check=True)


class Appliance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        users_have_postern()
        cls.folder = tempfile.mkdtemp()
        cls.authority = Authority(os.path.join(cls.folder, "ca"))
        cls.cert, cls.key = cls.authority.issue("mx.example.org")

    def setUp(self):
        self.root = tempfile.mkdtemp(dir=self.folder)
        self.write("usr/lib/os-release", "ID=postern\n")
        os.utime(self.path("usr/lib/os-release"), (1.7e9, 1.7e9))
        self.nic("enp0s10", "52:54:00:00:00:10")
        self.nic("enp0s3", "52:54:00:00:00:03")
        self.nic("lo", "00:00:00:00:00:00", kind="772")
        self.write("sys/class/net/docker0/type", "1\n")  # without a device it is no hardware
        os.makedirs(self.path("run"))
        self.credentials = None

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def nic(self, name, mac, kind="1"):
        self.write(f"sys/class/net/{name}/type", kind + "\n")
        self.write(f"sys/class/net/{name}/address", mac.upper() + "\n")
        os.makedirs(self.path(f"sys/class/net/{name}/device"))

    STICK = "dev/disk/by-label/POSTERN/"

    def stick(self, appliance=APPLIANCE, gateway=None, tls=True):
        """Puts files on the stick; None leaves one out."""
        if appliance is not None:
            self.write(self.STICK + "appliance.conf", appliance)
        if gateway is None:
            gateway = GATEWAY % ("tls/mx.pem", "mail.example.org:25")
        if gateway:
            self.write(self.STICK + "postern.conf", gateway)
        if tls:
            os.makedirs(self.path(self.STICK + "tls"), exist_ok=True)
            shutil.copy(self.cert, self.path(self.STICK + "tls/mx.pem"))
            shutil.copy(self.key, self.path(self.STICK + "tls/mx.key"))

    def ctl(self, *words, code=0):
        env = {k: v for k, v in os.environ.items() if k != "CREDENTIALS_DIRECTORY"}
        if self.credentials:
            env["CREDENTIALS_DIRECTORY"] = self.credentials
        done = subprocess.run([POSTERNCTL, "system", "--root", self.root, *words], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def boot(self):
        """Boots, and returns the notices as lines. /run begins empty, as at a boot."""
        shutil.rmtree(self.path("run"))
        os.makedirs(self.path("run"))
        self.ctl("settings", "boot")
        return self.ctl("notices").splitlines()

    def assertNotice(self, notices, pattern):
        self.assertTrue(any(re.search(pattern, line) for line in notices), (pattern, notices))

    def assertNoNotice(self, notices, pattern):
        self.assertFalse(any(re.search(pattern, line) for line in notices), (pattern, notices))

    def etc(self, name):
        return self.read("var/etc/postern/" + name)
