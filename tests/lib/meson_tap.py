#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs meson's tests of a build folder, or those named, and prints each single case as a TAP line."""
import json
import os
import re
import subprocess
import sys

build, *names = sys.argv[1:]
env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP",
           ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="halt_on_error=1")
done = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--timeout-multiplier", "4",
                       "--num-processes", str(os.cpu_count()), *names],
                      env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, text=True)
number, seen_failure = 0, False


def line(ok, name, skip=None):
    """skip: why it did not run, None where it did."""
    global number, seen_failure
    number += 1
    seen_failure |= not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {name}{'' if skip is None else f' # SKIP {skip}'}")


try:
    with open(os.path.join(build, "meson-logs", "testlog.json")) as f:
        tests = [json.loads(row) for row in f]
except OSError:
    tests = []
for test in tests:
    output = test.get("stdout", "") + "\n" + test.get("stderr", "")
    cases = re.findall(r"^(ok|not ok) \d+ *-? *([^\n#]*)(# SKIP)?([^\n]*)", output, re.M | re.I)
    for result, case, skip, why in cases:
        # cmocka says "not ok" of a skipped case, no reason, and its name in that place, or not at all.
        case, why = (case.strip(), why.strip()) if case.strip() else (why.strip(), "")
        line(result == "ok" or bool(skip), f"{test['name']}: {case}",
             (why or "by the test itself") if skip else None)
    good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    # A program without TAP is one case; one that died after its last case is a failure as well.
    if not cases or (not good and not any(c[0] == "not ok" and not c[2] for c in cases)):
        line(good, f"{test['name']} ({test['result']})",
             "by the test itself" if test["result"] == "SKIP" else None)
    if not good:
        for row in output.splitlines()[-40:]:
            print("#  ", row)
if done.returncode and not seen_failure:
    line(False, "meson test")
    for row in done.stdout.splitlines()[-40:]:
        print("#  ", row)
sys.exit(1 if seen_failure else 0)
