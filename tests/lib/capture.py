# SPDX-License-Identifier: Apache-2.0
"""Captures TCP on the loopback interface, and judges what was plaintext in it."""
import re
import socket
import struct
import threading
import time

PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
TLS_TYPES = (20, 21, 22, 23)


class Capture:
    """Reads every packet of lo through AF_PACKET, from start to stop."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE: beyond rmem_max
        self.sock.bind(("lo", 3))
        self.sock.settimeout(0.1)
        self.segments = {}
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()

    def run(self):
        while True:
            try:
                packet, address = self.sock.recvfrom(1 << 17)
            except TimeoutError:
                if self.running:
                    continue
                return  # all that was kept for us is read
            if address[2] != PACKET_OUTGOING:  # lo shows each packet twice
                self.take(packet)

    def take(self, packet):
        if packet[0] >> 4 == 4 and packet[9] == 6:
            header = (packet[0] & 15) * 4
            packet = packet[:struct.unpack("!H", packet[2:4])[0] or len(packet)]
        elif packet[0] >> 4 == 6 and packet[6] == 6:
            header = 40
        else:
            return
        source, target, seq = struct.unpack("!HHI", packet[header:header + 8])
        flags = packet[header + 13]
        data = packet[header + (packet[header + 12] >> 4) * 4:]
        stream = self.segments.setdefault((source, target), [])
        if flags & 2:
            stream.append(("syn", seq, b""))
        elif data:
            stream.append(("data", seq, data))

    def stop(self):
        time.sleep(0.2)
        self.running = False
        self.thread.join()
        _, dropped = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.sock.close()
        if dropped:
            raise RuntimeError(f"{dropped} packets were not captured: nothing can be said of them")

    def streams(self, port):
        """Connections to that port, in order: [(to server, from server)] as bytes."""
        out = []
        for (source, target) in list(self.segments):
            if target == port:
                there = self.join(self.segments[(source, target)])
                back = self.join(self.segments.get((target, source), []))
                out += list(zip(there, back + [b""] * (len(there) - len(back))))
        return out

    @staticmethod
    def join(segments):
        """The byte streams, one for each SYN."""
        streams, parts, first = [], {}, None
        def flush():
            if first is None:
                return
            data = bytearray()
            for offset in sorted(parts):
                if offset <= len(data):
                    data[offset:offset + len(parts[offset])] = parts[offset]
            streams.append(bytes(data))
        for kind, seq, data in segments:
            if kind == "syn":
                if first is not None and (seq + 1) & 0xffffffff != first:
                    flush()
                    parts = {}
                first = (seq + 1) & 0xffffffff
            elif first is not None:
                offset = (seq - first) & 0xffffffff
                if len(parts.get(offset, b"")) < len(data):
                    parts[offset] = data
        flush()
        return streams


def plaintext_bytes(data):
    """Bytes of a stream that are in no TLS record."""
    at = 0
    while at + 5 <= len(data):
        kind, major, length = data[at], data[at + 1], struct.unpack("!H", data[at + 3:at + 5])[0]
        if kind not in TLS_TYPES or major != 3 or length > 16384 + 256:
            break
        at += 5 + length
    return max(0, len(data) - at)


def starttls_judge(there, back):
    """Of one SMTP connection: (plaintext bytes after the 220 to STARTTLS in both directions, or
    None where there was no STARTTLS; bytes in TLS records)."""
    asked = re.search(rb"(?i)(?:^|\r\n)STARTTLS\r\n", there)
    if not asked:
        return None, 0
    commands = there[:asked.end()].count(b"\r\n")
    # The greeting answers nothing; then one reply a command.
    replies, at = 0, 0
    while replies < commands + 1:
        end = back.find(b"\r\n", at)
        if end < 0:
            return None, 0
        if back[at + 3:at + 4] != b"-":
            replies += 1
        at = end + 2
    if not back[:at].rsplit(b"\r\n", 2)[-2].startswith(b"220"):
        return None, 0
    after = there[asked.end():], back[at:]
    return (sum(plaintext_bytes(a) for a in after),
            sum(len(a) - plaintext_bytes(a) for a in after))
