# SPDX-License-Identifier: Apache-2.0
"""Starts a virtual machine over the host's own files, read-only, and reads what it says.

Two vehicles: Debian's User-Mode Linux, in which a test takes about as long as outside, and QEMU's
software emulation with Debian's kernels for virtual machines, which is ten times slower and the
real kernel. Both begin with init.sh. How a machine's process ends says nothing; what the guest
prints last does: a panic, a hang, or an end without a word is a failure.
"""
import collections
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import tap
from initramfs import Initramfs

HERE = os.path.dirname(os.path.abspath(__file__))
TAIL_LINES = 40
# In the older package virtiofsd is part of QEMU.
VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")


def memory_folder(folder, megabytes):
    """A machine's memory is a file, in a file system of the host's memory if there is room: in a
    container there may not be."""
    shm = "/dev/shm"
    if os.path.isdir(shm) and shutil.disk_usage(shm).free > megabytes * 2**20 * 5 // 4:
        return shm
    return folder


class Uml:
    """User-Mode Linux: one process of the host, one processor."""

    KERNEL = "linux.uml"
    MEMORY_MB = 1536

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def lacks(cls):
        return "" if shutil.which(cls.KERNEL) else f"there is no {cls.KERNEL} (Debian's user-mode-linux)"

    def start(self, settings):
        return subprocess.Popen(
            [self.KERNEL, f"mem={self.MEMORY_MB}M", "rootfstype=hostfs", "rootflags=/",
             "root=/dev/root", "ro", f"init={HERE}/init.sh", f"uml_dir={self.folder}/", "con=null",
             "con0=fd:0,fd:1", "loglevel=2", "POSTERN_VM_MODULES=/usr/lib/uml/modules", *settings],
            env=dict(os.environ, TMPDIR=memory_folder(self.folder, self.MEMORY_MB)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True)

    def end(self):
        pass


class Qemu:
    """QEMU's software emulation: never /dev/kvm, which may be there and not work. It boots with one
    processor in use: with two the same work takes the host a third longer, and several times where
    the host is busy, for one waits for a lock while the other, that has it, does not run."""

    PROGRAM = "qemu-system-x86_64"
    # To be probed and tuned (test_platform.py); nobody is on the other side, and nothing on them.
    CARDS = ("virtio-net-pci", "vmxnet3")
    DISKS = ("nvme", "ide-hd,bus=ahci.0")
    MEMORY_MB = 1536
    # Without cx16 to be spoken of, or kernels from 6.12 on panic in QEMU 7.2's cmpxchg16b. The others
    # cost the emulator time: copies byte by byte, a fifth level of pages, and blocks of code that
    # end at each touch of user memory.
    PROCESSOR = "max,-cx16,-erms,-fsrm,-la57,-smap,-smep,-umip,-pku"

    def __init__(self, folder, kernel, processors):
        self.folder, self.kernel, self.processors = folder, kernel, processors
        self.files = None

    @classmethod
    def lacks(cls):
        for program in (cls.PROGRAM, *([] if virtiofsd() else ["virtiofsd"])):
            if not shutil.which(program):
                return f"there is no {program}"
        return ""

    def initramfs(self):
        """Finds the host's files and hands over to init.sh in them."""
        image = Initramfs()
        for name in ("/bin/sh", "/bin/mount", "/sbin/insmod", "/sbin/switch_root"):
            image.program(name)
        image.modules(self.kernel, ["virtio_pci", "virtiofs"])
        image.device("/dev/console", 5, 1)
        image.data("/init", b"#!/bin/sh\nexport PATH=/sbin:/bin\n"
                   b"for module in /modules/*.ko; do [ ! -e $module ] || insmod $module; done\n"
                   b"mount -t virtiofs -o ro host /host && exec switch_root /host "
                   + f"{HERE}/init.sh\n".encode(), 0o755)
        image.folder("/host")
        image.write(f"{self.folder}/initrd")

    def files_serve(self):
        self.files = subprocess.Popen(
            [virtiofsd(), f"--socket-path={self.folder}/files", "-o", "source=/", "-o",
             "cache=always", "-o", "sandbox=chroot"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(100):
            if os.path.exists(f"{self.folder}/files"):
                return
            time.sleep(0.1)
        raise AssertionError("virtiofsd did not start")

    def start(self, settings):
        self.initramfs()
        self.files_serve()
        memory = memory_folder(self.folder, self.MEMORY_MB)
        # The TSC is the host's, and measured wrong while the host is busy: clocks ran four times too
        # fast. Code at the same addresses in each process is translated once.
        words = ["console=ttyS0", "loglevel=2", "panic=-1", "mitigations=off", "tsc=unstable",
                 "clocksource=hpet", "norandmaps", "no_timer_check", "random.trust_cpu=on", "maxcpus=1",
                 f"POSTERN_VM_MODULES={self.kernel}/lib/modules", *settings]
        return subprocess.Popen(
            [self.PROGRAM, "-accel", "tcg,thread=multi", "-cpu", self.PROCESSOR, "-smp",
             str(self.processors), "-m", str(self.MEMORY_MB), "-nodefaults", "-no-user-config",
             "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", f"{self.kernel}/vmlinuz",
             "-initrd", f"{self.folder}/initrd", "-append", " ".join(words),
             "-object", f"memory-backend-file,id=memory,size={self.MEMORY_MB}M,share=on,mem-path={memory}",
             "-numa", "node,memdev=memory", "-chardev", f"socket,id=files,path={self.folder}/files",
             "-device", "vhost-user-fs-pci,chardev=files,tag=host",
             *(word for number, card in enumerate(self.CARDS) for word in
               ("-netdev", f"hubport,id=card{number},hubid={number}", "-device",
                f"{card},netdev=card{number},romfile=")),
             "-device", "ich9-ahci,id=ahci",
             *(word for number, disk in enumerate(self.DISKS) for word in
               ("-blockdev", f"null-co,node-name=disk{number},size=8388608,read-zeroes=on", "-device",
                f"{disk},drive=disk{number},serial=disk{number}"))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True)

    def end(self):
        if self.files:
            self.files.terminate()  # it has left with the machine, unless that never came up
            self.files.wait()


def virtiofsd():
    return next((path for path in VIRTIOFSD if os.path.exists(path)), None)


class Console:
    """What the machine says, line by line: TAP is passed on, all is remembered for a while."""

    def __init__(self, name, out):
        self.name, self.out = name, out
        self.tail = collections.deque(maxlen=TAIL_LINES)
        self.count, self.failed = 0, 0
        self.plan = self.status = None

    def line(self, text):
        self.tail.append(text)
        if found := re.fullmatch(r"((?:not )?ok) \d+ - (.*)", text):
            self.result(found[1], found[2])
        elif plan := re.fullmatch(r"1\.\.(\d+)", text):
            self.plan = int(plan[1])
        elif status := re.fullmatch(r"vm: status (\d+)", text):
            self.status = int(status[1])
        elif text.startswith("#"):
            self.out(text)

    def result(self, verdict, rest):
        self.count += 1
        self.failed += verdict != "ok"
        self.out(f"{verdict} {self.count} - {self.name}: {rest}")

    def trouble(self):
        """What is wrong with the run as a whole, or None."""
        if self.status is None:
            return "it ended without a status"
        if self.plan is None:
            return "its tests did not get to their end"
        if self.plan != self.count:
            return f"{self.plan} tests ran and {self.count} were heard of"
        if (self.status != 0) != (self.failed > 0):
            return f"status {self.status} and {self.failed} failed tests"
        return None


def run(machine, console, settings, limit_s):
    """Runs a machine to its end; the end is one more result of the console."""
    began, limit_hit = time.monotonic(), threading.Event()
    process = machine.start(settings)

    def limit():
        limit_hit.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s, limit)
    timer.start()
    try:
        for text in process.stdout:
            console.line(text.rstrip("\r\n"))
    finally:
        timer.cancel()
        cpu_s = tap.end_wait(process)
        machine.end()
    trouble = (f"ended after {limit_s} seconds without an end of its own" if limit_hit.is_set()
               else console.trouble())
    console.result("not ok" if trouble else "ok",
                   f"the machine ran to its end ({time.monotonic() - began:.1f} s, "
                   f"{cpu_s:.0f} s of CPU)")
    if trouble:
        console.out(f"#   {trouble}; the console's last lines:")
        for text in console.tail:
            console.out("#   " + text)
