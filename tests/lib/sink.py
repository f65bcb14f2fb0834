# SPDX-License-Identifier: Apache-2.0
"""A receiving server that stores exactly the bytes that arrive, and misbehaves on demand.

How it answers is asked for by addresses, so that a session script needs nothing else:
    sender    mail-550, data-451, chunk-552, final-421     that reply at that place
              final-cut, final-stall, body-cut             closes, or says nothing more
    recipient rcpt-550, rcpt-cut, ...
A dash and an enhanced code may follow: rcpt-550-5.1.1. `behave` does the same for a whole server:
{"EHLO": "554 5.3.0 no"}; a value that is bytes is sent as it is, CUT and STALL act.
"""
import contextlib
import re
import socket
import ssl
import struct
import threading

from client import PATIENCE

CAPS = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING",
        "BINARYMIME", "DSN"]
CUT, STALL = "CUT", "STALL"
SYNTAX_OK = re.compile(rb"(?i)(EHLO|HELO|STARTTLS|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|AUTH|XCLIENT)\b")


class Message:
    def __init__(self, mail):
        self.mail = mail          # the MAIL line
        self.rcpts = []           # RCPT lines
        self.body = b""           # as sent, dots unstuffed
        self.wire = b""           # as sent, for DATA with its stuffing
        self.framing = ""         # "DATA" or "BDAT"
        self.complete = False     # the final dot or BDAT LAST was seen
        self.tls = None           # (version, cipher), or None in plaintext
        self.reused = False
        self.connection = 0


class Hangup(Exception):
    pass


class Connection:
    def __init__(self, sink, sock, number):
        self.sink, self.sock, self.number = sink, sock, number
        self.buffer = b""
        self.tls = self.reused = None
        self.message = None
        self.helo = ""

    def recv(self):
        more = self.sock.recv(262144)
        if not more:
            raise Hangup
        self.buffer += more

    def line(self):
        while b"\r\n" not in self.buffer:
            self.recv()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        self.sink.heard(self.number, line, bool(self.tls))
        return line

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Hangup

    def answer(self, place, default, asked=None):
        """What to say there: bytes, or CUT and its like."""
        answer = asked or self.sink.behave.get(place) or default
        if callable(answer):
            answer = answer(self)
        if isinstance(answer, bytes) or answer in (CUT, STALL, "RESET"):
            return answer
        return answer.encode() + b"\r\n"

    def tell(self, answer):
        """Says or does it; returns the first digit said."""
        if answer == CUT:
            raise Hangup
        if answer == "RESET":
            self.reset()
        if answer == STALL:
            self.sink.stalled.wait(60 * PATIENCE)
            raise Hangup
        self.sock.sendall(answer)
        return answer[:1]

    def say(self, place, default, asked=None):
        return self.tell(self.answer(place, default, asked))

    def asked(self, address, place):
        """What the address asks for at that place."""
        m = re.search(rb"<%s-([a-z]+|\d{3})(-\d\.\d\.\d+)?@" % place, address)
        if not m:
            return None
        word = m.group(1).decode()
        if not word.isdigit():
            return word.upper()
        enhanced = (m.group(2) or b"").decode().removeprefix("-")
        return f"{word} {enhanced + ' ' if enhanced else ''}as asked"

    def handshake(self):
        self.sock.settimeout(20 * PATIENCE)
        self.sock = self.sink.context.wrap_socket(self.sock, server_side=True)
        self.tls = (self.sock.version(), self.sock.cipher()[0])
        self.reused = self.sock.session_reused
        self.sink.handshakes.append((self.number, self.tls, self.reused))

    def serve(self):
        if self.sink.tls == "implicit":
            self.handshake()
        self.say("GREETING", "220 sink.example ESMTP")
        while True:
            line = self.line()
            verb = line.split(b" ")[0].split(b":")[0].upper().decode("latin-1")
            handler = getattr(self, "do_" + verb.lower(), None) if SYNTAX_OK.match(line) else None
            if not handler:
                self.sink.unknown.append(line)
                self.say("UNKNOWN", "500 5.5.2 what is that")
                continue
            handler(line)

    def do_ehlo(self, line):
        self.helo = line[5:].decode("latin-1")
        caps = list(self.sink.caps)
        if self.sink.tls == "starttls" and not self.tls:
            caps.append("STARTTLS")
        text = "".join(f"250-{c}\r\n" for c in ["sink.example"] + caps[:-1])
        last = caps[-1] if caps else "HELP"
        self.message = None
        self.say("EHLO", (text + f"250 {last}\r\n").encode())

    def do_helo(self, line):
        self.helo = line[5:].decode("latin-1")
        self.message = None
        self.say("HELO", "250 sink.example")

    def do_starttls(self, line):
        if self.buffer:
            self.sink.unknown.append(b"after STARTTLS: " + self.buffer)
        if self.say("STARTTLS", "220 2.0.0 go") == b"2":
            self.handshake()
            self.helo, self.message = "", None

    def do_mail(self, line):
        if self.say("MAIL", "250 2.1.0 ok", self.asked(line, b"mail")) == b"2":
            self.message = Message(line)
            self.message.tls, self.message.reused = self.tls, self.reused
            self.message.connection, self.message.helo = self.number, self.helo
            self.sink.attempts.append(self.message)

    def do_rcpt(self, line):
        if not self.message:
            return self.say("ORDER", "503 5.5.1 MAIL first")
        if self.say("RCPT", "250 2.1.5 ok", self.asked(line, b"rcpt")) == b"2":
            self.message.rcpts.append(line)

    def do_data(self, line):
        if not self.message or not self.message.rcpts:
            return self.say("ORDER", "554 5.5.1 no valid recipients")
        if self.say("DATA", "354 go on", self.asked(self.message.mail, b"data")) != b"3":
            return
        m, self.message = self.message, None
        m.framing = "DATA"
        if self.asked(m.mail, b"body") == CUT:
            raise Hangup
        # The line end before the first line makes an empty body's dot look like any other.
        data, end = self.read_until(b"\r\n" + self.buffer, lambda d, at: d.find(b"\r\n.\r\n", at), 2)
        m.wire, self.buffer = data[2:end + 2], data[end + 5:]
        m.body = (b"\r\n" + m.wire).replace(b"\r\n.", b"\r\n")[2:]
        m.complete = True
        self.finish(m)

    def read_until(self, data, find_end, skip, before=b""):
        """Reads on until find_end(data, from where) is not negative. What a cut leaves is kept."""
        data, at = bytearray(data), 0
        while (end := find_end(data, at)) < 0:
            at = max(0, len(data) - 4)
            self.buffer = b""
            try:
                self.recv()
            except (Hangup, OSError):
                self.sink.partial.append(before + bytes(data[skip:]))
                raise
            data += self.buffer
        return bytes(data), end

    def do_bdat(self, line):
        words = line.split()
        size, last = int(words[1]), len(words) > 2
        m = self.message
        if m and self.asked(m.mail, b"body") == CUT:
            raise Hangup
        data, _ = self.read_until(self.buffer, lambda d, at: len(d) - size, 0,
                                  m.body if m else b"")
        chunk, self.buffer = data[:size], data[size:]
        if not m or not m.rcpts:
            return self.say("ORDER", "503 5.5.1 no transaction")
        m.framing = "BDAT"
        m.body += chunk
        m.wire = m.body
        if not last:
            if self.say("CHUNK", "250 2.0.0 chunk", self.asked(m.mail, b"chunk")) != b"2":
                self.message = None
            return None
        m.complete = True
        self.message = None
        return self.finish(m)

    def finish(self, m):
        # Noted before it is answered, so that whoever hears the answer finds the message here.
        self.sink.complete.append(m)
        answer = self.answer("FINAL", "250 2.0.0 stored as %d" % len(self.sink.complete),
                             self.asked(m.mail, b"final"))
        if answer[:1] == b"2":
            self.sink.messages.append(m)
        self.tell(answer)

    def do_rset(self, line):
        self.message = None
        self.say("RSET", "250 2.0.0 ok")

    def do_noop(self, line):
        self.say("NOOP", "250 2.0.0 ok")

    def do_quit(self, line):
        self.say("QUIT", "221 2.0.0 bye")
        raise Hangup

    def do_auth(self, line):
        if line.upper().startswith(b"AUTH LOGIN"):
            self.say("AUTH1", "334 VXNlcm5hbWU6")
            self.line()
            self.say("AUTH2", "334 UGFzc3dvcmQ6")
            self.line()
        self.say("AUTH", "235 2.7.0 ok")

    def do_xclient(self, line):
        self.say("XCLIENT", "220 sink.example ESMTP")
        self.helo = ""


class Sink:
    """tls: "starttls", "implicit" or None. cert: (chain file, key file)."""

    def __init__(self, port=0, host="127.0.0.1", tls="starttls", cert=None, caps=None, behave=None,
                 context=None):
        self.tls, self.caps, self.behave = tls, CAPS if caps is None else caps, behave or {}
        self.context = context
        if cert and not context:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*cert)
        self.messages = []    # answered with 250
        self.complete = []    # whose end was seen
        self.attempts = []    # whose MAIL was accepted
        self.partial = []     # bodies that were cut
        self.transcript = []  # (connection, line, over TLS)
        self.unknown = []
        self.handshakes = []  # (connection, (version, suite), resumed)
        self.errors = []
        self.connections = 0
        self.open = {}
        self.stalled = threading.Event()
        self.listener = socket.create_server((host, port), backlog=256,
                                             family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = host, self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def heard(self, number, line, tls):
        self.transcript.append((number, line, tls))

    def lines(self, connection=None):
        return [l.decode("latin-1") for n, l, _ in self.transcript if connection in (None, n)]

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            c = Connection(self, sock, self.connections)
            self.open[c.number] = c
            threading.Thread(target=self.run, args=(c,), daemon=True).start()

    def run(self, c):
        try:
            c.serve()
        except Hangup:
            pass
        except (OSError, ssl.SSLError) as e:
            self.errors.append((c.number, repr(e)))
        finally:
            self.open.pop(c.number, None)
            try:
                if isinstance(c.sock, ssl.SSLSocket) and self.tls:
                    c.sock.settimeout(0.2)
                    c.sock = c.sock.unwrap()
            except (OSError, ValueError):
                pass
            c.sock.close()

    def kill(self):
        """All connections are reset now."""
        for c in list(self.open.values()):
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.stalled.set()
        with contextlib.suppress(OSError):
            # Whoever waits in accept hears of it: else it would go on at the next one's descriptor.
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def clear(self):
        for kept in (self.messages, self.complete, self.attempts, self.partial, self.transcript,
                     self.unknown, self.handshakes, self.errors):
            kept.clear()
