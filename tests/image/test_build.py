#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `./dev image` made, without starting it: the partitions, the hashes from the disk's blocks up to
what the signature covers, signatures, the bundle, the SBOM, and what the root has and must not have."""
import datetime
import glob
import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "lib")]
import tap  # noqa: E402
from disk import IMAGE_FOLDER, KEYS, Disk, Fat, image_find, run  # noqa: E402
from uki import Uki  # noqa: E402

MEGABYTE = 2**20
LARGEST_COMPRESSED = 150 * MEGABYTE
SIGNED = ("/EFI/Linux/postern_{}+3.efi", "/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi")


class Built:
    """The image, unpacked once for all tests."""

    def __init__(self):
        self.path = image_find()
        self.name = os.path.basename(self.path).removesuffix(".raw.zst")
        self.version = re.fullmatch(r"postern-(.+)-x86_64(-[a-z-]+)?", self.name)[1]
        self.folder = tempfile.mkdtemp()
        self.disk = Disk(os.path.join(self.folder, "disk"), self.path)
        self.table = self.disk.partitions()
        self.esp = self.disk.esp()
        offset, size = self.table[f"postern_{self.version}"]
        self.root = os.path.join(self.folder, "root")
        self.erofs = os.path.join(self.folder, "erofs")
        with open(self.erofs, "wb") as file:
            file.write(self.disk.read(offset, size))
        run("fsck.erofs", f"--extract={self.root}", "--preserve", self.erofs)
        self.uki = Uki(self.esp.read(f"/EFI/Linux/postern_{self.version}+3.efi"))

    def sibling(self, suffix):
        return os.path.join(IMAGE_FOLDER, self.name + suffix)

    def packages(self):
        with open(self.sibling(".packages"), encoding="utf-8") as file:
            return [line.split() for line in file]

    def created(self):
        """The commit's time."""
        with open(self.sibling(".spdx.json"), encoding="utf-8") as file:
            return datetime.datetime.fromisoformat(json.load(file)["creationInfo"]["created"])

    def files(self):
        """(path in the root, path here, lstat)"""
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = os.path.join(folder, name)
                yield path.removeprefix(self.root), path, os.lstat(path)


def setUpModule():
    global built
    built = Built()


def verity_hash(data, hashes):
    """The root hash of a dm-verity tree by its superblock and the data alone, and what the tree's
    stored top block gives."""
    magic, version, kind, _, name, data_block, hash_block, blocks, salt_size = struct.unpack_from(
        "<8sII16s32sIIQH", hashes)
    assert (magic, version, kind) == (b"verity\0\0", 1, 1)
    assert name.rstrip(b"\0") == b"sha256" and data_block == hash_block == 4096
    salt = hashes[88:88 + salt_size]

    def digest(block):
        return hashlib.sha256(salt + block).digest()

    def level(content):
        return b"".join(digest(content[at:at + 4096]) for at in range(0, len(content), 4096))

    here = level(data[:blocks * 4096])
    while len(here) > 32:
        here = level(here.ljust(-(-len(here) // 4096) * 4096, b"\0"))
    return here.hex(), digest(hashes[4096:8192]).hex()


class Disks(unittest.TestCase):
    def test_the_partitions_are_the_slots(self):
        root, verity = 512 * MEGABYTE, 16 * MEGABYTE
        with open(built.disk.path, "rb") as file:
            file.seek(1024)
            entries = file.read(128 * 5)
        found = []
        for at in range(0, len(entries), 128):
            first, last = struct.unpack_from("<QQ", entries, at + 32)
            found.append((str(uuid.UUID(bytes_le=entries[at:at + 16])),
                          entries[at + 56:at + 128].decode("utf-16-le").rstrip("\0"), (last - first + 1) * 512))
        of_root, of_verity = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
        name = f"postern_{built.version}"
        self.assertEqual(found, [
            ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "esp", 256 * MEGABYTE), (of_root, name, root),
            (of_verity, f"{name}_verity", verity), (of_root, "_empty", root), (of_verity, "_empty", verity)])

    def test_it_is_small(self):
        self.assertLessEqual(os.path.getsize(built.path), LARGEST_COMPRESSED)

    def test_the_efi_partition_has_the_boot_manager_and_one_version(self):
        names = {name.lower() for name in built.esp.names()}
        self.assertEqual(names, {name.lower() for name in (
            "/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi", "/loader/loader.conf",
            f"/EFI/Linux/postern_{built.version}+3.efi",
            *(f"/loader/keys/postern/{key}.auth" for key in ("PK", "KEK", "db")))})


class Chain(unittest.TestCase):
    """From the signature down to each block of the root."""

    def word(self, name):
        words = [word.removeprefix(name + "=") for word in built.uki.get(".cmdline").decode().rstrip("\0").split()
                 if word.startswith(name + "=")]
        self.assertEqual(len(words), 1, name)
        return words[0]

    def test_the_command_line_has_the_hash_of_the_blocks(self):
        name = f"postern_{built.version}"
        data = built.disk.read(*built.table[name])
        hashes = built.disk.read(*built.table[name + "_verity"])
        self.assertEqual(verity_hash(data, hashes), (self.word("roothash"), self.word("roothash")))

    def test_a_changed_block_has_another_hash(self):
        name = f"postern_{built.version}"
        data = bytearray(built.disk.read(*built.table[name]))
        data[len(built.uki.data)] ^= 1
        hashes = built.disk.read(*built.table[name + "_verity"])
        self.assertNotEqual(verity_hash(data, hashes)[0], self.word("roothash"))

    def test_the_command_line_locks_the_kernel(self):
        self.assertEqual(self.word("postern.slot"), f"postern_{built.version}")
        self.assertEqual(self.word("lockdown"), "integrity")
        self.assertEqual(self.word("module.sig_enforce"), "1")
        self.assertEqual(self.word("panic"), "30")

    def test_uki_and_boot_manager_are_signed(self):
        for path in SIGNED:
            with tempfile.NamedTemporaryFile() as file:
                file.write(built.esp.read(path.format(built.version)))
                file.flush()
                run("sbverify", "--cert", os.path.join(KEYS, "db.pem"), file.name)
                file.seek(0x2000)
                byte = file.read(1)
                file.seek(0x2000)
                file.write(bytes([byte[0] ^ 1]))
                file.flush()
                with self.assertRaises(AssertionError):
                    run("sbverify", "--cert", os.path.join(KEYS, "db.pem"), file.name)

    def test_the_time_of_signing_is_the_commits(self):
        for path in SIGNED:
            with tempfile.TemporaryDirectory() as folder:
                with open(f"{folder}/efi", "wb") as file:
                    file.write(built.esp.read(path.format(built.version)))
                run("sbattach", "--detach", f"{folder}/signature", f"{folder}/efi")
                shown = run("openssl", "asn1parse", "-inform", "DER", "-in", f"{folder}/signature").decode()
            times = re.findall(r":signingTime\n.*\n.*UTCTIME +:(\d+Z)", shown)
            self.assertEqual(times, [built.created().strftime("%y%m%d%H%M%SZ")], path)

    def test_pcr_11_is_signed_for_a_boot_without_phases(self):
        self.assertEqual(built.uki.signed_policies(), [built.uki.policy()])
        with open(os.path.join(KEYS, "pcr.pem"), "rb") as file:
            self.assertEqual(built.uki.get(".pcrpkey").rstrip(b"\0"), file.read())

    def test_the_bundle_has_what_the_disk_has(self):
        bundle = built.sibling(".update")
        sums = run("tar", "-xOf", bundle, "SHA256SUMS").decode()
        with tempfile.TemporaryDirectory() as folder:
            run("tar", "-xf", bundle, "-C", folder, "SHA256SUMS", "SHA256SUMS.sig")
            run("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", os.path.join(KEYS, "update.pem"),
                "-in", f"{folder}/SHA256SUMS", "-sigfile", f"{folder}/SHA256SUMS.sig")
        name = f"postern_{built.version}"
        listed = {line.split()[1]: line.split()[0] for line in sums.splitlines()}
        self.assertEqual(listed.pop(f"{name}_x86-64.efi"), hashlib.sha256(built.uki.data).hexdigest())
        for suffix, label in (("root", name), ("verity", name + "_verity")):
            part = run("tar", "-xOf", bundle, f"{name}_x86-64.{suffix}")
            self.assertEqual(listed.pop(f"{name}_x86-64.{suffix}"), hashlib.sha256(part).hexdigest())
            offset, size = built.table[label]
            self.assertEqual(hashlib.sha256(built.disk.read(offset, len(part))).hexdigest(),
                             hashlib.sha256(part).hexdigest())
            self.assertFalse(any(built.disk.read(offset + len(part), size - len(part))))
        self.assertEqual(listed, {})


class Root(unittest.TestCase):
    def test_no_compiler_no_package_manager_no_interpreter(self):
        unwanted = re.compile(r"/(gcc|cc|c\+\+|clang|ld|as|make|meson|ninja|perl|python[0-9.]*|apt|apt-get|dpkg|rpm|gdb|"
                              r"tclsh|lua|ruby|node|nc|telnet)(-[0-9.]+)?$")
        found = [path for path, _, status in built.files() if unwanted.search(path)
                 and (stat.S_ISLNK(status.st_mode) or stat.S_ISREG(status.st_mode) and status.st_mode & 0o111)]
        self.assertEqual(found, [])

    def test_no_program_has_rights_of_its_own(self):
        found = [path for path, _, status in built.files()
                 if stat.S_ISREG(status.st_mode) and status.st_mode & 0o6000]
        self.assertEqual(found, [])

    def test_nobody_but_root_may_write(self):
        found = [path for path, _, status in built.files() if not stat.S_ISLNK(status.st_mode)
                 and status.st_mode & 0o022 and not (stat.S_ISDIR(status.st_mode) and status.st_mode & 0o1000)]
        self.assertEqual(found, [])

    def test_the_time_of_each_file_is_the_commits(self):
        others = [path for path, _, status in built.files()
                  if stat.S_ISREG(status.st_mode) and status.st_mtime != built.created().timestamp()]
        self.assertEqual(others[:9], [])

    def test_no_secret_is_in_it(self):
        secret = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n")
        found = []
        for path, here, status in built.files():
            if stat.S_ISREG(status.st_mode) and status.st_size < 65536:
                with open(here, "rb") as file:
                    if secret.search(file.read()):
                        found.append(path)
        self.assertEqual(found, [])
        self.assertEqual(glob.glob(f"{built.root}/etc/ssh/ssh_host_*"), [])
        with open(f"{built.root}/etc/shadow", encoding="ascii") as file:
            self.assertEqual({line.split(":")[1] for line in file} - {"*", "!", "!*"}, set())
        self.assertEqual(os.path.getsize(f"{built.root}/etc/machine-id"), 0)

    def test_users_have_the_numbers_of_every_version(self):
        with open(os.path.join(HERE, "../../images/users"), encoding="ascii") as file:
            wanted = {words[0]: words[1] for words in map(str.split, file) if words and words[0] != "#"}
        found = {}
        for name in ("passwd", "group"):
            with open(f"{built.root}/etc/{name}", encoding="utf-8") as file:
                found |= {line.split(":")[0]: line.split(":")[2] for line in file if line.split(":")[0] in wanted}
        self.assertEqual(found, wanted)

    def test_programs_find_their_libraries(self):
        folders = [f"{built.root}/usr/lib/x86_64-linux-gnu", f"{built.root}/usr/lib",
                   f"{built.root}/usr/lib/x86_64-linux-gnu/systemd"]
        missing = set()
        for path, here, status in built.files():
            if not stat.S_ISREG(status.st_mode) or path.endswith(".ko"):
                continue
            with open(here, "rb") as file:
                if file.read(4) != b"\x7fELF":
                    continue
            shown = subprocess.run(["readelf", "-d", here], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   check=False, text=True).stdout
            for library in re.findall(r"\(NEEDED\).*\[(.*)\]", shown):
                if not any(os.path.exists(f"{folder}/{library}") for folder in [*folders, os.path.dirname(here)]):
                    missing.add((path, library))
        self.assertEqual(missing, set())

    def test_what_is_started_at_boot_is_there(self):
        missing = []
        for link in glob.glob(f"{built.root}/etc/systemd/system/*.wants/*"):
            target = os.readlink(link)
            if not os.path.exists(built.root + target):
                missing.append(link)
        self.assertEqual(missing, [])
        for unit in ("postern.service", "postern-state.service", "postern-settings.service",
                     "postern-health-failed.timer", "postern-power-button.service"):
            self.assertTrue(glob.glob(f"{built.root}/etc/systemd/system/*.wants/{unit}"), unit)

    def test_nothing_asks_for_a_login(self):
        for unit in ("getty-static.service", "systemd-logind.service"):
            self.assertEqual(os.readlink(f"{built.root}/etc/systemd/system/{unit}"), "/dev/null")
        self.assertEqual(glob.glob(f"{built.root}/etc/systemd/system/getty.target.wants/*getty@*"), [])
        self.assertEqual(glob.glob(f"{built.root}/usr/lib/systemd/system-generators/*getty*"), [])

    def test_modules_are_signed(self):
        modules = [(path, here) for path, here, _ in built.files() if path.endswith(".ko")]
        self.assertGreater(len(modules), 200)
        for path, here in modules:
            with open(here, "rb") as file:
                file.seek(-28, os.SEEK_END)
                self.assertEqual(file.read(), b"~Module signature appended~\n", path)
        names = {os.path.basename(path) for path, _ in modules}
        for name in ("tls", "dm-crypt", "dm-verity", "erofs", "vfat", "mlx5_core", "ice", "virtio_net", "bonding",
                     "button"):
            self.assertIn(name + ".ko", names)

    def test_it_says_what_it_is(self):
        with open(f"{built.root}/usr/lib/os-release", encoding="utf-8") as file:
            release = dict(line.rstrip("\n").split("=", 1) for line in file)
        self.assertEqual((release["ID"], release["ID_LIKE"], release["IMAGE_ID"], release["IMAGE_VERSION"]),
                         ("postern", "debian", "postern", f'"{built.version}"'))
        self.assertEqual(built.uki.get(".osrel").decode().rstrip("\0").splitlines(),
                         [f"{key}={value}" for key, value in release.items()])


class Bill(unittest.TestCase):
    """The SBOM and the list of packages."""

    def setUp(self):
        with open(built.sibling(".spdx.json"), encoding="utf-8") as file:
            self.bill = json.load(file)

    def test_it_is_spdx(self):
        self.assertEqual((self.bill["spdxVersion"], self.bill["dataLicense"], self.bill["SPDXID"]),
                         ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
        self.assertRegex(self.bill["documentNamespace"], r"^[a-z]+:[^#\s]+$")
        self.assertRegex(self.bill["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(self.bill["creationInfo"]["creators"])
        own = {entry["licenseId"] for entry in self.bill["hasExtractedLicensingInfos"]}
        ids = [package["SPDXID"] for package in self.bill["packages"]]
        self.assertEqual(len(ids), len(set(ids)))
        for package in self.bill["packages"]:
            self.assertRegex(package["SPDXID"], r"^SPDXRef-[A-Za-z0-9.-]+$")
            for key in ("name", "versionInfo", "supplier", "downloadLocation", "licenseConcluded", "licenseDeclared",
                        "copyrightText"):
                self.assertTrue(package[key], (package["name"], key))
            self.assertRegex(package["supplier"], r"^(Organization|Person): \S")
            for word in package["licenseDeclared"].split(" AND "):
                self.assertRegex(word, r"^[A-Za-z0-9.+-]+$")
                if word.startswith("LicenseRef-"):
                    self.assertIn(word, own)
        known = {*ids, "SPDXRef-DOCUMENT"}
        for relation in self.bill["relationships"]:
            self.assertLessEqual({relation["spdxElementId"], relation["relatedSpdxElement"]}, known)
            self.assertIn(relation["relationshipType"], {"DESCRIBES", "CONTAINS", "DEPENDS_ON"})
        self.assertEqual([relation["relatedSpdxElement"] for relation in self.bill["relationships"]
                          if relation["relationshipType"] == "DESCRIBES"], ["SPDXRef-Package-postern-appliance"])

    def test_it_has_every_package_by_its_hash(self):
        sums = {package["name"]: package["checksums"][0]["checksumValue"]
                for package in self.bill["packages"] if package.get("checksums")}
        with open(built.path, "rb") as file:
            self.assertEqual(sums.pop("postern-appliance"), hashlib.file_digest(file, "sha256").hexdigest())
        self.assertEqual(sums, {words[0]: words[3] for words in built.packages() if words[4] != "out"})

    def test_a_licence_is_known_of_nearly_all(self):
        unknown = [package["name"] for package in self.bill["packages"]
                   if package["licenseDeclared"] == "NOASSERTION"]
        self.assertLess(len(unknown), len(self.bill["packages"]) // 3, unknown)


if __name__ == "__main__":
    tap.main()
