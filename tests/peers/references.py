# SPDX-License-Identifier: Apache-2.0
"""What others decide on the cells of test_policy.py: Postfix by the same levels, its posttls-finger,
and GnuTLS's danetool. All ask one unbound, which validates; they are started at the first cell that
needs them.
"""
import base64
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import time

from client import PATIENCE, wait_for
from mta import Postfix
from zones import soa_answered

# Not loopback: libunbound, in danetool, asks no server of this machine.
RESOLVER = "10.53.0.53"


def address_add(address):
    """What `ip address add` does; the namespace is the suite's own."""
    siocsifaddr = 0x8916
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, siocsifaddr, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0,
                                                   socket.inet_aton(address)))


class Unbound:
    """zones: {name: (host, port) of its server}; anchor: text of DS records."""

    def __init__(self, within, zones, anchor):
        lines = ["server:", f"interface: {RESOLVER}", "access-control: 0.0.0.0/0 allow", 'chroot: ""',
                 'username: ""', "do-daemonize: no", 'pidfile: ""', 'directory: "/zones"', "use-syslog: no",
                 'logfile: "/zones/unbound.log"', 'trust-anchor-file: "/zones/unbound.anchor"',
                 "do-not-query-localhost: no", "qname-minimisation: no", "so-rcvbuf: 0", "num-threads: 1",
                 "remote-control:", "control-enable: no"]
        for zone, (host, port) in zones.items():
            lines += ["stub-zone:", f"name: {zone}", f"stub-addr: {host}@{port}"]
        within.write("unbound.conf", "\n".join(lines) + "\n")
        within.write("unbound.anchor", anchor)
        address_add(RESOLVER)
        self.process = subprocess.Popen(["chroot", within.root, "unbound", "-c", "/zones/unbound.conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: soa_answered((RESOLVER, 53), next(iter(zones))), 10, "unbound")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class PolicyPostfix(Postfix):
    """levels: {domain: what smtp_tls_policy_maps says}."""

    def __init__(self, authority, port, levels):
        super().__init__(authority)
        self.smtp_port, self.levels = port, levels

    def configure(self):
        super().configure()
        path = "/etc/postfix/main.cf"
        with open(self.root + path) as f:
            text = f.read()
        text = text.replace("smtp_host_lookup = native", "smtp_host_lookup = dns")
        self.write(path, re.sub(r"(?m)^(queue_run_delay) = .*$", r"\1 = 900s", text) + f"""
smtp_tcp_port = {self.smtp_port}
smtp_dns_support_level = dnssec
dnssec_probe =
smtp_tls_security_level = may
smtp_tls_policy_maps = texthash:/etc/postfix/tls_policy
smtp_tls_CAfile = /etc/mail-test/ca.pem
smtp_tls_fingerprint_digest = sha256
smtp_tls_loglevel = 1
smtp_connection_cache_on_demand = no
default_process_limit = 10
""")
        self.write("/etc/postfix/tls_policy", "".join(f"{d} {how}\n" for d, how in self.levels.items()))
        self.write("/etc/resolv.conf", f"nameserver {RESOLVER}\noptions timeout:3 attempts:1\n")

    def outcomes(self):
        """{recipient's domain: (status, how it saw the certificate)} of all that was tried so far."""
        seen, found = {}, {}
        for line in self.logs().splitlines():
            process = re.search(r"postfix/smtp\[(\d+)\]: (.*)", line)
            if not process:
                continue
            pid, text = process.groups()
            tls = re.match(r"(\w+) TLS connection established to", text)
            done = re.search(r"to=<x@([^>]+)>.* status=(\w+)", text)
            if tls:
                seen[pid] = tls.group(1)
            elif done:
                found[done.group(1)] = (done.group(2), seen.pop(pid, None))
        return found


def colons(pin):
    """"sha256/BASE64" as Postfix has it."""
    return base64.b64decode(pin.split("/", 1)[1]).hex(":").upper()


def postfix_level(tls):
    """A route's level as Postfix has it."""
    level = tls["level"]
    if level == "verify":
        return "secure match=" + ":".join(tls["names"])
    if level == "pin":
        return "fingerprint match=" + colons(tls["spki"][0])
    return {"dane": "dane-only", "auto": "dane"}.get(level, level)


# Where Postfix decides otherwise, and why postern does as it does.
INJECTED = ("sent", "It drops what came in plaintext behind the 220 to STARTTLS, and goes on. postern takes it "
            "for what it is: somebody in the middle who puts words into the server's mouth "
            "(CVE-2021-38371). Nothing honest sends them.")
LATER = ("deferred", "It falls back only with a message that has been in its queue for a while, and then does, "
         "see test_postfix_falls_back_later. postern has no queue: the sender decides when to "
         "come again, and the level says already that plaintext will do.")
NEVER = ("deferred", "A connection that is cut at STARTTLS is a broken connection to it, and no refusal of TLS: it comes "
         "again by TLS until the message expires. To postern it is one way more to refuse TLS, and at "
         "these levels mail that would go in plaintext where STARTTLS is not offered does so here too.")
DIFFERENT = {
    **{f"{kind}-inject": INJECTED for kind in ("may", "encrypt", "verify", "pin", "dane", "autodane",
                                               "autonone")},
    **{f"{kind}-garbage": LATER for kind in ("may", "autonone")},
    **{f"{kind}-cut": NEVER for kind in ("may", "autonone")},
}
# The same of the tools, for whether the certificate is authenticated; a tool sends no mail.
FINGER_DIFFERENT = {
    f"{kind}-inject": "It drops the bytes as Postfix does." for kind in ("verify", "pin", "dane")}
DANETOOL_DIFFERENT = {
    "dane-inject": "It does not look for bytes behind the 220.",
    "dane-unusable": "It honours usages 0 and 1, without looking for a CA; for SMTP they are not to be used, for "
                     "nobody agrees on CAs there (RFC 7672 section 3.1.3).",
    "dane-wrongname": "It looks at no name; with usage 2 a CA may vouch for anybody, so that the name has to "
                      "match (RFC 7672 section 3.2.3).",
}


class References:
    """For a class of cases that has zones, anchor, name_servers, smtp_port, and a shared gateway."""

    reference = first_outcomes = None
    # In the middle; danetool says STARTTLS also to who does not offer it, and waits.
    NOT_FOR_DANETOOL = ("strip", "refuse", "cut")

    @classmethod
    def references(cls, levels):
        """The Postfix; levels as PolicyPostfix has them."""
        if cls.reference is None:
            with open(cls.anchor) as f:
                anchor = f.read()
            unbound = Unbound(cls.zones, cls.name_servers, anchor)
            cls.addClassCleanup(unbound.stop)
            for path, text in (("/usr/share/dns/root.key", anchor),
                               ("/etc/resolv.conf", f"nameserver {RESOLVER}\n"),
                               ("/etc/hosts", "127.0.0.1 localhost\n")):
                path = cls.zones.root + path
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if os.path.lexists(path):
                    os.unlink(path)  # a link into the cached root
                with open(path, "w") as f:
                    f.write(text)
            cls.reference = PolicyPostfix(cls.authority, cls.smtp_port, levels)
            cls.reference.__enter__()
            cls.addClassCleanup(cls.reference.__exit__, None, None, None)
        return cls.reference

    def cells(self):
        """{domain: its route's TLS} of those that others have a word for."""
        return {r["domain"]: r["tls"] for r in self.shared.routes
                if not r["domain"].startswith(("sts-", "autosts-", "dane-turned",
                                              "autodane-turned", "autonone-list"))
                and self.in_dns(r["domain"])}

    def postfix(self):
        """It has tried a message to each cell."""
        cells = self.cells()
        first = self.reference is None
        postfix = self.references({d: postfix_level(tls) for d, tls in cells.items()})
        if first:
            for domain in cells:
                postfix.submit("a@client.example", [f"x@{domain}"], b"Subject: policy\r\n\r\nbody\r\n")
            wait_for(lambda: set(cells) <= set(postfix.outcomes()), 60, "Postfix to try all")
            type(self).first_outcomes = postfix.outcomes()
        return postfix

    def authenticated(self, host):
        return host["result"] == "met" and bool(host["tls"]) and host["tls"]["verify"] == "ok"

    def test_postfix_decides_the_same(self):
        """Whether a message goes, and whether the certificate was authenticated, at each cell."""
        self.postfix()
        self.assertEqual(len(self.cells()), 136)
        outcomes = self.first_outcomes
        for domain in self.cells():
            with self.subTest(domain=domain):
                status, answer = self.probe(domain)
                ours = "sent" if status == 0 else "deferred"
                theirs, why = DIFFERENT.get(domain.split(".")[0], (ours, None))
                if why:
                    self.assertNotEqual(ours, theirs, "it is no difference")
                self.assertEqual(outcomes[domain][0], theirs)
                if not why and status == 0:
                    self.assertEqual(outcomes[domain][1] == "Verified",
                                     self.authenticated(answer["hosts"][-1]), outcomes[domain])

    def test_postfix_falls_back_later(self):
        """What it deferred goes at the next try where the level lets it fall back, and nowhere else."""
        postfix = self.postfix()
        waited = {d for d, (status, _) in self.first_outcomes.items() if status == "deferred"}
        gone = {d for d in waited if DIFFERENT.get(d.split(".")[0]) == LATER}

        def done():
            postfix.retry()
            time.sleep(1)  # its queue is slower than a look at its log
            return all(postfix.outcomes()[d][0] == "sent" for d in gone)
        wait_for(done, 30, "plaintext")
        self.assertEqual({postfix.outcomes()[d][1] for d in gone}, {None})
        self.assertEqual({d for d in waited if postfix.outcomes()[d][0] == "sent"}, gone)

    def test_posttls_finger_sees_the_same(self):
        self.postfix()
        for domain, tls in self.cells().items():
            if tls["level"] in ("may", "encrypt", "auto"):
                continue
            with self.subTest(domain=domain):
                hosts = self.probe(domain)[1]["hosts"]
                ours = bool(hosts) and self.authenticated(hosts[0])  # it looks at the first alone
                theirs = self.finger(domain, *postfix_level(tls).split(" match="))
                if domain.split(".")[0] in FINGER_DIFFERENT:
                    self.assertEqual((ours, theirs), (False, "Verified"))
                else:
                    self.assertEqual(theirs == "Verified", ours, theirs)

    def test_danetool_sees_the_same(self):
        self.postfix()
        for domain, tls in self.cells().items():
            name = domain.split(".")[0]
            if tls["level"] != "dane" or name.split("-")[1] in self.NOT_FOR_DANETOOL:
                continue
            for host in self.probe(domain)[1]["hosts"]:
                with self.subTest(domain=domain, host=host["host"]):
                    ours = self.authenticated(host)
                    theirs, said = self.danetool(host["host"], host["port"])
                    if name in DANETOOL_DIFFERENT:
                        self.assertEqual((ours, theirs), (False, True), said)
                    else:
                        self.assertEqual(theirs, ours, said)

    def finger(self, domain, level, *match):
        """What posttls-finger says of the certificate at the domain's first host, or why it has none."""
        done = self.reference.chroot(
            "posttls-finger", "-c", "-t", "10", "-T", "10", "-L", "summary", "-o", "dnssec_probe=", "-l",
            level, "-d", "sha256",
            "-F", "/etc/mail-test/ca.pem", f"{domain}:{self.smtp_port}", *match, check=False,
            timeout=60 * PATIENCE)
        said = re.search(r"(\w+) TLS connection established", done.stdout)
        return said.group(1) if said else (done.stdout.strip().splitlines() or ["nothing"])[-1]

    def danetool(self, host, port):
        """(whether it takes the certificate, what it said)."""
        done = subprocess.run(["chroot", self.zones.root, "danetool", "--check", host, "--port", str(port),
                               "--starttls-proto", "smtp", "--local-dns"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60 * PATIENCE)
        return done.returncode == 0, done.stdout
