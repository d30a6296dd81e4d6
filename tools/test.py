#!/usr/bin/python3
"""Build, then run the unit tests, the checks, the fuzzers, and the whole boots with the benchmark's part that has
targets; the last line is "N passed, N failed".

usage: test.py test|test-quick|test-all
"""
import glob
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor

import fuzz

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "logs")
PYTHON = "/usr/bin/python3"
WORKERS = 2  # each emulator keeps a core busy
UNIT_LIMIT = 300
GUESTS = [f"build/guest-{flavour}/vmlinuz" for flavour in ("generic", "rt", "memtest")]
SECOND_TRIES = 6
FUZZ_SECONDS = {"test-quick": 0, "test": 60, "test-all": 120}
# Instructions that the decoder's unit test makes from its seed: a minute of them, or seconds.
DECODED = {"test": 50_000_000, "test-quick": 3_000_000, "test-all": 50_000_000}

SELECTED = {"test-quick": "quick and not slow", "test": "not extra", "test-all": ""}


class Count:
    def __init__(self, passed=0, failed=0):
        self.passed, self.failed = passed, failed

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed


def say(text):
    print(text, flush=True)


def run(command, limit=None, **keys):
    """(output, exit code); a program that hangs is ended and counts as failed."""
    try:
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                                check=False, **keys)
        return result.stdout.decode(errors="replace"), result.returncode
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace") + f"\n# no end after {limit} s\n", 124


def count_tap(name, output, code):
    """Count "ok" and "not ok" lines. A program that ends badly without one of the latter has failed once more."""
    good = re.findall(r"^ok ", output, re.MULTILINE)
    bad = re.findall(r"^not ok ", output, re.MULTILINE)
    count = Count(len(good), len(bad))
    if code != 0 and not bad or not good and not bad:
        count.failed += 1
    say(f"{'FAILED' if count.failed else 'passed'}  {name}  ({count.passed} passed, {count.failed} failed)")
    if count.failed:
        say(output.rstrip())
    return count


def build(with_fuzzers):
    """A part that does not build counts as one failure, and the rest is tested all the same."""
    say("building")
    output, code = run(["make", "-k", f"-j{os.cpu_count()}", "all", "units", "guests", "hooks",
                        *GUESTS, *(["fuzzers", "bench-exits-files"] if with_fuzzers else [])])
    with open(os.path.join(LOGS, "build.log"), "w", encoding="utf-8") as f:
        f.write(output)
    if code == 0:
        return Count(1, 0)
    say("FAILED  build: see build/logs/build.log")
    say("\n".join([line for line in output.split("\n") if re.search(r"error|Error|\*\*\*|FAILED", line)][-40:]))
    return Count(0, 1)


def unit_tests(decoded):
    """DECODED: so many instructions are compared with Zydis."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    env.setdefault("EMUL_DECODE_COUNT", str(decoded))
    names = sorted(re.sub(r".*/test_(.*)\.c", r"\1", f) for f in glob.glob(os.path.join(ROOT, "tests/unit/test_*.c")))

    def one(name):
        program = os.path.join("build", "unit", "test_" + name)
        if not os.path.exists(os.path.join(ROOT, program)):
            return name, "# not built", 1
        return (name, *run([program], UNIT_LIMIT, env=env))

    total = Count()
    with ThreadPoolExecutor(WORKERS) as pool:
        for name, output, code in pool.map(one, names):
            total.add(count_tap("unit " + name, output, code))
    return total


def checks():
    total = Count()
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/checks/*.py"))):
        total.add(count_tap("check " + os.path.basename(path), *run([PYTHON, path])))
    return total


def fuzzers(seconds):
    """Each over its seeds and as long beyond, two at once."""
    total = Count()
    for name, good, text in fuzz.run_all(fuzz.targets(), seconds) if seconds else []:
        total.add(Count(1, 0) if good else Count(0, 1))
        say(f"{'passed' if good else 'FAILED'}  fuzz {name}: {text}")
    return total


def run_boots(name, *arguments):
    """(Count, names of the tests that failed) of one run of pytest; its report is build/logs/NAME.xml."""
    report = os.path.join(LOGS, name + ".xml")
    if os.path.exists(report):
        os.remove(report)
    command = [PYTHON, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", f"--junitxml={report}", *arguments]
    code = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode
    if not os.path.exists(report):
        say(f"FAILED  pytest ended with {code} and no report")
        return Count(0, 1), []
    suite = xml.parse(report).getroot().find("testsuite")
    total, failed, skipped = (int(suite.get(k)) for k in ("tests", "failures", "skipped"))
    failed += int(suite.get("errors"))
    if code != 0 and failed == 0:
        failed = 1
    bad = [case.get("classname").replace(".", "/") + ".py::" + case.get("name") for case in suite.iter("testcase")
           if case.find("failure") is not None or case.find("error") is not None]
    return Count(total - failed - skipped, failed), bad


def boots(selected):
    """Emulated clocks run by the host's, so that a busy host can make a boot miss one: a few that failed are run once
    more, one at a time, and what passes then is said."""
    first, bad = run_boots("system", "tests/system", "-n", str(WORKERS), *(["-m", selected] if selected else []))
    if not bad or len(bad) != first.failed or len(bad) > SECOND_TRIES:
        return first
    say("once more, alone: " + " ".join(bad))
    second, still_bad = run_boots("system-again", *bad)
    for name in bad:
        say(f"{'FAILED twice' if name in still_bad else 'passed at the second try'}  {name}")
    return Count(first.passed + second.passed, second.failed)


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in SELECTED:
        print(__doc__, file=sys.stderr)
        return 2
    os.makedirs(LOGS, exist_ok=True)
    start, total = time.monotonic(), Count()
    total.add(build(FUZZ_SECONDS[sys.argv[1]] > 0))
    total.add(unit_tests(DECODED[sys.argv[1]]))
    total.add(checks())
    total.add(fuzzers(FUZZ_SECONDS[sys.argv[1]]))
    total.add(boots(SELECTED[sys.argv[1]]))
    say(f"took {time.monotonic() - start:.0f} s; transcripts are in build/logs")
    say(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
