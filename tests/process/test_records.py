#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who seals and opens TLS records: is it chosen by what this kernel and processor can, refused where
it can't be had, measured once, and told? What this kernel can is taken from postern-platform."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import Client, tls_context, wait_for  # noqa: E402
from gateway import Gateway, platform, route  # noqa: E402
from setup import Case  # noqa: E402

EX_CONFIG = 78


class Records(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        found = platform()
        cls.can = any(c["rx"] or c["tx"] for c in found["kernel_tls"]["ciphers"])
        cls.why_not = found["kernel_tls"]["why"]
        cls.lacking = [f["id"] for f in found["kernel_fixes"]["fixes"] if not f["there"]]

    def served(self, **gateway):
        return self.gateway([route("hop.example", 9, "none")], settings={"gateway": gateway})

    def records(self, gateway):
        wait_for(lambda: gateway.ctl_json("status")["state"] == "serving", 10,
                 "workers are ready")
        said = gateway.ctl_json("status")
        worker = [p for p in said["processes"] if p["process"] == "worker/0"][0]
        self.assertEqual(worker["records"], said["records"]["way"])
        self.assertEqual((worker["kernel_receive"], worker["kernel_send"]), (0, 0))
        shown = gateway.ctl("status")[1]
        self.assertIn(said["records"]["why"] + "\n", shown)
        self.assertEqual(gateway.events("records")[-1],
                         {key: said["records"][key] for key in ("way", "why")})
        rows = {line.split()[0]: line for line in shown.splitlines() if line}
        self.assertRegex(rows["worker/0"], rf"\b0 +0 +{worker['records']}$")
        self.assertRegex(rows["resolver"], r" - +- +-$")
        return said["records"]

    def refused(self, **gateway):
        made = Gateway([route("hop.example", 9, "none")], settings={"gateway": gateway},
                       authority=self.authority)
        code, said = made.check()
        self.assertEqual(code, EX_CONFIG, said)
        with self.assertRaises(AssertionError):
            made.start()
        self.assertIn(said.split(": ", 1)[1].strip(), made.log())
        return said

    def test_uring_is_our_own(self):
        said = self.records(self.served(dataplane="uring"))
        self.assertEqual((said["way"], said["kernel_receive"], said["kernel_send"]),
                         ("user", False, False))
        self.assertEqual(said["why"], "user records: the configuration says uring")
        self.assertEqual(said["measured"], {})

    def test_auto_does_without_a_kernel_that_cannot_or_lacks_fixes(self):
        if self.can and not self.lacking:
            self.skipTest("this kernel has TLS and all fixes")
        said = self.records(self.served(dataplane="auto"))
        self.assertEqual(said["way"], "user")
        self.assertIn(self.lacking[0] if self.can else self.why_not, said["why"])

    def test_ktls_is_refused_where_it_cannot_be_had(self):
        if self.can:
            self.skipTest("this kernel has TLS")
        for fixes in ("require", "warn"):
            said = self.refused(dataplane="ktls", kernel_fixes=fixes)
            self.assertIn("gateway.dataplane", said)
            self.assertIn(self.why_not, said)

    def test_ktls_is_refused_where_fixes_are_lacking(self):
        if not self.can or not self.lacking:
            self.skipTest("this kernel has no TLS, or all fixes")
        said = self.refused(dataplane="ktls")
        for fix in self.lacking:
            self.assertIn(fix, said)
        self.assertIn('kernel_fixes = "warn"', said)

    def test_ktls_without_fixes_is_run_with_a_warning(self):
        if not self.can:
            self.skipTest("this kernel has no TLS")
        made = self.served(dataplane="ktls", kernel_fixes="warn")
        said = self.records(made)
        self.assertEqual((said["way"], said["kernel_receive"], said["kernel_send"],
                          said["after_bytes"]), ("kernel", True, True, 0))
        if self.lacking:
            self.assertIn("; this kernel lacks the fix of " + self.lacking[0], said["why"])

    def test_connections_of_the_kernel_are_counted(self):
        if not self.can:
            self.skipTest("this kernel has no TLS")
        made = self.served(dataplane="ktls", kernel_fixes="warn")
        with Client(made.address()) as c:
            c.starttls(tls_context())
            def worker():
                rows = made.ctl_json("status")["processes"]
                return next(r for r in rows if r["process"] == "worker/0")
            wait_for(lambda: (worker()["kernel_receive"], worker()["kernel_send"]) == (1, 1), 10,
                     "the connection is counted")
            self.assertRegex(made.ctl("status")[1], r"(?m)^worker/0 .* 1 +1 +kernel$")

    def aead(self, gateway):
        wait_for(lambda: gateway.ctl_json("status")["state"] == "serving", 10,
                 "workers are ready")
        said = gateway.ctl_json("status")["aead"]
        self.assertIn(f"\nAES-GCM by {said['why']}\n", gateway.ctl("status")[1])
        self.assertEqual(gateway.events("aead")[-1], said)
        with Client(gateway.address()) as c:
            c.starttls(tls_context())
            for _ in range(20):
                c.expect(250, "NOOP")
        return said

    def test_aead_is_as_configured_and_auto_is_the_fastest(self):
        auto = self.aead(self.served(aead="auto", dataplane="uring"))
        print("#", auto["why"], flush=True)
        if auto["by"] == "ipsec-mb":
            self.assertRegex(auto["why"], r"^libipsec-mb \S+: the processor has VAES and VPCLMULQDQ$")
        else:
            self.assertRegex(auto["why"], r"^OpenSSL \S+: \w")
        said = self.aead(self.served(aead="openssl", dataplane="uring"))
        self.assertEqual(said["by"], "openssl")
        self.assertRegex(said["why"], r"^OpenSSL \S+: the configuration says openssl$")
        if auto["by"] == "openssl":
            reason = auto["why"].split(": ", 1)[1]
            said = self.refused(aead="ipsec-mb")
            self.assertIn("gateway.aead", said)
            self.assertIn(reason, said)
            return
        said = self.aead(self.served(aead="ipsec-mb", dataplane="uring"))
        self.assertEqual(said["by"], "ipsec-mb")
        self.assertRegex(said["why"], r"^libipsec-mb \S+: the configuration says ipsec-mb$")

    def cache(self, gateway):
        with open(os.path.join(gateway.folder, "state", "record-cost"), "rb") as f:
            return f.read()

    def test_auto_measures_once(self):
        if not self.can:
            self.skipTest("this kernel has no TLS")
        made = self.served(dataplane="auto", kernel_fixes="warn")
        first = self.records(made)
        self.assertEqual(set(first["measured"]), {"user", "kernel-rx", "kernel-tx", "kernel"})
        self.assertIn("the CPU of user records here", first["why"])
        print("#", first["why"], flush=True)
        made.stop()
        kept = self.cache(made)
        made.start()
        self.assertEqual(self.records(made), first)
        made.stop()
        self.assertEqual(self.cache(made), kept)
        # Damaged, or of another machine: measured again, and written anew.
        for text in (kept[:-1], kept.replace(b"processor ", b"processor other ")):
            self.assertNotEqual(text, kept)
            with open(os.path.join(made.folder, "state", "record-cost"), "wb") as f:
                f.write(text)
            made.start()
            self.assertIn("the CPU of user records here", self.records(made)["why"])
            made.stop()
            self.assertNotEqual(self.cache(made), text)
            self.assertEqual(self.cache(made).split(b"\nuser ")[0], kept.split(b"\nuser ")[0])


if __name__ == "__main__":
    tap.main()
