#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is kept between builds (tests/lib/cache.sh): does what nobody uses go, and nothing else?"""
import os
import subprocess
import sys
import tempfile
import time
import unittest

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib")
sys.path.insert(0, LIB)
import tap  # noqa: E402

OLD, RECENT = 40, 20  # days
HASH, OTHER = "0123456789ab", "cdef01234567"


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def make(self, name, days):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.join(path, "usr"))
        self.age(path, days)

    @staticmethod
    def age(path, days):
        then = time.time() - days * 86400
        os.utime(path, (then, then))

    def use(self, name, first="true"):
        """first: a command before it, in a mount namespace of its own."""
        subprocess.run(["unshare", "--mount", "bash", "-euc", f'{first}; . "{LIB}/cache.sh"; cache_use "$1"', "_",
                        os.path.join(self.folder, name)], check=True, stdin=subprocess.DEVNULL)
        return sorted(os.listdir(self.folder))

    def test_a_machine_without_dev_fd(self):
        """As those are that tests start."""
        self.make(f"image-tools-{HASH}", 0)
        self.make(f"image-tools-{OTHER}", OLD)
        self.assertEqual(self.use(f"image-tools-{HASH}", "mount -t tmpfs tmpfs /dev"), [f"image-tools-{HASH}"])

    def test_an_older_one_goes_when_it_was_not_used_for_long(self):
        self.make(f"image-tools-{HASH}", 0)
        self.make(f"image-tools-{OTHER}", OLD)
        self.assertEqual(self.use(f"image-tools-{HASH}"), [f"image-tools-{HASH}"])

    def test_one_that_another_build_uses_stays(self):
        both = [f"image-tools-{HASH}", f"image-tools-{OTHER}"]
        self.make(both[0], 0)
        self.make(both[1], RECENT)
        self.assertEqual(self.use(both[0]), both)

    def test_what_is_used_stays_however_old_and_is_new_again(self):
        both = [f"dns-{HASH}", f"dns-{OTHER}"]
        for name in both:
            self.make(name, OLD)
        self.assertEqual(self.use(both[1]), both[1:])
        self.assertLess(time.time() - os.stat(os.path.join(self.folder, both[1])).st_mtime, 60)

    def test_what_an_interruption_left_goes(self):
        for suffix in ("", ".new", ".build", ".gone"):
            self.make(f"kernel-nic-tls-{OTHER}{suffix}", OLD)
        self.make(f"kernel-nic-tls-{HASH}.build", 0)
        self.make(f"kernel-nic-tls-{HASH}", 0)
        self.assertEqual(self.use(f"kernel-nic-tls-{HASH}"),
                         [f"kernel-nic-tls-{HASH}", f"kernel-nic-tls-{HASH}.build"])

    def test_other_kinds_and_files_stay(self):
        others = ["image-ccache", f"image-debs-{OTHER}", "kernel-6.1", f"postfix-new-{OTHER}", "postfix-old"]
        for name in others:
            self.make(name, OLD)
        lock = os.path.join(self.folder, f"postfix-{OTHER}.lock")
        with open(lock, "wb"):
            pass
        self.age(lock, OLD)
        self.make(f"postfix-{HASH}", 0)
        self.assertEqual(self.use(f"postfix-{HASH}"),
                         sorted([*others, os.path.basename(lock), f"postfix-{HASH}"]))


if __name__ == "__main__":
    tap.main()
