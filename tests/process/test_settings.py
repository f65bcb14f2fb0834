#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does an appliance take the settings of a stick, or of its firmware, when all of them are right, and
go on with what it had when anything is wrong; and does what it takes show in the base system's files?

A folder stands for the machine's file system, and another in it for the mounted stick."""
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import tap  # noqa: E402
from appliance_folder import APPLIANCE, GATEWAY, KEY, POSTERNCTL, Appliance, users_have_postern  # noqa: E402

EX_USAGE, EX_NOINPUT, EX_CONFIG = 64, 66, 78
PASSWORD = "correct horse battery"
RECOVERY_KEY = "fughvkeh-fekklfjh-nbecbccu-ueelvbuf-ihtfgehv-cikinljn-evlcheuj-ffjffnvu"

# Stands for /usr/lib/postern/state: knows whether /var is encrypted, and by which key.
STATE = """#!/bin/sh
[ "$*" = key-opens ] || exit 64
[ -e %(root)s/key ] || exit 2
[ "$(cat)" = "$(cat %(root)s/key)" ] || exit 1
"""


class Settings(Appliance):
    # --- nothing given ---

    def test_nothing_given(self):
        notices = self.boot()
        self.assertNotice(notices, "^warning: not configured: no settings were given")
        self.assertNoNotice(notices, "^error")
        self.assertIn("Name=enp0s3\n", self.read("run/systemd/network/100-postern.network"))
        self.assertIn("DHCP=yes\n", self.read("run/systemd/network/100-postern.network"))
        self.assertFalse(os.path.exists(self.path("run/postern-system/ssh/authorized_keys")))
        self.assertIn('domain = "not-configured.invalid"', self.etc("postern.conf"))
        self.assertFalse(os.path.exists(self.path("var/etc/postern/appliance.conf")))
        self.assertEqual(os.stat(self.path("var/etc/postern/tls/gateway.key")).st_mode & 0o777, 0o600)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("var/etc/postern/tls/gateway.pem"),
                                self.path("var/etc/postern/tls/gateway.key"))
        before = self.etc("tls/gateway.pem")
        self.assertNotice(self.boot(), "^warning: not configured")
        self.assertEqual(self.etc("tls/gateway.pem"), before)

    def test_the_certificate_has_the_name_given(self):
        self.boot()
        self.stick(gateway=False, tls=False)
        notices = self.boot()
        self.assertNotice(notices, "^ok: settings of the stick POSTERN were taken")
        self.assertNotice(notices, "^warning: not configured: there is no route")
        text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in",
                               self.path("var/etc/postern/tls/gateway.pem")],
                              capture_output=True, text=True, check=True).stdout
        self.assertIn("DNS:mx.example.org", text)
        self.assertIn('hostname = "mx.example.org"', self.etc("postern.conf"))

    # --- the stick ---

    def test_stick(self):
        self.stick()
        notices = self.boot()
        self.assertNotice(notices, "^ok: settings of the stick POSTERN were taken")
        self.assertNoNotice(notices, "^error")
        self.assertNoNotice(notices, "not configured")
        self.assertEqual(self.etc("appliance.conf"), APPLIANCE)
        self.assertEqual(self.read("run/postern-system/ssh/authorized_keys"), KEY + "\n")
        for name in ("appliance.conf", "postern.conf", "tls/mx.key"):
            self.assertEqual(os.stat(self.path("var/etc/postern/" + name)).st_mode & 0o777, 0o600)
        shown = json.loads(self.ctl("--json", "settings", "show"))
        self.assertEqual((shown["hostname"], shown["ssh_keys"]), ("mx.example.org", 1))

    def test_stick_left_in_undoes_nothing(self):
        self.stick()
        self.boot()
        changed = APPLIANCE.replace("mx.", "mail.")
        self.write("var/etc/postern/appliance.conf", changed)
        self.write("var/etc/postern/notes/mine", "kept\n")
        notices = self.boot()
        self.assertNoNotice(notices, "were taken")
        self.assertEqual(self.etc("appliance.conf"), changed)
        self.stick(appliance=APPLIANCE + "# newer\n")
        self.assertNotice(self.boot(), "were taken")
        self.assertEqual(self.etc("appliance.conf"), APPLIANCE + "# newer\n")
        self.assertEqual(self.etc("notes/mine"), "kept\n")
        self.assertEqual(self.read("var/etc/postern-before/appliance.conf"), changed)

    def test_names_in_etc_are_those_of_the_stick(self):
        self.stick(gateway=GATEWAY % ("/etc/postern/tls/mx.pem", "mail.example.org:25"))
        self.assertNotice(self.boot(), "tls/mx.pem can't be read")
        # An /etc as the appliance has it, for this namespace alone.
        layers = tempfile.mkdtemp(dir=self.folder)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)
        for name in ("upper", "work"):
            os.mkdir(os.path.join(layers, name))
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/etc,upperdir={layers}/upper,"
                        f"workdir={layers}/work", "/etc"], check=True)
        try:
            os.symlink(self.path("var/etc/postern"), "/etc/postern")
            users_have_postern()
            self.assertNotice(self.boot(), "were taken")
        finally:
            subprocess.run(["umount", "-l", "/etc", layers], check=True)

    def wrong(self, *patterns):
        """What is on the stick is refused, the settings of before stay."""
        before = {name: self.etc(name) for name in ("appliance.conf", "postern.conf")}
        notices = self.boot()
        for pattern in patterns:
            self.assertNotice(notices, "^error: settings of the stick POSTERN are not taken: " + pattern)
        self.assertNoNotice(notices, "were taken")
        for name, text in before.items():
            self.assertEqual(self.etc(name), text)
        self.assertFalse(os.path.exists(self.path("var/etc/postern-new")))
        self.assertTrue(os.path.exists(self.path("run/systemd/network/100-postern.network")))
        return notices

    def test_wrong_appliance_conf(self):
        self.stick()
        self.boot()
        self.stick(appliance='hostname = "mx";\nnetwork = (\n  { addresses = "192.0.2.25"; } );\n')
        self.wrong(r'appliance\.conf:3: network\[0\]\.addresses: found "192\.0\.2\.25", allowed a list of '
                   'addresses with their networks')
        self.ctl("settings", "import", code=EX_CONFIG)

    def test_wrong_postern_conf(self):
        self.stick()
        self.boot()
        self.stick(gateway=GATEWAY % ("tls/missing.pem", "mail.example.org"))
        self.wrong(r'postern\.conf:4: routes\[0\]\.next_hop: found "mail\.example\.org", allowed "mx"')
        self.stick(gateway=GATEWAY % ("tls/missing.pem", "mail.example.org:25"))
        self.wrong(r"postern\.conf:3: listeners\[0\]: certificate file tls/missing\.pem can't be read")
        many = "".join(f"wrong{i} = 1;\n" for i in range(9))
        self.stick(appliance=many)
        self.wrong("there are 10 errors in all", r"appliance\.conf:5: wrong4: found an unknown key")
        self.stick()
        self.assertNoNotice(self.boot(), "^error")

    def test_a_key_of_another_certificate(self):
        self.stick()
        self.boot()
        other = self.authority.issue("other.example.org")[1]
        shutil.copy(other, self.path(self.STICK + "tls/mx.key"))
        self.wrong(r"postern\.conf:3: listeners\[0\]: key file tls/mx\.key does not belong to the first")

    def test_odd_sticks(self):
        self.stick()
        self.boot()
        stick = self.path(self.STICK)
        os.symlink("/etc/shadow", stick + "tls/link.pem")
        self.wrong(r"tls/link\.pem: found a link, allowed is a file \(stick POSTERN\)")
        os.unlink(stick + "tls/link.pem")
        self.write(self.STICK + "tls/a b\x1b[2J.pem", "x")
        self.wrong(r"a b\?\[2J\.pem: found a name, allowed are ones of up to 64")
        os.unlink(stick + "tls/a b\x1b[2J.pem")
        os.mkfifo(stick + "tls/fifo.pem")
        self.wrong(r"tls/fifo\.pem: found no file, allowed is one")
        os.unlink(stick + "tls/fifo.pem")
        with open(stick + "tls/large.pem", "wb") as f:
            f.truncate(5 << 20)
        self.wrong(r"tls/large\.pem: found more bytes than allowed, which is 4 MiB")
        os.unlink(stick + "tls/large.pem")
        for i in range(310):
            self.write(f"{self.STICK}tls/{i}.pem", "x")
        self.wrong(r"tls/\d+\.pem: found more files than allowed, which is 300", "there are 14 errors in all")
        shutil.rmtree(stick + "tls")
        # Whatever they are called: what comes behind them would not be looked at.
        for i in range(601):
            self.write(f"{self.STICK}partners/._{i}", "x")
        self.wrong("partners: found more entries than allowed, which is 600")
        shutil.rmtree(stick + "partners")
        self.write(self.STICK + "tls", "x")
        self.wrong("tls: found no folder, allowed is one")
        shutil.rmtree(stick)
        os.symlink("/etc/shadow", self.path(self.STICK.rstrip("/")))
        self.wrong("POSTERN: it is no disk")

    def test_what_is_not_ours_is_left_alone(self):
        self.stick()
        self.write(self.STICK + "System Volume Information/IndexerVolumeGuid", "x")
        self.write(self.STICK + "tls/._mx.pem", "what another system left")
        self.write(self.STICK + "README.txt", "x")
        self.assertNotice(self.boot(), "were taken")
        self.assertEqual(sorted(os.listdir(self.path("var/etc/postern"))),
                         ["appliance.conf", "imported", "postern.conf", "tls"])
        self.assertEqual(sorted(os.listdir(self.path("var/etc/postern/tls"))), ["mx.key", "mx.pem"])

    def test_a_stick_without_settings(self):
        os.makedirs(self.path(self.STICK))
        self.assertNotice(self.boot(), "^error: .*POSTERN: found no settings, allowed are appliance.conf")

    # --- the stick of a machine with an administrator's password ---

    NOT_TAKEN = "^error: settings of the stick POSTERN are not taken: "

    def locked(self, encrypted=True):
        """Settings with a password, and others on the stick."""
        hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True,
                                check=True).stdout.strip()
        self.own = APPLIANCE + f'admin_password = "{hashed}";\n'
        self.stick(appliance=self.own)
        self.assertNotice(self.boot(), "were taken")
        self.write("usr/lib/postern/state", STATE % {"root": self.root})
        os.chmod(self.path("usr/lib/postern/state"), 0o700)
        if encrypted:
            self.write("key", RECOVERY_KEY)
        self.stick(appliance=APPLIANCE + "# a stranger's\n")

    def assertNotTaken(self, *patterns):
        notices = self.boot()
        for pattern in patterns:
            self.assertNotice(notices, self.NOT_TAKEN + pattern)
        self.assertNoNotice(notices, "were taken")
        self.assertEqual(self.etc("appliance.conf"), self.own)

    def assertTaken(self):
        notices = self.boot()
        self.assertNotice(notices, "^ok: settings of the stick POSTERN were taken; take .* off it")
        self.assertNoNotice(notices, "^error")
        self.assertEqual(self.etc("appliance.conf"), APPLIANCE + "# a stranger's\n")
        for folder in ("var", "run"):
            done = subprocess.run(["grep", "-rlFe", PASSWORD, "-e", RECOVERY_KEY, self.path(folder)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))

    def test_a_password_locks_sticks_out(self):
        self.locked()
        self.assertNotTaken("password: this machine takes a stick with the administrator's password: write it to a "
                            "text file password on the stick, in one line, and start again")
        # Who is at work on the machine has it, with or without the stick's password.
        self.assertIn("settings of stick: taken", self.ctl("settings", "import"))

    def test_the_password_opens(self):
        for text in (PASSWORD, PASSWORD + "\n", PASSWORD + "\r\n"):
            self.locked()
            self.write(self.STICK + "password", text)
            self.assertTaken()
            shutil.rmtree(self.path("var/etc"))

    def test_a_wrong_password(self):
        self.locked()
        for text in ("guess", PASSWORD + " \n", PASSWORD[:-1] + "\n", "x" * 511 + "\r\n"):
            self.write(self.STICK + "password", text)
            began = time.monotonic()
            self.assertNotTaken("password: it is not the administrator's password")
            self.assertGreater(time.monotonic() - began, 2.9)
        for text in ("", "\n", "guess\n" + PASSWORD + "\n", PASSWORD + "\nguess", "x" * 512, "x" * 100000,
                     PASSWORD + "\0"):
            self.write(self.STICK + "password", text)
            self.assertNotTaken("password: it is no text of one line of up to 511 characters")
        os.unlink(self.path(self.STICK + "password"))
        self.write("elsewhere", PASSWORD)
        os.symlink(self.path("elsewhere"), self.path(self.STICK + "password"))
        self.assertNotTaken("password: it is no text of one line")
        os.unlink(self.path(self.STICK + "password"))
        os.mkfifo(self.path(self.STICK + "password"))
        self.assertNotTaken("password: it is no text of one line")

    def test_the_recovery_key_opens(self):
        self.locked()
        self.write(self.STICK + "recovery-key", RECOVERY_KEY[:-1] + "c\n")
        began = time.monotonic()
        self.assertNotTaken("recovery-key: it does not open /var")
        self.assertGreater(time.monotonic() - began, 2.9)
        self.write(self.STICK + "recovery-key", RECOVERY_KEY + "\n")
        self.write(self.STICK + "password", "forgotten")
        self.assertTaken()

    def test_no_recovery_key_without_encryption(self):
        self.locked(encrypted=False)
        self.write(self.STICK + "recovery-key", RECOVERY_KEY)
        self.assertNotTaken("recovery-key: /var of this machine is not encrypted, and has none; who has forgotten the "
                            "password installs the machine anew")
        os.unlink(self.path("usr/lib/postern/state"))
        self.assertNotTaken("recovery-key: it could not be tried")

    def test_a_stick_that_stays_in_is_not_asked_again(self):
        self.locked()
        self.write(self.STICK + "password", PASSWORD)
        self.assertTaken()
        # Neither with the password that was, nor without one.
        self.write("var/etc/postern/appliance.conf", self.own)
        for _ in range(2):
            self.assertNoNotice(self.boot(), "POSTERN")
            self.assertEqual(self.etc("appliance.conf"), self.own)
            if os.path.exists(self.path(self.STICK + "password")):
                os.unlink(self.path(self.STICK + "password"))
        self.write(self.STICK + "appliance.conf", APPLIANCE + "# another\n")
        self.assertNotTaken("password: this machine")

    def test_what_a_stick_has_is_judged_behind_its_password(self):
        self.locked()
        self.stick(appliance="hostname = 1;\n")
        notices = self.boot()
        self.assertNoNotice(notices, "hostname")
        self.write(self.STICK + "password", PASSWORD)
        self.assertNotTaken(r"appliance\.conf:1: hostname: found 1")

    # --- the firmware ---

    def credential(self, name, text):
        self.credentials = self.path("run-credentials")
        self.write("run-credentials/" + name, text)

    def test_credentials(self):
        self.credential("postern.appliance", APPLIANCE)
        self.credential("postern.gateway", GATEWAY % ("tls/mx.pem", "mail.example.org:25"))
        with open(self.cert, encoding="ascii") as cert, open(self.key, encoding="ascii") as key:
            self.credential("postern.tls.mx.pem", cert.read())
            self.credential("postern.tls.mx.key", key.read())
        self.assertNotice(self.boot(), "^ok: settings of the machine's firmware were taken")
        self.assertEqual(self.etc("appliance.conf"), APPLIANCE)
        self.assertNoNotice(self.boot(), "were taken")
        self.credential("postern.tls.a b", "x")
        self.assertNotice(self.boot(), "^error: settings of the machine's firmware are not taken: "
                                       "postern.tls.a b: found a name")
        # The stick is what somebody has at hand: it comes first.
        self.stick(appliance=APPLIANCE.replace("mx.", "stick."))
        self.assertNotice(self.boot(), "^ok: settings of the stick POSTERN were taken")
        self.assertIn("stick.example.org", self.etc("appliance.conf"))

    # --- what an administrator broke ---

    def test_last_good_settings_come_back(self):
        self.stick()
        self.boot()
        good = self.etc("postern.conf")
        wrong = good + "nonsense = 1;\n"
        self.write("var/etc/postern/postern.conf", wrong)
        notices = self.boot()
        self.assertNotice(notices, r"^error: the last good settings are back, for: postern\.conf:\d+: nonsense: "
                                   "found an unknown key")
        self.assertEqual(self.etc("postern.conf"), good)
        self.assertEqual(self.read("var/etc/postern-refused/postern.conf"), wrong)
        self.assertNoNotice(self.boot(), "^error")

    def test_wrong_and_none_good(self):
        self.write("var/etc/postern/appliance.conf", "hostname = 1;\n")
        notices = self.boot()
        self.assertNotice(notices, r"^error: the settings are wrong: appliance\.conf:1: hostname: found 1")
        self.assertIn("DHCP=yes\n", self.read("run/systemd/network/100-postern.network"))

    # --- applying ---

    def test_options_before_system_count(self):
        for word, code, said in (("--nonsense", EX_USAGE, "usage: posternctl [--json] [--socket PATH] VERB"),
                                 ("--help", 0, "usage: posternctl [--json] [--socket PATH] VERB"),
                                 ("--version", 0, "posternctl ")):
            done = subprocess.run([POSTERNCTL, word, "system", "notices"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, code, word)
            self.assertIn(said, done.stdout + done.stderr)
        self.assertEqual(json.loads(subprocess.run(
            [POSTERNCTL, "--json", "system", "--root", self.root, "notices"], capture_output=True, text=True,
            timeout=60, check=True).stdout), {"notices": []})

    def test_services_of_a_running_machine_are_told(self):
        """By systemctl alone: there is no D-Bus, which networkctl would ask."""
        self.stick()
        self.boot()
        calls = self.path("calls")
        self.write("usr/bin/systemctl", f'#!/bin/sh\necho "$*" >>{calls}\n'
                   'case $* in *networkd*) echo "Unit is masked." >&2; exit 1 ;; esac\n')
        os.chmod(self.path("usr/bin/systemctl"), 0o755)
        self.assertEqual(self.ctl("settings", "apply"), "")
        self.assertFalse(os.path.exists(calls))
        os.makedirs(self.path("run/systemd/system"))
        self.assertEqual(self.ctl("settings", "apply"),
                         "posternctl: systemctl reload-or-restart systemd-networkd.service: Unit is masked.\n")
        self.assertEqual(self.read("calls").splitlines(),
                         ["reload-or-restart systemd-networkd.service", "--no-block start ssh.service",
                          "--no-block try-restart systemd-resolved.service chrony.service",
                          "--no-block reload-or-restart postern.service"])
        self.write("var/etc/postern/appliance.conf", 'hostname = "mx";\n')
        self.ctl("settings", "apply")
        self.assertEqual(self.read("calls").splitlines()[5], "--no-block stop ssh.service")

    def test_apply_takes_away_what_is_no_more(self):
        self.stick(appliance=APPLIANCE + 'time_zone = "Europe/Nowhere"; dns = "192.0.2.53";\n'
                   'network = ( { interface = "52:54:00:00:00:99"; vlan = 7; } );\n')
        notices = self.boot()
        self.assertNotice(notices, r"^warning: appliance.conf names the interface 52:54:00:00:00:99, which "
                                   r"this machine has not; it has enp0s3 \(52:54:00:00:00:03\), enp0s10 \(52:54")
        self.assertNotice(notices, '^warning: .*time_zone: found "Europe/Nowhere", which is not known')
        folder = "run/systemd/network/"
        self.assertEqual(sorted(os.listdir(self.path(folder))),
                         ["100-postern.network", "101-postern.netdev", "101-postern.network"])
        self.write(folder + "50-own.network", "[Match]\n")
        self.assertTrue(os.path.exists(self.path("run/systemd/resolved.conf.d/50-postern.conf")))
        self.write("usr/share/zoneinfo/Europe/Berlin", "x")
        self.write("var/etc/postern/appliance.conf", 'hostname = "mx"; time_zone = "Europe/Berlin";\n')
        self.ctl("settings", "apply")
        self.assertEqual(sorted(os.listdir(self.path(folder))), ["100-postern.network", "50-own.network"])
        self.assertFalse(os.path.exists(self.path("run/systemd/resolved.conf.d/50-postern.conf")))
        self.assertFalse(os.path.exists(self.path("run/postern-system/ssh/authorized_keys")))
        self.assertEqual(os.readlink(self.path("run/postern-system/localtime")),
                         "/usr/share/zoneinfo/Europe/Berlin")
        notices = self.ctl("notices").splitlines()
        self.assertNoNotice(notices, "interface|time_zone")

    def test_no_interface_at_all(self):
        shutil.rmtree(self.path("sys"))
        self.assertNotice(self.boot(), "^error: no network interface: the kernel has a driver for none")

    def test_clock(self):
        self.stick()
        self.write("sys/class/rtc/rtc0/since_epoch", "86400\n")
        self.assertNotice(self.boot(), "^warning: the clock of this machine said 1970-01-02T00:00:00Z, which is "
                                       "before its image was made")
        self.write("sys/class/rtc/rtc0/since_epoch", "1800000000\n")
        self.assertNoNotice(self.boot(), "clock")
        os.utime(self.path("usr/lib/os-release"), (4e9, 4e9))
        self.assertNotice(self.boot(), "^warning: the clock of this machine said 20")

    # --- by hand ---

    def test_check(self):
        self.stick()
        folder = self.path(self.STICK)
        self.assertIn("accepted", self.ctl("settings", "check", folder))
        self.assertIn("accepted", self.ctl("settings", "check", folder + "appliance.conf"))
        self.write(self.STICK + "appliance.conf", "hostname = 1;\n")
        for path in (folder, folder + "appliance.conf"):
            self.assertIn("appliance.conf:1: hostname: found 1, allowed a host name",
                          self.ctl("settings", "check", path, code=EX_CONFIG))
        said = json.loads(self.ctl("--json", "settings", "check", folder, code=EX_CONFIG))
        self.assertEqual((said["ok"], said["exit"]), (False, EX_CONFIG))
        self.ctl("settings", "check", folder + "nothing", code=EX_NOINPUT)
        self.ctl("settings", "check", folder + "postern.conf", code=EX_USAGE)
        self.assertFalse(os.path.exists(self.path("var/etc/postern")))

    def test_import_by_hand(self):
        self.ctl("settings", "import", code=EX_NOINPUT)
        self.stick()
        self.assertIn("settings of stick: taken", self.ctl("settings", "import"))
        self.assertIn("the same as were taken before", self.ctl("settings", "import"))
        other = os.path.join(self.root, "other")
        os.makedirs(other)
        self.ctl("settings", "import", other, code=EX_NOINPUT)
        shutil.copy(self.path(self.STICK + "appliance.conf"), other)
        for _ in range(2):  # what is asked for is done
            self.assertIn("taken", self.ctl("settings", "import", other))

    def test_show_keeps_the_hash(self):
        self.write("var/etc/postern/appliance.conf",
                   'hostname = "mx"; admin_password = "$6$salt$0123456789abcdef";\n')
        shown = self.ctl("settings", "show")
        self.assertIn("# admin_password is set\n", shown)
        self.assertNotIn("$6$", shown)


if __name__ == "__main__":
    tap.main()
