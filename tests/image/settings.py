# SPDX-License-Identifier: Apache-2.0
"""The settings that a person brings to an appliance: appliance.conf, postern.conf and a certificate, on
a stick or as credentials; and mail through it, from the host and to the host, by postern-bench."""
import json
import os
import subprocess

from appliance import BUILD, free_port
from certs import Authority
from gateway import libconfig

HOST = "10.0.2.2"  # the host, as the guest sees it
NAME = "gw.example.org"
BENCH = os.path.join(BUILD, "postern-bench")


def config_text(groups):
    return "".join(f"{name} = {libconfig(group)};\n" for name, group in groups.items())


class Settings:
    """appliance, gateway: groups of the two files, to be changed at will before they are taken.
    `sink_port`: where mail for hop.example goes, on the host."""

    def __init__(self, folder, machine=None, sink_port=None, level="encrypt"):
        self.authority = Authority(os.path.join(folder, "authority"))
        self.chain, self.key = self.authority.issue(NAME)
        self.sink_port = sink_port or free_port()
        self.appliance = {"hostname": NAME}
        if machine:
            self.appliance["ssh_keys"] = [machine.ssh_public]
        self.gateway = {
            # There is no name server in the world of the tests.
            "gateway": {"hostname": NAME, "dataplane": "ktls"},
            "resolver": {"reverse": False},
            "tls": {"certificates": [{"cert": "/etc/postern/tls/gw.pem", "key": "/etc/postern/tls/gw.key"}]},
            "listeners": [{"name": "internet", "address": "0.0.0.0:25", "tls": "starttls"}],
            "routes": [{"domain": "hop.example", "next_hop": f"{HOST}:{self.sink_port}",
                        "tls": {"level": level}}],
        }

    def files(self):
        """As on a stick: name: text."""
        files = {"appliance.conf": config_text(self.appliance), "postern.conf": config_text(self.gateway)}
        for name, path in (("tls/gw.pem", self.chain), ("tls/gw.key", self.key)):
            with open(path, encoding="ascii") as f:
                files[name] = f.read()
        return files

    def credentials(self):
        """As systemd's credentials."""
        files = self.files()
        return {"postern.appliance": files["appliance.conf"], "postern.gateway": files["postern.conf"],
                "postern.tls.gw.pem": files["tls/gw.pem"], "postern.tls.gw.key": files["tls/gw.key"]}


class Mail:
    """Mail for hop.example through an appliance: a sink on the host, and loads towards the guest. The
    sink checks each byte of each message, and that it came over TLS."""

    def __init__(self, case, settings):
        self.case, self.started = case, 0
        self.sink = subprocess.Popen(
            [BENCH, "sink", "--listen", f"127.0.0.1:{settings.sink_port}", "--starttls", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        case.addCleanup(self.sink.communicate)
        case.addCleanup(self.sink.kill)
        case.assertIn("sink listens", self.sink.stderr.readline())

    def send(self, machine, *options):
        """The load's report; each message was accepted, and no session failed."""
        done = subprocess.run(
            [BENCH, "load", "--target", "%s:%d" % machine.at(25), "--starttls", "--json", "--rcpt",
             "sink@hop.example", "--timeout", "300", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=1500, check=False)
        self.case.assertTrue(done.stdout, done.stderr)
        report = json.loads(done.stdout)
        self.case.assertEqual(report["messages"]["accepted"], report["messages"]["started"], report)
        self.case.assertEqual(report["sessions"]["failed"], 0, report)
        self.started += report["messages"]["started"]
        return report

    def all_arrived(self):
        """Ends the sink: it had every message that was sent, once, intact, under TLS."""
        self.sink.terminate()
        report = json.loads(self.sink.communicate(timeout=120)[0])
        self.case.assertEqual(report["messages"]["verdicts"]["intact"], self.started, report)
        self.case.assertEqual(sum(run["unique"] for run in report["runs"]), self.started, report)
        for word in ("duplicates", "corrupt", "aborted", "plain", "bare_lf"):
            self.case.assertEqual(report["messages"][word], 0, word)
        return report
