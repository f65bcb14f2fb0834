#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Did a change make the gateway dearer? Counts instructions, of the whole gateway and the kernel's
part included, a message, a session and a byte, in a virtual machine whose clock ticks once an
instruction, and holds them against costs.json: more than 3 % worse fails, and so does a bar missed.
Two machines run beside each other; their counts must be the same.

    run.py                  the test, as TAP
    run.py --set REASON     writes what it counts into costs.json, with the reason and the commit
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for part in ("lib", "vm"):
    sys.path.insert(0, os.path.join(HERE, "..", part))

from gateway import BUILD, Gateway, route  # noqa: E402
from initramfs import Initramfs  # noqa: E402
from machine import Qemu  # noqa: E402

COSTS = os.path.join(HERE, "costs.json")
KERNEL = "6.12"
LAYERS = ("uring",)  # user records
TOLERANCE = 1.03
LIMIT_S = int(os.environ.get("POSTERN_VM_LIMIT_S", "240"))
MODULES = ("tls", "gcm", "ccm", "chacha20poly1305", "aesni_intel", "ghash_clmulni_intel")
TOOLS = ("/bin/sh", "/bin/cat", "/bin/sleep", "/bin/mount", "/sbin/insmod", "/usr/bin/awk")

# Cost, what it must not exceed, by how much.
BARS = (("ktls-bdat-byte", "bare-kernel-byte", 1.05), ("ktls-bdat-byte", "bare-ssl-byte", 1.0))


def config_pack(image, folder):
    """A gateway for each layer, with the certificate of this folder: keys made anew would have
    other lengths each time."""
    for number, layer in enumerate(LAYERS):
        gateway = Gateway([route("hop.example", 2525)],
                          [{"name": "internet", "address": f"127.0.0.1:{2600 + number}",
                            "tls": "starttls"}],
                          {"gateway": {"dataplane": layer, "state_dir": "/run/state",
                                       "control_socket": f"/run/{layer}.sock"},
                           "limits": {"max_sessions_per_address": 1000},
                           "tls": {"certificates": [{"cert": "/etc/postern/cert.pem",
                                                     "key": "/etc/postern/key.pem"}]}},
                          folder=os.path.join(folder, layer))
        image.file(gateway.config_write(), f"/etc/postern/{layer}.conf")
    for name in ("cert.pem", "key.pem"):
        image.file(os.path.join(HERE, name), f"/etc/postern/{name}")


def image_write(kernel, folder, path):
    image = Initramfs()
    for tool in TOOLS:
        image.program(tool)
    for name in ("posternd", "postern-bench", "tests/cost/postern-cost"):
        image.program(os.path.join(BUILD, name), "/usr/bin/" + os.path.basename(name))
    config_pack(image, folder)
    image.modules(kernel, MODULES)
    image.file("/usr/lib/ssl/openssl.cnf")
    image.data("/etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    image.data("/etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    image.data("/etc/hosts", b"127.0.0.1 localhost\n")
    for name in ("/proc", "/sys", "/tmp", "/run/state"):
        image.folder(name)
    image.device("/dev/console", 5, 1)
    image.file(os.path.join(HERE, "guest.sh"), "/init")
    image.write(path)


def machine_count(kernel, image):
    """What one machine counted: name to number, thousandths of an instruction."""
    words = ("console=ttyS0 loglevel=2 panic=-1 mitigations=off nokaslr norandmaps tsc=reliable "
             f"tsc=noirqtime no_timer_check POSTERN_LAYERS=\"{' '.join(LAYERS)}\"")
    done = subprocess.run(
        [Qemu.PROGRAM, "-accel", "tcg", "-icount", "shift=0,sleep=off", "-seed", "1",
         "-cpu", "max,-cx16,-rdrand,-rdseed,-erms,-fsrm", "-smp", "1", "-m", "768",
         "-rtc", "base=2027-01-01,clock=vm", "-nodefaults", "-no-user-config", "-display", "none",
         "-no-reboot", "-serial", "stdio", "-kernel", f"{kernel}/vmlinuz", "-initrd", image,
         "-append", words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=LIMIT_S, check=False)
    found = dict(re.findall(r"^cost: ([a-z-]+) (\d+)\s*$", done.stdout, re.M))
    if not re.search(r"^cost: end\s*$", done.stdout, re.M):
        raise AssertionError("the machine did not get to its end:\n" + done.stdout[-4000:])
    return {name: int(value) for name, value in found.items()}


def main():
    done = subprocess.run([os.path.join(HERE, "../vm/kernels.sh"), KERNEL], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True)
    kernel = done.stdout.strip()
    with tempfile.TemporaryDirectory(prefix="postern-cost-") as folder:
        for layer in LAYERS:
            os.mkdir(os.path.join(folder, layer))
        image = os.path.join(folder, "initrd")
        image_write(kernel, folder, image)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            print(list(pool.map(lambda _: machine_count(kernel, image), range(2))))


if __name__ == "__main__":
    sys.exit(main())
