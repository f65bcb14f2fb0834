#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What depends on the kernel, in the virtual machine: the probe, and the unit tests of what asks the
kernel for something. Parsers do the same on each."""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE  # noqa: E402
from gateway import BUILD, platform  # noqa: E402

UNIT_FOLDERS = ("bench", "crypto", "dataplane", "firmware", "gateway", "process", "upstream")
CIPHERS = {f"{version} {cipher}" for version in ("TLS1.2", "TLS1.3")
           for cipher in ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305")}


class Probe(unittest.TestCase):
    def test_the_platform_is_found(self):
        found = platform()
        print(f"# {found['kernel']}", flush=True)
        ring = found["io_uring"]
        self.assertTrue(ring["available"] and ring["usable"], ring)
        self.assertEqual(ring["why"], "")
        tls = found["kernel_tls"]
        self.assertTrue(tls["available"], tls)
        both = {c["cipher"] for c in tls["ciphers"] if c["tx"] and c["rx"]}
        self.assertEqual(both, CIPHERS, tls)
        release = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
        self.assertEqual(tls["rekey"], release >= (6, 14), tls)
        self.assertEqual(tls["splice_pages"], release >= (6, 5), tls)
        lacking = {f["id"] for f in found["kernel_fixes"]["fixes"] if not f["there"]}
        self.assertEqual("CVE-2026-23240" in lacking, release < (6, 12), found["kernel_fixes"])


class Unit(unittest.TestCase):
    """A test for each of meson's own, added below."""


def unit_test(row):
    """A unittest method that runs one of meson's tests."""
    def run(self):
        done = subprocess.run(row["cmd"], cwd=row["workdir"], env=dict(os.environ, **row["env"]),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120 * PATIENCE)
        said = done.stdout.decode(errors="replace")
        bad = [line for line in said.splitlines()
               if re.search("ERROR|FAILED|LINE|not ok|Sanitizer", line)]
        self.assertEqual(done.returncode, 0, "\n".join(["", *bad[-40:], said[-1000:]]))
    return run


def unit_tests_add():
    with open(os.path.join(BUILD, "meson-info", "intro-tests.json"), encoding="utf-8") as f:
        rows = json.load(f)
    for row in rows:
        place = re.search(r"/tests/unit/([a-z_]+)/test_([a-z0-9_]+)$", row["cmd"][0])
        if place and place[1] in UNIT_FOLDERS:
            setattr(Unit, f"test_{place[1]}_{place[2]}", unit_test(row))


if __name__ == "__main__":
    unit_tests_add()
    tap.main()
