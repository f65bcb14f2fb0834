# SPDX-License-Identifier: Apache-2.0
"""Zones signed by the test itself (ldnsutils), served by nsd: both in a Debian root (peers/roots.sh)."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

from client import wait_for
from dns import name_wire
from mta import root_of

HEAD = "$ORIGIN {0}.\n$TTL 60\n@ SOA ns x 1 60 60 60 60\n@ NS ns\nns A {1}\n"


def soa_answered(address, zone):
    """True where the server has the zone, or says that it can't have it."""
    query = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + name_wire(zone) + struct.pack("!HH", 6, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect(address)
        try:
            sock.send(query)
            return len(sock.recv(4096)) > 12
        except OSError:
            return False


def without(text, *owners, kind=None):
    """A signed zone's text without the records of these names (of one type, and its signatures)."""
    def kept(line):
        words = line.split()
        if not words or words[0].rstrip(".") not in owners:
            return True
        return kind is not None and kind not in (words[3], words[4])
    return "".join(l for l in text.splitlines(True) if kept(l))


class Zones:
    """A copy of the root in which keys are made, zones signed, and name servers run."""

    def __init__(self):
        base = root_of("dns")
        self.root = f"{os.path.dirname(base)}/run-dns-{os.getpid()}-{time.monotonic_ns()}"
        subprocess.run(["cp", "-al", base, self.root], check=True)
        os.mkdir(self.root + "/zones")
        self.keys, self.servers = {}, []

    def close(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, *command):
        done = subprocess.run(["chroot", self.root, "/bin/sh", "-c", 'cd /zones && exec "$@"', "sh",
                               *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise AssertionError(f"{command}: {done.stdout}")
        return done.stdout.strip()

    def path(self, name):
        return f"{self.root}/zones/{name}"

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def key(self, zone):
        """The base name of its only key, which signs keys and records."""
        if zone not in self.keys:
            self.keys[zone] = self.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone)
        return self.keys[zone]

    def ds(self, zone):
        return self.read(self.key(zone) + ".ds")

    def sign(self, zone, text, *options):
        self.write(zone, text)
        self.run("ldns-signzone", *options, "-f", zone + ".signed", zone, self.key(zone))
        return self.read(zone + ".signed")

    def serve(self, host, port, zones):
        server = Nsd(self, host, port, zones)
        self.servers.append(server)
        return server


def nsd_config(within, host, port, name, files):
    """files: {zone: file below /zones}. name: of its own files there."""
    lines = ["server:", f"ip-address: {host}@{port}", 'username: ""', "server-count: 1",
             'zonesdir: "/zones"', 'pidfile: ""', "verbosity: 1",
             *(f'{file}: "/zones/{name}.{file}"' for file in ("logfile", "xfrdfile", "zonelistfile"))]
    version = within.run("sh", "-c", "nsd -v 2>&1 | head -n 1").split()[-1]
    if [int(n) for n in version.split(".")[:2]] < [4, 8]:
        lines.append('database: ""')  # later ones have none
    lines += ["remote-control:", "control-enable: no"]
    for zone, file in files.items():
        lines += ["zone:", f"name: {zone}", f'zonefile: "{file}"']
    return "\n".join(lines) + "\n"


class Nsd:
    """zones: {name: text}; None as the text is a zone that can't be read, which is SERVFAIL."""

    def __init__(self, within, host, port, zones):
        name = f"{host}-{port}"
        for zone, text in zones.items():
            if text is not None:
                within.write(zone + ".zone", text)
        files = {zone: zone + ".zone" for zone in zones}
        within.write(name + ".conf", nsd_config(within, host, port, name, files))
        self.process = subprocess.Popen(["chroot", within.root, "nsd", "-d", "-c",
                                         f"/zones/{name}.conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)
        log = within.path(name + ".logfile")
        wait_for(lambda: soa_answered((host, port), next(iter(zones))), 10,
                 f"nsd on {name}, which said:\n{open(log).read() if os.path.exists(log) else ''}")

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None
