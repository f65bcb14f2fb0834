# SPDX-License-Identifier: Apache-2.0
"""Disks as files: the image unpacked, its partitions, the files of its EFI system partition, bytes
flipped in it, and sticks. No loop device, no mount."""
import contextlib
import glob
import os
import struct
import subprocess
import uuid

BUILD = os.path.abspath(os.environ.get("POSTERN_BUILD", "build"))
IMAGE_FOLDER = os.environ.get("POSTERN_IMAGE_FOLDER", os.path.join(BUILD, "image"))
KEYS = os.environ.get("POSTERN_IMAGE_KEYS", os.path.join(IMAGE_FOLDER, "keys"))  # as images/keys.sh made them
SECTOR = 512


class NoImage(Exception):
    """There is no image to test; the text says how to make it."""


def run(*args, data=None):
    done = subprocess.run(args, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(args)}: {(done.stderr + done.stdout).decode(errors='replace')}")
    return done.stdout


def image_find(version="*"):
    """The image that ./dev image made, the newest of them where no version is named."""
    found = glob.glob(os.path.join(IMAGE_FOLDER, f"postern-{version}-x86_64*.raw.zst"))  # of either kernel
    if not found:
        raise NoImage(f"there is no image in {IMAGE_FOLDER}: ./dev image makes it")
    return max(found, key=os.path.getmtime)


class Disk:
    """A raw disk in a file. `size_mb`: what a larger disk has behind the image is empty."""

    def __init__(self, path, image=None, size_mb=None):
        self.path = path
        if image and image.endswith(".zst"):
            run("zstd", "-q", "-d", "-f", "--sparse", "-o", path, image)
        elif image:
            run("cp", "--sparse=always", image, path)
        if size_mb:
            with open(path, "ab") as f:
                f.truncate(size_mb * 2**20)

    def copy(self, path):
        return Disk(path, self.path)

    def partitions(self):
        """label: (offset, size) in bytes, from the GPT."""
        found = {}
        with open(self.path, "rb") as f:
            f.seek(SECTOR)
            header = f.read(92)
            assert header[:8] == b"EFI PART", "the disk has no GPT"
            at, count, size = struct.unpack_from("<QII", header, 72)
            f.seek(at * SECTOR)
            for _ in range(count):
                entry = f.read(size)
                kind, first, last = uuid.UUID(bytes_le=entry[:16]), *struct.unpack_from("<QQ", entry, 32)
                if kind.int:
                    label = entry[56:128].decode("utf-16-le").rstrip("\0")
                    found[label] = (first * SECTOR, (last - first + 1) * SECTOR)
        return found

    def read(self, offset, size):
        with open(self.path, "rb") as f:
            f.seek(offset)
            return f.read(size)

    def write(self, offset, data):
        with open(self.path, "r+b") as f:
            f.seek(offset)
            f.write(data)

    def flip(self, offset, count=1):
        """Inverts so many bytes."""
        self.write(offset, bytes(b ^ 0xff for b in self.read(offset, count)))

    def uki(self):
        """Path on the EFI partition of the only UKI there; its name counts the tries."""
        found = [name for name in self.esp().names("/EFI/Linux") if name.lower().endswith(".efi")]
        assert len(found) == 1, found
        return found[0]

    def esp(self):
        return Fat(self.path, next(offset for label, (offset, _) in self.partitions().items()
                                   if label.lower() == "esp"))


class Fat:
    """The files of a FAT file system that begins at `offset` of a file, by mtools."""

    def __init__(self, path, offset=0):
        self.drive = f"{path}@@{offset}"

    def names(self, folder="/"):
        """The paths of all files below a folder."""
        lines = run("mdir", "-/", "-b", "-i", self.drive, f"::{folder}").decode().splitlines()
        return [line.removeprefix("::") for line in lines if line and not line.endswith("/")]

    def read(self, path):
        return run("mtype", "-i", self.drive, f"::{path}")

    def write(self, path, data):
        folder = ""
        for part in path.strip("/").split("/")[:-1]:
            folder += "/" + part
            with contextlib.suppress(AssertionError):  # it is there
                run("mmd", "-D", "s", "-i", self.drive, f"::{folder}")
        run("mcopy", "-o", "-i", self.drive, "-", f"::{path}", data=data)

    def remove(self, path):
        run("mdel", "-i", self.drive, f"::{path}")


def stick(path, files, label="POSTERN", size_mb=64):
    """A USB stick with a FAT file system and no partitions, as an administrator's machine formats it.
    files: name on the stick: bytes or text."""
    with open(path, "wb") as f:
        f.truncate(size_mb * 2**20)
    run("mkfs.vfat", "-n", label, path)
    fat = Fat(path)
    for name, data in files.items():
        fat.write("/" + name, data if isinstance(data, bytes) else data.encode())
    return path
