#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does a peer that changes its keys in a session get its mail through, whoever deals with the
records? Where the kernel does and can't change keys, the session ends before the message is
complete, and the next one of that peer, with postern's own records, gets through. The peers that
send KeyUpdates are OpenSSL's s_client and s_server, driven by their command letters."""
import array
import fcntl
import os
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE, Client, tls_context, wait_for  # noqa: E402
from gateway import free_port, platform, route  # noqa: E402
from setup import Case  # noqa: E402


class Openssl:
    """A program of openssl's that sends the lines it is given, and what it was told by its peer."""

    def __init__(self, *words):
        self.heard, self.grew = b"", threading.Condition()
        self.process = subprocess.Popen(["openssl", *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self.grew:
                self.heard += data
                self.grew.notify_all()
        with self.grew:
            self.heard += b"\nEND"
            self.grew.notify_all()

    def say(self, line):
        """A letter is a command only at the beginning of what the program reads at once: what was
        said before must be gone from the pipe."""
        try:
            wait_for(lambda: not self.unread() or self.process.poll() is not None, 20,
                     "openssl reads what it is to send")
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it heard before tells

    def unread(self):
        size = array.array("i", [0])
        fcntl.ioctl(self.process.stdin.fileno(), termios.FIONREAD, size)
        return size[0]

    def wait(self, *words, after=0):
        """(which of the words came first, the place behind it)."""
        with self.grew:
            def found():
                places = [(self.heard.find(w, after), w) for w in words]
                places = [p for p in places if p[0] >= 0]
                return min(places) if places else None
            if not self.grew.wait_for(found, 20 * PATIENCE):
                raise AssertionError(f"none of {words} in {self.heard[-2000:]!r}")
            place, word = found()
            return word, place + len(word)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


class Rekey(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        found = platform()["kernel_tls"]
        cls.kernel = any(c["rx"] and c["tx"] for c in found["ciphers"])
        cls.can = found["rekey"] or not cls.kernel

    def settings(self):
        return {"gateway": {"dataplane": "ktls", "kernel_fixes": "warn"} if self.kernel else
                {"dataplane": "uring"}}

    def send(self, gateway, letter):
        """A message whose sender changes keys in the body: the final answer, or b"" for none."""
        host, port = gateway.address()
        c = Openssl("s_client", "-starttls", "smtp", "-connect", f"{host}:{port}", "-tls1_3",
                    "-crlf", "-brief")
        self.addCleanup(c.end)
        at = 0
        # s_client takes lines that begin with R for commands of its own.
        for say, hear in ((None, b"CONNECTION ESTABLISHED"), ("ehlo me", b"250 "),
                          ("mail from:<a@example.net>", b"250 "),
                          ("rcpt to:<b@hop.example>", b"250 "), ("data", b"354 ")):
            if say:
                c.say(say)
            _, at = c.wait(hear, after=at)
        for line in ("Subject: keys", "", "before", letter, "after", "."):
            c.say(line)
        word, _ = c.wait(b"250 ", b"421 ", b"451 ", b"END", b"alert", after=at)
        return word

    def check_client(self, letter):
        gateway, sink = self.pair(settings=self.settings())
        first = self.send(gateway, letter)
        if self.can:
            self.assertEqual(first, b"250 ")
        else:
            self.assertIn(first, (b"END", b"alert"))
            wait_for(lambda: gateway.events("session"), 10, "the session's end is logged")
            self.assertEqual(sink.messages, [])
            self.assertEqual(gateway.ctl_json("status")["records"]["peers_without"], 1)
            self.assertEqual(self.send(gateway, letter), b"250 ")
        self.assertEqual(len(sink.messages), 1)
        self.assertIn(b"before\r\nafter\r\n", sink.messages[0].body)

    def test_a_client_that_asks_for_ours_too(self):
        self.check_client("K")

    def test_a_client_that_changes_its_own(self):
        self.check_client("k")

    def hop_serve(self, hop, letter):
        """One message; how it ended: b"QUIT" or the like, or what ended the connection."""
        at = 0
        for say, hear in (("220 hop.example ESMTP", b"EHLO"), ("250 hop.example", b"MAIL"),
                          ("250 2.1.0 ok", b"RCPT"), ("250 2.1.5 ok", b"DATA"),
                          ("354 go", b"before\r\n")):
            hop.say(say)
            _, at = hop.wait(hear, after=at)
        hop.say(letter)
        wait_for(lambda: not hop.unread(), 20, "openssl reads the command")
        time.sleep(0.3 * PATIENCE)  # the KeyUpdate is to arrive before what the sender does next
        self.changed.set()
        word, at = hop.wait(b"\n.\r\n", b"END", b"ERROR", b"DONE", b"closed", after=at)
        if word == b"\n.\r\n":
            hop.say("250 2.0.0 taken")
        return word

    def message_to(self, gateway):
        """The final answer to a message whose next hop changes keys in the middle."""
        with Client(gateway.address()) as c:
            c.starttls(tls_context())
            c.transaction("a@example.net", ["b@hop.example"])
            c.expect(354, "DATA")
            c.send(b"Subject: keys\r\n\r\nbefore\r\n" + b"padding\r\n" * 8000)
            self.assertTrue(self.changed.wait(20 * PATIENCE))
            c.send(b"after\r\n.\r\n")
            return c.reply()

    def try_hop(self, gateway, port, letter):
        self.changed = threading.Event()
        cert, key = self.sink_cert
        hop = Openssl("s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key,
                      "-tls1_3", "-crlf", "-naccept", "1")
        try:
            hop.wait(b"ACCEPT")
            ended = []
            server = threading.Thread(target=lambda: ended.append(self.hop_serve(hop, letter)))
            server.start()
            reply = self.message_to(gateway)
            server.join(30 * PATIENCE)
            return reply, ended
        finally:
            hop.end()

    def check_hop(self, letter):
        port = free_port()
        gateway = self.gateway([route("hop.example", port, tls={"mode": "implicit"})],
                               settings=self.settings())
        reply, ended = self.try_hop(gateway, port, letter)
        if not self.can:
            self.assertEqual(reply[0], 451, reply)
            self.assertNotEqual(ended, [b"\n.\r\n"])
            self.assertEqual(gateway.ctl_json("status")["records"]["peers_without"], 1)
            reply, ended = self.try_hop(gateway, port, letter)
        self.assertEqual((reply[0], ended), (250, [b"\n.\r\n"]), reply)

    def test_a_next_hop_that_asks_for_ours_too(self):
        self.check_hop("K")

    def test_a_next_hop_that_changes_its_own(self):
        self.check_hop("k")


if __name__ == "__main__":
    tap.main()
