# SPDX-License-Identifier: Apache-2.0
"""A client that sends exactly the bytes it is told to, and reads replies."""
import os
import socket
import ssl
import time

# How much longer than usual something may take before a test gives up: for emulated machines.
PATIENCE = float(os.environ.get("POSTERN_PATIENCE", "1"))
# This machine is emulated: each byte takes it long.
EMULATED = os.environ.get("POSTERN_EMULATED") == "yes"


class Closed(Exception):
    """The peer closed the connection (text: what it had said of an incomplete reply)."""


def tls_context(version=None):
    """It verifies nothing, and so needs none of the system's authorities, which take long to read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class Client:
    def __init__(self, address, timeout=20, source=None):
        self.sock = socket.create_connection(address, timeout * PATIENCE, source_address=source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def reset(self):
        """Closes by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buffer:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as e:
                if isinstance(e, TimeoutError):
                    raise
                raise Closed(self.buffer) from e
            if not more:
                raise Closed(self.buffer)
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def reply(self):
        """One reply: its code, and its lines whole."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return int(lines[-1][:3]), lines

    def command(self, text):
        self.send(text if isinstance(text, bytes) else text + "\r\n")
        return self.reply()

    def expect(self, code, text=None):
        got, lines = self.reply() if text is None else self.command(text)
        if got != code:
            raise AssertionError(f"to {text!r}: wanted {code}, got {lines}")
        return lines

    def closed(self, within=10):
        """True where nothing but an end (or reset) arrives."""
        self.sock.settimeout(within * PATIENCE)
        try:
            self.line()
            return False
        except Closed as e:
            return not e.args[0]

    def tls(self, context=None, name="gw.example.org", session=None):
        assert not self.buffer, f"bytes before the handshake: {self.buffer!r}"
        self.sock = (context or tls_context()).wrap_socket(self.sock, server_hostname=name,
                                                           session=session)
        return self

    def starttls(self, context=None, name="gw.example.org", session=None, helo="client.example"):
        self.expect(220)
        self.expect(250, "EHLO " + helo)
        self.expect(220, "STARTTLS")
        self.tls(context, name, session)
        return self.expect(250, "EHLO " + helo)

    def transaction(self, sender, recipients):
        self.expect(250, f"MAIL FROM:<{sender}>")
        for r in recipients:
            self.expect(250, f"RCPT TO:<{r}>")

    def data(self, body):
        """Body as the message is, not stuffed; ends in CRLF. Returns the final reply."""
        self.expect(354, "DATA")
        stuffed = body.replace(b"\r\n.", b"\r\n..")
        if body.startswith(b"."):
            stuffed = b"." + stuffed
        self.send(stuffed + b".\r\n")
        return self.reply()

    def message(self, recipient, body, sender="a@client.example"):
        """The last line of the reply to the message, or to its recipient where that is refused."""
        self.expect(250, f"MAIL FROM:<{sender}>")
        code, lines = self.command(f"RCPT TO:<{recipient}>")
        if code == 250:
            _, lines = self.data(body)
        else:
            self.expect(250, "RSET")
        return lines[-1]

    def bdat(self, chunks):
        """Each but the last gets its 250; returns the final reply."""
        for chunk in chunks[:-1]:
            self.send(b"BDAT %d\r\n" % len(chunk) + chunk)
            self.expect(250)
        self.send(b"BDAT %d LAST\r\n" % len(chunks[-1]) + chunks[-1])
        return self.reply()


def wait_for(test, seconds=10, what="it"):
    until = time.monotonic() + seconds * PATIENCE
    while not (value := test()):
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
    return value
