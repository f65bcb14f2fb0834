# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server that answers, for each host, with the bytes that a test wants.

answers: {host: answer}; an answer is bytes, or a function of the connection that sends what it
likes. certs: {host: ssl.SSLContext} where a host has another certificate than the rest.
"""
import socket
import ssl
import threading


def context(cert, key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(cert, key)
    return made


def response(body, status="200 OK", kind="text/plain", more=""):
    body = body.encode() if isinstance(body, str) else body
    kind = f"Content-Type: {kind}\r\n" if kind else ""
    return (f"HTTP/1.1 {status}\r\n{kind}Content-Length: {len(body)}\r\n{more}"
            "Connection: close\r\n\r\n").encode() + body


class Https:
    def __init__(self, port, cert, host="127.0.0.1"):
        self.answers, self.certs, self.hits, self.paths = {}, {}, [], set()
        self.context = context(*cert)
        self.context.sni_callback = self.named
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(128)
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.sock.close()

    def named(self, connection, name, _):
        if name in self.certs:
            connection.context = self.certs[name]

    def run(self):
        while True:
            try:
                plain, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            plain.settimeout(30)
            with self.context.wrap_socket(plain, server_side=True) as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    got = connection.recv(4096)
                    if not got:
                        return
                    head += got
                lines = head.decode().split("\r\n")
                fields = dict(l.split(": ", 1) for l in lines[1:] if l)
                host = fields["Host"].split(":")[0]
                self.hits.append(host)
                self.paths.add(lines[0])
                answer = self.answers.get(host, response("", "404 Not Found"))
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)
                    # An end that is not said may be anybody's, where no length is either.
                    connection.unwrap()
        except OSError:
            pass
