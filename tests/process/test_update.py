#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does an update take a bundle that is signed, whole and newer, and no other; is the slot that runs never
touched, and the other one only when all is known to be right; and does a rollback go only where it can?"""
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_root import Keys, Root, bundle, gpt  # noqa: E402

OK, DATA, NO_INPUT, UNAVAILABLE, CAN_T_CREATE, TEMPORARY, USAGE = 0, 65, 66, 69, 73, 75, 64


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.key = Keys(cls.folder)
        cls.two = bundle(cls.folder, "2", cls.key)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def machine(self, version="1", *, labels=None, ukis=None, megabytes=8):
        root = Root(tempfile.mkdtemp(dir=self.folder))
        root.appliance(version, labels, ukis, megabytes)
        self.key.trust(root)
        return root


class Update(Case):
    def refused(self, root, file, code, text, *options, data=None):
        """Nothing that it could start from is touched, and nothing is left of it."""
        before = root.labels(), root.ukis()
        got, said = root.ctl("update", *options, file, data=data)
        self.assertEqual(got, code, said)
        self.assertIn(text, said)
        self.assertEqual((root.labels(), root.ukis()), before)
        self.assertEqual(root.calls(), [])
        stage = root.at("/var/lib/postern-system/update")
        self.assertEqual(os.listdir(stage) if os.path.isdir(stage) else [], [])

    def test_installs(self):
        root = self.machine()
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, OK, said)
        self.assertIn("Version 2 is installed; 1 runs until the machine restarts", said)
        self.assertEqual(root.labels(), ["postern_1", "postern_2"])
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2+3-0.efi"])
        with open(os.path.join(self.folder, "2.root"), "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).digest(), hashlib.sha256(root.read("/written-root")).digest())
        self.assertEqual(os.listdir(root.at("/var/lib/postern-system/update")), [])
        self.assertEqual(root.notices()["slot"], "warning: version 2 is installed: a restart starts it")
        self.assertEqual(root.calls(), ["sysupdate --instances-max=1 vacuum | postern_1.efi",
                                        "sysupdate update 2 | postern_1.efi"])

    def test_installs_from_a_pipe_and_restarts(self):
        root = self.machine()
        with open(self.two, "rb") as f:
            code, said = root.ctl("--json", "update", "--reboot", "-", data=f.read())
        self.assertEqual(code, OK, said)
        self.assertEqual(json.loads(said), {"version": "1", "next": "2", "reboot": True})
        self.assertEqual(root.calls()[-1], "systemctl --no-block start reboot.target")

    def test_replaces_the_other_one(self):
        """Its kernel is gone before its partitions are touched, whatever else is in the EFI partition."""
        root = self.machine("1", labels=["postern_0.9", "postern_1"],
                            ukis=["postern_0.9.efi", "postern_1.efi", "other.efi"])
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, OK, said)
        self.assertEqual(root.calls()[0], "sysupdate --instances-max=1 vacuum | other.efi postern_1.efi")
        self.assertEqual(root.labels(), ["postern_2", "postern_1"])
        self.assertEqual(root.ukis(), ["other.efi", "postern_1.efi", "postern_2+3-0.efi"])

    def test_replaces_a_bad_one_of_the_same_version(self):
        root = self.machine("1", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2+0-3.efi"])
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, OK, said)
        self.assertEqual(root.ukis(), ["postern_1.efi", "postern_2+3-0.efi"])

    def test_same_version(self):
        self.refused(self.machine("2"), self.two, DATA, "version 2 runs already")
        self.refused(self.machine("1", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2+3.efi"]),
                     self.two, DATA, "version 2 is in the other slot already: a restart starts it")
        self.refused(self.machine("3", labels=["postern_3", "postern_2"], ukis=["postern_3.efi", "postern_2.efi"]),
                     self.two, DATA, "version 2 is in the other slot already: posternctl system rollback starts it")

    def test_older(self):
        root = self.machine("10")
        self.refused(root, self.two, DATA, "version 2 is older than 10")
        root.variable("LoaderEntryDefault", "postern_10.efi")
        code, said = root.ctl("update", "--allow-older", self.two)
        self.assertEqual(code, OK, said)
        self.assertEqual(root.variable("LoaderEntryOneShot"), "postern_2+3-0.efi")
        self.assertIsNone(root.variable("LoaderEntryDefault"))
        said = root.ctl("status")[1]
        self.assertIn("  2              new: its first start will be a trial, 3 tries left; starts next\n", said)

    def test_choice_ends(self):
        """What a rollback chose holds until an update is installed."""
        root = self.machine()
        root.variable("LoaderEntryDefault", "postern_1.efi")
        root.variable("LoaderEntryOneShot", "postern_1.efi")
        self.assertEqual(root.ctl("update", self.two)[0], OK)
        self.assertIsNone(root.variable("LoaderEntryDefault"))
        self.assertIsNone(root.variable("LoaderEntryOneShot"))

    def test_another_key(self):
        stranger = Keys(tempfile.mkdtemp(dir=self.folder), "stranger")
        folder = tempfile.mkdtemp(dir=self.folder)
        theirs = bundle(folder, "2", stranger)
        root = self.machine()
        self.refused(root, theirs, DATA, "not signed by a key that this appliance knows")
        stranger.trust(root)
        self.assertEqual(root.ctl("update", theirs)[0], OK)

    def test_no_key(self):
        root = self.machine()
        shutil.rmtree(root.at("/usr/lib/postern/update-keys"))
        self.refused(root, self.two, 74, "update-keys")

    def test_tampered(self):
        """One bit of each member's header and content, and of the padding's start."""
        with open(self.two, "rb") as f:
            whole = f.read()
        places = []
        with tarfile.open(self.two) as tar:
            for member in tar:
                places += [member.offset, member.offset + 124, member.offset_data,
                           member.offset_data + member.size - 1]
        root = self.machine()
        for place in places:
            data = bytearray(whole)
            data[place] ^= 1
            with self.subTest(place=place):
                self.refused(root, "-", DATA, "", data=bytes(data))

    def test_cut_short(self):
        with open(self.two, "rb") as f:
            whole = f.read()
        root = self.machine()
        for length in (0, 1, 511, 512, 600, 1024, 1536, 2048, 4000, 1 << 20, len(whole) // 2, 3 << 20):
            with self.subTest(length=length):
                self.refused(root, "-", DATA, "not whole", data=whole[:length])

    def remade(self, names, key=None, change=None):
        """The bundle with other members in that order; each a (name, TarInfo attributes) or a name."""
        out = os.path.join(tempfile.mkdtemp(dir=self.folder), "odd.update")
        with tarfile.open(self.two) as old, tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as new:
            for name in names:
                name, attributes = name if isinstance(name, tuple) else (name, {})
                member = old.getmember(name)
                content = old.extractfile(name)
                for key_, value in attributes.items():
                    setattr(member, key_, value)
                if "size" in attributes: # no content is that long
                    new.fileobj.write(member.tobuf(tarfile.USTAR_FORMAT))
                else:
                    new.addfile(member, content if member.isreg() else None)
        return out

    def test_hostile_archives(self):
        names = ["SHA256SUMS", "SHA256SUMS.sig", "postern_2_x86-64.root", "postern_2_x86-64.verity",
                 "postern_2_x86-64.efi"]
        root = self.machine()
        rows = {"no signature": [names[0], *names[2:]],
                "signature first": [names[1], names[0], *names[2:]],
                "another order": [*names[:2], names[3], names[2], names[4]],
                "a file is missing": names[:4],
                "a file twice": [*names, names[4]],
                "a file before": [names[4], *names],
                "a path": [*names[:2], (names[2], {"name": "../../../etc/passwd"}), *names[3:]],
                "an absolute path": [*names[:2], (names[2], {"name": "/etc/passwd"}), *names[3:]],
                "a symbolic link": [*names[:2], (names[2], {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
                                    *names[3:]],
                "a hard link": [*names[:2], (names[2], {"type": tarfile.LNKTYPE, "linkname": "x"}), *names[3:]],
                "a folder": [*names[:2], (names[2], {"type": tarfile.DIRTYPE}), *names[3:]],
                "a device": [*names[:2], (names[2], {"type": tarfile.CHRTYPE}), *names[3:]],
                "a list without end": [(names[0], {"size": (8 << 30) - 1}), *names[1:]]}
        for name, members in rows.items():
            with self.subTest(name):
                self.refused(root, self.remade(members), DATA, "")
        self.assertFalse(os.path.exists(root.at("/etc/passwd")))

    def test_not_a_bundle(self):
        root = self.machine()
        self.refused(root, "/nowhere.update", NO_INPUT, "No such file")
        self.refused(root, "-", DATA, "this is no update of postern", data=os.urandom(1 << 16))
        self.refused(root, "-", DATA, "has no SHA256SUMS", data=bytes(1 << 16))
        self.assertEqual(root.ctl("update")[0], USAGE)

    def test_other_machine(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        with tarfile.open(self.two) as tar:
            tar.extractall(folder)
        names = []
        for kind in ("root", "verity", "efi"):
            names.append(f"postern_2_arm64.{kind}")
            os.rename(os.path.join(folder, f"postern_2_x86-64.{kind}"), os.path.join(folder, names[-1]))
        with open(os.path.join(folder, "SHA256SUMS"), "wb") as f:
            f.write(subprocess.run(["sha256sum", *names], cwd=folder, check=True, capture_output=True).stdout)
        subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.key.private, "-in", "SHA256SUMS",
                        "-out", "SHA256SUMS.sig"], cwd=folder, check=True)
        subprocess.run(["tar", "--format=ustar", "-cf", "arm.update", "SHA256SUMS", "SHA256SUMS.sig", *names],
                       cwd=folder, check=True)
        self.refused(self.machine(), os.path.join(folder, "arm.update"), DATA, "the bundle is for arm64")

    def test_no_room(self):
        self.refused(self.machine(megabytes=2), self.two, CAN_T_CREATE, "the root has 3 MB, and there is room for 2 MB")

    def test_no_second_slot(self):
        self.refused(self.machine(labels=["postern_1"]), self.two, UNAVAILABLE, "has no second slot")

    def test_unknown_slots(self):
        root = self.machine(labels=["postern_5", "_empty"])
        self.refused(root, self.two, UNAVAILABLE, "the slot that runs can't be found")
        root = self.machine()
        shutil.rmtree(root.at("/efi"))
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, UNAVAILABLE)
        self.assertIn("the EFI partition is not mounted", said)
        root = self.machine()
        os.unlink(root.at("/usr/lib/os-release"))
        for verb in (["update", self.two], ["status"], ["rollback"]):
            code, said = root.ctl(*verb)
            self.assertEqual(code, UNAVAILABLE)
            self.assertIn("no postern appliance", said)

    def test_two_at_once(self):
        root = self.machine()
        self.assertEqual(root.ctl("update", "/nowhere")[0], NO_INPUT)
        stage = root.at("/var/lib/postern-system/update")
        fd = os.open(stage, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with open(os.path.join(stage, "postern_2_x86-64.root"), "wb"):
            pass
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, TEMPORARY)
        self.assertIn("another update is at work", said)
        self.assertEqual(os.listdir(stage), ["postern_2_x86-64.root"])
        os.close(fd)

    def test_what_was_left_is_removed(self):
        root = self.machine()
        root.write("/var/lib/postern-system/update/postern_1.5_x86-64.root.part", "x")
        self.assertEqual(root.ctl("update", self.two)[0], OK)
        self.assertEqual(os.listdir(root.at("/var/lib/postern-system/update")), [])

    def test_again_after_a_cut(self):
        """Cut off between two labels, and with the start of a kernel: the same bundle finds its place again."""
        root = self.machine()
        parts = [("esp", "esp", 16), ("root", "postern_1", 8), ("verity", "postern_1_verity", 1),
                 ("root", "postern_2", 8), ("verity", "_empty", 1)]
        root.write("/dev/sda", gpt(parts))
        root.write("/efi/EFI/Linux/.#sysupdatepostern_2+3-0.efia200e6ac6c90f15d", "MZ")
        self.assertIn("2              incomplete", root.ctl("status")[1])
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, OK, said)
        self.assertEqual(root.labels(), ["postern_1", "postern_2"])

    def test_sysupdate_fails(self):
        root = self.machine()
        root.write("/sysupdate-fails", "x")
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, 71)
        self.assertIn("systemd-sysupdate: no space left on device", said)
        self.assertIn("this one is as it was", said)
        self.assertEqual(root.ukis(), ["postern_1.efi"])
        self.assertNotIn("slot", root.notices())

    def test_sysupdate_does_nothing(self):
        """It says that all is well, and nothing is there: that is not believed."""
        root = self.machine()
        root.program("/usr/lib/systemd/systemd-sysupdate")
        code, said = root.ctl("update", self.two)
        self.assertEqual(code, 70)
        self.assertIn("version 2 is not in a slot as it should be", said)


class Slots(Case):
    def test_status(self):
        root = self.machine("1", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2+0-3.efi"])
        root.write("/run/postern-system/notices/health", "error: the listener inside does not answer\n")
        code, said = root.ctl("status")
        self.assertEqual(code, OK)
        self.assertIn("postern 1, on sda\n", said)
        self.assertIn("2              bad: it was tried, and never found healthy, 0 tries left\n", said)
        self.assertIn("1              good: was found healthy; runs now; starts next\n", said)
        self.assertIn("error: the listener inside does not answer\n", said)
        code, said = root.ctl("status", "--json")
        data = json.loads(said)
        self.assertEqual(code, OK)
        self.assertEqual([(s["version"], s["state"], s["runs"], s["next"]) for s in data["slots"]],
                         [("2", "bad", False, False), ("1", "good", True, True)])
        self.assertEqual((data["version"], data["disk"], data["trial"]), ("1", "sda", False))

    def test_status_on_trial(self):
        root = self.machine("2", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2+2-1.efi"])
        root.variable("LoaderBootCountPath", "\\EFI\\Linux\\postern_2+2-1.efi")
        self.assertIn("postern 2, on trial, on sda\n", root.ctl("status")[1])

    def test_rollback(self):
        root = self.machine("2", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2.efi"])
        root.variable("LoaderEntryOneShot", "postern_2.efi")
        code, said = root.ctl("rollback")
        self.assertEqual(code, OK, said)
        self.assertIn("Version 1 starts next", said)
        self.assertEqual(root.variable("LoaderEntryDefault"), "postern_1.efi")
        self.assertIsNone(root.variable("LoaderEntryOneShot"))
        self.assertEqual(root.calls(), [])
        self.assertIn("1              good: was found healthy; starts next\n", root.ctl("status")[1])
        code, said = root.ctl("rollback", "--reboot", "--json")
        self.assertEqual((code, json.loads(said)), (OK, {"version": "2", "next": "1", "reboot": True}))
        self.assertEqual(root.calls(), ["systemctl --no-block start reboot.target"])

    def test_no_rollback(self):
        rows = [(["postern_1", "_empty"], ["postern_1.efi"], "the other slot is empty"),
                (["postern_1", "postern_2"], ["postern_1.efi", "postern_2+0-3.efi"], "never found healthy"),
                (["postern_1", "postern_2"], ["postern_1.efi", "postern_2+3.efi"], "was never started"),
                (["postern_1", "postern_2"], ["postern_1.efi"], "incomplete")]
        for labels, ukis, text in rows:
            with self.subTest(text):
                root = self.machine("1", labels=labels, ukis=ukis)
                code, said = root.ctl("rollback", "--reboot")
                self.assertEqual(code, UNAVAILABLE)
                self.assertIn(text, said)
                self.assertIsNone(root.variable("LoaderEntryDefault"))
                self.assertEqual(root.calls(), [])

    def test_no_uefi(self):
        root = self.machine("2", labels=["postern_1", "postern_2"], ukis=["postern_1.efi", "postern_2.efi"])
        shutil.rmtree(root.at("/sys/firmware"))
        code, said = root.ctl("rollback")
        self.assertEqual(code, UNAVAILABLE)
        self.assertIn("no UEFI", said)


if __name__ == "__main__":
    tap.main()
