#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is each limit enforced, with a clear code, and does what stays within it go on? (Those that a
transcript can show are in tests/session.)"""
import glob
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from client import PATIENCE, Client, Closed, tls_context, wait_for  # noqa: E402
from setup import NO_CHUNKING, Case  # noqa: E402

MESSAGE = b"Subject: limits\r\n\r\nbody\r\n"
# Growth that is no leak of tens of megabytes: AddressSanitizer keeps freed memory for a while.
ROOM_KB = 8192 if "asan" not in os.environ.get("POSTERN_BUILD", "") else 16384


def memory_kb(pid):
    """Proportional memory of a process and what it started."""
    total = 0
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(path + "/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            if parent == pid or path == f"/proc/{pid}":
                with open(path + "/smaps_rollup") as f:
                    total += sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
        except OSError:
            pass
    return total


class Limits(Case):
    def limited(self, caps=None, behave=None, route_more=None, listeners=None, **limits):
        return self.pair(settings={"limits": limits}, caps=caps, behave=behave,
                         route_more=route_more, listeners=listeners)

    def greeted(self, gateway, listener="internet", source=None):
        client = Client(gateway.address(listener), timeout=10, source=source)
        self.addCleanup(client.close)
        return client, client.reply()

    def test_sessions(self):
        gateway, _ = self.limited(max_sessions=5)
        held = [self.greeted(gateway) for _ in range(5)]
        self.assertEqual({reply[0] for _, reply in held}, {220})
        client, (code, lines) = self.greeted(gateway)
        self.assertEqual((code, lines[0][:9]), (421, "421 4.3.2"))
        self.assertTrue(client.closed())
        held[0][0].expect(221, "QUIT")
        held[0][0].close()
        wait_for(lambda: self.greeted(gateway)[1][0] == 220, 5, "a session to be free again")

    def test_sessions_per_address(self):
        gateway, _ = self.limited(max_sessions_per_address=3)
        for _ in range(3):
            self.assertEqual(self.greeted(gateway)[1][0], 220)
        self.assertEqual(self.greeted(gateway)[1][0], 421)
        self.assertEqual(self.greeted(gateway, source=("127.0.0.2", 0))[1][0], 220)

    def test_silent_before_a_handshake(self):
        gateway, _ = self.limited(handshake_timeout_s=1, listeners=[
            {"name": "internet", "address": "127.0.0.1:0", "tls": "implicit"}])
        client = Client(gateway.address(), timeout=5)
        self.assertTrue(client.closed(5))

    def test_slow_handshake(self):
        """A ClientHello byte by byte ends at the limit, however it trickles."""
        gateway, _ = self.limited(handshake_timeout_s=1)
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        client.expect(220, "STARTTLS")
        began = time.monotonic()
        with self.assertRaises((OSError, Closed)):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(500):
                client.send(bytes([byte]))
                time.sleep(0.1)
        self.assertLess(time.monotonic() - began, 6)

    def test_slow_command(self):
        """The time is for the command, not for each byte."""
        gateway, _ = self.limited(command_timeout_s=1)
        client, _ = self.greeted(gateway)
        began = time.monotonic()
        heard = []
        client.sock.settimeout(0.2)
        while time.monotonic() - began < 6 and not heard:
            try:
                client.send(b"x")
                heard.append(client.line())
            except TimeoutError:
                continue
            except (OSError, Closed):
                heard.append("closed")
        self.assertIn(heard[0][:9], ("421 4.4.2", "closed"))
        self.assertLess(time.monotonic() - began, 5)

    def test_silent_body(self):
        gateway, sink = self.limited(data_timeout_s=1)
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        client.transaction("a@client.example", ["x@hop.example"])
        client.expect(354, "DATA")
        client.send(b"Subject: slow\r\n\r\n")
        client.expect(421)
        self.assertTrue(client.closed())
        self.assertEqual(sink.complete, [])

    def test_next_hop_is_slow_with_the_final_reply(self):
        gateway, sink = self.limited(behave={"FINAL": "STALL"}, hop_final_timeout_s=1)
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        client.transaction("a@client.example", ["x@hop.example"])
        code, lines = client.data(MESSAGE)
        self.assertEqual((code, lines[0][:9]), (451, "451 4.4.2"))

    def test_connections_to_a_next_hop(self):
        """max_connections holds; who waits too long hears 451, who doesn't is served."""
        gateway, sink = self.limited(route_more={"max_connections": 2}, hop_budget_s=2)
        held = []
        for _ in range(2):
            client, _ = self.greeted(gateway)
            client.expect(250, "EHLO client.example")
            client.transaction("a@client.example", ["x@hop.example"])
            held.append(client)
        waiting, _ = self.greeted(gateway)
        waiting.expect(250, "EHLO client.example")
        waiting.expect(250, "MAIL FROM:<a@client.example>")
        code, lines = waiting.command("RCPT TO:<x@hop.example>")
        self.assertEqual(code, 451, lines)
        self.assertLessEqual(len(sink.open), 2)
        self.assertEqual(held[0].data(MESSAGE)[0], 250)
        waiting.expect(250, "RSET")
        waiting.transaction("a@client.example", ["x@hop.example"])
        self.assertEqual(waiting.data(MESSAGE)[0], 250)
        self.assertLessEqual(len(sink.open), 2)

    def test_message_size_by_chunks(self):
        gateway, sink = self.limited(max_message=65536)
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        client.transaction("a@client.example", ["x@hop.example"])
        codes = []
        for _ in range(5):
            client.send(b"BDAT 20000\r\n" + b"x" * 20000)
            codes.append(client.reply()[0])
        client.send(b"BDAT 2 LAST\r\n\r\n")
        codes.append(client.reply()[0])
        self.assertIn(552, codes)
        self.assertEqual(sink.complete, [])
        client.expect(250, "NOOP")

    def test_huge_chunk_announced(self):
        """A size beyond any number is a syntax error or 552; nothing overflows."""
        for size in (b"18446744073709551615", b"99999999999999999999999", b"9223372036854775808",
                     b"-1", b"4294967296"):
            gateway_needed = not hasattr(self, "shared")
            if gateway_needed:
                self.shared, _ = self.limited()
            client, _ = self.greeted(self.shared)
            client.expect(250, "EHLO client.example")
            client.transaction("a@client.example", ["x@hop.example"])
            client.send(b"BDAT " + size + b" LAST\r\n")
            client.sock.settimeout(1)
            try:
                self.assertEqual(client.reply()[0] // 100, 5, size)
            except (TimeoutError, Closed):
                pass  # it reads a chunk that never ends, or gave up
            client.close()
        self.assertEqual(self.greeted(self.shared)[1][0], 220)

    def test_memory_of_a_stalled_next_hop(self):
        """A sender that is faster than the next hop fills its own buffers, not ours."""
        gateway, sink = self.limited(caps=NO_CHUNKING, behave={"DATA": slow_reader})
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        client.transaction("a@client.example", ["x@hop.example"])
        client.expect(354, "DATA")
        before = memory_kb(gateway.process.pid)
        client.sock.settimeout(1)
        sent = 0
        try:
            for _ in range(2000):
                client.sock.sendall(b"a line of fifty bytes of a body that is very long\r\n" * 1000)
                sent += 51000
        except (TimeoutError, OSError):
            pass
        self.assertLess(sent, 60 << 20)
        self.assertLess(memory_kb(gateway.process.pid) - before, ROOM_KB)

    def test_stalled_next_hop_stalls_nobody_else(self):
        """One that reads nothing of a chunk, which may go to it by splice."""
        gateway, _ = self.limited(behave={"RCPT": deaf})
        client = Client(gateway.address(), timeout=20 * PATIENCE)
        self.addCleanup(client.close)
        client.starttls()
        client.transaction("a@client.example", ["x@hop.example"])
        client.sock.settimeout(1)
        client.send(b"BDAT 50000000 LAST\r\n")
        with self.assertRaises(TimeoutError):
            for _ in range(50):
                client.send(bytes(1000000))
        self.assertEqual(self.greeted(gateway)[1][0], 220)
        with self.assertRaises(TimeoutError):  # and by the same worker: it was not replaced
            client.send(bytes(50000000))

    def test_pipelined_flood(self):
        """Megabytes of commands in one go are answered at the client's pace of reading."""
        gateway, _ = self.limited(max_commands=1000000, max_errors=1000)
        client, _ = self.greeted(gateway)
        client.expect(250, "EHLO client.example")
        before = memory_kb(gateway.process.pid)
        client.sock.settimeout(1)
        try:
            for _ in range(400):
                client.sock.sendall(b"NOOP\r\n" * 10000)
        except (TimeoutError, OSError):
            pass
        self.assertLess(memory_kb(gateway.process.pid) - before, ROOM_KB)

    def test_forged_records(self):
        """A record that is not authentic ends the session, and nothing of it is believed."""
        gateway, sink = self.limited()
        for record in (b"\x17\x03\x03\x00\x20" + os.urandom(32), b"\x17\x03\x03\x48\x01",
                       b"\x17\x03\x03\x00\x00", b"\x16\x03\x03\x00\x04\x00\x00\x00\x00",
                       b"\x15\x03\x03\x00\x02\x01\x00", b"GET / HTTP/1.0\r\n\r\n"):
            with self.subTest(record[:5]):
                raw = socket.create_connection(gateway.address(), 5)
                client = Client.__new__(Client)
                client.sock, client.buffer = raw, b""
                client.expect(220)
                client.expect(250, "EHLO client.example")
                client.expect(220, "STARTTLS")
                copy = socket.socket(fileno=os.dup(raw.fileno()))
                client.tls(tls_context())
                client.transaction_started = client.expect(250, "EHLO client.example")
                client.expect(250, "MAIL FROM:<a@client.example>")
                copy.sendall(record)
                copy.settimeout(5 * PATIENCE)
                try:
                    while copy.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
                copy.close()
                client.close()
        self.assertEqual(self.greeted(gateway)[1][0], 220)

    def test_handshake_garbage(self):
        gateway, _ = self.limited()
        for garbage in (os.urandom(600), b"\x16\x03\x01\xff\xff" + os.urandom(100),
                        b"\x80\x2e\x01\x00\x02" + os.urandom(50), b"EHLO x\r\n" * 50, b"\x16" * 300):
            client, _ = self.greeted(gateway)
            client.expect(250, "EHLO client.example")
            client.expect(220, "STARTTLS")
            client.send(garbage)
            client.sock.settimeout(5 * PATIENCE)
            try:
                while client.sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            except TimeoutError:
                client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.greeted(gateway)[1][0], 220)

    def test_many_at_once(self):
        """Two hundred sessions at a time, each with a message; none is lost or doubled."""
        gateway, sink = self.limited(max_sessions_per_address=1000,
                                     route_more={"max_connections": 200})
        clients = []
        for i in range(200):
            client = Client(gateway.address(), timeout=30)
            self.addCleanup(client.close)
            clients.append(client)
        for client in clients:
            client.expect(220)
            client.send("EHLO c.example\r\n")
        for client in clients:
            client.expect(250)
            client.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<x@hop.example>\r\nDATA\r\n")
        for i, client in enumerate(clients):
            for code in (250, 250, 354):
                client.expect(code)
            client.send(b"Subject: many %d.\r\n\r\nbody\r\n.\r\n" % i)
            client.expect(250)
        subjects = {m.body[m.body.index(b"Subject:"):] for m in sink.messages}
        self.assertEqual((len(sink.messages), len(subjects)), (200, 200))


def slow_reader(connection):
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.sock.sendall(b"354 go on\r\n")
    connection.sink.stalled.wait(20 * PATIENCE)
    return "CUT"


def deaf(connection):
    connection.sock.sendall(b"250 2.1.5 go on\r\n")
    connection.sink.stalled.wait(20 * PATIENCE)
    return "CUT"


if __name__ == "__main__":
    tap.main()
