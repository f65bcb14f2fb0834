# SPDX-License-Identifier: Apache-2.0
"""The world of test_policy.py: zones, policies, a list of them, certificates, next hops and whoever sits in
the middle, and one gateway with routes of every level.

safe.example is signed here and served by nsd, open.example is not signed; policies of MTA-STS come
from an HTTPS server of the test, certificates from its authorities.
"""
import hashlib
import json
import os
import re
import time

from certs import Authority, der, openssl, spki
from gateway import Gateway
from https import Https, response
from sink import Sink
from zones import HEAD, Zones

NAME_SERVER, TURNING_SERVER, HTTPS = "127.0.0.53", "127.0.0.54", "127.0.3.1"
DNS_PORT, HTTPS_PORT, SMTP_PORT = 5300, 4443, 2525

# Who is at the address of a host, instead of what should be there.
MIDDLE = ("nobody", "strip", "refuse", "garbage", "cut", "inject", "swap")
# A level, and what the domain publishes.
KINDS = ("may", "encrypt", "verify", "pin", "dane", "sts", "autodane", "autosts", "autonone")
FALLS_BACK = ("may", "autonone")
UNAUTHENTICATED = (*FALLS_BACK, "encrypt")
SIGNED = ("dane", "autodane")
LISTED = ("listed", "listother", "listtesting")
WITH_POLICY = ("sts", "autosts")
# Modes of policies, whether they list the domain's host, and what is wrong with that: nothing, its CA, its
# name, its date, its STARTTLS.
STS_HOSTS = {"nobody": "mx-nobody", "swap": "mx-swap", "other": "may-nobody", "past": "mx-past", "strip": "mx-strip"}
STS_GRID = [(mode, listed, host) for mode in ("enforce", "testing", "none") for listed in ("in", "out")
            for host in STS_HOSTS]
# Usage, selector and matching type of hosts mx-mUSM, with a record that fits, and mx-xUSM, with another's.
MATRIX = [f"{u}{s}{m}" for u in "23" for s in "01" for m in "012"]
# Domains with a policy in testing mode that lists their host.
TESTED = {"testsame": "mx-nobody", "testswap": "mx-swap", "teststrip": "may-strip"}


class Garbage:
    """What should be a handshake is not."""

    def wrap_socket(self, sock, server_side):
        sock.recv(16)
        sock.sendall(b"HTTP/1.1 400 what is that\r\n\r\n")
        raise OSError("no TLS here")


def tlsa(usage, selector, matching, cert):
    """The data of a record for a certificate, with the full data or its hash."""
    data = der(cert)
    if selector:
        data = openssl("pkey", "-pubin", "-outform", "DER",
                       data=openssl("x509", "-in", cert, "-noout", "-pubkey"))
    data = [data, hashlib.sha256(data).digest(), hashlib.sha512(data).digest()][matching]
    return f"{usage} {selector} {matching} {data.hex()}"


def self_signed(folder, name, days):
    """Expired where days is negative."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    begin = ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"] if days < 0 else [
        "-days", str(days)]
    request = os.path.join(folder, name + ".csr")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-subj", "/CN=nobody.invalid", "-out", request)
    if days < 0:
        database = os.path.join(folder, name + ".db")
        open(database, "w").close()
        conf = os.path.join(folder, name + ".cnf")
        with open(conf, "w") as f:
            f.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={database}\nnew_certs_dir={folder}\n"
                    "default_md=sha256\npolicy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", conf, "-selfsign", "-keyfile", key, "-in", request,
                "-out", cert, "-startdate", begin[1], "-enddate", begin[3], "-notext")
    else:
        openssl("x509", "-req", "-in", request, "-signkey", key, *begin, "-out", cert)
    for path in (cert, key):
        os.chmod(path, 0o644)
    return cert, key


def policy(mode, *patterns):
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {p}" for p in patterns), "max_age: 86400"]
    return "".join(l + "\r\n" for l in lines)


def domain_of(kind, middle):
    return f"{kind}-{middle}.{'safe' if kind in SIGNED else 'open'}.example"


def host_of(kind, middle):
    """Levels that fall back have hosts of their own: who breaks the protocol for one route is left
    alone for a while by all."""
    name = "may" if kind in FALLS_BACK else "mx"
    return f"{name}-{middle}.{'safe' if kind in SIGNED else 'open'}.example"


def policy_records(domain, identity):
    return (f'_mta-sts.{domain}. TXT "v=STSv1; id={identity};"\nmta-sts.{domain}. A {HTTPS}\n')

class PolicyWorld:
    """Beside a Case, which has the folder and the authority."""
    name_servers = {f"{zone}.example": (NAME_SERVER, DNS_PORT) for zone in ("safe", "open")}
    smtp_port = SMTP_PORT

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zones = Zones()
        cls.addClassCleanup(cls.zones.close)
        cls.other = Authority(os.path.join(cls.folder, "other"))
        cls.addresses = {m: f"127.0.1.{i + 1}" for i, m in enumerate(MIDDLE)}
        names = [f"mx-{m}.{zone}.example" for m in MIDDLE for zone in ("safe", "open")]
        names += [f"mx-{kind}{cell}.safe.example" for kind in "mx" for cell in MATRIX]
        cls.good = cls.authority.issue("mx.test", names)
        cls.swapped = cls.other.issue("mx.test", names)
        cls.expired = self_signed(cls.folder, "expired", -1)
        cls.past = cls.authority.issue_past("mx.past", ["mx-oldchain.safe.example", "mx-past.open.example"])
        cls.policies = {}
        cls.zones_serve()
        cls.https_serve()
        cls.sinks_make()
        cls.shared = cls.gateway_make()
        cls.addClassCleanup(cls.shared.stop)

    @classmethod
    def zones_serve(cls):
        match = tlsa(3, 1, 1, cls.good[0])
        safe, open_ = HEAD.format("safe.example", NAME_SERVER), HEAD.format("open.example", NAME_SERVER)
        for middle, address in cls.addresses.items():
            safe += (f"mx-{middle} A {address}\n_{SMTP_PORT}._tcp.mx-{middle} TLSA {match}\n")
            open_ += f"mx-{middle} A {address}\nmay-{middle} A {address}\n"
            for kind in KINDS:
                domain = domain_of(kind, middle)
                record = f"{domain}. MX 10 {host_of(kind, middle)}.\n"
                if kind in SIGNED:
                    safe += record
                    continue
                open_ += record
                if kind in WITH_POLICY:
                    open_ += policy_records(domain, "20261122")
                    cls.policies[domain] = policy("enforce", "*.open.example")
        safe, open_ = safe + cls.more_safe(), open_ + cls.more_open()
        cls.in_zones = {"safe": safe, "open": open_}
        signed = cls.zones.sign("safe.example", safe)
        # Whoever answers in the zone's stead has other data, and the old signatures.
        forged = re.sub(r"(mx-forged\S*\s+\d+\s+IN\s+TLSA\s+3 1 1 )\w+", r"\g<1>" + "ab" * 32, signed)
        forged = re.sub(r"(mxforged\S*\s+\d+\s+IN\s+MX\s+10 )mx-nobody", r"\g<1>mx-swap", forged)
        cls.zones.serve(NAME_SERVER, DNS_PORT, {"safe.example": forged, "open.example": open_})
        cls.anchor = os.path.join(cls.folder, "anchor")
        with open(cls.anchor, "w") as f:
            f.write(cls.turn_serve(cls.good) + cls.zones.ds("safe.example"))

    @classmethod
    def turn_serve(cls, cert):
        """A zone whose TLSA record is good for a second, and for another certificate next time, or not
        there (None)."""
        text = HEAD.format("turn.example", TURNING_SERVER) + f"""
dane-turned MX 10 mx
autodane-turned MX 10 mx
mx A {cls.addresses["nobody"]}
"""
        if cert:
            text += f"_{SMTP_PORT}._tcp.mx 1 TLSA {tlsa(3, 1, 1, cert[0])}\n"
        signed = cls.zones.sign("turn.example", text)
        cls.turning = cls.zones.serve(TURNING_SERVER, DNS_PORT, {"turn.example": signed})
        return cls.zones.ds("turn.example")

    @classmethod
    def more_safe(cls):
        """Hosts whose records are what a test is about: each at the good one's address, or at that of
        the expired certificate."""
        port, good = f"_{SMTP_PORT}._tcp", cls.addresses["nobody"]
        stale = "127.0.1.20"
        ca = cls.authority.cert
        hosts = {
            "forged": (good, [tlsa(3, 1, 1, cls.good[0])]),
            "expired": (stale, [tlsa(3, 1, 1, cls.expired[0])]),
            "rolled": (good, [tlsa(3, 1, 1, cls.swapped[0]), tlsa(3, 0, 2, cls.good[0])]),
            "other": (good, [tlsa(3, 1, 1, cls.swapped[0])]),
            "unusable": (good, [tlsa(0, 1, 1, cls.good[0]), tlsa(1, 0, 1, cls.good[0])]),
            "full": (good, [tlsa(3, 0, 0, cls.good[0])]),
            "wrongname": (good, [tlsa(2, 0, 1, ca)]),
            "none": (good, []),
            "oldchain": ("127.0.1.21", [tlsa(2, 0, 1, ca)]),
            "oldchainleaf": ("127.0.1.21", [tlsa(3, 1, 1, cls.past[0])]),
        }
        for cell in MATRIX:
            usage, selector, matching = (int(c) for c in cell)
            for kind, leaf, issuer in (("m", cls.good[0], ca), ("x", cls.swapped[0], cls.other.cert)):
                hosts[kind + cell] = (good, [tlsa(usage, selector, matching,
                                                  issuer if usage == 2 else leaf)])
        text = ""
        for name, (address, records) in hosts.items():
            text += f"mx-{name} A {address}\n" + "".join(f"{port}.mx-{name} TLSA {r}\n" for r in records)
            for kind in ("dane", "autodane"):
                text += f"{kind}-{name} MX 10 mx-{name}\n"
        # Usage 2 checks the name, which the one at "nobody" has.
        text += f"{port}.mx-anchor TLSA {tlsa(2, 0, 1, ca)}\nmx-anchor CNAME mx-nobody\n"
        text += "".join(f"{kind}-anchor MX 10 mx-anchor\n{kind}-mxforged MX 10 mx-nobody\n"
                        f"{kind}-failover MX 10 mx-other\n{kind}-failover MX 20 mx-nobody\n"
                        for kind in ("dane", "autodane"))
        return text

    @classmethod
    def more_open(cls):
        text = ""
        for name, mode, patterns in (("testing", "testing", ["mx.elsewhere.example"]),
                                     ("off", "none", []), ("names", "enforce", ["mx.elsewhere.example"]),
                                     ("label", "enforce", ["*.example"]), ("missing", None, [])):
            for kind in WITH_POLICY:
                domain = f"{kind}-{name}.open.example"
                text += f"{domain}. MX 10 mx-nobody\n" + policy_records(domain, "7")
                if mode:
                    cls.policies[domain] = policy(mode, *patterns)
        for kind in WITH_POLICY:
            for mode, listed, host in STS_GRID:
                domain = f"{kind}-{mode}{listed}{host}.open.example"
                text += f"{domain}. MX 10 {STS_HOSTS[host]}\n" + policy_records(domain, "60")
                name = STS_HOSTS[host] + ".open.example" if listed == "in" else "mx.elsewhere.example"
                cls.policies[domain] = policy(mode, name)
        for name, host in TESTED.items():
            domain = f"autosts-{name}.open.example"
            text += f"{domain}. MX 10 {host}\n" + policy_records(domain, "7")
            cls.policies[domain] = policy("testing", "*.open.example")
        text += "mx-past A 127.0.1.21\nmx-self A 127.0.1.20\n"
        text += "".join(f"{kind}-{name} MX 10 {host}\n" for kind in ("verify", "pin")
                        for name, host in (("past", "mx-past"), ("self", "mx-self"),
                                           ("elsewhere", "mx-nobody")))
        text += "".join(f"{kind}-unsigned MX 10 mx-nobody\n" for kind in KINDS)
        # What a list of policies has to say of: see list_write.
        text += "".join(f"autonone-{name} MX 10 mx-nobody\n" for name in LISTED)
        for name in ("listown", "listfail"):
            domain = f"autosts-{name}.open.example"
            text += f"{domain}. MX 10 mx-nobody\n" + policy_records(domain, "9")
        cls.policies["autosts-listown.open.example"] = policy("enforce", "*.open.example")
        return text

    @classmethod
    def https_serve(cls):
        domains = [d for d in cls.policies] + [f"{k}-missing.open.example" for k in WITH_POLICY] + [
            "autosts-listfail.open.example"]
        cert = cls.authority.issue("mta-sts", ["mta-sts.example", *("mta-sts." + d for d in domains)])
        cls.https = Https(HTTPS_PORT, cert, HTTPS)
        for domain, text in cls.policies.items():
            cls.https.answers["mta-sts." + domain] = response(text)
        cls.addClassCleanup(cls.https.close)

    @classmethod
    def sinks_make(cls):
        how = {"nobody": {"cert": cls.good},
               "strip": {"tls": None},
               "refuse": {"cert": cls.good, "behave": {"STARTTLS": "454 4.7.0 not now"}},
               "garbage": {"context": Garbage()},
               "cut": {"cert": cls.good, "behave": {"STARTTLS": "RESET"}},
               "inject": {"cert": cls.good, "behave": {
                   "STARTTLS": b"220 2.0.0 go\r\n250 2.1.0 said too soon\r\n"}},
               "swap": {"cert": cls.swapped}}
        cls.sinks = {m: Sink(port=SMTP_PORT, host=cls.addresses[m], **how[m]) for m in MIDDLE}
        cls.sinks["expired"] = Sink(port=SMTP_PORT, host="127.0.1.20", cert=cls.expired)
        cls.sinks["past"] = Sink(port=SMTP_PORT, host="127.0.1.21", cert=cls.past)

    @classmethod
    def list_write(cls, name="list", **more):
        """A signed list of policies; returns its group of settings."""
        elsewhere = {"mode": "enforce", "mxs": ["mx.elsewhere.example"]}
        text = {"timestamp": "2026-11-22T00:00:00+00:00", "author": "this test", "version": "0.1",
                "expires": int(time.time()) + 86400, "policy-aliases": {"elsewhere": elsewhere},
                "policies": {
                    "autonone-listed.open.example": {"mode": "enforce", "mxs": [".open.example"]},
                    "autonone-listother.open.example": {"policy-alias": "elsewhere"},
                    "autonone-listtesting.open.example": {**elsewhere, "mode": "testing"},
                    "autosts-listown.open.example": {"policy-alias": "elsewhere"},
                    "autosts-listfail.open.example": {"policy-alias": "elsewhere"}}}
        base = os.path.join(cls.folder, name)
        key = base + ".key"
        with open(base + ".json", "w") as f:
            json.dump(dict(text, **more), f)
        openssl("genpkey", "-algorithm", "ed25519", "-out", key)
        openssl("pkey", "-in", key, "-pubout", "-out", base + ".pem")
        openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", base + ".json", "-out", base + ".sig")
        return {"file": base + ".json", "signature": base + ".sig", "key": base + ".pem"}

    @classmethod
    def gateway_make(cls):
        def tls(kind):
            level = "auto" if kind.startswith("auto") else kind
            out = {"level": level}
            if kind == "verify":
                out["names"] = [".open.example"]
            if kind == "pin":
                out["spki"] = [spki(cls.good[0])]
            if level in ("verify", "sts", "auto"):
                out["ca"] = cls.authority.cert
            return out
        routes = [{"domain": f"{kind}-{name}.{zone}.example", "next_hop": "mx", "mx_port": SMTP_PORT,
                   "tls": tls(kind)}
                  for kind in KINDS for zone in ("safe", "open")
                  for name in (*MIDDLE, "forged", "expired", "rolled", "other", "unusable", "full",
                               "wrongname", "none", "anchor", "mxforged", "failover", "testing", "off",
                               "names", "label", "missing", "unsigned", "listown", "listfail",
                               *LISTED, *TESTED)]
        routes += [{"domain": f"{kind}-{name}.safe.example", "next_hop": "mx", "mx_port": SMTP_PORT,
                    "tls": tls(kind)}
                   for kind in SIGNED
                   for name in ("oldchain", "oldchainleaf", *(k + cell for k in "mx" for cell in MATRIX))]
        routes += [{"domain": f"{kind}-{''.join(cell)}.open.example", "next_hop": "mx",
                    "mx_port": SMTP_PORT, "tls": tls(kind)} for kind in WITH_POLICY for cell in STS_GRID]
        # Certificates that are good but for one thing; a pin asks for none of them but the key.
        for name, key in (("past", cls.past), ("self", cls.expired), ("elsewhere", cls.good)):
            names = [".elsewhere.example" if name == "elsewhere" else ".open.example"]
            for level in ({"level": "verify", "ca": cls.authority.cert, "names": names},
                          {"level": "pin", "spki": [spki(key[0])]}):
                routes.append({"domain": f"{level['level']}-{name}.open.example", "next_hop": "mx",
                               "mx_port": SMTP_PORT, "tls": level})
        routes.append({"domain": "dane-turned.turn.example", "next_hop": "mx", "mx_port": SMTP_PORT,
                       "tls": tls("dane")})
        routes.append({"domain": "autodane-turned.turn.example", "next_hop": "mx", "mx_port": SMTP_PORT,
                       "tls": dict(tls("autodane"), ratchet="hold")})
        settings = {"resolver": {
            "stub": [*(f"{zone}.example={NAME_SERVER}:{DNS_PORT}" for zone in ("safe", "open")),
                     f"turn.example={TURNING_SERVER}:{DNS_PORT}"],
            "trust_anchor": cls.anchor, "timeout_s": 3, "reverse": False,
            "sts_ca": cls.authority.cert, "sts_port": HTTPS_PORT, "sts_timeout_s": 5},
            "limits": {"hop_connect_timeout_s": 3}, "tls": {"policy_list": cls.list_write()}}
        settings["tlsrpt"] = {"organization": "This Test", "contact": "tls@client.example"}
        return Gateway(routes, settings=settings, authority=cls.authority).start()
