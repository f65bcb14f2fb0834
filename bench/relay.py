# SPDX-License-Identifier: Apache-2.0
"""The relays that bench/compare.py measures, the sink behind them, and how CPU and memory are
counted. Everything listens on 127.0.0.1 and is ended by the one who started it."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)


class Failure(Exception):
    """Something could not be measured; the text says why."""


def port_free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def template(name, to, **values):
    """Writes a file of bench/peers with its @NAMES@ replaced."""
    with open(os.path.join(HERE, "peers", name), encoding="utf-8") as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", str(value))
    with open(to, "w", encoding="utf-8") as f:
        f.write(text)


def wait_greeting(port, seconds, alive=lambda: True):
    """Until 220 comes from that port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                if s.recv(512).startswith(b"220"):
                    s.sendall(b"QUIT\r\n")
                    s.recv(512)
                    return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def cgroup_mount():
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((w[1] for w in map(str.split, f) if w[2] == "cgroup2"), None)


class Group:
    """The processes of one relay: a cgroup v2 of its own, which misses none, or, where that can't
    be made, the descendants of one process, found in /proc."""

    def __init__(self, name):
        self.leader = None
        self.path = None
        mount = cgroup_mount()
        if mount:
            path = os.path.join(mount, f"postern-bench-{os.getpid()}-{name}")
            try:
                os.mkdir(path)
                with open(os.path.join(path, "cpu.stat"), encoding="utf-8") as f:
                    if f.read(10) == "usage_usec":
                        self.path = path
            except OSError:
                pass
        self.how = "cgroup v2" if self.path else "/proc (10 ms steps; short-lived processes are " \
                                                 "counted once their parent has reaped them)"

    def join(self):
        """To be run in a new process before its program."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="utf-8") as f:
                f.write("0")

    def processes(self):
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), encoding="utf-8") as f:
                return [int(line) for line in f]
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            fields = stat_fields(pid)
            if fields:
                parents[int(pid)] = int(fields[1])
        found = [self.leader] if self.leader in parents else []
        for pid in found:
            found += [p for p, parent in parents.items() if parent == pid]
        return found

    def cpu_seconds(self):
        if self.path:
            with open(os.path.join(self.path, "cpu.stat"), encoding="utf-8") as f:
                return int(f.readline().split()[1]) / 1e6
        ticks = 0
        for pid in self.processes():
            fields = stat_fields(pid)
            ticks += sum(map(int, fields[11:15])) if fields else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_kb(self):
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total

    def end(self):
        """Nothing of it is left afterwards."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.path:
            for _ in range(100):
                try:
                    os.rmdir(self.path)
                    return
                except OSError:
                    time.sleep(0.05)


def stat_fields(pid):
    """Fields of /proc/PID/stat from the third (state) on; the second may hold spaces."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Certificate:
    """ECDSA P-256, the same for all relays."""

    def __init__(self, folder):
        self.cert = os.path.join(folder, "relay.crt")
        self.key = os.path.join(folder, "relay.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=relay",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.cert],
                       check=True, capture_output=True)


class Sink:
    """postern-bench sink behind both relays; it tells what it has so far whenever it is asked."""

    def __init__(self, program, suites):
        self.process = subprocess.Popen(
            [program, "sink", "--listen", "127.0.0.1:0", "--starttls", "--suites", suites,
             "--seconds", "7200", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline().decode()
        if "listens on" not in line:
            raise Failure(f"no sink: {line}")
        self.port = int(line.rsplit(":", 1)[1])

    def report(self):
        self.process.send_signal(signal.SIGUSR1)
        if not select.select([self.process.stdout], [], [], 30)[0]:
            raise Failure("the sink does not answer")
        try:
            return json.loads(self.process.stdout.readline())
        except ValueError as e:
            raise Failure("the sink has ended: somebody else must have ended it") from e

    def received(self, run):
        return next((r["unique"] for r in self.report()["runs"] if r["run"] == run), 0)

    def end(self):
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


class Postern:
    name = "postern"

    def __init__(self, build, certificate, sink_port):
        self.group = Group(self.name)
        self.port = port_free()
        self.folder = tempfile.mkdtemp(prefix="postern-bench-")
        os.chmod(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "state"))
        for path in (certificate.cert, certificate.key):
            shutil.copy(path, self.folder)
        self.conf = os.path.join(self.folder, "postern.conf")
        template("postern.conf", self.conf, folder=self.folder, port=self.port, sink_port=sink_port)
        self.log_path = os.path.join(self.folder, "log")
        self.program = os.path.join(build, "posternd")
        self.process = None

    def version(self):
        return "this build"

    def start(self):
        if not os.access(self.program, os.X_OK):
            raise Failure(f"{self.program} is not there")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([self.program, "-c", self.conf], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, preexec_fn=self.group.join)
        self.group.leader = self.process.pid
        if not wait_greeting(self.port, 20, lambda: self.process.poll() is None):
            raise Failure("posternd does not greet:\n" + self.log_tail())

    def log_tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        self.group.end()
        if self.process:
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postfix:
    """Debian's Postfix in a copy of its root on tmpfs, so that its queue is there too."""

    name = "postfix"

    def __init__(self, _build, certificate, sink_port):
        self.group = Group(self.name)
        self.port = port_free()
        self.sink_port = sink_port
        self.certificate = certificate
        self.folder = tempfile.mkdtemp(prefix="postfix-bench-")
        self.mounted = False

    def root_make(self):
        done = subprocess.run([os.path.join(TOP, "tests", "peers", "roots.sh"), "postfix"],
                              stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            raise Failure("no root with Postfix: tests/peers/roots.sh failed")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "postfix-bench", self.folder],
                       check=True)
        self.mounted = True
        subprocess.run(["cp", "-a", done.stdout.strip() + "/.", self.folder], check=True)

    def chrooted(self, *words, **more):
        return subprocess.run(["chroot", self.folder, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, **more)

    def version(self):
        return self.chrooted("postconf", "-hd", "mail_version").stdout.strip()

    def start(self):
        self.root_make()
        etc = os.path.join(self.folder, "etc", "postfix")
        template("main.cf", os.path.join(etc, "main.cf"), sink_port=self.sink_port)
        template("master.cf", os.path.join(etc, "master.cf"), port=self.port)
        with open(os.path.join(etc, "relay.pem"), "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), 0o600)
            for path in (self.certificate.key, self.certificate.cert):
                with open(path, encoding="utf-8") as f:
                    out.write(f.read())
        done = self.chrooted("postfix", "start", preexec_fn=self.group.join)
        try:
            with open(os.path.join(self.folder, "var/spool/postfix/pid/master.pid"),
                      encoding="utf-8") as f:
                self.group.leader = int(f.read())
        except (FileNotFoundError, ValueError):
            pass
        if done.returncode != 0 or not wait_greeting(self.port, 20):
            raise Failure("Postfix does not greet:\n" + done.stdout)

    def log_tail(self):
        try:
            with open(os.path.join(self.folder, "var/log/mail.log"), encoding="utf-8",
                      errors="replace") as f:
                return f.read()[-2000:]
        except FileNotFoundError:
            return ""

    def end(self):
        if self.mounted:
            self.chrooted("postfix", "stop")
        self.group.end()
        if self.mounted:
            subprocess.run(["umount", self.folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
