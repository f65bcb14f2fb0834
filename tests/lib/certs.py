# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the test's own, through the openssl command."""
import base64
import hashlib
import os
import re
import subprocess


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.cert = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")
        self.once = {}
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.cert, "-days", "90", "-subj", "/CN=Test CA",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue_once(self, name):
        """The same files for everybody: a gateway that starts may still read them."""
        if name not in self.once:
            self.once[name] = self.issue(name)
        return self.once[name]

    def issue(self, name, names=None, kind="ec", days=90):
        """Files of a chain and its key. names: DNS names, the first is the subject."""
        names = names or [name]
        base = os.path.join(self.folder, name + ("" if kind == "ec" else "-" + kind))
        key, cert, request = base + ".key", base + ".pem", base + ".csr"
        algorithm = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec"
                     else ["-newkey", "rsa:2048"])
        openssl("req", *algorithm, "-nodes", "-keyout", key, "-out", request,
                "-subj", "/CN=" + names[0])
        extensions = base + ".ext"
        with open(extensions, "w") as f:
            f.write("subjectAltName=" + ",".join("DNS:" + n for n in names) + "\n"
                    "basicConstraints=critical,CA:FALSE\n"
                    "keyUsage=critical,digitalSignature\n"
                    "extendedKeyUsage=serverAuth,clientAuth\n")
        leaf = openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
                       "-CAcreateserial", "-days", str(days), "-extfile", extensions)
        with open(cert, "wb") as f, open(self.cert, "rb") as ca:
            f.write(leaf + ca.read())
        for path in (key, cert):
            os.chmod(path, 0o644)
        return cert, key


    def issue_past(self, name, names):
        """The same for January 2020 alone; openssl ca is what can write that."""
        base = os.path.join(self.folder, name)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                base + ".key", "-out", base + ".csr", "-subj", "/CN=" + names[0])
        open(base + ".db", "w").close()
        with open(base + ".cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={base}.db\nnew_certs_dir={self.folder}\n"
                    "default_md=sha256\npolicy=p\nrand_serial=yes\nx509_extensions=e\n[p]\n"
                    "commonName=supplied\n[e]\nsubjectAltName="
                    + ",".join("DNS:" + n for n in names) + "\n")
        leaf = openssl("ca", "-batch", "-config", base + ".cnf", "-cert", self.cert, "-keyfile", self.key,
                       "-in", base + ".csr", "-startdate", "20200101000000Z", "-enddate",
                       "20200201000000Z", "-notext")
        with open(base + ".pem", "wb") as f, open(self.cert, "rb") as ca:
            f.write(leaf + ca.read())
        for path in (base + ".key", base + ".pem"):
            os.chmod(path, 0o644)
        return base + ".pem", base + ".key"


def der(pem_file):
    with open(pem_file) as f:
        body = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", f.read(), re.S).group(1)
    return base64.b64decode(body)


def fingerprint(pem_file):
    return hashlib.sha256(der(pem_file)).hexdigest()


def spki(pem_file):
    public = openssl("pkey", "-pubin", "-outform", "DER",
                     data=openssl("x509", "-in", pem_file, "-noout", "-pubkey"))
    return "sha256/" + base64.b64encode(hashlib.sha256(public).digest()).decode()
