"""The fuzzing guest (tests/guests/fuzz): its section of a configuration, and what is watched while it runs."""
import os
import re

import pexpect
import pytest

from guests import NoAnswer, vm

SEED = int(os.environ.get("FUZZ_SEED") or 1)
COUNT = int(os.environ.get("FUZZ_COUNT") or 1000000)  # half of them on each processor
TRACE = os.environ.get("FUZZ_TRACE")
REPORT = 12500
FILE = "fuzz.elf"
END = r"socle: vm fuzz: (?:crashed|rebooted|exited \d+\s)|socle: panic"
KINDS = ["MSR", "port", "MMIO", "APIC", "CR", "hypercall", "instruction", "memory", "user code"]
TIMEOUT = 900 + COUNT // 500


def section(accel, count=COUNT, **keys):
    cmdline = f"seed={SEED} count={count} report={REPORT} qemu={int(accel == 'tcg')}"
    cmdline += f" trace={TRACE}" if TRACE else ""
    return vm(FILE, "fuzz", vcpus=2, kind="multiboot", platform="pc", cmdline=cmdline, debug_exit="0xf4",
              debug_console="0xe9", **keys)


def verdict(m, count, otherwise):
    """Why it failed, or OTHERWISE where the transcript does not say; with what is needed to see it again. A dump has the
    number of the operation in R15."""
    if "all guests ended" not in m.text() and m.child.isalive():
        m.send("\x1ddump fuzz\r")
        m.seen("no such dump is so long", 10)
    text = m.text()
    why = re.findall(r"socle: vm fuzz: (?:crashed: |rebooted).*|socle: error: (?!vm (?!fuzz:)).*|.*panic.*|rt: .*"
                     r"|Bail out.*", text)
    reported = int((re.findall(r"fuzz: (?:trace 0 )?(\d+)[:\n]", text) or ["0"])[-1])
    at = [int(r15, 16) for r15 in re.findall(r"R15[ =:]+(?:0x)?([0-9a-f]+)", text, re.IGNORECASE)]
    at = [op for op in at if op <= count][:2]
    return f"seed {SEED}, at operation {' or '.join(map(str, at)) or f'{reported} or later'}: " \
        f"{why[0] if why else otherwise}; again, each operation by its name: " \
        f"make fuzz-guest SEED={SEED} COUNT={count} TRACE={max(min(at or [reported]) - 20, 0)}"


def ask_them(m, ask, n, count):
    try:
        ask(n)
    except (NoAnswer, AssertionError) as e:
        who = str(e) or "a neighbour answers wrongly"
        pytest.fail(f"{who} at report {n}: {verdict(m, count, 'the fuzzing guest has not ended')}")


def watch(m, ask, count=COUNT):
    """Up to its end. ask(n) asks the neighbours at its report N."""
    reports, ended = 0, re.search(END, m.text())
    # What is waited for may also have come while a neighbour was.
    while not ended:
        try:
            last = m.expect(rf"fuzz: \d+[\r\n]|{END}", 300).group(0)
        except (pexpect.TIMEOUT, pexpect.EOF):
            pytest.fail(verdict(m, count, "it hangs"))
        ask_them(m, ask, reports, count)
        reports += 1
        ended = last.startswith(b"socle: ") or re.search(END, m.text())
    if "socle: vm fuzz: exited 33" not in m.text():
        pytest.fail(verdict(m, count, "it hangs"))


def check(text, count=COUNT):
    """It has done what it was to do."""
    done = {kind: int(n) for kind, n in re.findall(r"fuzz: ([\w ]+): (\d+), \d+ of them faulted", text)}
    both = int(re.search(r"fuzz: (\d+) operations done", text).group(1))
    # An INIT may come between the two counts of an operation.
    assert both == count + count % 2 and abs(sum(done.values()) - both) <= 10 + count // 1000, (both, done)
    assert all(done[kind] > count // 100 for kind in KINDS), done
