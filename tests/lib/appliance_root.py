# SPDX-License-Identifier: Apache-2.0
"""A folder that stands for an appliance's file system, for posternctl system --root: a disk with a
partition table, an EFI partition, the firmware's variables, and programs that note how they are
called. Its systemd-sysupdate writes what the real one writes, in its order; the real one is what
tests/image is about."""
import binascii
import json
import os
import struct
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from gateway import BUILD  # noqa: E402

SECTOR = 512
TYPES = {"esp": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
         "root": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
         "verity": "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"}
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
SYSTEMD = "8cf2644b-4b0b-428f-9387-6d876050dc67"
SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))

SYSUPDATE = """#!/usr/bin/python3
import os, sys
sys.path.insert(0, {lib!r})
from appliance_root import Root
Root({path!r}).sysupdate(sys.argv[1:])
"""


def gpt(parts):
    """The start of a disk with (kind, label, megabytes) rows."""
    entries, at = b"", 2048
    for kind, label, megabytes in parts:
        sectors = megabytes * 2048
        entries += (uuid.UUID(TYPES[kind]).bytes_le + uuid.uuid4().bytes_le +
                    struct.pack("<QQQ", at, at + sectors - 1, 0) +
                    label.encode("utf-16le").ljust(72, b"\0"))
        at += sectors
    entries = entries.ljust(128 * 128, b"\0")

    def header(crc):
        return (b"EFI PART" + struct.pack("<IIII", 0x10000, 92, crc, 0) +
                struct.pack("<QQQQ", 1, at + 33, 34, at) + uuid.uuid5(uuid.NAMESPACE_DNS, "d").bytes_le +
                struct.pack("<QIII", 2, 128, 128, binascii.crc32(entries)))

    return bytes(SECTOR) + header(binascii.crc32(header(0))).ljust(SECTOR, b"\0") + entries


class Root:
    def __init__(self, path, build=BUILD):
        self.path = path
        self.build = build

    def at(self, path):
        return self.path + path

    def write(self, path, data, mode=0o644):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(self.at(path), mode)

    def read(self, path):
        try:
            with open(self.at(path), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    # --- the machine ---

    def appliance(self, version, labels=None, ukis=None, megabytes=8):
        """labels: of the two slots; ukis: names in the EFI partition."""
        self.megabytes = megabytes
        self.write("/usr/lib/os-release", f"ID=postern\nIMAGE_ID=postern\nIMAGE_VERSION={version}\n")
        self.disk(labels or [f"postern_{version}", "_empty"])
        os.makedirs(self.at("/efi/EFI/Linux"), exist_ok=True)
        os.makedirs(self.at("/run"), exist_ok=True)
        for name in ukis if ukis is not None else [f"postern_{version}.efi"]:
            self.write("/efi/EFI/Linux/" + name, "MZ")
        self.write("/sys/class/block/sda/size", "1\n")
        os.makedirs(self.at("/sys/firmware/efi/efivars"), exist_ok=True)
        self.write("/usr/lib/systemd/systemd-sysupdate",
                   SYSUPDATE.format(lib=os.path.dirname(os.path.abspath(__file__)), path=self.path), 0o755)
        self.program("/usr/bin/systemctl")

    def disk(self, labels):
        parts = [("esp", "esp", 16)]
        for label in labels:
            parts += [("root", label, self.megabytes),
                      ("verity", label if label == "_empty" else label + "_verity", 1)]
        self.write("/dev/sda", gpt(parts))
        self.write("/slots.json", json.dumps([labels, self.megabytes]))

    def labels(self):
        return json.loads(self.read("/slots.json"))[0]

    def ukis(self):
        return sorted(os.listdir(self.at("/efi/EFI/Linux")))

    def variable(self, name, text=None, vendor=LOADER):
        """Sets it, or what it holds (None: nothing)."""
        path = f"/sys/firmware/efi/efivars/{name}-{vendor}"
        if text is not None:
            self.write(path, struct.pack("<I", 7) + (text + "\0").encode("utf-16le"))
        data = self.read(path)
        return None if data is None else data[4:].decode("utf-16le").rstrip("\0")

    def program(self, path, body="exit 0"):
        """A program that notes its words in /calls."""
        self.write(path, f"#!/bin/sh\necho \"$(basename $0) $*\" >>{self.path}/calls\n{body}\n", 0o755)

    def calls(self):
        return (self.read("/calls") or b"").decode().splitlines()

    def notices(self):
        folder = self.at("/run/postern-system/notices")
        return {name: self.read(f"/run/postern-system/notices/{name}").decode().rstrip("\n")
                for name in (os.listdir(folder) if os.path.isdir(folder) else [])}

    def ctl(self, *words, data=None, timeout=60):
        """posternctl system: (exit code, what it said)."""
        done = subprocess.run([os.path.join(self.build, "posternctl"), "system", "--root", self.path, *words],
                              input=data, stdin=None if data is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    # --- what systemd-sysupdate does ---

    def sysupdate(self, words):
        with open(self.at("/calls"), "a", encoding="utf-8") as f:
            f.write(" ".join(["sysupdate", *words, "|", *self.ukis()]) + "\n")
        labels, self.megabytes = json.loads(self.read("/slots.json"))
        running = self.read("/usr/lib/os-release").decode().split("IMAGE_VERSION=")[1].strip()
        if "vacuum" in words:
            self.disk([label if label == f"postern_{running}" else "_empty" for label in labels])
            return
        if self.read("/sysupdate-fails"):
            print("no space left on device")
            sys.exit(1)
        version = words[-1]
        stage = "/var/lib/postern-system/update/postern_" + version + "_x86-64."
        for kind in ("root", "verity"):
            self.write(f"/written-{kind}", self.read(stage + kind))
        labels[labels.index("_empty")] = f"postern_{version}"
        self.disk(labels)
        self.write(f"/efi/EFI/Linux/postern_{version}+3-0.efi", self.read(stage + "efi"))


class Keys:
    """An update key of a test's own."""

    def __init__(self, folder, name="update"):
        self.private = os.path.join(folder, name + ".key")
        self.public = os.path.join(folder, name + ".pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.private], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", self.private, "-pubout", "-out", self.public], check=True)

    def trust(self, root):
        with open(self.public, "rb") as f:
            root.write("/usr/lib/postern/update-keys/" + os.path.basename(self.public), f.read())


def bundle(folder, version, key, sizes=(3 << 20, 400000, 900000)):
    """A bundle as images/bundle.sh makes it, of files with random bytes."""
    names = []
    for kind, size in zip(("root", "verity", "efi"), sizes):
        names.append(os.path.join(folder, f"{version}.{kind}"))
        with open(names[-1], "wb") as f:
            f.write(os.urandom(size))
    out = os.path.join(folder, f"postern-{version}-x86_64.update")
    subprocess.run([os.path.join(SOURCE, "images/bundle.sh"), version, *names, key.private, out], check=True)
    return out
