#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One mail: swaks sends over STARTTLS to postern, which sends over STARTTLS to a real Postfix; then
shows what happened to it, and what somebody on the wire could read."""
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from capture import Capture, starttls_judge  # noqa: E402
from certs import Authority  # noqa: E402
from client import wait_for  # noqa: E402
from gateway import Gateway  # noqa: E402
from mta import Postfix  # noqa: E402

COLOUR = sys.stdout.isatty()


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def heading(text):
    print("\n" + paint(text, "1;36"))


def fact(good, text):
    print(("  " + paint("yes ", "1;32") if good else "  " + paint("NO  ", "1;31")) + text)
    return good


def mail():
    """A body with what relays get wrong: dots, 8-bit, a long line, a large attachment of noise."""
    rng = random.Random(25)
    noise = "".join("".join(rng.choices("ABCDEFabcdef0123456789+/", k=76)) + "\n" for _ in range(14000))
    return ("From: Anna <anna@client.example>\nTo: Bert <bert@postfix.example>\n"
            "Subject: First light\nDate: Sat, 03 Jan 2026 12:00:00 +0000\n"
            "Message-ID: <first-light@client.example>\nMIME-Version: 1.0\n"
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
            "Grüße aus der Leitung\n.\n..\n.a line that begins with a dot\n" + "x" * 990 + "\n\n"
            + noise + "\n").encode()


def send(gateway, authority, folder, message):
    path = os.path.join(folder, "mail")
    with open(path, "wb") as f:
        f.write(message[:-1])  # swaks ends the last line itself
    host, port = gateway.address()
    command = ["swaks", "--server", f"{host}:{port}", "--ehlo", "client.example", "--from",
               "anna@client.example", "--to", "bert@postfix.example", "--tls", "--tls-ca-path",
               authority.cert, "--data", "@" + path, "--suppress-data"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    for line in done.stdout.splitlines():
        if re.match(r"(<-|<~|->|~>|===|\*\*\*)", line.strip()):
            print("  " + line.strip()[:110])
    return done.returncode == 0


def unfolded(header, name):
    """Fields of that name, first to last, as they stand."""
    return re.findall(rb"(?m)^%s: .*\n(?:[ \t].*\n)*" % name, header)


def received_judge(stored, message):
    """Shows our Received line; true where all behind it is the message as sent."""
    header = stored.split(b"\n\n", 1)[0] + b"\n"
    ours = [f for f in unfolded(header, b"Received") if b"(postern)" in f]
    if len(ours) != 1:
        return fact(False, "no Received line of postern's")
    for line in ours[0].decode("latin-1").rstrip("\n").split("\n"):
        print("  " + line)
    arrived = stored[stored.index(ours[0]) + len(ours[0]):]
    digest = hashlib.sha256(arrived).hexdigest()
    heading("Did it arrive byte for byte?")
    return fact(arrived == message,
                f"{len(message)} bytes sent, {len(arrived)} arrived behind our Received line, "
                f"sha256 {digest[:16]}... on both sides" if arrived == message else
                f"{len(message)} bytes sent, {len(arrived)} arrived, and they differ")


def wire_judge(capture, legs):
    good = True
    for name, port in legs:
        judged = [starttls_judge(*s) for s in capture.streams(port)]
        judged = [j for j in judged if j[1]]
        plain = sum(j[0] for j in judged)
        good &= fact(bool(judged) and plain == 0,
                     f"{name}: {plain} plaintext bytes after the 220 to STARTTLS, "
                     f"{sum(j[1] for j in judged)} bytes in TLS records")
    return good


def main():
    tap.enter_namespaces()
    began = time.monotonic()
    folder = tempfile.mkdtemp(prefix="postern-demo-")
    os.chmod(folder, 0o755)
    authority = Authority(os.path.join(folder, "ca"))
    message = mail()
    print(paint("swaks ==STARTTLS==> postern ==STARTTLS, certificate verified==> Postfix", "1"))
    with Postfix(authority) as postfix:
        route = {"domain": "postfix.example", "next_hop": f"127.0.0.1:{postfix.port}",
                 "tls": {"level": "verify", "ca": authority.cert, "names": ["postfix.example"]}}
        with Gateway([route], authority=authority, folder=folder) as gateway:
            capture = Capture()
            heading("What the client said and heard")
            good = fact(send(gateway, authority, folder, message), "swaks was satisfied")
            stored = postfix.wait_message(b"Subject: First light")
            capture.stop()
            heading("The Received line that postern wrote, as Postfix stored it")
            good &= received_judge(stored, message)
            heading("What a capture of the wire shows")
            good &= wire_judge(capture, [("swaks to postern  ", gateway.ports["internet"]),
                                         ("postern to Postfix", postfix.port)])
            heading("The line in postern's log")
            lines = wait_for(lambda: [l for l in gateway.log().splitlines() if " message " in l], 5,
                             "the log line")
            print("  " + lines[-1])
    print(f"\n{'All as it should be' if good else paint('Something is wrong', '1;31')}; "
          f"the mail itself and its servers took {time.monotonic() - began:.1f} seconds.")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
