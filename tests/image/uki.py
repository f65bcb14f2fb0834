# SPDX-License-Identifier: Apache-2.0
"""A UKI taken apart and put together again: its sections, what PCR 11 will be, signatures of that and of
the whole. Independent of what made it."""
import base64
import hashlib
import json
import os
import struct
import subprocess
import tempfile

from disk import run

# What systemd-stub measures, in its order; a section's name with a NUL, then its content.
MEASURED = (".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
            ".pcrpkey")


def extend(pcr, data):
    return hashlib.sha256(pcr + hashlib.sha256(data).digest()).digest()


class Uki:
    def __init__(self, data):
        self.data = bytearray(data)
        pe = struct.unpack_from("<I", data, 60)[0]
        count, optional = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
        self.headers = {}
        for at in range(pe + 24 + optional, pe + 24 + optional + 40 * count, 40):
            self.headers[bytes(data[at:at + 8]).rstrip(b"\0").decode()] = at

    def place(self, name):
        """(offset in the file, bytes that are content, bytes that there are)"""
        size, _, room, offset = struct.unpack_from("<IIII", self.data, self.headers[name] + 8)
        return offset, size, room

    def get(self, name):
        offset, size, _ = self.place(name)
        return bytes(self.data[offset:offset + size])

    def put(self, name, content):
        offset, _, room = self.place(name)
        assert len(content) <= room, f"{name} has room for {room} bytes"
        self.data[offset:offset + room] = content.ljust(room, b"\0")
        struct.pack_into("<I", self.data, self.headers[name] + 8, len(content))

    def flip(self, name):
        """Inverts a byte in the middle of a section."""
        offset, size, _ = self.place(name)
        self.data[offset + size // 2] ^= 0xff

    def command_line_change(self, old, new):
        """Words of one length for others."""
        line = self.get(".cmdline")
        assert line.count(old) == 1 and len(old) == len(new), line
        self.put(".cmdline", line.replace(old, new))

    def pcr11(self):
        pcr = bytes(32)
        for name in MEASURED:
            if name in self.headers:
                pcr = extend(extend(pcr, name.encode() + b"\0"), self.get(name))
        return pcr

    def policy(self):
        """TPM2_PolicyPCR: its code, the selection of PCR 11 of the SHA-256 bank, the digest of values."""
        return hashlib.sha256(bytes(32) + bytes.fromhex("0000017f00000001000b03000800")
                              + hashlib.sha256(self.pcr11()).digest()).hexdigest()

    def signed_policies(self):
        return [entry["pol"] for entry in json.loads(self.get(".pcrsig").rstrip(b"\0"))["sha256"]]

    def sign_pcr(self, key):
        """Signs what PCR 11 will be; the key's public half goes into the UKI."""
        public = run("openssl", "pkey", "-in", key, "-pubout")
        self.put(".pcrpkey", public)
        der = run("openssl", "rsa", "-in", key, "-RSAPublicKey_out", "-outform", "DER")
        policy = self.policy()
        signature = run("openssl", "dgst", "-sha256", "-sign", key, data=bytes.fromhex(policy))
        self.put(".pcrsig", json.dumps({"sha256": [
            {"pcrs": [11], "pkfp": hashlib.sha256(der).hexdigest(), "pol": policy,
             "sig": base64.b64encode(signature).decode()}]}).encode())

    def sign(self, key, cert):
        """The bytes of it under a Secure Boot signature of this key alone."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "uki")
            with open(path, "wb") as f:
                f.write(self.data)
            subprocess.run(["sbattach", "--remove", path], check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            run("sbsign", "--key", key, "--cert", cert, "--output", path + ".signed", path)
            with open(path + ".signed", "rb") as f:
                return f.read()


def key_make(path):
    run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    return path
