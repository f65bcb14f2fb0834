#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is a machine found healthy when its gateway does what its configuration says, and not otherwise; and what
follows at a start, for a version on trial and for one that was good before?"""
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_root import Root  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import BUILD, route  # noqa: E402
from setup import Case  # noqa: E402

OK, FAILED, UNAVAILABLE = 0, 70, 69
LISTENERS = [{"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"},
             {"name": "secure", "address": "127.0.0.1:0", "tls": "implicit"},
             {"name": "device", "address": "127.0.0.1:0", "tls": "none", "relay_clients": ["127.0.0.1"]}]


class Greeter:
    """Says this to whoever comes to SSH's port, and hangs up."""

    def __init__(self, greeting):
        self.greeting = greeting

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.sock = socket.create_server(("127.0.0.1", 22))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                peer = self.sock.accept()[0]
            except OSError:
                return
            with peer:
                peer.sendall(self.greeting)

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()


class Health(Case):
    def machine(self, *, trial=False, gateway=None, programs=True, version="2"):
        root = Root(tempfile.mkdtemp(dir=self.folder))
        os.chmod(root.path, 0o755)  # the gateway's user comes by
        name = f"postern_{version}+2-1.efi" if trial else f"postern_{version}.efi"
        root.appliance(version, labels=["postern_1", f"postern_{version}"], ukis=["postern_1.efi", name])
        if trial:
            root.variable("LoaderBootCountPath", "\\EFI\\Linux\\" + name)
        for path, name in (("/usr/sbin/posternd", "posternd"), ("/usr/bin/postern-bench", "postern-bench")):
            if programs:
                os.makedirs(os.path.dirname(root.at(path)), exist_ok=True)
                os.symlink(os.path.realpath(os.path.join(BUILD, name)), root.at(path))
        if gateway:
            self.settings(root, gateway)
        return root

    @staticmethod
    def settings(root, gateway):
        """The configuration that the gateway has is the machine's."""
        with open(os.path.join(gateway.folder, "postern.conf"), "rb") as f:
            root.write("/etc/postern/postern.conf", f.read(), 0o640)

    def health(self, root, *options):
        code, said = root.ctl("--json", "health", *options, timeout=300)
        self.assertIn("{", said, code)
        data = json.loads(said[said.index("{"):])
        return code, {row["check"].split(",")[0]: row for row in data["checks"]}, data

    def serving(self, listeners=None, **settings):
        return self.gateway([route("hop.example", 1)], listeners or LISTENERS, settings)

    def test_well(self):
        """Also that nothing is left: no process, no folder, no way for mail."""
        gateway = self.serving()
        root = self.machine(gateway=gateway)
        code, rows, data = self.health(root)
        self.assertEqual(code, OK, rows)
        self.assertEqual(sorted(rows), ["listener device", "listener internet", "listener secure", "message",
                                        "settings"])
        self.assertIn("TLSv1.3", rows["listener internet"]["seen"].replace("TLS 1.3", "TLSv1.3"))
        self.assertEqual(rows["message"]["seen"], "a message of 64 KB arrived whole, TLS on both sides")
        self.assertEqual((data["ok"], data["trial"], data["waits"]), (True, False, False))
        self.assertEqual(root.notices(), {"ready": "ok: postern 2 ready"})
        self.assertFalse(os.path.exists(root.at("/run/postern-system/self-test")))
        self.assertEqual([p for p in processes() if root.path in p], [])
        self.assertEqual(root.calls(), [])

    def test_ktls_is_kept(self):
        """The test's own gateway has the dataplane of the one that serves."""
        gateway = self.serving(gateway={"dataplane": "uring"})
        root = self.machine(gateway=gateway)
        os.unlink(root.at("/usr/sbin/posternd"))
        root.program("/usr/sbin/posternd", f"cp $2 {root.path}/seen.conf; exit 1")
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        self.assertIn("a gateway of the test's own ended", rows["message"]["seen"])
        text = root.read("/seen.conf").decode()
        self.assertIn('dataplane = "uring"', text)
        self.assertIn('user = "nobody"', text)
        self.assertIn(gateway.settings["tls"]["certificates"][0]["key"], text)

    def test_waits_for_settings(self):
        """A machine that was given nothing yet is well: its first start is no failure."""
        root = self.machine(trial=True)
        code, rows, data = self.health(root, "--boot")
        self.assertEqual(code, OK)
        self.assertEqual(list(rows), ["settings"])
        self.assertTrue(data["waits"])
        self.assertEqual(root.notices(), {"ready": "ok: postern 2 runs, and waits for its settings"})
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2.efi"])

    def test_not_blessed(self):
        """By hand, a check decides nothing; nor does one that fails, or one that can't find the kernel."""
        root = self.machine(trial=True)
        self.assertEqual(self.health(root)[0], OK)
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2+2-1.efi"])
        root.write("/etc/postern/postern.conf", "gateway: { hostname = 5; };\n", 0o640)
        self.assertEqual(self.health(root)[0], FAILED)
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2+2-1.efi"])
        root = self.machine(trial=True)
        shutil.rmtree(root.at("/efi"))
        code, said = root.ctl("health", "--boot")
        self.assertEqual(code, 74)
        self.assertIn("version 2 can't be marked as good", said)

    def test_gateway_is_gone(self):
        gateway = self.serving()
        root = self.machine(gateway=gateway)
        gateway.stop()
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        for name in ("internet", "secure", "device"):
            self.assertFalse(rows[f"listener {name}"]["ok"])
        self.assertNotIn("message", rows)
        self.assertTrue(root.notices()["health"].startswith("error: listener internet, 127.0.0.1:"), root.notices())
        self.assertNotIn("ready", root.notices())

    def test_gateway_hangs(self):
        gateway = self.serving([LISTENERS[0]])
        root = self.machine(gateway=gateway)
        os.killpg(gateway.process.pid, signal.SIGSTOP)
        try:
            code, rows, _ = self.health(root)
        finally:
            os.killpg(gateway.process.pid, signal.SIGCONT)
        self.assertEqual(code, FAILED)
        self.assertIn("no greeting came", rows["listener internet"]["seen"])

    def test_listener_is_missing(self):
        """One that the configuration has, and the gateway does not serve yet."""
        gateway = self.serving()
        root = self.machine(gateway=gateway)
        text = root.read("/etc/postern/postern.conf").decode()
        root.write("/etc/postern/postern.conf", text.replace(f':{gateway.ports["secure"]}"', ':2"'), 0o640)
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        self.assertTrue(rows["listener internet"]["ok"])
        self.assertFalse(rows["listener secure"]["ok"])

    def test_no_starttls(self):
        gateway = self.serving()
        root = self.machine(gateway=gateway)
        text = root.read("/etc/postern/postern.conf").decode()
        device = gateway.ports["device"]
        root.write("/etc/postern/postern.conf",
                   text.replace(f':{gateway.ports["internet"]}"', ':4"').replace(f':{device}"', ':3"')
                   .replace(':4"', f':{device}"'), 0o640)
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        self.assertIn("STARTTLS", rows["listener internet"]["seen"])

    def test_proxy_listener(self):
        gateway = self.serving([{"name": "behind", "address": "127.0.0.1:0", "tls": "starttls",
                                 "proxy_clients": ["127.0.0.0/8"]}])
        code, rows, _ = self.health(self.machine(gateway=gateway))
        self.assertEqual(code, OK, rows)
        self.assertIn("PROXY", rows["listener behind"]["seen"])

    def test_settings_are_wrong(self):
        root = self.machine()
        root.write("/etc/postern/postern.conf", "gateway: { hostname = 5; };\n", 0o640)
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        self.assertIn("postern.conf:1: gateway.hostname", rows["settings"]["seen"])

    def test_no_bench(self):
        root = self.machine(gateway=self.serving(), programs=False)
        code, rows, _ = self.health(root)
        self.assertEqual(code, FAILED)
        self.assertIn("the receiver (postern-bench sink)", rows["message"]["seen"])

    def test_boot_waits(self):
        """The gateway comes up while the check of the start runs."""
        gateway = self.serving()
        root = self.machine(trial=True, gateway=gateway)
        gateway.stop()
        wait_for(lambda: gateway.process is None, 10, "stopped")
        late = threading.Timer(3, gateway.start)
        late.start()
        code, rows, _ = self.health(root, "--boot")
        late.join()
        self.assertEqual(code, OK, rows)

    def test_ssh(self):
        """Where somebody has a key for it, a start is not ready before SSH answers."""
        root = self.machine(trial=True)
        root.write("/run/postern-system/ssh/authorized_keys", "ssh-ed25519 AAAA x\n")
        code, rows, _ = self.health(root)
        self.assertEqual((code, rows["ssh"]["ok"], rows["ssh"]["seen"]), (FAILED, False, "Connection refused"))
        self.assertEqual(root.notices(), {"health": "error: ssh: Connection refused (this version is on trial)"})
        for greeting, seen in ((b"220 who\r\n", "what answers is not SSH"), (b"", "no greeting came")):
            with Greeter(greeting):
                code, rows, _ = self.health(root)
            self.assertEqual((code, rows["ssh"]["seen"]), (FAILED, seen))
        late = Greeter(b"SSH-2.0-Test\r\n")
        threading.Timer(3, late.start).start()
        code, rows, _ = self.health(root, "--boot")
        late.__exit__()
        self.assertEqual((code, rows["ssh"]["seen"]), (OK, "answers"))
        self.assertEqual(root.notices(), {"ready": "ok: postern 2 runs, and waits for its settings"})
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2.efi"])

    def test_fall_back(self):
        root = self.machine(trial=True)
        code, said = root.ctl("health", "--fall-back")
        self.assertEqual(code, OK)
        self.assertIn("version 2 is on trial and not healthy: restarting", said)
        self.assertEqual(root.calls(), ["systemctl --no-block start reboot.target"])

    def test_fall_back_by_force(self):
        """A start that hangs may have jobs that do not go, or a systemd that answers nobody."""
        root = self.machine(trial=True)
        calls = ["systemctl --no-block start reboot.target", "systemctl --force reboot",
                 "systemctl --force --force reboot"]
        root.program("/usr/bin/systemctl", 'test "$1" = --force')
        code, said = root.ctl("health", "--fall-back")
        self.assertEqual(code, OK, said)
        self.assertIn("the machine does not restart: systemctl start reboot.target: failed", said)
        self.assertEqual(root.calls(), calls[:2])
        os.unlink(root.at("/calls"))
        root.program("/usr/bin/systemctl", 'test "$1 $2" = "--force --force"')
        self.assertEqual(root.ctl("health", "--fall-back")[0], OK)
        self.assertEqual(root.calls(), calls)
        root.program("/usr/bin/systemctl", "exit 1")
        self.assertEqual(root.ctl("health", "--fall-back")[0], 71)

    def test_no_fall_back(self):
        """What was good before is not restarted, for no restart mends it; what was blessed in this start
        neither."""
        root = self.machine()
        self.assertEqual(root.ctl("health", "--fall-back")[0], OK)
        root = self.machine(trial=True)
        self.assertEqual(root.ctl("health", "--boot")[0], OK)
        self.assertEqual(root.ctl("health", "--fall-back"), (OK, ""))
        self.assertEqual(root.calls(), [])

    def test_no_fall_back_to_nothing(self):
        """A version on trial that is the only one, or beside one that was never healthy, is left as it is:
        with no other to come to, it would restart for ever. Where the EFI partition can't be read, nobody
        knows, and nobody could bless it either."""
        for ukis, labels in (([], ["postern_2", "_empty"]), (["postern_1+0-3.efi"], ["postern_1", "postern_2"])):
            root = self.machine(trial=True)
            root.disk(labels)
            os.unlink(root.at("/efi/EFI/Linux/postern_1.efi"))
            for name in ukis:
                root.write("/efi/EFI/Linux/" + name, "MZ")
            code, said = root.ctl("health", "--fall-back")
            self.assertEqual(code, OK)
            self.assertIn("version 2 is on trial and not healthy, and there is no other one", said)
            self.assertEqual(root.calls(), [])
        shutil.rmtree(root.at("/efi"))
        self.assertEqual(root.ctl("health", "--fall-back")[0], OK)
        self.assertEqual(root.calls(), ["systemctl --no-block start reboot.target"])

    def test_older_stays(self):
        """An older version that was installed on purpose is the next one from its first healthy start."""
        root = self.machine(trial=True, version="0.5")
        self.assertEqual(root.ctl("health", "--boot")[0], OK)
        self.assertEqual(root.variable("LoaderEntryDefault"), "postern_0.5.efi")
        root = self.machine(trial=True)
        self.assertEqual(root.ctl("health", "--boot")[0], OK)
        self.assertIsNone(root.variable("LoaderEntryDefault"))

    def test_no_appliance(self):
        root = self.machine()
        shutil.rmtree(root.at("/usr/lib"))
        self.assertEqual(root.ctl("health")[0], UNAVAILABLE)


def processes():
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                out.append(f.read().decode(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return out


if __name__ == "__main__":
    tap.main()
