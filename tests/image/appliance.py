# SPDX-License-Identifier: Apache-2.0
"""An appliance as a person meets it: a machine with a disk, firmware, a TPM perhaps, a network, sticks
and a serial console. QEMU plays it, by software emulation, never /dev/kvm.

    import appliance

    class Boot(appliance.Case):
        def test_ready(self):
            machine = self.appliance(tpm=True, credentials={"postern.gateway": CONF})
            machine.power_on()
            machine.ready()
            with socket.create_connection(machine.at(25)): ...   # the guest's port 25
            print(machine.ssh("cat /proc/net/tls_stat"))         # where settings give machine.ssh_public
            machine.power_cut()                                  # as by pulling the plug
            machine.power_on()                                   # the same disk, variables and TPM

    if __name__ == "__main__":
        appliance.main()

The disk is a copy of the image (`machine.disk`: partitions, files of the ESP, bytes to flip); the
guest reaches the host as 10.0.2.2. Patterns are searched in what the console said since the last
match, without escape sequences. What each machine says is kept in test-logs/image-TEST.log of the
build folder. A test runs in namespaces of its own (tests/lib/tap.py), so that no machine outlives it.

Limits are patient: how long a wait may be is counted in CPU-seconds of the emulator, which is a
measure of how far the guest came, and only four times that in seconds of the clock.
"""
import base64
import codecs
import contextlib
import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
for _part in ("../lib", "../vm"):
    sys.path.insert(0, os.path.join(HERE, _part))

import tap  # noqa: E402
from disk import BUILD, Disk, NoImage, image_find, stick  # noqa: E402
from machine import Qemu, memory_folder  # noqa: E402

LOGS = os.path.join(BUILD, "test-logs")
OVMF = "/usr/share/OVMF"
TAIL_LINES = 40
BOOT_LIMIT_S = 400
# What an emulated machine is slow at, and a real one is not.
FASTER = "mitigations=off tsc=unstable clocksource=hpet random.trust_cpu=on no_timer_check"
ESCAPES = re.compile(r"\x1b\[[0-9;?=!]*[A-Za-z]|\x1b[()][A-Za-z0-9]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
                     r"|\x1b[=>78cDEHMNOPZ]|[\r\x00]")
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "swtpm": "swtpm", "mcopy": "mtools",
            "mkfs.vfat": "dosfstools", "zstd": "zstd", "ssh": "openssh-client"}


def lacks():
    """What this machine lacks to play an appliance, or ''."""
    for program, package in PROGRAMS.items():
        if not shutil.which(program) and not os.path.exists(f"/usr/sbin/{program}"):
            return f"there is no {program} (Debian's {package})"
    if not os.path.exists(f"{OVMF}/OVMF_CODE_4M.secboot.fd"):
        return "there is no OVMF (Debian's ovmf)"
    return ""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Console:
    """What a machine says on its serial port, over all its boots."""

    def __init__(self):
        self.text, self.at = "", 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.partial = ""  # an escape sequence that may not be whole
        self.news = threading.Condition()

    def heard(self, raw):
        with self.news:
            raw = self.partial + self.decoder.decode(raw)
            cut = raw.rfind("\x1b", max(0, len(raw) - 64))
            if cut >= 0 and not ESCAPES.match(raw, cut):
                raw, self.partial = raw[:cut], raw[cut:]
            else:
                self.partial = ""
            self.text += ESCAPES.sub("", raw)
            self.news.notify_all()

    def search(self, pattern):
        """The next match, behind which the next search begins."""
        match = pattern.search(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def since(self, mark):
        return self.text[mark:]

    def tail(self):
        lines = [line for line in self.text.splitlines() if line.strip()]
        return "\n".join("  | " + line for line in lines[-TAIL_LINES:])


class Qmp:
    """QEMU's own command line."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise AssertionError(f"QEMU refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.file.close()
        self.sock.close()


class Tpm:
    """A TPM 2.0, whose memory outlives the machine."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.socket = os.path.join(folder, "socket")
        self.process = None

    def start(self):
        """One process a power cycle; it leaves with the emulator."""
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--ctrl",
             f"type=unixio,path={self.socket}", "--terminate", "--log",
             f"file={self.folder}/log,level=1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not os.path.exists(self.socket):
            assert self.process.poll() is None and time.monotonic() < deadline, "swtpm does not start"
            time.sleep(0.05)

    def options(self):
        return ["-chardev", f"socket,id=tpm,path={self.socket}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
                "-device", "tpm-crb,tpmdev=tpm0"]

    def end(self):
        if self.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)


class Appliance:
    """One piece of hardware: disk, firmware's variables and TPM outlive its power.

    like           what keep() gave: it begins with a copy of those
    secure_boot    a firmware that can enforce it; without keys at first, so in its setup mode
    tpm            has a TPM 2.0
    credentials    name: text or bytes, handed to systemd by SMBIOS
    sticks         files with a file system each, see disk.stick(); stick_in() puts one in while it runs
    words          more words for the kernel's command line; not honoured under Secure Boot, and measured
                   into PCR 12, so that a /var that is sealed by the TPM stays shut. None: FASTER, and
                   nothing where there is a TPM
    forwards       the guest's TCP ports that the host reaches, see at()
    address        the guest's address that those go to; None: the one that DHCP gives
    nics           how many network cards; the forwards are the first one's
    devices        more of QEMU's options
    clock          the hardware clock's start, as 2001-01-01T00:00:00
    """

    def __init__(self, folder, disk, name, like=None, secure_boot=False, tpm=False, credentials=None, sticks=(),
                 words=None, forwards=(25, 22), address=None, nics=1, memory_mb=1024, processors=1,
                 clock="", disk_device="virtio-blk-pci", devices=()):
        self.folder, self.disk, self.name = folder, disk, name
        self.secure_boot, self.clock = secure_boot, clock
        self.words = ("" if tpm else FASTER) if words is None else words
        self.credentials, self.sticks = dict(credentials or {}), list(sticks)
        self.forwards = {port: free_port() for port in forwards}
        self.address, self.nics, self.disk_device = address, nics, disk_device
        self.memory_mb, self.processors, self.devices = memory_mb, processors, devices
        self.console, self.process, self.qmp, self.reader = Console(), None, None, None
        self.power_on_at = 0.0
        self.tpm = Tpm(os.path.join(folder, "tpm")) if tpm else None
        self.variables = os.path.join(folder, "variables.fd")
        shutil.copyfile(like.variables if like else f"{OVMF}/OVMF_VARS_4M.fd", self.variables)
        if tpm and like:
            shutil.copytree(like.tpm.folder, self.tpm.folder, dirs_exist_ok=True)
        os.makedirs(LOGS, exist_ok=True)
        self.log = os.path.join(LOGS, f"image-{name}.log")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)
        self.ssh_key = os.path.join(folder, "ssh")
        if like:
            for name in ("ssh", "ssh.pub"):
                shutil.copy(os.path.join(like.folder, name), folder)
        else:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", self.ssh_key],
                           check=True, stdin=subprocess.DEVNULL)
        with open(self.ssh_key + ".pub", encoding="ascii") as f:
            self.ssh_public = f.read().strip()

    def keep(self, folder):
        """A copy of what outlives its power, for like=; it is off."""
        assert not self.process, "it is on"
        kept = copy.copy(self)
        kept.disk = self.disk.copy(os.path.join(folder, "disk"))
        kept.variables = shutil.copy(self.variables, folder)
        if self.tpm:
            kept.tpm = Tpm(shutil.copytree(self.tpm.folder, os.path.join(folder, "tpm")))
        for name in ("ssh", "ssh.pub"):
            shutil.copy(os.path.join(self.folder, name), folder)
        kept.folder, kept.ssh_key = folder, os.path.join(folder, "ssh")
        return kept

    # --- its parts, as QEMU's options ---

    def firmware(self):
        code = "OVMF_CODE_4M.secboot.fd" if self.secure_boot else "OVMF_CODE_4M.fd"
        return ["-machine", "q35,smm=" + ("on" if self.secure_boot else "off"),
                *(["-global", "driver=cfi.pflash01,property=secure,value=on"] if self.secure_boot else []),
                "-global", "ICH9-LPC.disable_s3=1",
                "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/{code}",
                "-drive", f"if=pflash,format=raw,unit=1,file={self.variables}"]

    def network(self):
        to = self.address or ""
        forward = "".join(f",hostfwd=tcp:127.0.0.1:{host}-{to}:{guest}"
                          for guest, host in self.forwards.items())
        options = []
        for number in range(self.nics):
            options += ["-netdev", f"user,id=net{number}" + (forward if number == 0 else ""),
                        "-device", f"virtio-net-pci,netdev=net{number},mac={self.macs()[number]},romfile="]
        return options

    def macs(self):
        return [f"52:54:00:12:34:{86 + number:02x}" for number in range(self.nics)]

    def firmware_table(self):
        """SMBIOS strings, in files: they may be longer than a command line."""
        strings = [f"io.systemd.credential.binary:{name}="
                   + base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()
                   for name, data in self.credentials.items()]
        if self.words:
            strings.append(f"io.systemd.stub.kernel-cmdline-extra={self.words}")
        options = []
        for number, text in enumerate(strings):
            path = os.path.join(self.folder, f"smbios{number}")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            options += ["-smbios", f"type=11,path={path}"]
        return options

    def command(self):
        memory = memory_folder(self.folder, self.memory_mb)
        return [Qemu.PROGRAM, "-accel", "tcg,thread=multi", "-cpu", Qemu.PROCESSOR, "-smp",
                str(self.processors), "-m", str(self.memory_mb), "-nodefaults", "-no-user-config",
                "-display", "none", "-S",
                *(["-rtc", f"base={self.clock}"] if self.clock else []),
                "-object", f"memory-backend-file,id=memory,size={self.memory_mb}M,share=on,mem-path={memory}",
                "-numa", "node,memdev=memory",
                *self.firmware(),
                "-drive", f"if=none,id=disk,format=raw,discard=unmap,cache=unsafe,file={self.disk.path}",
                "-device", f"{self.disk_device},drive=disk,bootindex=0"
                           + (",serial=postern0" if self.disk_device != "usb-storage" else ""),
                "-device", "qemu-xhci,id=usb", "-device", "virtio-rng-pci",
                *self.network(), *self.devices, *self.firmware_table(), *(self.tpm.options() if self.tpm else []),
                "-chardev", f"socket,id=serial,path={self.folder}/serial,server=on,wait=off,"
                            f"logfile={self.log},logappend=on", "-serial", "chardev:serial",
                "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off"]

    # --- power ---

    def power_on(self):
        assert not self.process, "it is on"
        if self.tpm:
            self.tpm.start()
        for path in ("serial", "qmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{path}")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.serial = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.serial.connect(f"{self.folder}/serial")
                self.qmp = Qmp(f"{self.folder}/qmp")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"QEMU does not start: {self.process.communicate()[1]}") from None
                time.sleep(0.05)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        for number, path in enumerate(self.sticks):
            self.stick_in(path, f"stick{number}")
        self.power_on_at = time.monotonic()
        self.qmp.ask("cont")
        return self

    def read(self):
        with contextlib.suppress(OSError):
            while raw := self.serial.recv(65536):
                self.console.heard(raw)
        with self.console.news:
            self.console.news.notify_all()

    def off(self):
        """After the process has ended, however."""
        if not self.process:
            return
        self.process.communicate()
        self.reader.join(10)
        self.serial.close()
        self.qmp.close()
        self.process = None
        if self.tpm:
            self.tpm.end()

    def power_cut(self):
        """The plug is pulled. What the guest wrote is in the file, in the order of its writes."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
        self.off()

    def button(self):
        """The power button, which asks the guest to stop; see ends()."""
        self.qmp.ask("system_powerdown")

    def reset(self):
        """The reset button."""
        self.qmp.ask("system_reset")

    def ends(self, limit_s=BOOT_LIMIT_S):
        """Waits until the machine has turned itself off."""
        self.wait(lambda: self.process.poll() is not None, limit_s, "the machine turns itself off")
        self.off()

    # --- what a person does ---

    def cpu_s(self):
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            return 0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, ready, limit_s, what):
        began, cpu_began = time.monotonic(), self.cpu_s()
        while not (found := ready()):
            with self.console.news:
                self.console.news.wait(0.5)
            ended = self.process.poll() is not None
            if ended:
                self.reader.join(10)
                if found := ready():
                    break
            took, cpu_took = time.monotonic() - began, self.cpu_s() - cpu_began
            if ended or cpu_took > limit_s or took > 4 * limit_s:
                raise AssertionError(
                    f"{self.name}: not seen: {what}; " + ("the machine has ended" if ended else
                    f"{took:.0f} s, {cpu_took:.0f} of CPU") + f"; its last lines:\n{self.console.tail()}")
        return found

    def expect(self, pattern, limit_s=BOOT_LIMIT_S, unless=None):
        """The match of a pattern in what the console says from the last match on. `unless`: a pattern
        that must not show before it."""
        wanted, refused = re.compile(pattern, re.M), re.compile(unless, re.M) if unless else None

        def ready():
            if refused and (bad := refused.search(self.console.text, self.console.at)):
                good = wanted.search(self.console.text, self.console.at)
                if not good or bad.start() < good.start():
                    raise AssertionError(f"{self.name}: the console says {bad.group()!r} where {pattern!r} "
                                         f"was awaited; its last lines:\n{self.console.tail()}")
            return self.console.search(wanted)

        return self.wait(ready, limit_s, repr(pattern))

    def ready(self, limit_s=BOOT_LIMIT_S):
        """Waits until the console's screen says that the gateway does its work."""
        return self.expect(r"^State +ready", limit_s)

    def up_s(self):
        """Seconds since its power came on."""
        return time.monotonic() - self.power_on_at

    def send(self, text):
        """Keys on the serial console. A person types one by one."""
        for key in text:
            self.serial.sendall(key.encode())
            time.sleep(0.02)

    def stick_in(self, path, name="stick"):
        self.qmp.ask("blockdev-add", **{"node-name": name, "driver": "raw",
                                        "file": {"driver": "file", "filename": path}})
        self.qmp.ask("device_add", driver="usb-storage", id=f"{name}-usb", drive=name, bus="usb.0",
                     removable=True)

    def stick_out(self, name="stick"):
        self.qmp.ask("device_del", id=f"{name}-usb")

    def type(self, text):
        """Keys on a keyboard, one of its devices, which only the screen's console hears."""
        for key in text:
            self.qmp.ask("send-key", keys=[{"type": "qcode", "data": "ret" if key == "\r" else key}])
            time.sleep(0.2)

    def reached(self):
        """Waits until SSH answers: a moment after it was turned on."""
        self.wait(lambda: self.ssh("echo here", check=False) == "here\n", 120, "SSH answers")

    def at(self, port):
        """(host, port), where the host reaches this port of the guest."""
        return "127.0.0.1", self.forwards[port]

    def forward(self, nic, port, address):
        """A port of the host that reaches the guest's at that address, by that card; until its power is off."""
        host = free_port()
        said = self.qmp.ask("human-monitor-command", **{
            "command-line": f"hostfwd_add net{nic} tcp:127.0.0.1:{host}-{address}:{port}"})
        assert not said.strip(), said
        return host

    def ssh(self, command, limit_s=120, check=True):
        """What a command says over ssh, as root."""
        host, port = self.at(22)
        done = subprocess.run(
            ["ssh", "-i", self.ssh_key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
             "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o",
             f"ConnectTimeout={limit_s}", f"root@{host}", command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=4 * limit_s, check=False)
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command}: status {done.returncode}: {done.stdout}")
        return done.stdout


class Case(unittest.TestCase):
    """Appliances made by a test end with it."""

    IMAGE_VERSION = "*"

    def setUp(self):
        if missing := lacks():
            self.skipTest(missing)
        self.folder = tempfile.mkdtemp(prefix="image-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.made = 0

    def image(self):
        try:
            return image_find(self.IMAGE_VERSION)
        except NoImage as e:
            self.skipTest(str(e))

    def appliance(self, disk=None, disk_mb=4096, like=None, **how):
        """A machine whose power is off. disk: a Disk; else a new one with the image. like: what keep()
        gave, whose disk, variables, TPM and SSH key it has a copy of."""
        self.made += 1
        folder = os.path.join(self.folder, str(self.made))
        os.makedirs(folder)
        if like:
            how = {"tpm": bool(like.tpm), "secure_boot": like.secure_boot, "credentials": like.credentials, **how}
            disk = like.disk.copy(os.path.join(folder, "disk"))
        disk = disk or Disk(os.path.join(folder, "disk"), self.image(), disk_mb)
        name = self.id().removeprefix("__main__.") + (f"-{self.made}" if self.made > 1 else "")
        machine = Appliance(folder, disk, name, like, **how)
        self.addCleanup(machine.power_cut)
        return machine

    def once(self, make):
        """What make() gives, made once for all tests of the class; it ends with the suite."""
        if not hasattr(type(self), "made_once"):
            type(self).made_once = make()
        return type(self).made_once

    def stick(self, files, **how):
        """The path of a stick with these files."""
        self.made += 1
        return stick(os.path.join(self.folder, f"stick{self.made}"), files, **how)


main = tap.main
