# SPDX-License-Identifier: Apache-2.0
"""Real mail servers from Debian's packages, each in a small root of its own (peers/roots.sh).

Each can receive (it stores messages in a folder) and send (its queue delivers through a relay).
An instance works on a copy of the root, which is removed at the end.
"""
import glob
import os
import secrets
import shutil
import signal
import smtplib
import subprocess
import time

from client import PATIENCE, Client, wait_for
from gateway import TOP, free_port


def root_of(name):
    done = subprocess.run([os.path.join(TOP, "tests/peers/roots.sh"), name], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def root_copy(base, name):
    """A copy of a root to write into: of hard links, or in a virtual machine, whose files are an
    overlay that would copy each in full, an overlay itself."""
    root = f"{os.path.dirname(base)}/run-{name}-{secrets.token_hex(6)}"
    if "POSTERN_VM_JOB" not in os.environ:
        subprocess.run(["cp", "-al", base, root], check=True)
        return root
    layers = "/dev/shm/" + os.path.basename(root)
    for folder in (root, f"{layers}/upper", f"{layers}/work"):
        os.makedirs(folder)
    subprocess.run(["mount", "-t", "overlay", "overlay", root, "-o",
                    f"lowerdir={base},upperdir={layers}/upper,workdir={layers}/work"], check=True)
    return root


def root_remove(root):
    if os.path.ismount(root):
        subprocess.run(["umount", "-l", root], check=True)
        shutil.rmtree("/dev/shm/" + os.path.basename(root), ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)


class Mta:
    """host:port where it listens; relay: (host, port) that its queue delivers to."""

    package = ""

    def __init__(self, authority, relay=None, host="127.0.0.1"):
        base = root_of(self.package)
        self.host, self.port, self.relay = host, free_port(), relay
        self.root = root_copy(base, self.package)
        self.cert, self.key = authority.issue(f"{self.package}.example", kind="rsa")
        for source, target in ((self.cert, "cert.pem"), (self.key, "key.pem"),
                               (authority.cert, "ca.pem")):
            self.write("/etc/mail-test/" + target, open(source).read())
        self.log_path = self.root + ".log"
        self.process = None

    def write(self, path, text, mode=0o644):
        """Never in place: the file is a link into the cached root."""
        path = self.root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def chroot(self, *command, check=True, **more):
        return subprocess.run(["chroot", self.root, *command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=check, **more)

    def __enter__(self):
        # The resolver has nobody to ask here: names come from the hosts file.
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost {self.package}.example gw.example.org\n")
        self.configure()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(["chroot", self.root, *self.command()],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        try:
            wait_for(self.ready, 30, f"{self.package} to listen")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.logs()[-3000:]}") from e
        return self

    def ready(self):
        try:
            with Client((self.host, self.port), 2) as c:
                return c.reply()[0] == 220
        except OSError:
            return False

    def __exit__(self, *args):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        time.sleep(0.2)
        root_remove(self.root)
        if os.path.exists(self.log_path):
            os.unlink(self.log_path)

    def logs(self):
        text = ""
        for path in [self.log_path, *self.log_files()]:
            try:
                with open(path, errors="replace") as f:
                    text += f.read()
            except OSError:
                pass
        return text

    def log_files(self):
        return []

    def stored(self):
        """Messages delivered here, as bytes, oldest first."""
        files = [f for pattern in self.mail_patterns() for f in glob.glob(self.root + pattern)]
        return [open(f, "rb").read() for f in sorted(files, key=os.path.getmtime)]

    def wait_message(self, marker, seconds=30):
        def find():
            return next((m for m in self.stored() if marker in m), None)
        try:
            return wait_for(find, seconds, f"{self.package} to store {marker!r}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.logs()[-3000:]}") from e

    def retry(self):
        """Its queue is tried now, whatever its schedule."""
        self.chroot(*self.retry_command, check=False)

    def submit(self, sender, recipients, message):
        """Into its queue, over plain SMTP as from a local program."""
        with smtplib.SMTP(self.host, self.port, timeout=20 * PATIENCE) as client:
            client.sendmail(sender, recipients, message)


class Postfix(Mta):
    package = "postfix"
    settings = ""  # more of main.cf
    retry_command = ("postqueue", "-f")

    def configure(self):
        more = ""
        if self.relay:
            more = (f"relayhost = [{self.relay[0]}]:{self.relay[1]}\n"
                    "smtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\n")
        else:
            more = ("virtual_mailbox_domains = postfix.example\nvirtual_mailbox_base = /srv/mail\n"
                    "virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:5000\n"
                    "virtual_gid_maps = static:5000\n")
        self.write("/etc/postfix/main.cf", f"""
compatibility_level = 3.6
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = {self.host}
inet_protocols = ipv4
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_cert_file = /etc/mail-test/cert.pem
smtpd_tls_key_file = /etc/mail-test/key.pem
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
maillog_file = /var/log/postfix.log
minimal_backoff_time = 2s
queue_run_delay = 2s
{more}{self.settings}""")
        master = []
        with open(self.root + "/etc/postfix/master.cf") as f:
            for line in f:
                words = line.split()
                if len(words) >= 8 and not line.startswith("#") and words[4] == "y":
                    line = line.replace(" y ", " n ", 1)  # no chroot inside the chroot
                if words[:2] == ["smtp", "inet"]:
                    line = f"{self.host}:{self.port} inet n - n - - smtpd\n"
                master.append(line)
        master.append("postlog unix-dgram n - n - 1 postlogd\n")
        self.write("/etc/postfix/master.cf", "".join(master))
        os.makedirs(self.root + "/srv/mail/all", exist_ok=True)
        for path in ("/srv/mail", "/srv/mail/all"):
            os.chown(self.root + path, 5000, 5000)

    def command(self):
        return ["postfix", "start-fg"]

    def log_files(self):
        return [self.root + "/var/log/postfix.log"]

    def mail_patterns(self):
        return ["/srv/mail/all/new/*"]


class PostfixNew(Postfix):
    """The first that has REQUIRETLS (RFC 8689). Where it sends, it demands it of whom it sends to."""

    package = "postfix-new"
    settings = ("smtp_requiretls_policy = enforce\nsmtp_tls_CAfile = /etc/mail-test/ca.pem\n"
                "smtp_tls_policy_maps = static:{verify match=gw.example.org}\n")

    def submit_required(self, sender, recipient, message):
        with smtplib.SMTP(self.host, self.port, timeout=20 * PATIENCE) as client:
            client.starttls()
            client.sendmail(sender, [recipient], message, mail_options=["REQUIRETLS"])


class Exim(Mta):
    package = "exim"
    retry_command = ("exim4", "-qff")

    def configure(self):
        if self.relay:
            router = ("relay:\n  driver = manualroute\n  domains = *\n  transport = out\n"
                      f"  route_list = * {self.relay[0]}::{self.relay[1]}\n  self = send\n")
            transport = ("out:\n  driver = smtp\n  hosts_require_tls = *\n  tls_verify_hosts =\n"
                         "  tls_try_verify_hosts =\n  allow_localhost\n")
        else:
            router = ("store:\n  driver = accept\n  domains = exim.example\n  transport = store\n")
            transport = ("store:\n  driver = appendfile\n  directory = /srv/mail/all\n"
                         "  maildir_format\n  user = Debian-exim\n  create_directory\n"
                         "  check_string =\n  escape_string =\n  message_prefix =\n"
                         "  message_suffix =\n")
        self.write("/etc/exim4/exim4.conf", f"""
primary_hostname = exim.example
local_interfaces = {self.host}
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = /etc/mail-test/cert.pem
tls_privatekey = /etc/mail-test/key.pem
chunking_advertise_hosts = *
acl_smtp_rcpt = accept
acl_smtp_data = accept
log_file_path = /var/log/exim4/%slog
log_selector = +tls_cipher +smtp_connection
message_size_limit = 50M
host_lookup =
rfc1413_hosts =
keep_environment =
disable_ipv6
begin routers
{router}
begin transports
{transport}
begin retry
* * F,1h,2s
""")
        os.makedirs(self.root + "/srv/mail/all", exist_ok=True)
        self.chroot("chown", "-R", "Debian-exim", "/srv/mail")
        self.chroot("chown", "Debian-exim", "/etc/mail-test/key.pem")

    def command(self):
        return ["exim4", "-bdf", "-q2s"]

    def log_files(self):
        return glob.glob(self.root + "/var/log/exim4/*")

    def mail_patterns(self):
        return ["/srv/mail/all/new/*"]


class OpenSmtpd(Mta):
    package = "opensmtpd"
    retry_command = ("smtpctl", "schedule", "all")

    def configure(self):
        if self.relay:
            action = f'action "a" relay host "smtp+tls://{self.relay[0]}:{self.relay[1]}" tls no-verify'
            match = 'match from any for any action "a"'
        else:
            action = 'table users { "@" = nobody }\naction "a" maildir "/srv/mail/all" virtual <users>'
            match = 'match from any for domain "opensmtpd.example" action "a"'
        self.write("/etc/smtpd.conf", f"""
pki own cert "/etc/mail-test/cert.pem"
pki own key "/etc/mail-test/key.pem"
smtp max-message-size 50M
listen on {self.host} port {self.port} tls pki own hostname opensmtpd.example
{action}
{match}
""", 0o600)
        os.chmod(self.root + "/etc/mail-test/key.pem", 0o600)
        os.makedirs(self.root + "/srv/mail/all", exist_ok=True)
        os.chmod(self.root + "/srv/mail/all", 0o777)

    def command(self):
        return ["smtpd", "-d", "-v"]

    def mail_patterns(self):
        return ["/srv/mail/all/new/*"]


SERVERS = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
