# SPDX-License-Identifier: Apache-2.0
"""Writes an initramfs (cpio, "newc") of programs of this machine: each with the libraries that it
loads, so that the machine that boots it needs no other file."""
import lzma
import os
import re
import stat
import subprocess


def libraries(program):
    """What the dynamic linker loads for a program, as it names the files."""
    said = subprocess.run(["ldd", program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    return re.findall(r"(/\S+) \(0x", said.stdout)


def module_files(kernel, names):
    """The modules' files, in the order in which insmod takes them."""
    release = os.listdir(f"{kernel}/lib/modules")[0]
    found = []
    for name in names:
        said = subprocess.run(["modprobe", "--show-depends", "-d", kernel, "-S", release, name],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        found += [m for m in re.findall(r"^insmod (\S+)", said.stdout, re.M) if m not in found]
    return found


class Initramfs:
    def __init__(self):
        self.entries = {}

    def folder(self, path):
        parts = path.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:i]), (stat.S_IFDIR | 0o755, b"", 0))
        return path

    def data(self, path, content, mode=0o644):
        if "/" in path.strip("/"):
            self.folder(os.path.dirname(path))
        self.entries[path.strip("/")] = (stat.S_IFREG | mode, content, 0)

    def file(self, source, path=None):
        with open(source, "rb") as f:
            self.data(path or source, f.read(), os.stat(source).st_mode & 0o777)

    def program(self, source, path=None):
        self.file(source, path)
        for library in libraries(source):
            self.file(library)

    def modules(self, kernel, names):
        """Puts them at /modules, each unpacked: with that, 10-NAME.ko sorts in load order."""
        for number, source in enumerate(module_files(kernel, names), 10):
            with (lzma.open if source.endswith(".xz") else open)(source, "rb") as f:
                name = os.path.basename(source).removesuffix(".xz")
                self.data(f"/modules/{number}-{name}", f.read())

    def device(self, path, major, minor):
        self.folder(os.path.dirname(path))
        self.entries[path.strip("/")] = (stat.S_IFCHR | 0o600, b"", (major, minor))

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, (mode, content, device)) in enumerate(
                    [*self.entries.items(), ("TRAILER!!!", (0, b"", 0))], 1):
                major, minor = device or (0, 0)
                encoded = name.encode() + b"\0"
                fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(encoded), 0)
                head = b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
                out.write(head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4))
