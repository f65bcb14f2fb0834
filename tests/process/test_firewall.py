#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does an appliance's firewall let in what its configuration's listeners need, and SSH where somebody has a
key, and nothing else; and does it stay as it is where the configuration is wrong?"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_root import Root  # noqa: E402
from gateway import BUILD, Gateway, route  # noqa: E402
from setup import Case  # noqa: E402

OK, SYSTEM, CONFIG, USAGE = 0, 71, 78, 64
PEER = "firewall-peer"
NFT = shutil.which("nft") or "/usr/sbin/nft"
OPENS = {"name": "internet", "address": "10.9.0.1:25", "tls": "starttls"}
INSIDE = {"name": "inside", "address": "0.0.0.0:2525", "tls": "starttls"}


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def kernel_has_tables():
    return subprocess.run([NFT, "list", "ruleset"], capture_output=True, check=False).returncode == 0


class Firewall(Case):
    def machine(self, listeners, ssh=False, nft=True):
        root = Root(tempfile.mkdtemp(dir=self.folder))
        root.appliance("1")
        self.settings(root, listeners)
        if ssh:
            root.write("/run/postern-system/ssh/authorized_keys", "ssh-ed25519 AAAA admin\n")
        if nft and not kernel_has_tables():
            self.skipTest("this kernel has no nftables")
        if nft:
            os.makedirs(root.at("/usr/sbin"), exist_ok=True)
            os.symlink(NFT, root.at("/usr/sbin/nft"))
        return root

    def settings(self, root, listeners, **settings):
        gateway = Gateway([route("hop.example", 1)], listeners, {"gateway": settings}, self.authority,
                          tempfile.mkdtemp(dir=self.folder))
        with open(gateway.config_write(), "rb") as f:
            root.write("/etc/postern/postern.conf", f.read(), 0o640)
        return root.at("/etc/postern/postern.conf")

    @staticmethod
    def rules():
        done = subprocess.run([NFT, "list", "ruleset"], check=True, capture_output=True, text=True)
        return done.stdout

    def test_listeners(self):
        """posternd -n --listeners, and --workers."""
        def listeners(path, *words):
            done = subprocess.run([os.path.join(BUILD, "posternd"), *words, "-c", path], capture_output=True,
                                  text=True, timeout=60, check=False)
            return done.returncode, done.stdout
        root = self.machine([OPENS, INSIDE, {"name": "six", "address": "[::1]:26", "tls": "none"}], nft=False)
        path = root.at("/etc/postern/postern.conf")
        self.assertEqual(listeners(path, "-n", "--listeners"), (OK, "10.9.0.1 25\n0.0.0.0 2525\n::1 26\n"))
        path = self.settings(root, [OPENS], metrics="0.0.0.0:9925")
        self.assertEqual(listeners(path, "-n", "--listeners"), (OK, "10.9.0.1 25\n0.0.0.0 9925\n"))
        path = self.settings(root, [OPENS], metrics="127.0.0.1:9925")
        self.assertEqual(listeners(path, "-n", "--listeners"), (OK, "10.9.0.1 25\n"))
        self.assertEqual(listeners(path, "--listeners"), (USAGE, ""))
        # For postern-platform tune.
        path = self.settings(root, [OPENS], workers=0)
        self.assertEqual(listeners(path, "-n", "--workers"), (OK, f"{len(os.sched_getaffinity(0))}\n"))
        self.assertEqual(listeners(path, "--workers"), (USAGE, ""))
        path = self.settings(root, [OPENS], workers=3)
        self.assertEqual(listeners(path, "-n", "--workers"), (OK, "3\n"))
        root.write("/etc/postern/postern.conf", "wrong\n")
        self.assertEqual(listeners(path, "-n", "--listeners"), (CONFIG, ""))
        self.assertEqual(listeners(path, "-n", "--workers"), (CONFIG, ""))

    def test_loads(self):
        """What the kernel has, as nft says it."""
        root = self.machine([OPENS, INSIDE])
        code, said = root.ctl("--json", "firewall")
        self.assertEqual((code, json.loads(said)), (OK, {"open": ["10.9.0.1:25", "0.0.0.0:2525"], "ssh": False}))
        rules = self.rules()
        self.assertIn("ip daddr 10.9.0.1 tcp dport 25 accept", rules)
        self.assertIn("meta nfproto ipv4 tcp dport 2525 accept", rules)
        self.assertNotIn("dport 22", rules)
        self.assertEqual(rules.count("policy drop"), 2)
        # Again, with other listeners: the table is another, and no other one is touched.
        subprocess.run([NFT, "add", "table", "inet", "others"], check=True)
        self.settings(root, [INSIDE])
        root.write("/run/postern-system/ssh/authorized_keys", "ssh-ed25519 AAAA admin\n")
        self.assertEqual(root.ctl("firewall"), (OK, "open: 0.0.0.0:2525\nssh: open\n"))
        rules = self.rules()
        self.assertNotIn("10.9.0.1", rules)
        self.assertIn("tcp dport 22 ct state new", rules)
        self.assertEqual(rules.count("policy drop"), 2)
        self.assertIn("table inet others", rules)

    def test_wrong_configuration(self):
        """With rules, they stay; without, nothing is open."""
        root = self.machine([OPENS])
        root.write("/etc/postern/postern.conf", "gateway: { hostname = 5; };\n")
        code, said = root.ctl("firewall")
        self.assertEqual(code, CONFIG)
        self.assertNotIn("dport 25", self.rules())
        self.assertEqual(self.rules().count("policy drop"), 2)
        self.settings(root, [OPENS])
        self.assertEqual(root.ctl("firewall")[0], OK)
        before = self.rules()
        root.write("/etc/postern/postern.conf", "gateway: { hostname = 5; };\n")
        code, said = root.ctl("firewall")
        self.assertEqual(code, CONFIG)
        self.assertIn("the firewall stays as it is", said)
        self.assertEqual(self.rules(), before)

    def test_no_settings(self):
        root = self.machine([OPENS])
        os.unlink(root.at("/etc/postern/postern.conf"))
        self.assertEqual(root.ctl("firewall"), (OK, "ssh: closed, for no key is given\n"))
        self.assertEqual(self.rules().count("policy drop"), 2)

    def test_nft_fails(self):
        root = self.machine([OPENS], nft=False)
        root.program("/usr/sbin/nft", "echo 'no such file: nf_tables'; exit 1")
        code, said = root.ctl("firewall")
        self.assertEqual(code, SYSTEM)
        self.assertIn("no such file: nf_tables", said)
        self.assertEqual(root.notices(), {
            "firewall": "error: the firewall can't be loaded, and none was before: all that listens is open. "
                        "nft: no such file: nf_tables"})
        root.write("/run/postern-system/firewall.nft", "# loaded before\n")
        self.assertEqual(root.ctl("firewall")[0], SYSTEM)
        self.assertEqual(root.notices(), {
            "firewall": "error: the firewall can't be loaded, the one of before stays. "
                        "nft: no such file: nf_tables"})

    def test_packets(self):
        """From another machine: what is open answers, all else is silent; what we ask for comes in."""
        ip("netns", "add", PEER)
        self.addCleanup(ip, "netns", "del", PEER)
        ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", PEER)
        ip("addr", "add", "10.9.0.1/24", "dev", "here")
        ip("link", "set", "here", "up")
        ip("-n", PEER, "addr", "add", "10.9.0.2/24", "dev", "there")
        ip("-n", PEER, "link", "set", "there", "up")
        servers = []
        for port in (25, 22, 80, 2525):
            servers.append(socket.create_server(("10.9.0.1", port)))
        self.addCleanup(lambda: [s.close() for s in servers])
        root = self.machine([OPENS], ssh=True)
        self.assertEqual(root.ctl("firewall")[0], OK)
        self.assertEqual([self.reaches(p) for p in (25, 22, 80, 2525)], [True, True, False, False])
        subprocess.run([NFT, "add", "element", "inet", "postern", "meanwhile", "{ 80 timeout 1m }"], check=True)
        self.assertTrue(self.reaches(80))
        subprocess.run([NFT, "delete", "element", "inet", "postern", "meanwhile", "{ 80 }"], check=True)
        self.assertFalse(self.reaches(80))
        subprocess.run(["ip", "netns", "exec", PEER, "ping", "-c1", "-W2", "10.9.0.1"], check=True,
                       stdout=subprocess.DEVNULL) if shutil.which("ping") else None
        # Our own connections outwards.
        peer = subprocess.Popen(["ip", "netns", "exec", PEER, sys.executable, "-c",
                                 "import socket; s = socket.create_server(('10.9.0.2', 25)); print('up', flush=True);"
                                 " s.accept()[0].sendall(b'220 hello')"], stdout=subprocess.PIPE)
        self.addCleanup(peer.communicate)
        self.addCleanup(peer.kill)
        peer.stdout.readline()
        with socket.create_connection(("10.9.0.2", 25), 5) as s:
            self.assertEqual(s.recv(100), b"220 hello")

    @staticmethod
    def reaches(port):
        return subprocess.run(["ip", "netns", "exec", PEER, sys.executable, "-c",
                               f"import socket; socket.create_connection(('10.9.0.1', {port}), 1.5)"],
                              stderr=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    tap.main()
