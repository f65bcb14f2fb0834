#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does a whole comparison run, with a relay of bytes beside the gateway, lose nothing, and leave
nothing behind? What the figures say is not asked here."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from gateway import BUILD  # noqa: E402

PROGRAM = os.path.join(BUILD, "postern-bench")
LIMIT_S = 200


class Compare(unittest.TestCase):
    def compare(self, *options):
        done = subprocess.run([PROGRAM, "compare", "--json", *options], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_a_short_run(self):
        out = tempfile.mkdtemp()
        found = self.compare("--quick", "--peers", "postern,haproxy", "--loads", "4k-100,idle", "--tls", "1.3",
                             "--out", out)
        self.assertEqual(found["problems"], [])
        self.assertEqual([c["relay"] for c in found["cells"]], ["postern", "haproxy"])
        for cell in found["cells"]:
            for got in cell["rounds"]:
                self.assertEqual(got["received"], cell["messages"])
                self.assertGreaterEqual(got["bytes"], cell["messages"] * 4096)
                self.assertEqual((got["duplicates"], got["corrupt"], got["plain"]), (0, 0, 0))
                self.assertGreater(got["cpu_ms"], 0)
                self.assertEqual(list(got["load"]["sessions"]["tls"]), ["TLSv1.3 TLS_AES_128_GCM_SHA256"])
            self.assertEqual(cell["latency"]["count"], 400)
        self.assertEqual([x["sessions"] for x in found["idle"]], [500, 500])
        self.assertEqual(len(found["limits"]), 1)
        self.assertEqual([b["text"].rpartition("x ")[2] for b in found["bars"]][:1], ["HAProxy"])
        with open(os.path.join(out, "compare.json"), encoding="utf-8") as f:
            self.assertEqual(json.load(f), found)
        with open("/proc/mounts", encoding="utf-8") as f:
            self.assertNotIn("postern-bench", f.read())
        again = self.compare("--from", os.path.join(out, "compare.json"), "--out", out)
        self.assertEqual(again, found)

    def test_what_it_does_not_know_it_says(self):
        for words in (("--peers", "sendmail"), ("--loads", "5k"), ("--tls", "1.1"), ("--rounds", "0")):
            done = subprocess.run([PROGRAM, "compare", *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("usage:", done.stderr)


if __name__ == "__main__":
    tap.main()
