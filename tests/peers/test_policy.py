#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does each level hold against real zones, policies and certificates, and against whoever sits in the
middle: mail goes as the level says or not at all, and never a MAIL FROM on a weaker connection?
"""
import base64
import hashlib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from capture import Capture  # noqa: E402
from certs import der, spki  # noqa: E402
from client import Client, wait_for  # noqa: E402
from gateway import Gateway  # noqa: E402
from policy_world import (  # noqa: E402
    FALLS_BACK, KINDS, MATRIX, MIDDLE, SMTP_PORT, STS_GRID, UNAUTHENTICATED, WITH_POLICY, PolicyWorld,
    domain_of, host_of, tlsa)
from references import References  # noqa: E402
from schema import schema_check  # noqa: E402
from setup import Case  # noqa: E402

MESSAGE = b"Subject: policy\r\n\r\nbody\r\n"


class Policy(References, PolicyWorld, Case):
    def send(self, domain):
        """The reply to one message, and its log line."""
        before = len(self.shared.events("message"))
        for sink in self.sinks.values():
            sink.clear()
        with Client(self.shared.address(), timeout=30) as client:
            client.starttls()
            reply = client.message(f"x@{domain}", MESSAGE)
            client.command("QUIT")
        events = wait_for(lambda: self.shared.events("message")[before:], 5, "the log line")
        return reply, events[-1]

    def goes(self, domain, at, level, source, **more):
        """The message is delivered at that address, and the line says under what."""
        reply, event = self.send(domain)
        self.assertRegex(reply, "^250 ", f"{domain}: {event}")
        self.assertEqual(len(self.sinks[at].messages), 1, domain)
        self.assertEqual((event["level"], event["source"]), (level, source), f"{domain}: {event}")
        for key, value in more.items():
            self.assertEqual(event.get(key), value, f"{domain}: {event}")
        return event

    def goes_nowhere(self, domain, code):
        """Refused with this enhanced code, and no server heard MAIL, over TLS or not."""
        reply, event = self.send(domain)
        self.assertRegex(reply, rf"^451 {re.escape(code)} ", f"{domain}: {event}")
        heard = [l for s in self.sinks.values() for l in s.lines() if l.upper().startswith("MAIL")]
        self.assertEqual(heard, [], domain)
        self.assertEqual(event["result"], "deferred", domain)
        return event

    def plaintext_mail(self, capture):
        """Connections to next hops in which MAIL FROM could be read."""
        streams = capture.streams(SMTP_PORT)
        self.assertTrue(streams, "nothing was captured")
        return sum(re.search(rb"(?i)MAIL FROM:", there) is not None for there, _ in streams)

    # --- somebody in the middle

    def test_nobody_in_the_middle(self):
        """Each level is had, over TLS, and the log says which and from whom."""
        levels = {"dane": ("dane", "dane"), "autodane": ("dane", "dane"), "sts": ("verify", "sts"),
                  "autosts": ("verify", "sts"), "autonone": ("may", "none")}
        with Capture() as capture:
            for kind in KINDS:
                level, source = levels.get(kind, (kind, "route"))
                event = self.goes(domain_of(kind, "nobody"), "nobody", level, source)
                self.assertIn("TLS1.3", event["tls_out"])
                self.assertNotIn("fallback", event)
                self.assertEqual(event.get("verify"), {
                    "dane": "dane 3 1 1", "autodane": "dane 3 1 1", "pin": "pin",
                    "verify": "name .open.example", "sts": "name mx-nobody.open.example",
                    "autosts": "name mx-nobody.open.example"}.get(kind), f"{kind}: {event}")
                self.assertEqual(event.get("sts_id"), "20261122" if kind in WITH_POLICY else None)
        self.assertEqual(self.plaintext_mail(capture), 0)

    def test_demanded_and_kept_from_it(self):
        """Whoever takes TLS away, breaks it, or shows another certificate gets no mail."""
        with Capture() as capture:
            for middle in MIDDLE[1:]:
                for kind in KINDS:
                    if kind in FALLS_BACK or (middle == "swap" and kind in UNAUTHENTICATED):
                        continue
                    with self.subTest(middle=middle, kind=kind):
                        self.goes_nowhere(domain_of(kind, middle), "4.7.5")
        self.assertEqual(self.plaintext_mail(capture), 0)

    def test_another_certificate_where_none_is_judged(self):
        with Capture() as capture:
            for kind in UNAUTHENTICATED:
                event = self.goes(domain_of(kind, "swap"), "swap",
                                  "may" if kind in FALLS_BACK else kind,
                                  "none" if kind == "autonone" else "route")
                self.assertIn("unchecked", event["tls_out"])
        self.assertEqual(self.plaintext_mail(capture), 0)

    def test_levels_that_fall_back_say_so(self):
        with Capture() as capture:
            for middle in ("strip", "refuse", "garbage", "cut"):
                for kind in FALLS_BACK:
                    with self.subTest(middle=middle, kind=kind):
                        event = self.goes(domain_of(kind, middle), middle, "may",
                                          "none" if kind == "autonone" else "route",
                                          fallback="plaintext", tls_out="none")
                        self.assertTrue(event["why"], event)
        self.assertEqual(self.plaintext_mail(capture), 8)

    def test_bytes_behind_the_220(self):
        """CVE-2021-38371: who injects replies is no next hop without TLS, so none falls back."""
        with Capture() as capture:
            for kind in FALLS_BACK:
                reply, event = self.send(domain_of(kind, "inject"))
                self.assertRegex(reply, "^451 ", event)
        self.assertEqual(self.plaintext_mail(capture), 0)

    def test_certificates_that_are_wrong(self):
        """For level verify one thing is enough; for level pin the key is all."""
        for name, at in (("past", "past"), ("self", "expired"), ("elsewhere", "nobody")):
            self.goes_nowhere(f"verify-{name}.open.example", "4.7.5")
            self.goes(f"pin-{name}.open.example", at, "pin", "route", verify="pin")

    # --- DANE

    def test_every_kind_of_record(self):
        for cell in MATRIX:
            self.goes(f"dane-m{cell}.safe.example", "nobody", "dane", "dane", verify="dane " + " ".join(cell)
                      + (f", name mx-m{cell}.safe.example" if cell[0] == "2" else ""))
            self.goes_nowhere(f"dane-x{cell}.safe.example", "4.7.5")

    def test_usage_2_wants_a_chain_of_today(self):
        self.goes_nowhere("dane-oldchain.safe.example", "4.7.5")
        self.goes("dane-oldchainleaf.safe.example", "past", "dane", "dane", verify="dane 3 1 1")

    def test_dane_takes(self):
        """RFC 7671, 7672: what matches, whatever name and date are at usage 3."""
        for name, at, verify in (("expired", "expired", "dane 3 1 1"), ("rolled", "nobody", "dane 3 0 2"),
                                 ("full", "nobody", "dane 3 0 0")):
            for kind in ("dane", "autodane"):
                self.goes(f"{kind}-{name}.safe.example", at, "dane", "dane", verify=verify)

    def test_dane_refuses(self):
        """Records that match nothing, or whose usage 2 wants another name."""
        for name in ("other", "wrongname"):
            for kind in ("dane", "autodane"):
                self.goes_nowhere(f"{kind}-{name}.safe.example", "4.7.5")

    def test_forged_dns(self):
        """Other data under old signatures: nobody is connected to."""
        for kind in ("dane", "autodane"):
            for name in ("forged", "mxforged"):
                before = {m: s.connections for m, s in self.sinks.items()}
                self.goes_nowhere(f"{kind}-{name}.safe.example", "4.4.3")
                self.assertEqual({m: s.connections for m, s in self.sinks.items()}, before)

    def test_records_of_which_none_is_usable(self):
        """RFC 7672 section 2.2: TLS without authentication, at level dane nothing."""
        self.goes("autodane-unusable.safe.example", "nobody", "encrypt", "dane")
        self.goes_nowhere("dane-unusable.safe.example", "4.7.5")

    def test_no_records(self):
        self.goes("autodane-none.safe.example", "nobody", "may", "none")
        self.goes_nowhere("dane-none.safe.example", "4.7.5")

    def test_zone_that_is_not_signed(self):
        self.goes("autodane-unsigned.open.example", "nobody", "may", "none")
        self.goes_nowhere("dane-unsigned.open.example", "4.7.5")

    def test_alias_of_a_host(self):
        """RFC 7672 section 2.2.2: the records at the target count first; SNI is its name."""
        self.goes("dane-anchor.safe.example", "nobody", "dane", "dane", verify="dane 3 1 1")

    def test_failover_past_a_host_that_does_not_match(self):
        self.goes("dane-failover.safe.example", "nobody", "dane", "dane")

    def test_records_that_turn(self):
        """A connection that was good is there still, and no message goes over it under records that
        its certificate does not match."""
        for _ in range(2):
            event = self.goes("dane-turned.turn.example", "nobody", "dane", "dane")
        self.assertEqual(event["reused"], "1", event)
        connection = self.sinks["nobody"].messages[-1].connection
        self.turning.stop()
        self.turn_serve(self.swapped)
        time.sleep(2.5)  # its time to live
        self.assertIn(connection, self.sinks["nobody"].open)
        self.goes_nowhere("dane-turned.turn.example", "4.7.5")
        self.turning.stop()
        self.turn_serve(self.good)
        time.sleep(2.5)
        self.goes("dane-turned.turn.example", "nobody", "dane", "dane")

    def test_tlsa_records_that_vanish(self):
        """The zone proves that there are none any more, and so auto asks for nothing: the ratchet does."""
        domain = "autodane-turned.turn.example"
        self.goes(domain, "nobody", "dane", "dane")
        wait_for(lambda: self.shared.ctl_json("policy", "ratchet", domain)["hosts"], 5, "the host")
        self.turning.stop()
        self.turn_serve(None)
        time.sleep(2.5)
        event = self.goes_nowhere(domain, "4.7.5")
        self.assertRegex(event["text"], r"had dane until \S+, now encrypt \(mx\.turn\.example has neither TLSA records")
        self.assertEqual(self.shared.ctl("policy", "ratchet", "accept", domain)[0], 0)
        self.goes(domain, "nobody", "may", "none")

    # --- MTA-STS

    def test_policy_in_testing_mode(self):
        """RFC 8461 section 5: it is delivered, by TLS where that is to be had, and the line shows the
        mode and what it would have refused; level sts enforces it."""
        for name, at, why, verify in (("testsame", "nobody", None, "ok"),
                                      ("testswap", "swap", "is neither sent by the server", "failed"),
                                      ("teststrip", "strip", "there was no TLS", None),
                                      ("testing", "nobody", "the policy does not list the host", "ok")):
            event = self.goes(f"autosts-{name}.open.example", at, "may", "sts", sts_mode="testing",
                              sts_id="7")
            self.assertIn(why or "", event.get("would_refuse", ""), event)
            self.assertEqual("would_refuse" in event, why is not None, event)
            if verify:
                self.assertEqual(event["tls_out"].split(":")[3], verify, event)
            else:
                self.assertEqual(event["fallback"], "plaintext")
            status, host = self.host(f"autosts-{name}.open.example")
            self.assertEqual((status, host["result"]), (0, "met"))
            self.assertEqual(host.get("would_refuse", "").replace('"', "\\x22"),
                             event.get("would_refuse", ""))
        self.goes_nowhere("sts-testing.open.example", "4.7.5")

    def test_every_mode_and_host(self):
        """At level sts a policy refuses unless its mode is none, which level sts does not take; at level
        auto it refuses in mode enforce alone, and tells in testing."""
        for kind in WITH_POLICY:
            for mode, listed, at in STS_GRID:
                with self.subTest(kind=kind, mode=mode, listed=listed, at=at):
                    good = listed == "in" and at == "nobody"
                    strict = mode == "enforce" or (kind == "sts" and mode == "testing")
                    if kind == "sts" and mode == "none" or strict and listed == "out":
                        expected = "skipped"
                    else:
                        expected = "met" if good or not strict else "failed"
                    status, host = self.host(f"{kind}-{mode}{listed}{at}.open.example")
                    self.assertEqual((status, host["result"]), (0 if expected == "met" else 77, expected), host)
                    level, source = {("autosts", "testing"): ("may", "sts"),
                                     ("autosts", "none"): ("may", "none")}.get((kind, mode), ("verify", "sts"))
                    self.assertEqual((host["verdict"]["level"], host["verdict"]["source"]), (level, source))
                    tells = kind == "autosts" and mode == "testing" and not good
                    self.assertEqual("would_refuse" in host, tells, host)
                    if expected == "met":
                        self.assertEqual(host["tls"] is None, at == "strip")

    def test_policy_that_is_none(self):
        self.goes("autosts-off.open.example", "nobody", "may", "none")
        self.goes_nowhere("sts-off.open.example", "4.7.5")

    def test_policy_that_does_not_list_the_host(self):
        """Forged MX records of an unsigned zone lead nowhere; a wildcard is one label."""
        for name in ("names", "label"):
            for kind in WITH_POLICY:
                before = self.sinks["nobody"].connections
                self.goes_nowhere(f"{kind}-{name}.open.example", "4.7.5")
                self.assertEqual(self.sinks["nobody"].connections, before)

    def test_policy_that_can_not_be_fetched(self):
        """RFC 8461 section 3.3: as none, where none was ever seen."""
        self.goes("autosts-missing.open.example", "nobody", "may", "none")
        self.goes_nowhere("sts-missing.open.example", "4.4.3")

    def test_domain_without_policy(self):
        self.goes("autosts-unsigned.open.example", "nobody", "may", "none")
        self.goes_nowhere("sts-unsigned.open.example", "4.7.5")

    # --- a list of policies

    def test_list_where_the_domain_says_nothing(self):
        self.goes("autonone-listed.open.example", "nobody", "verify", "list",
                  verify="name mx-nobody.open.example")
        self.goes_nowhere("autonone-listother.open.example", "4.7.5")
        self.goes("autonone-listtesting.open.example", "nobody", "may", "list", sts_mode="testing")

    def test_list_gives_way_to_the_domain_s_own_policy(self):
        self.goes("autosts-listown.open.example", "nobody", "verify", "sts", sts_id="9")

    def test_list_where_a_policy_can_not_be_fetched(self):
        self.goes_nowhere("autosts-listfail.open.example", "4.7.5")

    def test_list_is_explained(self):
        status, host = self.host("autonone-listother.open.example", "explain")
        self.assertEqual((status, host["verdict"]["source"]), (77, "list"))
        self.assertIn("policy list", host["advice"])
        status, out, _ = self.shared.ctl("policy", "explain", "x@autonone-listed.open.example")
        self.assertEqual(status, 0)
        self.assertIn("none of its own; the policy list has one, mode enforce", out)

    def test_list_that_is_not_signed_by_its_key(self):
        group = self.list_write("wrong")
        with open(group["file"], "a") as f:
            f.write(" ")
        routes = [{"domain": "*", "next_hop": "mx", "tls": {"level": "auto"}}]
        status, said = Gateway(routes, settings={"tls": {"policy_list": group}},
                               authority=self.authority).check()
        self.assertEqual(status, 78, said)
        self.assertIn("tls.policy_list.signature", said)

    def test_list_that_is_expired(self):
        """It is not used, and the log says so; mail goes on."""
        group = self.list_write("expired-list", expires="2026-11-01T00:00:00+00:00")
        routes = [{"domain": "*", "next_hop": "mx", "tls": {"level": "auto"}}]
        with Gateway(routes, settings={"tls": {"policy_list": group}},
                     authority=self.authority) as gateway:
            wait_for(lambda: "is expired and not used" in gateway.log(), 10, "a word on the list")

    def in_dns(self, domain):
        """Routes are there for more domains than zones have."""
        name, zone = domain.split(".")[:2]
        return re.search(rf"(?m)^({name}|{re.escape(domain)}\.) MX ", self.in_zones[zone]) is not None

    # --- TLS reports

    def report(self, domain):
        """What our report of today says to the domain: {policy type: the policy's part}."""
        def show():
            return self.shared.ctl("--json", "tlsrpt", "show", domain)
        wait_for(lambda: show()[0] != 75, 20, "the resolver process")
        status, out, error = show()
        if status == 69:
            return {}
        self.assertEqual(status, 0, f"{out} {error}")
        report = json.loads(out)
        schema_check(report)
        self.assertEqual((report["organization-name"], report["contact-info"]),
                         ("This Test", "tls@client.example"))
        start = report["date-range"]["start-datetime"]
        self.assertEqual(report["date-range"]["end-datetime"], start[:10] + "T23:59:59Z")
        self.assertEqual(report["report-id"], f"{start[:10]}.{domain}@gw.example.org")
        return {p["policy"]["policy-type"]: p for p in report["policies"]}

    def counted(self, domain):
        """{(policy type, result or "good"): sessions}"""
        out = {}
        for kind, part in self.report(domain).items():
            out[kind, "good"] = part["summary"]["total-successful-session-count"]
            failures = part.get("failure-details", [])
            self.assertEqual(part["summary"]["total-failure-session-count"],
                             sum(f["failed-session-count"] for f in failures))
            for f in failures:
                key = kind, f["result-type"]
                out[key] = out.get(key, 0) + f["failed-session-count"]
        return out

    def told(self, domain, *expected, delivered=False):
        """One message more to it adds these to its report, and there never is anything else. A
        connection that mail goes over may be one that was open already, which is no session more."""
        before = self.counted(domain)
        self.send(domain)
        kept = delivered or any(result == "good" for _, result in expected)

        def more(key):
            return self.counted(domain).get(key, 0) > (0 if kept else before.get(key, 0))
        wait_for(lambda: all(map(more, expected)), 5, f"the report to {domain}: {expected}")
        self.assertEqual({k for k, n in self.counted(domain).items() if n}, set(expected), domain)
        return self.report(domain)

    def test_reports_of_tlsa(self):
        part = self.told("autodane-full.safe.example", ("tlsa", "good"))["tlsa"]["policy"]
        self.assertEqual(part["policy-domain"], "mx-full.safe.example")
        self.assertEqual(len(part["policy-string"]), 1)
        # A whole certificate, which is longer than is told of it.
        self.assertRegex(part["policy-string"][0], r"^3 0 0 30[0-9a-f]{2046}\.\.\.$")
        self.assertNotIn("mx-host", part)
        for name, result in (("other", "tlsa-invalid"), ("unusable", "tlsa-invalid"),
                             ("forged", "dnssec-invalid")):
            self.told(f"autodane-{name}.safe.example", ("tlsa", result), delivered=name == "unusable")
        self.told("dane-none.safe.example", ("tlsa", "dane-required"))
        self.told("autodane-strip.safe.example", ("tlsa", "starttls-not-supported"))
        part = self.told("autodane-swap.safe.example", ("tlsa", "tlsa-invalid"))["tlsa"]
        failure = part["failure-details"][0]
        self.assertEqual(failure["receiving-mx-hostname"], "mx-swap.safe.example")
        self.assertEqual(failure["receiving-ip"], self.addresses["swap"])
        self.assertRegex(failure["sending-mta-ip"], r"^127\.")
        self.assertIn("none of the host's 1 usable TLSA records matches", failure["failure-reason-code"])

    def test_reports_of_mta_sts(self):
        part = self.told("autosts-nobody.open.example", ("sts", "good"))["sts"]["policy"]
        self.assertEqual(part, {
            "policy-type": "sts", "policy-domain": "autosts-nobody.open.example",
            "policy-string": ["version: STSv1", "mode: enforce", "mx: *.open.example", "max_age: 86400"],
            "mx-host": ["*.open.example"]})
        self.told("autosts-swap.open.example", ("sts", "certificate-not-trusted"))
        self.told("autosts-strip.open.example", ("sts", "starttls-not-supported"))
        self.told("autosts-names.open.example", ("sts", "validation-failure"))
        self.told("autosts-testing.open.example", ("sts", "validation-failure"), delivered=True)
        self.told("autosts-missing.open.example", ("sts", "sts-policy-fetch-error"),
                  ("no-policy-found", "good"))

    def test_reports_without_a_policy(self):
        self.told("autonone-nobody.open.example", ("no-policy-found", "good"))
        self.told("may-strip.open.example", ("no-policy-found", "starttls-not-supported"), delivered=True)
        self.told("may-garbage.open.example", ("no-policy-found", "validation-failure"), delivered=True)

    def test_reports_for_people_and_after_a_restart(self):
        domain = "autonone-unsigned.open.example"
        self.told(domain, ("no-policy-found", "good"))
        good = self.counted(domain)["no-policy-found", "good"]
        status, out, _ = self.shared.ctl("tlsrpt", "show")
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"(?m)^ +{good} good +0 failed  {re.escape(domain)}$")
        status, out, _ = self.shared.ctl("tlsrpt", "show", domain)
        self.assertEqual(status, 0)
        self.assertIn(f"{domain}, from This Test (tls@client.example), policy no-policy-found", out)
        self.assertEqual(self.shared.ctl("tlsrpt", "show", "--yesterday", domain)[0], 69)
        state = os.path.join(self.shared.folder, "state", "tlsrpt")
        today = os.path.join(state, time.strftime("%Y-%m-%d.0", time.gmtime()))
        wait_for(lambda: os.path.exists(today) and domain in open(today).read(), 20, "the file of today")
        pids = [p["pid"] for p in json.loads(self.shared.ctl("--json", "status")[1])["processes"]
                if p["process"] == "resolver"]
        os.kill(pids[0], 9)
        wait_for(lambda: self.counted(domain).get(("no-policy-found", "good")) == good, 20,
                 "the counts after the process died")

    # --- explain and probe

    def probe(self, domain, verb="probe"):
        """(exit status, the answer); no server heard MAIL."""
        for sink in self.sinks.values():
            sink.clear()
        status, out, error = self.shared.ctl("--json", "policy", verb, f"x@{domain}")
        self.assertTrue(out, error)
        heard = [l for s in self.sinks.values() for l in s.lines() if l.upper().startswith("MAIL")]
        self.assertEqual(heard, [], domain)
        return status, json.loads(out)

    def host(self, domain, verb="probe"):
        """The same for a domain with one host: (exit status, the host's part)."""
        status, answer = self.probe(domain, verb)
        self.assertEqual(len(answer["hosts"]), 1, answer)
        return status, answer["hosts"][0]

    def test_probe_agrees_with_mail(self):
        """Met where a message goes (the tests above), refused where it does not, at every level and
        whoever is in the middle."""
        for middle in MIDDLE:
            for kind in KINDS:
                falls = kind in FALLS_BACK and middle != "inject"
                met = middle == "nobody" or falls or (middle == "swap" and kind in UNAUTHENTICATED)
                with self.subTest(middle=middle, kind=kind):
                    status, host = self.host(domain_of(kind, middle))
                    self.assertEqual(host["result"], "met" if met else "failed", host)
                    if middle == "inject" and kind in FALLS_BACK:
                        self.assertEqual(status, 75, host)
                    else:
                        self.assertEqual(status, 0 if met else 77, host)
                    if met:
                        plain = falls and middle not in ("nobody", "swap")
                        self.assertEqual(host["tls"] is None, plain, host)
                        self.assertEqual(bool(host.get("why")), plain, host)
                    else:
                        self.assertTrue(host["why"] and host["advice"], host)

    def test_probe_shows_the_session(self):
        status, host = self.host("dane-nobody.safe.example")
        self.assertEqual(status, 0)
        der_text = der(self.good[0])
        self.assertEqual(host["tls"]["cert_sha256"], hashlib.sha256(der_text).hexdigest())
        self.assertEqual("sha256/" + base64.b64encode(
            bytes.fromhex(host["tls"]["spki_sha256"])).decode(), spki(self.good[0]))
        self.assertEqual((host["tls"]["version"], host["tls"]["verify"], host["tls"]["verified_by"]),
                         ("TLS1.3", "ok", "dane 3 1 1"))
        self.assertGreater(host["tls"]["not_after"], time.time())
        self.assertIn("mx-nobody.safe.example", host["tls"]["names"])
        self.assertEqual((host["tlsa"]["secure"], host["tlsa"]["base"], host["sni"]),
                         (True, "mx-nobody.safe.example", "mx-nobody.safe.example"))
        self.assertEqual(host["tlsa"]["records"],
                         [{"record": tlsa(3, 1, 1, self.good[0]), "usable": True}])

    def test_explain_says_why_not(self):
        """Nobody is connected to; what refuses a host is what refuses mail, and there is advice."""
        before = {m: s.connections for m, s in self.sinks.items()}
        for domain, status, level, source, why in (
                ("dane-none.safe.example", 77, "dane", "dane", "has none"),
                ("dane-unusable.safe.example", 77, "dane", "dane", "usable TLSA record"),
                ("dane-unsigned.open.example", 77, "dane", "dane", "MX records that DNSSEC proves"),
                ("dane-forged.safe.example", 75, "dane", "dane", "forged"),
                ("sts-testing.open.example", 77, "verify", "sts", "does not name"),
                ("sts-off.open.example", 77, "verify", "sts", "mode none"),
                ("autosts-names.open.example", 77, "verify", "sts", "does not name"),
                ("sts-missing.open.example", 75, "verify", "sts", "can't be had"),
                ("sts-unsigned.open.example", 77, "verify", "sts", "has none")):
            with self.subTest(domain=domain):
                code, host = self.host(domain, "explain")
                verdict = host["verdict"]
                self.assertEqual((code, verdict["use"], verdict["level"], verdict["source"]),
                                 (status, False, level, source), host)
                self.assertIn(why, verdict["why"])
                self.assertTrue(host["advice"], host)
        self.assertEqual({m: s.connections for m, s in self.sinks.items()}, before)

    def test_explain_says_what_is_accepted(self):
        for kind, level, text in (
                ("may", "may", "plaintext, and the log says so"), ("encrypt", "encrypt", "any certificate"),
                ("verify", "verify", self.authority.cert), ("pin", "pin", "1 spki"),
                ("autodane", "dane", "matches a usable TLSA record"),
                ("autosts", "verify", "for one of the names"), ("autonone", "may", "any certificate")):
            code, answer = self.probe(domain_of(kind, "nobody"), "explain")
            host = answer["hosts"][0]
            self.assertEqual((code, host["result"], host["verdict"]["level"]), (0, "usable", level), kind)
            self.assertIn(text, host["accepts"])
            self.assertEqual(answer["mx"]["secure"], kind == "autodane", answer["mx"])
            sts = answer["sts"]
            if kind == "autosts":
                self.assertEqual((sts["mode"], sts["id"], sts["mx"]),
                                 ("enforce", "20261122", ["*.open.example"]))
                self.assertEqual(host["names"], [host_of(kind, "nobody")])
            elif not kind.startswith("auto"):
                self.assertIsNone(sts)

    def test_one_good_host_is_enough(self):
        status, answer = self.probe("dane-failover.safe.example")
        self.assertEqual((status, [h["result"] for h in answer["hosts"]]), (0, ["failed", "met"]))

    def test_forged_mx(self):
        status, answer = self.probe("dane-mxforged.safe.example")
        self.assertEqual((status, answer["hosts"], answer["mx"]["status"]), (75, [], "bogus"))
        self.assertTrue(answer["advice"])

    def test_no_route_and_no_domain(self):
        status, answer = self.probe("elsewhere.example", "explain")
        self.assertEqual(status, 77)
        self.assertIn("550 5.7.1", answer["outcome"])
        self.assertFalse(any(r["taken"] for r in answer["routes"]))
        self.assertEqual(len(answer["routes"]) + answer["routes_omitted"], len(self.shared.routes))
        self.assertEqual(len(answer["routes"]), 20)
        answer = self.probe("autonone-none.open.example", "explain")[1]
        self.assertEqual([r["domain"] for r in answer["routes"] if r["taken"]],
                         ["autonone-none.open.example"])
        self.assertEqual(self.probe("dane-full.open.example", "explain")[0], 68)
        for words in (["no-address"], ["x@safe.example", "--listener", "nowhere"]):
            status, out, error = self.shared.ctl("policy", "explain", *words)
            self.assertEqual((status, out), (64, ""), error)
            self.assertTrue(error)

    def test_text_for_people(self):
        """Every step has its place, and nothing is longer than a line of a terminal."""
        status, out, error = self.shared.ctl("policy", "probe", "x@autodane-nobody.safe.example")
        self.assertEqual((status, error), (0, ""))
        for text in ("Route, for mail that comes in at listener internet", "secure (DNSSEC proves it)",
                     "level       dane, by dane: 1 of the 1 TLSA records", "policy is met at 127.0.1.1:2525",
                     "dane 3 1 1", "Mail goes to the first host that met its level."):
            self.assertIn(text, out)
        status, out, error = self.shared.ctl("policy", "explain", "x@dane-none.safe.example")
        self.assertEqual(status, 77)
        self.assertIn("what to do", out)
        self.assertIn("451 4.7.5", out)


if __name__ == "__main__":
    tap.main()
