# SPDX-License-Identifier: Apache-2.0
"""pcrsig.py UKI KEY PUBLIC: prints the .pcrsig section of the UKI, which signs what PCR 11 is once
systemd-stub has measured the UKI and before any phase of the boot has been."""
import os
import subprocess
import sys
import tempfile

import pefile

# The sections that systemd-stub measures; systemd-measure knows their order.
MEASURED = ("linux", "osrel", "cmdline", "initrd", "ucode", "splash", "dtb", "uname", "sbat", "pcrpkey")

uki, key, public = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    arguments = []
    for section in pefile.PE(uki, fast_load=True).sections:
        name = section.Name.rstrip(b"\0").decode().removeprefix(".")
        if name in MEASURED:
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(section.get_data()[:section.Misc_VirtualSize])
            arguments.append(f"--{name}={path}")
    subprocess.run(["/usr/lib/systemd/systemd-measure", "sign", *arguments, "--phase=", "--bank=sha256",
                    f"--private-key={key}", f"--public-key={public}"], check=True)
