#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Do the processes start, restart, drain, reload and stop as they should, and do posternctl and
the metrics tell what is so?"""
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import old_kernel  # noqa: E402
import tap  # noqa: E402
from client import Client, Closed, wait_for  # noqa: E402
from gateway import BUILD, Gateway, free_port, platform, route  # noqa: E402
from setup import Case  # noqa: E402

BODY = b"Subject: processes\r\n\r\nbody\r\n"
EX_USAGE, EX_UNAVAILABLE, EX_CONFIG = 64, 69, 78


def processes(gateway, state="ready"):
    """The newest generation's, by name."""
    found = {}
    for row in gateway.ctl_json("status")["processes"]:
        if state in (None, row["state"]):
            found[row["process"]] = row
    return found


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def alive(pid):
    try:
        return status_of(pid)["State"][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def greeted(address, within=5):
    """Seconds until the greeting."""
    began = time.monotonic()
    with Client(address, within) as c:
        c.expect(220)
        c.expect(221, "QUIT")
    return time.monotonic() - began


class ProcessCase(Case):
    def plain(self, workers=2, **gateway):
        made = self.gateway([route("hop.example", 9, "none")],
                            settings={"gateway": dict({"workers": workers}, **gateway)})
        # The sockets take connections from the first moment on; the workers a little later.
        wait_for(lambda: made.events("serving"), 10, "workers are ready")
        return made

    def reload(self, gateway):
        gateway.config_write()
        return gateway.ctl("reload")


class Start(ProcessCase):
    def test_children_have_no_privileges(self):
        gateway = self.plain()
        found = processes(gateway)
        self.assertEqual(set(found), {"ratchet", "resolver", "worker/0", "worker/1"})
        threads = [(name, status_of(f"{row['pid']}/task/{thread}"))
                   for name, row in found.items() for thread in os.listdir(f"/proc/{row['pid']}/task")]
        self.assertEqual([said["Name"] for name, said in threads if name == "worker/0"][1:], ["handshakes"])
        for name, said in threads:
            self.assertEqual(said["NoNewPrivs"], "1", name)
            self.assertEqual(said["Seccomp"], "2", name)
            self.assertEqual(int(said["CapEff"], 16) | int(said["CapPrm"], 16), 0, name)
            self.assertEqual(int(said["CapBnd"], 16), 0, name)
            if os.getuid() == 0:
                self.assertNotIn("0", said["Uid"].split() + said["Gid"].split(), name)
                self.assertEqual(said["Groups"].split(), [], name)

    def test_the_control_socket_is_its_owner_s(self):
        gateway = self.plain()
        path = gateway.settings["gateway"]["control_socket"]
        self.assertEqual(os.stat(path).st_mode & 0o7777, 0o600)
        gateway.stop()
        self.assertFalse(os.path.exists(path))

    def test_a_second_instance_is_refused(self):
        gateway = self.plain()
        done = subprocess.run([*gateway.program(), "-c", os.path.join(gateway.folder, "postern.conf")],
                              capture_output=True, timeout=20)
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn(b"another posternd serves", done.stderr)
        greeted(gateway.address())
        self.assertEqual(gateway.ctl("status")[0], 0)

    def test_a_kernel_too_old_is_named(self):
        """Once, with what it lacks and which would do, by posternd and the probe alike."""
        made = Gateway([route("hop.example", 9, "none")], settings={"gateway": {"workers": 2}},
                       authority=self.authority)
        os.makedirs(os.path.join(made.folder, "state"), exist_ok=True)
        for kernel, why in (
                (old_kernel.linux_5_15,
                 "the kernel's io_uring lacks buffer_rings; Linux 6.1 or later has it"),
                (old_kernel.no_ring(errno.ENOSYS), "the kernel has no io_uring, or a container's "
                 "filter hides it; Linux 6.1 or later is needed"),
                (old_kernel.no_ring(errno.EPERM), "io_uring is forbidden: by sysctl "
                 "kernel.io_uring_disabled, or by a container's filter")):
            with self.subTest(why=why):
                done = subprocess.run([*made.program(), "-c", made.config_write()], text=True,
                                      capture_output=True, timeout=20, preexec_fn=kernel)
                self.assertEqual(done.returncode, EX_CONFIG, done.stderr)
                lines = done.stderr.splitlines()
                self.assertEqual(lines.count("supervisor io_uring: " + why), 1, done.stderr)
                ring = platform(preexec_fn=kernel)["io_uring"]
                self.assertEqual((ring["usable"], ring["why"]), (False, why))

    def test_a_port_in_use_is_named(self):
        gateway = self.plain()
        other = Gateway([route("hop.example", 9, "none")], gateway.listeners,
                        {"gateway": {"workers": 1}}, self.authority)
        done = subprocess.run([*other.program(), "-c", other.config_write()], capture_output=True,
                              timeout=20)
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn(b"another program listens there", done.stderr)
        self.assertIn(gateway.listeners[0]["address"].encode(), done.stderr)

    def test_a_stale_socket_is_replaced_and_children_die_with_the_supervisor(self):
        gateway = self.plain()
        pids = [row["pid"] for row in processes(gateway).values()]
        gateway.process.kill()
        gateway.process.wait()
        gateway.process = None
        wait_for(lambda: not any(map(alive, pids)), 5, "children outlive the supervisor")
        self.assertTrue(os.path.exists(gateway.settings["gateway"]["control_socket"]))
        gateway.start()
        self.assertEqual(gateway.ctl("status")[0], 0)

    def test_a_wrong_configuration_starts_nothing(self):
        gateway = Gateway([route("hop.example", 9, "none")], None,
                          {"gateway": {"wrokers": 1}}, self.authority)
        done = subprocess.run([*gateway.program(), "-c", gateway.config_write()],
                              capture_output=True, timeout=20)
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertIn(b"workers", done.stderr)
        status, said = gateway.check()
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("workers", said)

    def test_all_checks_refuse_the_same(self):
        gateway = self.plain()
        path = gateway.config_write()
        gateway.settings["gateway"]["user"] = "nosuchuser"
        self.assertEqual(gateway.check()[0], EX_CONFIG)
        with open(path) as f:
            line = next(i for i, text in enumerate(f, 1) if "nosuchuser" in text)
        said = f'{path}:{line}: gateway.user: found "nosuchuser", allowed any user of this system'
        for found in (gateway.check(), (gateway.ctl("config", "check", path)[0::2]),
                      (gateway.ctl("config", "check")[0::2]), (gateway.ctl("reload")[0::2])):
            self.assertEqual(found[0], EX_CONFIG, found)
            self.assertIn(said, found[1])
        status, out, _ = gateway.ctl("--json", "config", "check", path)
        self.assertEqual((status, json.loads(out)["exit"]), (EX_CONFIG, EX_CONFIG))
        self.assertIn(said, json.loads(out)["error"])
        done = subprocess.run([*gateway.program(), "-c", path], capture_output=True, timeout=20)
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertIn(said, done.stderr.decode())

    def test_options(self):
        program = Gateway([], [], None, self.authority).program()
        for option, code, text in (("--help", 0, b"usage"), ("--version", 0, b"posternd "),
                                   ("--nonsense", EX_USAGE, b""), ("word", EX_USAGE, b"")):
            done = subprocess.run([*program, option], capture_output=True, timeout=20)
            self.assertEqual(done.returncode, code, option)
            self.assertIn(text, done.stdout, option)


class Restart(ProcessCase):
    def kill(self, gateway, name):
        pid = processes(gateway)[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def test_a_killed_worker_is_restarted_while_the_neighbour_accepts(self):
        gateway = self.plain()
        with Client(gateway.address()) as c:
            c.expect(220)
            name = gateway.ctl_json("sessions")["sessions"][0]["worker"]
            pid = self.kill(gateway, name)
            # What its ring takes while it dies is lost with it.
            wait_for(lambda: gateway.events("process_died"), 5, "death seen")
            for _ in range(10):
                greeted(gateway.address(), 3)
            with self.assertRaises(Closed):
                c.line()
        wait_for(lambda: len(processes(gateway)) == 4, 5, "worker restarted")
        row = processes(gateway)[name]
        self.assertNotEqual(row["pid"], pid)
        self.assertEqual(row["restarts"], 1)
        died = gateway.events("process_died")
        self.assertEqual([(d["process"], d["signal"]) for d in died], [(name, "KILL")])
        wait_for(lambda: gateway.ctl_json("status")["counters"]["postern_sessions_open"] == 0, 3,
                 "the dead worker's sessions are not counted as open")

    def test_a_worker_that_dies_again_waits_and_its_connections_go_to_the_neighbour(self):
        gateway = self.plain()
        for deaths in range(1, 5):
            self.kill(gateway, "worker/0")
            wait_for(lambda n=deaths: len(gateway.events("process_died")) == n, 5, "death seen")
            if deaths < 4:
                wait_for(lambda: len(processes(gateway)) == 4, 10, "restarted")
        self.assertIn("worker/0", processes(gateway, "waiting"))
        delays = [float(d["restart_in"]) for d in gateway.events("process_died")]
        self.assertEqual(delays, [0, 0.5, 1, 2])
        for _ in range(20):
            self.assertLess(greeted(gateway.address(), 3), 1.5)
        self.assertIn("worker/0", processes(gateway, "waiting"))
        wait_for(lambda: len(processes(gateway)) == 4, 10, "restarted")
        pids = set()
        clients = [Client(gateway.address()) for _ in range(40)]
        for c in clients:
            c.expect(220)
        for row in gateway.ctl_json("sessions")["sessions"]:
            pids.add(row["worker"])
        for c in clients:
            c.close()
        self.assertEqual(pids, {"worker/0", "worker/1"}, "the restarted worker accepts again")

    def test_a_killed_resolver_is_restarted_and_asked_again(self):
        sink = self.sink(tls="plain")
        gateway = self.gateway([route("hop.example", sink.port, "none", host="localhost")],
                               settings={"resolver": {"forward": ["127.0.0.1:9"]}})
        for round_ in range(2):
            with Client(gateway.address()) as c:
                c.expect(220)
                c.expect(250, "EHLO client.example")
                c.transaction("a@client.example", ["b@hop.example"])
                self.assertEqual(c.data(BODY)[0], 250)
            if round_ == 0:
                self.kill(gateway, "resolver")
                wait_for(lambda: "process_restarted process=resolver" in gateway.log(), 5, "restart")
        self.assertEqual(len(sink.messages), 2)


class Reload(ProcessCase):
    def test_new_sessions_get_the_new_configuration_and_old_ones_finish(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)],
                               settings={"limits": {"max_message": 100000}})
        with Client(gateway.address()) as c:
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            gateway.settings["limits"]["max_message"] = 200000
            status, out, _ = self.reload(gateway)
            self.assertEqual((status, out.split()[0]), (0, "reloaded"))
            with Client(gateway.address()) as d:
                d.expect(220)
                self.assertIn("250-SIZE 200000", " ".join(d.expect(250, "EHLO client.example")))
                d.expect(221, "QUIT")
            self.assertEqual(c.data(BODY)[0], 250)
            # Not only its transaction: the whole session goes on as it began.
            self.assertIn("250-SIZE 100000", " ".join(c.expect(250, "EHLO client.example")))
            c.transaction("a@client.example", ["b@hop.example"])
            self.assertEqual(c.data(BODY)[0], 250)
            c.expect(221, "QUIT")
        wait_for(lambda: all(r["generation"] in (0, 2)
                             for r in gateway.ctl_json("status")["processes"]), 10, "old one ends")
        self.assertEqual(len(sink.messages), 2)

    def test_old_sessions_are_ended_after_the_drain_timeout(self):
        gateway = self.plain(1)
        gateway.settings["gateway"]["drain_timeout_s"] = 2
        self.assertEqual(self.reload(gateway)[0], 0)
        with Client(gateway.address()) as c:
            c.expect(220)
            self.assertEqual(self.reload(gateway)[0], 0)
            c.expect(250, "NOOP")
            self.assertEqual(c.reply()[0], 421)
        wait_for(lambda: len(processes(gateway, None)) == 3, 10, "the old ones are gone")

    def test_many_reloads_cut_no_transaction(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)],
                               settings={"gateway": {"drain_timeout_s": 60}})
        clients, refused = [], ""
        for i in range(12):
            c = Client(gateway.address())
            self.addCleanup(c.__exit__, None, None, None)
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            clients.append(c)
            status, _, refused = self.reload(gateway)
            if status:
                break
        # One serves, seven that are older have a transaction each.
        self.assertEqual(len(clients), 8)
        self.assertIn("7 older configurations still serve sessions, with 7 worker processes", refused)
        self.assertIn("within 60 seconds", refused)
        greeted(gateway.address())
        for c in clients:
            self.assertEqual(c.data(BODY)[0], 250)
        self.assertEqual(len(sink.messages), 8)
        # The older ones were told to finish, and are gone now.
        wait_for(lambda: len({r["generation"] for r in gateway.ctl_json("status")["processes"]}
                             - {0}) == 1, 10, "the older ones end")
        self.assertEqual(self.reload(gateway)[0], 0)

    def test_only_the_last_few_configurations_keep_their_sessions(self):
        gateway = self.plain(1)
        clients = []
        for i in range(5):
            c = Client(gateway.address())
            self.addCleanup(c.__exit__, None, None, None)
            c.expect(220)
            clients.append(c)
            self.assertEqual(self.reload(gateway)[0], 0)
        for c in clients[:2]:
            self.assertEqual(c.reply()[0], 421)
        for c in clients[2:]:
            c.expect(250, "NOOP")

    def test_sighup_takes_a_new_certificate(self):
        gateway = self.plain(1)

        def shown():
            with Client(gateway.address()) as c:
                c.starttls()
                return c.sock.getpeercert(True)

        before = shown()
        cert, key = self.authority.issue("gw.example.org")
        gateway.settings["tls"]["certificates"] = [{"cert": cert, "key": key}]
        gateway.config_write()
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.events("reloaded"), 15, "reload")
        self.assertNotEqual(shown(), before)

    def test_sighup_while_it_starts_is_not_forgotten(self):
        class Impatient(Gateway):
            asked = False

            def accepts(self, listener):
                # From the moment on at which the signal waits to be read, and does not kill: these
                # are blocked for good. Libraries block all for a moment.
                blocked = sum(1 << number - 1 for number in
                              (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))
                while not self.asked and self.process.poll() is None:
                    if int(status_of(self.process.pid)["SigBlk"], 16) == blocked:
                        self.process.send_signal(signal.SIGHUP)
                        self.asked = True
                return super().accepts(listener)

        gateway = Impatient([route("hop.example", 9, "none")], authority=self.authority).start()
        self.addCleanup(gateway.stop)
        wait_for(lambda: gateway.events("reloaded"), 15, "the reload")

    def test_a_wrong_configuration_changes_nothing(self):
        gateway = self.plain()
        pids = {n: r["pid"] for n, r in processes(gateway).items()}
        gateway.settings["limits"] = {"max_recipients": 5}
        status, _, error = self.reload(gateway)
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("limits.max_recipients", error)
        status, _, error = gateway.ctl("config", "check")
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("limits.max_recipients", error)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.log().count("reload_failed") == 2, 15, "refused")
        greeted(gateway.address())
        self.assertEqual({n: r["pid"] for n, r in processes(gateway).items()}, pids)
        # A worker that is restarted meanwhile takes what was accepted, not what lies there now.
        os.kill(pids["worker/0"], signal.SIGKILL)
        wait_for(lambda: processes(gateway).get("worker/0", {}).get("restarts") == 1, 5, "restarted")
        del gateway.settings["limits"]
        self.assertEqual(self.reload(gateway)[0], 0)

    def test_listeners_come_move_and_go(self):
        gateway = self.plain()
        first = gateway.address()
        second = free_port()
        with Client(first) as old:
            old.expect(220)
            gateway.listeners.append(dict(gateway.listeners[0], name="second",
                                          address=f"127.0.0.1:{second}"))
            self.assertEqual(self.reload(gateway)[0], 0)
            greeted(first)
            greeted(("127.0.0.1", second))
            del gateway.listeners[0]
            self.assertEqual(self.reload(gateway)[0], 0)
            greeted(("127.0.0.1", second))
            wait_for(lambda: self.refused(first), 5, "the old address is closed")
        self.assertEqual([l["name"] for l in gateway.ctl_json("status")["listeners"]], ["second"])

    def test_the_number_of_workers_changes(self):
        gateway = self.plain(1)
        for workers in (3, 1, 2):
            gateway.settings["gateway"]["workers"] = workers
            self.assertEqual(self.reload(gateway)[0], 0)
            for _ in range(10):
                greeted(gateway.address(), 3)
            wait_for(lambda n=workers: len(processes(gateway, None)) == n + 2, 10, "old ones gone")

    def refused(self, address):
        try:
            socket.create_connection(address, 1).close()
            return False
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # in the moment of closing
            return False

    def test_an_address_in_use_refuses_the_reload(self):
        gateway = self.plain()
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            port = taken.getsockname()[1]
            gateway.listeners.append(dict(gateway.listeners[0], name="second",
                                          address=f"127.0.0.1:{port}"))
            status, _, error = self.reload(gateway)
            self.assertNotEqual(status, 0)
            self.assertIn("another program listens there", error)
        greeted(gateway.address())
        self.assertEqual(self.reload(gateway)[0], 0)
        greeted(("127.0.0.1", port))

    def test_workers_that_can_not_start_leave_the_old_ones(self):
        gateway = self.plain()
        anchor = os.path.join(gateway.folder, "root.key")
        with open(anchor, "w") as f:
            f.write("this is no trust anchor\n")
        gateway.settings["resolver"]["trust_anchor"] = anchor
        self.assertNotEqual(self.reload(gateway)[0], 0)
        greeted(gateway.address())
        self.assertEqual(set(processes(gateway)), {"ratchet", "resolver", "worker/0", "worker/1"})

    def test_many_reloads_leave_nothing_behind(self):
        gateway = self.plain()
        before = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        for _ in range(5):
            self.assertEqual(gateway.ctl("reload")[0], 0)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(gateway.ctl_json("status")["processes"]) == 4 and
                 len(gateway.events("reloaded")) >= 6, 20, "settled")
        time.sleep(0.5)
        wait_for(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) == before, 10,
                 "as many descriptors as before")


class Stop(ProcessCase):
    def test_sigterm_finishes_open_transactions(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)])
        with Client(gateway.address()) as c, Client(gateway.address()) as idle:
            idle.expect(220)
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            c.expect(354, "DATA")
            c.send(b"Subject: stop\r\n\r\nhalf")
            gateway.process.send_signal(signal.SIGTERM)
            self.assertEqual(idle.reply()[0], 421)
            wait_for(lambda: self.refused(gateway.address()), 5, "no new sessions")
            c.send(b" and half\r\n.\r\n")
            self.assertEqual(c.reply()[0], 250)
        self.assertEqual(gateway.process.wait(10), 0)
        self.assertEqual(sink.messages[0].body.split(b"\r\n\r\n", 1)[1], b"half and half\r\n")

    refused = Reload.refused

    def test_the_drain_is_bounded(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)],
                               settings={"gateway": {"drain_timeout_s": 1}})
        with Client(gateway.address()) as c:
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            c.expect(354, "DATA")
            c.send(b"Subject: never\r\n\r\n")
            gateway.process.send_signal(signal.SIGTERM)
            self.assertEqual(gateway.process.wait(10), 0)
        self.assertIn("drain_timeout", gateway.log())
        self.assertFalse([m for m in sink.messages if m.complete])

    def test_a_second_sigterm_stops_at_once(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)])
        with Client(gateway.address()) as c:
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            c.expect(354, "DATA")
            gateway.process.send_signal(signal.SIGTERM)
            wait_for(lambda: self.refused(gateway.address()), 5, "stopping")
            gateway.process.send_signal(signal.SIGTERM)
            self.assertEqual(gateway.process.wait(5), 0)

    def test_systemd_is_told(self):
        folder = self.folder + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(folder)
            notify.settimeout(10)
            os.environ.update(NOTIFY_SOCKET=folder, WATCHDOG_USEC="1000000")
            try:
                gateway = self.plain()
            finally:
                del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
            heard = ""

            def wait_word(word):
                nonlocal heard
                while word not in heard:
                    heard += notify.recv(4096).decode() + "\n"
                rest = heard.split(word, 1)[1]
                heard = rest

            wait_word("READY=1")
            wait_word("WATCHDOG=1")
            gateway.process.send_signal(signal.SIGHUP)
            wait_word("RELOADING=1\nMONOTONIC_USEC=")
            wait_word("READY=1")
            gateway.process.send_signal(signal.SIGTERM)
            wait_word("STOPPING=1")
            self.assertEqual(gateway.process.wait(10), 0)


class Control(ProcessCase):
    def test_status(self):
        gateway = self.plain()
        said = gateway.ctl_json("status")
        self.assertEqual(said["state"], "serving")
        self.assertEqual(said["pid"], gateway.process.pid)
        self.assertEqual(said["listeners"][0]["address"], gateway.listeners[0]["address"])
        status, out, _ = gateway.ctl("status")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"(?m)^worker/1 +1 +\d+ +ready ")

    def test_sessions_of_all_workers_with_a_peer_s_bytes_made_harmless(self):
        gateway = self.plain()
        clients = [Client(gateway.address()) for _ in range(30)]
        for c in clients:
            c.expect(220)
            c.send(b"EHLO client.example\r\n")
            c.reply()
        said = gateway.ctl_json("sessions")
        self.assertEqual(len(said["sessions"]), 30)
        self.assertEqual(said["workers_missing"], 0)
        self.assertEqual({s["worker"] for s in said["sessions"]}, {"worker/0", "worker/1"})
        row = said["sessions"][0]
        self.assertEqual((row["helo"], row["listener"], row["tls"]), ("client.example", "internet",
                                                                      False))
        self.assertTrue(row["client"].startswith("127.0.0.1:"))
        self.assertEqual(len(gateway.ctl("sessions")[1].splitlines()), 31)
        for c in clients:
            c.close()

    def test_sessions_do_not_wait_for_a_stuck_worker(self):
        gateway = self.plain()
        pid = processes(gateway)["worker/0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            self.assertEqual(gateway.ctl_json("sessions")["workers_missing"], 1)
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(gateway.ctl("status")[0], 0)
        finally:
            os.kill(pid, signal.SIGCONT)

    def test_routes(self):
        sink = self.sink()
        gateway = self.gateway([route("hop.example", sink.port)])
        with Client(gateway.address()) as c:
            c.expect(220)
            c.expect(250, "EHLO client.example")
            c.transaction("a@client.example", ["b@hop.example"])
            self.assertEqual(c.data(BODY)[0], 250)
            hosts = gateway.ctl_json("routes")["hosts"]
        self.assertEqual([(h["host"].split(":")[0], h["dead_for_ms"]) for h in hosts],
                         [("127.0.0.1", 0)])
        self.assertEqual(gateway.ctl("routes")[0], 0)

    def probes_of_a_silent_host(self, gateway, count):
        return [subprocess.Popen([os.path.join(BUILD, "posternctl"), "--socket",
                                  gateway.settings["gateway"]["control_socket"], "policy", "probe",
                                  "x@silent.example"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(count)]

    def silent(self, timeout_s):
        """A gateway with one worker, and a next hop that takes connections and says nothing."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.addCleanup(listener.close)
        sink = self.sink()
        gateway = self.gateway([route("silent.example", listener.getsockname()[1], "encrypt"),
                                route("hop.example", sink.port, "encrypt")],
                               settings={"limits": {"hop_command_timeout_s": timeout_s}})
        wait_for(lambda: gateway.events("serving"), 10, "workers are ready")
        return gateway, sink

    def test_probes_are_bounded_and_hold_no_mail_up(self):
        gateway, sink = self.silent(3)
        probes = self.probes_of_a_silent_host(gateway, 6)
        crowded = wait_for(lambda: [p for p in probes if p.poll() is not None], 10, "a refusal")
        for p in crowded:
            self.assertIn(b"too many explanations and probes at once", p.stderr.read())
        with Client(gateway.address()) as c:
            c.starttls()
            c.transaction("a@client.example", ["b@hop.example"])
            self.assertEqual(c.data(BODY)[0], 250)
        self.assertEqual(len(sink.messages), 1)
        said = [p.communicate(timeout=30) for p in probes if p not in crowded]
        self.assertEqual(sorted(p.returncode for p in probes), [75] * 6)
        self.assertEqual(sum(b"no answer in time" in out for out, _ in said), 4, said)
        # Their places are free again.
        self.assertEqual(gateway.ctl("policy", "explain", "x@silent.example")[0], 0)

    def test_a_probe_whose_worker_dies(self):
        gateway, _ = self.silent(60)
        worker = processes(gateway)["worker/0"]
        probe, = self.probes_of_a_silent_host(gateway, 1)
        time.sleep(0.5)
        os.kill(worker["pid"], signal.SIGKILL)
        _, error = probe.communicate(timeout=10)
        self.assertEqual(probe.returncode, 75)
        self.assertIn(b"no worker answered in time", error)

    def test_a_gateway_that_stops_waits_for_no_probe(self):
        gateway, _ = self.silent(60)
        probe, = self.probes_of_a_silent_host(gateway, 1)
        time.sleep(0.5)
        gateway.stop()
        probe.communicate(timeout=10)
        self.assertNotEqual(probe.returncode, 0)

    def test_config_check_of_a_file(self):
        gateway = self.plain()
        path = os.path.join(gateway.folder, "postern.conf")
        self.assertEqual(gateway.ctl("config", "check", path)[0], 0)
        self.assertEqual(gateway.ctl_json("config", "check", path), {"config": path})
        status, out, _ = gateway.ctl("--json", "config", "check", "/nonexistent")
        self.assertEqual(status, EX_CONFIG)
        self.assertIn("/nonexistent", json.loads(out)["error"])

    def test_usage_and_a_gateway_that_is_not_there(self):
        gateway = Gateway([], [], None, self.authority)
        for words, code in ((["status"], EX_UNAVAILABLE), (["nonsense"], EX_USAGE),
                            (["status", "more"], EX_USAGE), ([], EX_USAGE), (["help"], 0),
                            (["--help"], 0), (["--version"], 0)):
            self.assertEqual(gateway.ctl(*words)[0], code, words)

    def test_garbage_and_crowds_do_no_harm(self):
        gateway = self.plain()
        path = gateway.settings["gateway"]["control_socket"]
        crowd = []
        for text in (b"\n", b"[]\n", b"{\"verb\": 1}\n", b"{\"verb\": \"nonsense\"}\n", b"\xff\xfe\n"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(path)
                s.sendall(text)
                self.assertEqual(json.loads(s.makefile().read())["exit"], EX_USAGE)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(path)
            try:
                s.sendall(b"x" * 100000)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                self.assertEqual(s.recv(10), b"")
            except ConnectionResetError:
                pass
        for _ in range(30):
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            crowd.append(s)
        greeted(gateway.address())
        for s in crowd:
            s.close()
        self.assertEqual(gateway.ctl("status")[0], 0)


class Metrics(ProcessCase):
    def setUp(self):
        self.port = free_port()
        self.gateway_ = self.plain(metrics=f"127.0.0.1:{self.port}")
        wait_for(lambda: "metrics" in processes(self.gateway_), 5, "metrics process")

    def get(self, path="/metrics", method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.headers, answer.read().decode()

    def test_text(self):
        greeted(self.gateway_.address())
        headers, text = self.get()
        self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        line = re.compile(r'(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({[a-z]+="[a-z_]+"})? -?\d+|'
                          r'postern_certificate_not_after_seconds'
                          r'{file="[^"\\]+",name="[^"\\]+",use="[a-z_]+"} \d+)$')
        for row in text.splitlines():
            self.assertRegex(row, line)
        values = dict(r.rsplit(" ", 1) for r in text.splitlines() if not r.startswith("#"))
        self.assertGreaterEqual(int(values["postern_sessions_total"]), 1)
        self.assertEqual(values["postern_workers"], "2")
        self.assertIn('postern_sessions_ended_total{reason="quit"}', values)
        self.assertEqual(self.get(method="HEAD")[1], "")

    def test_nothing_else_is_served(self):
        for path, method, code in (("/", "GET", 404), ("/metrics/../x", "GET", 404),
                                   ("/metrics", "POST", 405), ("/metrics", "DELETE", 405)):
            with self.assertRaises(urllib.error.HTTPError) as e:
                self.get(path, method)
            self.assertEqual(e.exception.code, code)

    def test_crowds_and_a_killed_process(self):
        crowd = [socket.create_connection(("127.0.0.1", self.port), 5) for _ in range(24)]
        for s in crowd:
            s.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        greeted(self.gateway_.address())
        for s in crowd:
            s.close()

        def served():
            try:
                return "postern_sessions_total" in self.get()[1]
            except TimeoutError:
                return False

        wait_for(served, 20, "served again: what idles is closed after 10 seconds")
        os.kill(processes(self.gateway_)["metrics"]["pid"], signal.SIGKILL)
        self.assertIn("postern_worker_deaths_total", self.get()[1])


if __name__ == "__main__":
    tap.main()
