#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do load and sink agree with each other? Each case runs both, with nothing between them.

usage: bench_test.py POSTERN-BENCH
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 60


class Sink:
    """A sink on a port of the kernel's choice; report() ends it."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "sink", "--listen", "127.0.0.1:0", "--json", "--seconds", str(LIMIT_S), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "sink listens on " not in line:
            raise RuntimeError(f"no sink: {line}{self.process.stderr.read()}")
        self.address = line.rsplit(" ", 1)[1].strip()

    def report(self):
        if self.process.poll() is None:
            self.process.terminate()
        out, _ = self.process.communicate(timeout=LIMIT_S)
        self.code = self.process.returncode
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def load(address, *options, code=0):
    done = subprocess.run([PROGRAM, "load", "--target", address, "--json", *options],
                          capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != code:
        raise AssertionError(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


class Roundtrip(unittest.TestCase):
    def run_pair(self, mode, messages, *load_options, sink_options=()):
        with Sink(mode, *sink_options) as sink:
            sent = load(sink.address, mode, "--messages", str(messages), *load_options)
            got = sink.report()
        self.assertEqual(sent["messages"]["accepted"], messages)
        self.assertEqual(sent["sessions"]["failed"], 0)
        self.assertEqual(got["messages"]["verdicts"]["intact"], messages)
        self.assertEqual(got["messages"]["duplicates"], 0)
        self.assertEqual(got["runs"], [{"run": sent["run"], "unique": messages, "duplicates": 0}])
        self.assertEqual(sent["latency_ms"]["count"], messages)
        self.assertLessEqual(sent["latency_ms"]["p50"], sent["latency_ms"]["p99.9"])
        self.assertLessEqual(sent["latency_ms"]["p99.9"], sent["latency_ms"]["max"])
        self.assertEqual(sink.code, 0)
        return sent, got

    def test_modes(self):
        for mode in ("--plain", "--starttls", "--tls"):
            for version in ((), ("--tls1.2",)):
                for body in ((), ("--bdat",), ("--bdat", "--chunk", "1000")):
                    with self.subTest(mode=mode, version=version, body=body):
                        sent, got = self.run_pair(mode, 20, "--sessions", "4", "--per-session", "3",
                                                  *version, *body)
                        want = "TLSv1.2" if version else "TLSv1.3"
                        if mode != "--plain":
                            self.assertTrue(all(n.startswith(want) for n in sent["sessions"]["tls"]))
                            self.assertEqual(got["messages"]["plain"], 0)
                        else:
                            self.assertEqual(got["messages"]["plain"], 20)

    def test_large_messages(self):
        for body in ((), ("--bdat",), ("--bdat", "--chunk", "1M")):
            with self.subTest(body=body):
                _, got = self.run_pair("--starttls", 3, "--size", "7340033", *body)
                self.assertEqual(got["bytes"], 3 * 7340033)

    def test_every_size_around_a_block(self):
        for size in list(range(5110, 5125)) + [1024, 4096, 8191, 8192, 8193]:
            with self.subTest(size=size):
                self.run_pair("--plain", 1, "--size", str(size))

    def test_without_pipelining(self):
        for body in ((), ("--bdat",)):
            with self.subTest(body=body):
                self.run_pair("--starttls", 10, "--per-session", "0", *body,
                              sink_options=("--no-pipelining",))

    def test_groups_are_offered_and_no_others(self):
        with Sink("--tls", "--groups", "P-384") as sink:
            words = ("--tls", "--messages", "1", "--seconds", "10")
            load(sink.address, *words, "--groups", "X25519:P-256", code=69)
            sent = load(sink.address, *words, "--groups", "X25519:P-384")
        self.assertEqual(sent["messages"]["accepted"], 1)

    def test_resumption(self):
        for version in ((), ("--tls1.2",)):
            with self.subTest(version=version):
                sent, got = self.run_pair("--starttls", 20, "--sessions", "2", "--resume", *version)
                self.assertEqual(sent["sessions"]["resumed"], 18)
                self.assertEqual(got["sessions"]["resumed"], 18)
        sent, _ = self.run_pair("--starttls", 20, "--sessions", "2", "--no-resume")
        self.assertEqual(sent["sessions"]["resumed"], 0)

    def test_open_loop_counts_from_the_intended_start(self):
        # One session, 50 messages a second, each answered after 100 ms: the last of 20 is due
        # after 0.38 s and answered after 2 s.
        sent, _ = self.run_pair("--plain", 20, "--rate", "50", "--per-session", "0",
                                sink_options=("--delay-ms", "100"))
        self.assertGreater(sent["latency_ms"]["max"], 1200)
        self.assertGreater(sent["latency_ms"]["p50"], 500)

    def test_refusals_are_counted(self):
        with Sink("--starttls", "--fail-rate", "0.5", "--code", "452") as sink:
            sent = load(sink.address, "--starttls", "--messages", "200", "--per-session", "10", code=75)
            got = sink.report()
        self.assertEqual(sent["messages"]["rejected"], sent["replies"]["452"])
        self.assertEqual(sent["messages"]["rejected"], got["messages"]["refused"])
        self.assertEqual(sent["messages"]["accepted"], got["messages"]["received"])
        self.assertIn(sent["messages"]["accepted"], range(60, 140))

    def test_idle_sessions_are_held(self):
        with Sink("--starttls") as sink:
            sent = load(sink.address, "--starttls", "--idle", "--sessions", "200", "--seconds", "1")
            got = sink.report()
        self.assertEqual((sent["sessions"]["held"], sent["sessions"]["lost"]), (200, 0))
        self.assertEqual(got["sessions"]["handshakes"], 200)

    def test_nobody_listens(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            sent = load("127.0.0.1:%d" % taken.getsockname()[1], "--plain", "--messages", "3", code=69)
        self.assertEqual(sent["sessions"]["failures"], {"connect": 3})

    def run_against(self, answers, *options):
        """A server that answers each line with the next of answers, then closes; "" says nothing."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()

            def serve():
                connection, _ = listener.accept()
                # The load generator may be the first to close.
                with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
                    for answer in answers:
                        connection.sendall(answer)
                        lines.readline()
                    if not answers[-1]:
                        time.sleep(2)

            thread = threading.Thread(target=serve)
            thread.start()
            sent = load("127.0.0.1:%d" % listener.getsockname()[1], "--messages", "1", *options,
                        *(() if "--starttls" in options else ("--plain",)), code=69)
            thread.join()
        self.assertEqual(sent["messages"]["failed"], 1)
        return sent["sessions"]["failures"]

    def recipients(self, extensions, *options):
        """Those that a server hears which takes everything."""
        said = {b"EHLO": extensions, b"DATA": b"354 go\r\n", b"MAIL": b"250 ok\r\n",
                b"RCPT": b"250 ok\r\n", b".": b"250 ok\r\n", b"QUIT": b"221 bye\r\n"}
        heard = []

        def serve(listener):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 x\r\n")
                for line in lines:
                    if line.startswith(b"RCPT"):
                        heard.append(line.decode().strip())
                    words = line.split()
                    connection.sendall(said.get(words[0] if words else b"", b""))

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            load("127.0.0.1:%d" % listener.getsockname()[1], "--plain", "--per-session", "0", *options)
            thread.join()
        return heard

    def test_domains_go_round(self):
        for extensions in (b"250 x\r\n", b"250-x\r\n250 PIPELINING\r\n"):
            with self.subTest(extensions=extensions):
                heard = self.recipients(extensions, "--messages", "5", "--domains", "3",
                                        "--rcpt", "a@b@many.example")
                self.assertEqual(heard, [f"RCPT TO:<a@b@d{i % 3}.many.example>" for i in range(5)])
                heard = self.recipients(extensions, "--messages", "2", "--rcpt", "x@one.example")
                self.assertEqual(heard, ["RCPT TO:<x@one.example>"] * 2)

    def test_servers_that_fail(self):
        polite = [b"220 x\r\n", b"250-x\r\n250 PIPELINING\r\n"]
        accepts = b"250 ok\r\n250 ok\r\n354 go\r\n"
        for answers, failure in (
                (polite, "closed"),
                (polite + [accepts], "closed"),
                ([b"554 no\r\n"], "refused"),
                ([b"220 x\r\n", b"502 no\r\n"], "ehlo"),
                (polite + [b"421 later\r\n"], "refused"),
                (polite + [accepts + b"250 too early\r\n"], "protocol"),
                ([b"SSH-2.0-x\r\n"], "protocol"),
                ([b"220 x\r\n250 before it was asked\r\n" + b"2" * 40000], "protocol"),
                ([b"220 x\r\n", b""], "timeout")):
            with self.subTest(answers=answers):
                self.assertEqual(self.run_against(answers, "--timeout", "1"), {failure: 1})

    def test_starttls_is_never_skipped(self):
        for answers, failure in (
                ([b"220 x\r\n", b"250 x\r\n"], "starttls"),
                ([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 no\r\n"], "starttls"),
                ([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
                 "injection"),
                ([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n", b"no TLS\r\n"],
                 "handshake")):
            with self.subTest(answers=answers):
                self.assertEqual(self.run_against(answers, "--starttls"), {failure: 1})

    def test_ledgers_name_each_message(self):
        with tempfile.TemporaryDirectory() as folder:
            sent_path, got_path = os.path.join(folder, "sent"), os.path.join(folder, "got")
            with Sink("--plain", "--fail-rate", "0.3", "--ledger", got_path) as sink:
                load(sink.address, "--plain", "--messages", "50", "--ledger", sent_path, code=75)
                sink.report()
            with open(sent_path, encoding="ascii") as sent, open(got_path, encoding="ascii") as got:
                accepted = [line.split() for line in sent]
                received = [line.split() for line in got]
        self.assertGreater(len(accepted), 10)
        self.assertEqual(sorted(accepted), sorted(r[:2] for r in received))
        self.assertEqual({r[2] for r in received}, {"intact"})

    def test_damage_is_seen(self):
        with Sink("--plain") as sink:
            sent = load(sink.address, "--plain", "--messages", "1")
            host, port = sink.address.split(":")
            with socket.create_connection((host, int(port)), timeout=10) as s:
                talk = s.makefile("rwb")
                talk.readline()

                def say(line):
                    talk.write(line)
                    talk.flush()
                    return talk.readline()

                say(b"HELO damage\r\n")
                stamp = ("X-Postern-Bench: %s 0000000000 000000001024\r\n" % sent["run"]).encode()
                for text in (stamp + b"short\r\n", b"Subject: foreign\r\n\r\nhello\r\n",
                             stamp + b"x" * (1024 - len(stamp) - 2) + b"\r\n"):
                    for line in (b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n"):
                        say(line)
                    say(text + b".\r\n")
                say(b"QUIT\r\n")
            got = sink.report()
        self.assertEqual(sink.code, 65)
        self.assertEqual(got["messages"]["verdicts"]["short"], 1)
        self.assertEqual(got["messages"]["verdicts"]["digest"], 1)
        self.assertEqual(got["messages"]["verdicts"]["trace"], 1)
        self.assertEqual(got["messages"]["duplicates"], 2)

    def test_bytes_behind_starttls_end_the_session(self):
        with Sink("--starttls") as sink:
            host, port = sink.address.split(":")
            with socket.create_connection((host, int(port)), timeout=10) as s:
                s.sendall(b"EHLO x\r\nSTARTTLS\r\nNOOP\r\n")
                while s.recv(4096):
                    pass
            self.assertEqual(sink.report()["sessions"]["injections"], 1)

    def test_limits_add_up(self):
        for words in (("--tls", "1.2"), ("--cipher", "chacha20-poly1305", "--size", "100K", "--sessions", "3")):
            done = subprocess.run([PROGRAM, "limit", "--rounds", "1", "--per-session", "10", "--json", *words],
                                  capture_output=True, text=True, timeout=LIMIT_S, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            got = json.loads(done.stdout)
            byte = got["relay_s_gb"] + got["open_s_gb"] + got["seal_s_gb"]
            self.assertAlmostEqual(got["limit_mb_s"] * byte, 1000, 1)
            self.assertAlmostEqual(got["cpu_ms_message"],
                                   byte * got["size"] / 1e6 + got["server_full_ms"] / 10, 4)
            for key, ends in got["spread"].items():
                self.assertGreater(got[key], 0, key)
                self.assertEqual(ends, [got[key]] * 2, key)

    def test_usage(self):
        for words in ((), ("no-such-verb",), ("load",), ("load", "--plain", "--tls"), ("sink", "--x"),
                      ("limit", "--tls", "1.1"), ("limit", "--cipher", "rc4"), ("limit", "--cert", "x"),
                      ("limit", "--sessions", "65"),
                      ("load", "--target", "127.0.0.1:1", "--plain", "--size", "1"),
                      ("load", "--target", "127.0.0.1:1", "--plain", "--rcpt", "nobody", "--domains", "2")):
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 64, words)
        for words in (("--help",), ("load", "--help"), ("sink", "--help"), ("limit", "--help"), ("compare", "--help")):
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, words)


if __name__ == "__main__":
    unittest.main()
