# SPDX-License-Identifier: Apache-2.0
"""Starts a posternd with a configuration given as Python values, and reads its log."""
import copy
import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time

from certs import Authority
from client import PATIENCE, wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("POSTERN_BUILD", os.path.join(TOP, "build"))
DATAPLANE = os.environ.get("POSTERN_DATAPLANE")  # of gateways whose tests name none
AEAD = os.environ.get("POSTERN_AEAD")  # the same


def libconfig(value, indent=0):
    """A value as libconfig writes it: dict a group, list of dicts a list, other lists arrays."""
    pad = "  " * indent
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if value >= 2**31 else str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        rows = "".join(f"{pad}  {k} = {libconfig(v, indent + 1)};\n" for k, v in value.items())
        return "{\n" + rows + pad + "}"
    inner = ", ".join(libconfig(v, indent + 1) for v in value)
    return f"( {inner} )" if value and isinstance(value[0], dict) else f"[ {inner} ]"


def merge(base, more):
    """more's settings over base's; groups are merged, all else is replaced."""
    out = copy.deepcopy(base)
    for key, value in more.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and key in out else value
    return out


def strip_received(body):
    """(our Received field, the rest of the message)."""
    m = re.match(rb"Received: .*\r\n(?:[ \t].*\r\n)*", body)
    if not m:
        raise AssertionError(f"no Received line in front of {body[:80]!r}")
    return m.group(0), body[m.end():]


def platform(**how):
    """What postern-platform finds here."""
    done = subprocess.run([os.path.join(BUILD, "postern-platform"), "probe", "--json"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30 * PATIENCE, **how)
    if done.returncode:
        raise AssertionError(f"postern-platform: {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


class Gateway:
    """listeners, routes: lists of groups as in the configuration; address "127.0.0.1:0" is given a
    free port. settings: other top-level groups, merged over the test's defaults."""

    def __init__(self, routes, listeners=None, settings=None, authority=None, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.folder, 0o755)
        self.authority = authority or Authority(os.path.join(self.folder, "ca"))
        cert, key = self.authority.issue_once("gw.example.org")
        self.listeners = copy.deepcopy(listeners or [
            {"name": "internet", "address": "127.0.0.1:0", "tls": "starttls"}])
        self.ports = {}
        for listener in self.listeners:
            host, port = listener["address"].rsplit(":", 1)
            if port == "0":
                listener["address"] = f"{host}:{free_port()}"
            self.ports[listener["name"]] = int(listener["address"].rsplit(":", 1)[1])
        self.settings = merge({
            "gateway": {"hostname": "gw.example.org", "workers": 1,
                        "state_dir": os.path.join(self.folder, "state"),
                        "control_socket": os.path.join(self.folder, "control.sock"),
                        "metrics": "", "user": "nobody", "drain_timeout_s": 5},
            "tls": {"certificates": [{"cert": cert, "key": key}]},
            # The system's authorities are many, and read anew by each gateway that starts.
            "resolver": {"reverse": False, "sts_ca": self.authority.cert}}, settings or {})
        if AEAD:
            self.settings["gateway"].setdefault("aead", AEAD)
        if DATAPLANE:
            self.settings["gateway"].setdefault("dataplane", DATAPLANE)
            # Some kernels of the tests lack fixes, and nobody attacks them.
            self.settings["gateway"].setdefault("kernel_fixes", "warn")
        self.routes = routes
        self.log_path = os.path.join(self.folder, "log")
        self.process = None

    def config_write(self):
        path = os.path.join(self.folder, "postern.conf")
        groups = dict(self.settings, listeners=self.listeners, routes=self.routes)
        with open(path, "w") as f:
            for name, group in groups.items():
                f.write(f"{name}: {libconfig(group)};\n" if isinstance(group, dict)
                        else f"{name} = {libconfig(group)};\n")
        os.chmod(path, 0o640)  # it may hold a password
        return path

    def program(self):
        return shlex.split(os.environ.get("POSTERND", os.path.join(BUILD, "posternd")))

    def check(self):
        """posternd -n: (exit status, what it said)."""
        done = subprocess.run([*self.program(), "-n", "-c", self.config_write()],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30)
        return done.returncode, done.stdout.decode("latin-1")

    def start(self):
        os.makedirs(os.path.join(self.folder, "state"), exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.program(), "-c", self.config_write()],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        for listener in self.listeners:
            wait_for(lambda l=listener: self.accepts(l), 20, f"listener {listener['name']}:\n"
                     + self.log())
        time.sleep(0.1)  # the tries just made are no sessions any more: limits count them
        return self

    def accepts(self, listener):
        if self.process.poll() is not None:
            raise AssertionError(f"posternd ended with {self.process.returncode}:\n{self.log()}")
        host, port = listener["address"].rsplit(":", 1)
        try:
            socket.create_connection((host.strip("[]"), int(port)), 1).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        return self.start()

    def __exit__(self, *args):
        self.stop()

    def stop(self):
        """SIGTERM; the exit status must be 0 and no sanitizer may have spoken."""
        if not self.process:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(15 * PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError("posternd did not stop on SIGTERM:\n" + self.log()[-4000:])
        log = self.log()
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "assertion"):
            if word in log:
                raise AssertionError(log[max(0, log.index(word) - 500):][:4000])
        if status:
            raise AssertionError(f"posternd ended with {status}:\n{log[-4000:]}")

    def ctl(self, *words):
        """posternctl: (exit status, what it printed, what it complained)."""
        done = subprocess.run([os.path.join(BUILD, "posternctl"), "--socket",
                               self.settings["gateway"]["control_socket"], *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=90 * PATIENCE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def ctl_json(self, *words):
        status, out, error = self.ctl("--json", *words)
        if status:
            raise AssertionError(f"posternctl {words}: {status}: {out}{error}")
        return json.loads(out)

    def address(self, listener="internet"):
        for l in self.listeners:
            if l["name"] == listener:
                return (l["address"].rsplit(":", 1)[0].strip("[]"), self.ports[listener])
        raise KeyError(listener)

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def events(self, name):
        """Log lines of one event, as dicts."""
        return [dict(w.split("=", 1) for w in log_words(line)[2:] if "=" in w)
                for line in self.event_lines(name)]

    def event_count(self, name):
        """How many: what waits for many of them does not read each again and again."""
        return len(self.event_lines(name))

    def event_lines(self, name):
        return [line for line in self.log().splitlines() if line.split(None, 2)[1:2] == [name]]


def log_words(line):
    if not re.search(r"[\"'\\]", line):
        return line.split()  # which is much faster
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


next_port = itertools.count(3000)


def free_port():
    """The suite has a network of its own; below the ephemeral ports nobody else is."""
    return next(next_port)


def route(domain, sink_port, level="encrypt", host="127.0.0.1", **more):
    tls = dict({"level": level}, **more.pop("tls", {}))
    host = f"[{host}]" if ":" in host else host
    return dict({"domain": domain, "next_hop": f"{host}:{sink_port}", "tls": tls}, **more)
