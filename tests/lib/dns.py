# SPDX-License-Identifier: Apache-2.0
"""A DNS server with a few records of its own: {("mail.test", "A"): ["127.0.0.1"], ...}.

ttl: of all records, in seconds. delay: of each answer, in seconds.
MX values are (preference, name), TXT values a text or a list of them. Where a name has a CNAME, that
is the answer to every other question. A name without records is NXDOMAIN; FAIL as a value is SERVFAIL.
"""
import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "SOA": 6, "PTR": 12, "MX": 15, "AAAA": 28, "CNAME": 5, "TXT": 16}
FAIL = "FAIL"


def name_wire(name):
    labels = [l for l in name.rstrip(".").split(".") if l]
    return b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\0"


def value_wire(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + name_wire(value[1])
    if kind == "TXT":
        texts = [value] if isinstance(value, str) else value
        return b"".join(bytes([len(t)]) + t.encode() for t in texts)
    return name_wire(value)


class Dns:
    def __init__(self, port, zone, records, host="127.0.0.1", ttl=60, delay=0):
        self.zone, self.records, self.asked = zone, records, []
        self.ttl, self.delay = ttl, delay
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, port))
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.sock.close()

    def run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                answer = self.answer(query)
                if self.delay:
                    threading.Timer(self.delay, self.late, (answer, peer)).start()
                else:
                    self.sock.sendto(answer, peer)
            except OSError:
                return

    def late(self, answer, peer):
        try:
            self.sock.sendto(answer, peer)
        except OSError:
            pass

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        kind, _ = struct.unpack("!HH", query[at + 1:at + 5])
        question, name = query[12:at + 5], ".".join(labels)
        kinds = {v: k for k, v in TYPES.items()}
        self.asked.append((name, kinds.get(kind, kind)))
        values = self.records.get((name, kinds.get(kind)), [])
        if not values and (name, "CNAME") in self.records:
            kind, values = TYPES["CNAME"], self.records[(name, "CNAME")]
        known = any(n == name or n.endswith("." + name) for n, _ in self.records) or name == self.zone
        code = 2 if values == FAIL else 0 if known else 3
        answers, authority = b"", b""
        for value in values if values != FAIL else []:
            data = value_wire(kinds[kind], value)
            answers += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data
        if not answers and code != 2:
            soa = name_wire("ns." + self.zone) + name_wire("x." + self.zone) + struct.pack(
                "!IIIII", 1, 60, 60, 60, 60)
            authority = name_wire(self.zone) + struct.pack("!HHIH", 6, 1, self.ttl, len(soa)) + soa
        count = 0 if not answers else len(values)
        return (query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, count, 1 if authority else 0, 0)
                + question + answers + authority)
