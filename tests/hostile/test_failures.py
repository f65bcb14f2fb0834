#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does the failure table of DESIGN.md hold when each side is killed at each point: no message lost,
none delivered in part, and the right code for whoever is left?"""
import glob
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE, Client, Closed, wait_for  # noqa: E402
from gateway import route  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402
from sink import CUT, STALL  # noqa: E402

MESSAGE = b"Subject: failure\r\n\r\nbody\r\n"
PART = b"Subject: part\r\n\r\n" + b"half of a line of a body of a message\r\n" * 3000


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    out = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                out.append(int(path.split("/")[2]))
        except OSError:
            pass
    return out


def holds_port(pid, port):
    """The process has an established connection with that local port."""
    inodes = set()
    for table in glob.glob(f"/proc/{pid}/net/tcp*"):  # a kernel may have no IPv6
        with open(table) as f:
            for line in list(f)[1:]:
                words = line.split()
                if words[3] == "01" and int(words[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(words[9])
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            link = os.readlink(fd)
        except OSError:
            continue
        if link.startswith("socket:[") and link[8:-1] in inodes:
            return True
    return False


class SenderVanishes(Case):
    """"Sender vanishes in the body: connection cut, no final dot"."""

    def vanish(self, framing, caps, tls, how):
        gateway, sink = self.pair(caps=caps)
        client = Client(gateway.address())
        if tls:
            client.starttls()
        else:
            client.expect(220)
            client.expect(250, "EHLO client.example")
        client.transaction("a@client.example", ["x@hop.example"])
        if framing == "data":
            client.expect(354, "DATA")
            client.send(PART)
        else:
            client.send(b"BDAT %d LAST\r\n" % (len(PART) + 10) + PART)
        wait_for(lambda: any(l.startswith(("DATA", "BDAT")) for l in sink.lines()), 5, "the body")
        time.sleep(0.1)
        how(client)
        wait_for(lambda: not sink.open, 10, "the next hop's connection to be cut")
        self.assertEqual(sink.complete, [])
        self.assertNotIn("RSET", sink.lines())
        with Client(gateway.address()) as again:  # nobody else noticed
            again.starttls()
            again.transaction("a@client.example", ["x@hop.example"])
            self.assertEqual(again.data(MESSAGE)[0], 250)

    @staticmethod
    def end(client):
        client.sock.shutdown(socket.SHUT_RDWR)
        client.close()

    def test_data_end(self):
        self.vanish("data", NO_CHUNKING, False, self.end)

    def test_data_reset(self):
        self.vanish("data", NO_CHUNKING, False, Client.reset)

    def test_data_to_bdat_end(self):
        self.vanish("data", None, False, self.end)

    def test_bdat_end(self):
        self.vanish("bdat", None, False, self.end)

    def test_bdat_to_data_end(self):
        self.vanish("bdat", NO_CHUNKING, False, self.end)

    def test_tls_truncation(self):
        """The end of TCP without close_notify is never the end of a body."""
        def truncate(client):
            client.sock.shutdown(socket.SHUT_WR)
            client.close()
        for framing in ("data", "bdat"):
            self.vanish(framing, None, True, truncate)

    def test_tls_close_notify(self):
        """Nor is a close_notify in mid-body."""
        def notify(client):
            client.sock.settimeout(1)
            try:
                client.sock.unwrap()
            except OSError:
                pass
            client.close()
        self.vanish("data", NO_CHUNKING, True, notify)

    def test_between_chunks(self):
        gateway, sink = self.pair()
        with Client(gateway.address()) as client:
            client.starttls()
            client.transaction("a@client.example", ["x@hop.example"])
            client.send(b"BDAT %d\r\n" % len(PART) + PART)
            client.expect(250)
        time.sleep(0.3)
        self.assertEqual(sink.complete, [])
        self.assertFalse(any("LAST" in l for l in sink.lines()))

    def test_after_the_final_dot(self):
        """"Nothing, or a reset; it retries": the message is complete at the next hop, once."""
        gate = threading.Event()

        def wait(_):
            gate.wait(10)
            return "250 2.0.0 stored"
        gateway, sink = self.pair(behave={"FINAL": wait})
        client = Client(gateway.address())
        client.starttls()
        client.transaction("a@client.example", ["x@hop.example"])
        client.expect(354, "DATA")
        client.send(MESSAGE + b".\r\n")
        wait_for(lambda: sink.complete or any("LAST" in l for l in sink.lines()), 5, "the end")
        client.reset()
        gate.set()
        wait_for(lambda: len(sink.messages) == 1, 5, "the message")
        with Client(gateway.address()) as again:
            again.starttls()
            again.expect(250, "NOOP")


class NextHopVanishes(Case):
    """Before DATA: 451. "Next hop vanishes before its final reply: 451 4.4.2"."""

    def vanish(self, place, act, caps=None, limits=None):
        """Returns the code at which the sender heard of it; the session must go on."""
        gateway, sink = self.pair(caps=caps, behave={place: act},
                                  settings={"limits": limits or {}})
        with Client(gateway.address(), timeout=30) as client:
            client.starttls()
            client.expect(250, "MAIL FROM:<a@client.example>")
            code, lines = client.command("RCPT TO:<x@hop.example>")
            if code == 250 and caps:
                code, lines = client.command("DATA")
                if code == 354:
                    client.send(MESSAGE + b".\r\n")
                    code, lines = client.reply()
            elif code == 250:
                code, lines = client.bdat([MESSAGE[:5], MESSAGE[5:]])
            self.assertEqual(sink.messages, [])
            client.expect(250, "NOOP")
            client.expect(250, "RSET")
        return lines[-1]

    def bodies(self, place, act, limits=None):
        return {self.vanish(place, act, NO_CHUNKING, limits), self.vanish(place, act, None, limits)}

    def test_before_rcpt_is_answered(self):
        for place in ("GREETING", "EHLO", "STARTTLS", "MAIL", "RCPT"):
            for act in (CUT, "RESET"):
                with self.subTest(f"{place} {act}"):
                    line = self.vanish(place, act)
                    self.assertRegex(line, r"^451 4\.[47]\.\d ")

    def test_at_data(self):
        for act in (CUT, "RESET"):
            self.assertRegex(self.vanish("DATA", act, NO_CHUNKING), r"^451 4\.4\.2 ")

    def test_at_the_final_reply(self):
        for act in (CUT, "RESET"):
            for line in self.bodies("FINAL", act):
                self.assertRegex(line, r"^451 4\.4\.2 ")

    def test_stalls(self):
        limits = {"hop_command_timeout_s": 1, "hop_final_timeout_s": 1, "hop_connect_timeout_s": 1}
        for place, code in (("GREETING", r"451 4\.4\.\d"), ("EHLO", r"451 4\.4\.\d"),
                            ("RCPT", r"451 4\.4\.\d"), ("FINAL", r"451 4\.4\.2")):
            with self.subTest(place):
                self.assertRegex(self.vanish(place, STALL, NO_CHUNKING, limits), "^" + code)

    def test_handshake_stalls(self):
        """A next hop that never answers the ClientHello."""
        def silent(connection):
            connection.sock.sendall(b"220 2.0.0 go\r\n")
            connection.sink.stalled.wait(30 * PATIENCE)
            return CUT
        line = self.vanish("STARTTLS", silent, None,
                           {"hop_command_timeout_s": 2, "handshake_timeout_s": 2, "hop_budget_s": 4})
        self.assertRegex(line, r"^451 4\.[47]\.\d ")

    def test_in_the_body(self):
        """The rest is drained, then the sender hears 451; nothing is complete."""
        for caps in (NO_CHUNKING, None):
            gateway, sink = self.pair(caps=caps)
            with Client(gateway.address(), timeout=30) as client:
                client.starttls()
                client.transaction("body-cut@client.example", ["x@hop.example"])
                code, lines = client.data(PART * 20)
                self.assertEqual(code, 451, lines)
                client.expect(250, "NOOP")
            self.assertEqual(sink.complete, [])

    def test_early_refusal_in_the_body(self):
        """A next hop that refuses before the end is believed, and only once."""
        def refuse(connection):
            connection.sock.sendall(b"354 go on\r\n")
            time.sleep(0.1)
            return b"552 5.3.4 too much\r\n"
        gateway, sink = self.pair(caps=NO_CHUNKING, behave={"DATA": refuse})
        with Client(gateway.address(), timeout=30) as client:
            client.starttls()
            client.transaction("a@client.example", ["x@hop.example"])
            client.expect(354, "DATA")
            client.send(PART)
            time.sleep(0.4)
            client.send(PART + b".\r\n")
            code, lines = client.reply()
            self.assertIn(code, (451, 552), lines)
            client.expect(250, "NOOP")
        self.assertEqual(sink.messages, [])

    def test_stale_pooled_connection(self):
        """A connection that died in the pool costs nobody a message."""
        gateway, sink = self.pair()
        with Client(gateway.address()) as client:
            client.starttls()
            for i in range(4):
                client.transaction("a@client.example", ["x@hop.example"])
                code, lines = client.data(MESSAGE)
                self.assertEqual(code, 250, lines)
                if i == 1:
                    sink.kill()
                    time.sleep(0.3)
                if i == 2:
                    sink.kill()  # and again, without a moment to notice
        self.assertEqual(len(sink.messages), 4)


class GatewayVanishes(Case):
    def workers(self, gateway, client):
        """The process that serves this client."""
        port = client.sock.getpeername()[1]
        return [p for p in children(gateway.process.pid) if holds_port(p, port)]

    def test_worker_crash_before_the_final_dot(self):
        """"Connection reset; it retries | connection reset, no final dot"; a neighbour accepts
        meanwhile and the worker is started again."""
        gateway, sink = self.pair(settings={"gateway": {"workers": 2}}, caps=NO_CHUNKING)
        client = Client(gateway.address())
        client.starttls()
        client.transaction("a@client.example", ["x@hop.example"])
        client.expect(354, "DATA")
        client.send(PART)
        time.sleep(0.2)
        victims = self.workers(gateway, client)
        self.assertEqual(len(victims), 1)
        os.kill(victims[0], signal.SIGKILL)
        with self.assertRaises((Closed, OSError)):
            for _ in range(100):
                client.send(PART)
                time.sleep(0.05)
            client.line()
        wait_for(lambda: not sink.open, 5, "the next hop's connection to end")
        self.assertEqual(sink.complete, [])
        for _ in range(20):  # both slots accept, now or after the restart
            with Client(gateway.address(), timeout=15) as again:
                again.starttls()
                again.transaction("a@client.example", ["x@hop.example"])
                self.assertEqual(again.data(MESSAGE)[0], 250)
        wait_for(lambda: sum(alive(p) for p in children(gateway.process.pid)) >= 3, 10, "a new worker")

    def test_sigterm_drains(self):
        """An open transaction goes on to its end; an idle session hears 421."""
        gateway, sink = self.pair()
        idle, busy = Client(gateway.address()), Client(gateway.address())
        idle.starttls()
        busy.starttls()
        busy.transaction("a@client.example", ["x@hop.example"])
        busy.expect(354, "DATA")
        gateway.process.send_signal(signal.SIGTERM)
        idle.expect(421)
        busy.send(MESSAGE + b".\r\n")
        busy.expect(250)
        self.assertEqual(len(sink.messages), 1)
        self.assertEqual(gateway.process.wait(10 * PATIENCE), 0)

    def test_sighup_reloads(self):
        """New sessions get the new configuration; old ones finish."""
        gateway, _ = self.pair()
        old = Client(gateway.address())
        old.starttls()
        old.transaction("a@client.example", ["x@hop.example"])
        other = self.sink()
        gateway.routes.append(route("new.example", other.port))
        gateway.config_write()
        gateway.process.send_signal(signal.SIGHUP)

        def routed():
            with Client(gateway.address()) as client:
                # Old workers say 421 to sessions that begin in between; none is reset.
                code, _ = client.reply()
                for text in ("EHLO c.example", "MAIL FROM:<a@client.example>",
                             "RCPT TO:<x@new.example>"):
                    if code in (220, 250):
                        code, _ = client.command(text)
                self.assertIn(code, (250, 421, 550))
                return code == 250
        wait_for(routed, 10, "the new route")
        self.assertEqual(old.data(MESSAGE)[0], 250)

    def test_wrong_reload_changes_nothing(self):
        gateway, _ = self.pair()
        gateway.routes[0]["nonsense"] = 1
        gateway.config_write()
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "nonsense" in gateway.log(), 10, "the log to say so")
        with Client(gateway.address()) as client:
            client.starttls()
            client.transaction("a@client.example", ["x@hop.example"])
            self.assertEqual(client.data(MESSAGE)[0], 250)


if __name__ == "__main__":
    tap.main()
