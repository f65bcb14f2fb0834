# SPDX-License-Identifier: Apache-2.0
"""The relays that bench/compare.py measures: one class each, its settings in bench/peers. All
listen on 127.0.0.1 with TLS from the first byte, and speak it so to the sink. Whoever starts one
ends it."""

import contextlib
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

from group import Group

HERE = os.path.dirname(os.path.abspath(__file__))
# Where it was installed it stands beside this file.
ROOTS = next(filter(os.path.exists, (os.path.join(HERE, name) for name in (
    "roots.sh", "../tests/peers/roots.sh"))))
LOG_TAIL = 2000
SPARE = 300  # files that a relay has open beside its connections
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Failure(Exception):
    """Something could not be measured; the text says why."""


def port_free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def file_read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def greets(port):
    """Whether a TLS handshake there, and a greeting behind it, succeed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as plain, \
                context.wrap_socket(plain) as s:
            if not s.recv(512).startswith(b"220"):
                return False
            s.sendall(b"QUIT\r\n")
            s.recv(512)
            return True
    except (OSError, ssl.SSLError):
        return False


class Relay:
    """One relay between load and sink. A subclass says its name, its title in tables, what it is
    started with, and which files of bench/peers become its configuration."""

    name = title = ""
    is_mta = True         # reads SMTP; a byte relay does not
    has_workers = True    # their number can be set; others make a process for each session
    files = {}            # file of bench/peers -> where it goes below the folder

    def __init__(self, build, certificate, sink_port, workers):
        self.build, self.certificate = build, certificate
        self.folder = tempfile.mkdtemp(prefix=f"postern-bench-{self.name}-")
        os.chmod(self.folder, 0o755)
        self.port = port_free()
        self.values = {"FOLDER": self.folder, "PORT": self.port, "SINK_PORT": sink_port,
                       "WORKERS": workers, "FILES": FILES, "CONNECTIONS": self.sessions_most()}
        self.group = Group(self.name)
        self.process = None

    def sessions_most(self):
        """How many it can hold: a byte relay has two files for each."""
        return FILES - SPARE if self.is_mta else (FILES - SPARE) // 2

    @staticmethod
    def lacking(_build):
        """Why it can't run on this machine, or None."""
        return None

    def path(self, name):
        return os.path.join(self.folder, name.lstrip("/"))

    def prepare(self):
        """What must be there before the files are written."""

    def write(self, to, text, mode=0o644):
        path = self.path(to)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)

    def configure(self):
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        for source, to in self.files.items():
            text = file_read(os.path.join(HERE, "peers", source))
            for key, value in self.values.items():
                text = text.replace(f"@{key}@", str(value))
            self.write(to, text)
        cert, key = file_read(self.certificate.cert), file_read(self.certificate.key)
        self.write("/etc/bench/relay.crt", cert)
        self.write("/etc/bench/relay.key", key, 0o600)
        self.write("/etc/bench/relay.pem", key + cert, 0o600)

    def command(self):
        raise NotImplementedError

    def start(self):
        """Until it has answered through to the sink."""
        self.prepare()
        self.configure()
        with open(self.path("relay.log"), "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=self.group.join)
        self.group.leader = self.process.pid
        end = time.monotonic() + 20
        while not greets(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"{self.title} does not greet:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_files(self):
        return ["relay.log"]

    def log_tail(self):
        text = ""
        for name in self.log_files():
            with contextlib.suppress(OSError):
                text += file_read(self.path(name))[-LOG_TAIL:]
        return text

    def stop(self):
        self.process.terminate()

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.group.end()
        if self.process:
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postern(Relay):
    name, title = "postern", "postern"
    dataplane = "uring"
    files = {"postern.conf": "postern.conf"}

    def configure(self):
        self.values["DATAPLANE"] = self.dataplane
        os.makedirs(self.path("state"))
        super().configure()

    def version(self):
        return f"this build, dataplane {self.dataplane}"

    def command(self):
        for folder in ("", "../sbin"):  # as built, and as installed
            program = os.path.join(self.build, folder, "posternd")
            if os.access(program, os.X_OK):
                return [program, "-c", self.path("postern.conf")]
        raise Failure(f"no posternd in {self.build}")


class PosternKtls(Postern):
    """With kernel_fixes = "warn" (bench/peers/postern.conf): its only peers are load and sink."""

    name, title = "postern-ktls", "postern, kernel TLS"
    dataplane = "ktls"

    @staticmethod
    def probe(build):
        """What postern-platform says of this kernel."""
        try:
            done = subprocess.run([os.path.join(build, "postern-platform"), "probe", "--json"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
            return json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as e:
            raise Failure(f"postern-platform does not say what the kernel can: {e}") from e

    @classmethod
    def lacking(cls, build):
        try:
            kernel_tls = cls.probe(build)["kernel_tls"]
        except Failure as e:
            return str(e)
        return None if kernel_tls["available"] else kernel_tls["why"]

    def version(self):
        lacking = self.probe(self.build)["kernel_fixes"]["lacking"]
        text = super().version()
        return f"{text}, on a kernel that lacks {lacking} fixes of its TLS" if lacking else text


class Rooted(Relay):
    """Debian's package in a root of its own (tests/peers/roots.sh), with a layer of tmpfs over it:
    what it writes, a queue too, costs no disk."""

    root = ""
    openssl = {"openssl.cnf": "/usr/lib/ssl/openssl.cnf"}  # for what a relay has no setting
    queues = ()  # folders that are tmpfs itself, without the layer's cost

    def __init__(self, *args):
        super().__init__(*args)
        self.mounts = []

    def mount(self, kind, source, folder, *options):
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["mount", "-t", kind, *options, source, folder], check=True)
        self.mounts.append(folder)

    def prepare(self):
        done = subprocess.run([ROOTS, self.root],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            raise Failure(f"no root with {self.title}: roots.sh failed")
        base = done.stdout.strip()
        layer = self.folder
        self.mount("tmpfs", "postern-bench", layer, "-o", "mode=755")
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(layer, name))
        self.folder = os.path.join(layer, "root")
        self.mount("overlay", "overlay", self.folder, "-o", f"lowerdir={base},"
                   f"upperdir={layer}/upper,workdir={layer}/work")
        for name in self.queues:
            self.mount("tmpfs", "postern-bench", self.path(name), "-o", "mode=755")
            subprocess.run(["cp", "-a", os.path.join(base, name, "."), self.path(name)], check=True)

    def configure(self):
        self.files = self.openssl | self.files
        super().configure()

    def chrooted(self, *words):
        done = subprocess.run(["chroot", self.folder, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout.strip()

    def command(self):
        return ["chroot", self.folder, *self.program]

    def end(self):
        layer = self.mounts[0] if self.mounts else self.folder
        super().end()
        for folder in reversed(self.mounts):
            subprocess.run(["umount", folder], check=False)
        shutil.rmtree(layer, ignore_errors=True)


class Nginx(Rooted):
    name, title, root = "nginx", "nginx stream", "nginx"
    is_mta = False
    files = {"nginx.conf": "/etc/bench/nginx.conf"}
    program = ("nginx", "-c", "/etc/bench/nginx.conf")

    def version(self):
        return self.chrooted("nginx", "-v").rpartition("/")[2]


class HAProxy(Rooted):
    name, title, root = "haproxy", "HAProxy", "haproxy"
    is_mta = False
    files = {"haproxy.cfg": "/etc/bench/haproxy.cfg"}
    program = ("haproxy", "-db", "-f", "/etc/bench/haproxy.cfg")

    def version(self):
        return self.chrooted("haproxy", "-v").split()[2]


class Postfix(Rooted):
    name, title, root = "postfix", "Postfix", "postfix"
    has_workers = False
    queues = ("var/spool/postfix", "var/lib/postfix", "var/log")
    files = {"postfix-main.cf": "/etc/postfix/main.cf", "postfix-master.cf": "/etc/postfix/master.cf"}
    program = ("postfix", "start-fg")

    def version(self):
        return self.chrooted("postconf", "-hd", "mail_version")

    def log_files(self):
        return ["relay.log", "var/log/mail.log"]

    def stop(self):
        self.chrooted("postfix", "stop")


class Exim(Rooted):
    name, title, root = "exim", "Exim, cut-through", "exim"
    has_workers = False
    queues = ("var/spool/exim4", "var/log")
    files = {"exim.conf": "/etc/exim4/exim4.conf"}
    program = ("exim4", "-bdf", "-q1m")

    def configure(self):
        super().configure()
        self.chrooted("chown", "Debian-exim", "/etc/bench/relay.key")

    def version(self):
        return self.chrooted("exim4", "-bV").split()[2]

    def log_files(self):
        return ["relay.log", "var/log/exim4/mainlog", "var/log/exim4/paniclog"]


class OpenSmtpd(Rooted):
    name, title, root = "opensmtpd", "OpenSMTPD", "opensmtpd"
    has_workers = False
    queues = ("var/spool",)
    files = {"smtpd.conf": "/etc/smtpd.conf"}
    program = ("smtpd", "-d")

    def configure(self):
        super().configure()
        os.chmod(self.path("/etc/smtpd.conf"), 0o600)

    def version(self):
        return self.chrooted("smtpd", "-h").splitlines()[0].split()[-1]


RELAYS = (Postern, PosternKtls, Nginx, HAProxy, Postfix, Exim, OpenSmtpd)
