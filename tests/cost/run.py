#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Did a change make the gateway dearer? Counts instructions, of the whole gateway and the kernel's
part included, a message, a session and a byte, in a virtual machine whose clock ticks once an
instruction, and holds them against costs.json: more than 3 % worse fails, and so does a bar missed.
Two machines run beside each other; their counts must be the same.

    run.py                  the test, as TAP
    run.py --set REASON     writes what it counts into costs.json, with the reason and the commit
"""
import base64
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for part in ("lib", "vm"):
    sys.path.insert(0, os.path.join(HERE, "..", part))

import tap  # noqa: E402
from certs import spki  # noqa: E402
from gateway import BUILD, Gateway, route  # noqa: E402
from initramfs import Initramfs  # noqa: E402
from machine import Qemu  # noqa: E402
from zones import Zones, nsd_config  # noqa: E402

COSTS = os.path.join(HERE, "costs.json")
KERNEL = "6.12"
LAYERS = ("uring", "ktls")  # user records, kernel records
TOLERANCE = 1.03
LIMIT_S = int(os.environ.get("POSTERN_VM_LIMIT_S", "600"))
MODULES = ("tls", "gcm", "ccm", "chacha20poly1305", "aesni_intel", "ghash_clmulni_intel")
ZONE = "safe.example"
ZONE_TEXT = """$ORIGIN safe.example.
$TTL 86400
@ SOA ns x 1 86400 86400 864000 86400
@ NS ns
ns A 127.0.0.1
@ MX 10 mx
mx A 127.0.0.1
_2526._tcp.mx TLSA 3 1 1 {}
"""
TOOLS = ("/usr/sbin/chroot", "/bin/sh", "/bin/cat", "/bin/sleep", "/bin/mount", "/sbin/insmod", "/usr/bin/awk")

# Cost, what it must not exceed, by how much.
BARS = (("ktls-bdat-byte", "bare-kernel-byte", 1.05), ("ktls-bdat-byte", "bare-ssl-byte", 1.0),
        ("policy-cached-message", "policy-fixed-message", 1.03))


def config_pack(image, folder):
    """A gateway for each layer, with the certificate of this folder: keys made anew would have
    other lengths each time."""
    for number, layer in enumerate(LAYERS):
        gateway = Gateway([route("hop.example", 2525)],
                          [{"name": "internet", "address": f"127.0.0.1:{2600 + number}",
                            "tls": "starttls"}],
                          {"gateway": {"dataplane": layer, "kernel_fixes": "warn",
                                       "state_dir": "/run/state",
                                       "control_socket": f"/run/{layer}.sock"},
                           # No connection to the next hop ends between two loads.
                           "limits": {"max_sessions_per_address": 1000,
                                      "hop_max_messages": 1000000},
                           "tls": {"certificates": [{"cert": "/etc/postern/cert.pem",
                                                     "key": "/etc/postern/key.pem"}]},
                           "resolver": {"sts_ca": "/etc/postern/cert.pem"}},
                          folder=os.path.join(folder, layer))
        image.file(gateway.config_write(), f"/etc/postern/{layer}.conf")
    for name in ("cert.pem", "key.pem"):
        image.file(os.path.join(HERE, name), f"/etc/postern/{name}")


def dns_pack(image):
    """A signed zone whose only host proves the certificate of this folder, and its name server with the files
    of its root below /dns."""
    zones = Zones()
    try:
        digest = base64.b64decode(spki(os.path.join(HERE, "cert.pem"))[len("sha256/"):]).hex()
        zones.sign(ZONE, ZONE_TEXT.format(digest), "-i", "20261201000000", "-e", "20280101000000")
        image.data("/etc/postern/anchor", zones.ds(ZONE).encode())
        image.data("/dns/zones/nsd.conf", nsd_config(zones, "127.0.0.1", 5300, "nsd", {ZONE: ZONE}).encode())
        image.file(zones.path(ZONE + ".signed"), "/dns/zones/signed")
        said = subprocess.run(["chroot", zones.root, "ldd", "/usr/sbin/nsd"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True)
        for name in ("/usr/sbin/nsd", *re.findall(r"(/\S+) \(0x", said.stdout)):
            image.file(zones.root + name, "/dns" + name)
        image.folder("/dns/dev")
        image.device("/dns/dev/null", 1, 3)
    finally:
        zones.close()


def policy_pack(image, folder):
    """The same host by DNS, which names the level, and by a route that does."""
    pin = {"level": "pin", "spki": [spki(os.path.join(HERE, "cert.pem"))]}
    gateway = Gateway([route("hop.example", 2526, tls=pin),
                       {"domain": ZONE, "next_hop": "mx", "mx_port": 2526,
                        "tls": {"level": "auto", "ca": "/etc/postern/cert.pem"}}],
                      [{"name": "internet", "address": "127.0.0.1:2610", "tls": "starttls"}],
                      {"gateway": {"dataplane": "uring", "state_dir": "/run/state",
                                   "control_socket": "/run/policy.sock"},
                       "limits": {"max_sessions_per_address": 1000, "hop_max_messages": 1000000},
                       "resolver": {"stub": [ZONE + "=127.0.0.1:5300"], "trust_anchor": "/etc/postern/anchor",
                                    "sts_ca": "/etc/postern/cert.pem"},
                       "tls": {"certificates": [{"cert": "/etc/postern/cert.pem",
                                                 "key": "/etc/postern/key.pem"}]}},
                      folder=os.path.join(folder, "policy"))
    image.file(gateway.config_write(), "/etc/postern/policy.conf")
    dns_pack(image)


def image_write(kernel, folder, path):
    image = Initramfs()
    for tool in TOOLS:
        image.program(tool)
    for name in ("posternd", "postern-bench", "tests/cost/postern-cost"):
        image.program(os.path.join(BUILD, name), "/usr/bin/" + os.path.basename(name))
    config_pack(image, folder)
    policy_pack(image, folder)
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
    machine = subprocess.Popen(
        [Qemu.PROGRAM, "-accel", "tcg", "-icount", "shift=0,sleep=off", "-seed", "1",
         "-cpu", "max,-cx16,-rdrand,-rdseed,-erms,-fsrm", "-smp", "1", "-m", "768",
         "-rtc", "base=2027-01-01,clock=vm", "-nodefaults", "-no-user-config", "-display", "none",
         "-no-reboot", "-serial", "stdio", "-kernel", f"{kernel}/vmlinuz", "-initrd", image,
         "-append", words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace")
    timer = threading.Timer(LIMIT_S, machine.kill)
    timer.start()
    said = machine.communicate()[0]
    timer.cancel()
    found = dict(re.findall(r"^cost: ([a-z-]+) (\d+)\s*$", said, re.M))
    if not re.search(r"^cost: end\s*$", said, re.M):
        raise AssertionError(f"a machine did not get to its end in {LIMIT_S} s:\n{said[-4000:]}")
    return {name: int(value) for name, value in found.items()}


def records_right(sockets):
    """sockets: how many were given kernel records so far, after each layer's loads, in order."""
    before = sockets["bare-sockets"]
    for layer in LAYERS:
        grew, before = sockets[f"{layer}-sockets"] - before, sockets[f"{layer}-sockets"]
        if (grew > 0) != (layer == "ktls"):
            return False
    return True


def machines_count(kernel):
    """What each of two machines counted."""
    with tempfile.TemporaryDirectory(prefix="postern-cost-") as folder:
        for layer in LAYERS:
            os.mkdir(os.path.join(folder, layer))
        os.mkdir(os.path.join(folder, "policy"))
        image = os.path.join(folder, "initrd")
        image_write(kernel, folder, image)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda _: machine_count(kernel, image), range(2)))


def said_by(*command):
    return subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False).stdout.strip()


def made_with(kernel):
    """What else moves the counts."""
    return {"kernel": os.listdir(f"{kernel}/lib/modules")[0], "openssl": said_by("openssl", "version"),
            "compiler": said_by("cc", "--version").split("\n")[0],
            "emulator": said_by(Qemu.PROGRAM, "--version").split("\n")[0]}


def system():
    """Another release has other compilers and libraries, and so costs of its own."""
    with open("/etc/os-release", encoding="utf-8") as f:
        words = dict(line.strip().split("=", 1) for line in f if "=" in line)
    return words["ID"] + "-" + words.get("VERSION_ID", "0").strip('"')


def costs_read():
    try:
        with open(COSTS, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def rows_of(counted):
    """The same message by two ways has a bar, by which one is held against the other, and no rows."""
    return [row for row in counted.items() if not row[0].startswith("policy-")]


def costs_set(counted, kernel, why):
    """A row that stays within half a percent keeps its reason."""
    everything = costs_read()
    kept = everything.get(system(), {}).get("costs", {})
    commit = said_by("git", "rev-parse", "--short=12", "HEAD")
    rows = {}
    for name, value in rows_of(counted):
        old = kept.get(name)
        rows[name] = (old if old and abs(value - old["instructions"]) <= 0.005 * value
                      else {"instructions": value, "commit": commit, "why": why})
    everything[system()] = {"with": made_with(kernel), "costs": rows, "missed": {
        f"{name}/{limit}": {"ratio": counted[name] / counted[limit], "why": why}
        for name, limit, most in BARS if counted[name] > most * counted[limit]}}
    with open(COSTS, "w", encoding="utf-8") as f:
        json.dump(everything, f, indent=2)
        f.write("\n")


def costs_compare(out, counted, kernel):
    kept = costs_read().get(system())
    if kept is None:
        out.judge(True, f"no costs are kept for {system()} # SKIP ./dev cost --set REASON keeps them")
        return
    for name, value in rows_of(counted):
        row = kept["costs"].get(name)
        if row is None:
            out.judge(False, f"{name}: {value} instructions", "costs.json has no such row: "
                      "./dev cost --set REASON writes it")
            continue
        was = row["instructions"]
        if name.startswith("bare-"):  # what the gateway is held against is nobody's to mend
            continue
        out.judge(value <= TOLERANCE * was,
                  f"{name}: {value} instructions, {100 * value / was - 100:+.1f} %",
                  f"it was {was} at {row['commit']} ({row['why']})",
                  f"then made with {kept['with']}", f"now made with {made_with(kernel)}",
                  "if that is what it has to cost: ./dev cost --set REASON")
    for name in kept["costs"]:
        if name not in counted:
            out.judge(False, f"{name}: it was not counted")


def bars_check(out, counted):
    """A bar that is missed needs its reason in costs.json too, and must not get worse."""
    kept = costs_read().get(system(), {}).get("missed", {})
    for name, limit, most in BARS:
        ratio = counted[name] / counted[limit]
        text = f"{name} is {ratio:.3f} times {limit}; the bar is {most}"
        missed = kept.get(f"{name}/{limit}")
        if ratio > most and missed:
            out.judge(ratio <= TOLERANCE * missed["ratio"], f"{text}, missed: {missed['why']}",
                      f"it was {missed['ratio']:.3f}")
        else:
            out.judge(ratio <= most, text, f"costs.json has no reason for it on {system()}: mend it, "
                      "or, if that is what it has to cost: ./dev cost --set REASON")


def main():
    lacks = Qemu.lacks()
    if lacks:
        print(f"ok 1 - costs # SKIP {lacks}\n1..1")
        return 0
    done = subprocess.run([os.path.join(HERE, "../vm/kernels.sh"), KERNEL], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True)
    kernel = done.stdout.strip()
    out = tap.Printer()
    try:
        one, other = machines_count(kernel)
    except AssertionError as e:
        out.judge(False, "the machines got to their end", *str(e).splitlines())
        out.plan()
        return 1
    differ = {name: (one[name], other.get(name)) for name in one if one[name] != other.get(name)}
    out.judge(not differ, "two machines count the same", differ)
    sockets = {name: one.pop(name) for name in list(one) if name.endswith("-sockets")}
    out.judge(records_right(sockets), "kernel records where they should be, and nowhere else", sockets)
    counted = {name: value / 1000 for name, value in one.items()}
    if sys.argv[1:2] == ["--set"]:
        if len(sys.argv) != 3 or not sys.argv[2].strip():
            raise SystemExit("usage: cost --set REASON")
        costs_set(counted, kernel, sys.argv[2])
    for name, value in counted.items():
        print(f"# {name} {value:.3f}")
    costs_compare(out, counted, kernel)
    bars_check(out, counted)
    out.plan()
    return 1 if out.failed else 0


if __name__ == "__main__":
    sys.exit(main())
