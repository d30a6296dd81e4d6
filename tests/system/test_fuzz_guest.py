"""A guest that throws what a seed says at the hypervisor (tests/guests/fuzz), beside one that must not notice.

make fuzz-guest SEED= COUNT= ACCEL= runs it alone."""
import os
import re

import pexpect
import pytest

from guests import vm
from witness import CONFIG, FILE, Witness

SEED = int(os.environ.get("FUZZ_SEED") or 1)
COUNT = int(os.environ.get("FUZZ_COUNT") or 1000000)  # half of them on each processor
TRACE = os.environ.get("FUZZ_TRACE")
REPORT = 12500
END = r"socle: vm fuzz: (?:crashed|exited)|socle: panic"
KINDS = ["MSR", "port", "MMIO", "APIC", "CR", "hypercall", "instruction", "memory", "user code"]


def verdict(m):
    """Why it failed, with what is needed to see it again. A dump has the number of the operation in R15."""
    if "all guests ended" not in m.text() and m.child.isalive():
        m.send("\x1ddump fuzz\r")
        m.seen("no such dump is so long", 10)
    text = m.text()
    why = re.findall(r"socle: vm fuzz: (?:crashed: |started again).*|socle: error: .*|.*panic.*|rt: .*|Bail out.*", text)
    reported = int((re.findall(r"fuzz: (?:trace 0 )?(\d+)[:\n]", text) or ["0"])[-1])
    at = [int(r15, 16) for r15 in re.findall(r"R15[ =:]+(?:0x)?([0-9a-f]+)", text, re.IGNORECASE)]
    at = [op for op in at if op <= COUNT][:2]
    return f"seed {SEED}, at operation {' or '.join(map(str, at)) or f'{reported} or later'}: " \
        f"{why[0] if why else 'it hangs'}; again, each operation by its name: " \
        f"make fuzz-guest SEED={SEED} COUNT={COUNT} TRACE={max(min(at or [reported]) - 20, 0)}"


def errors(m, accel):
    """But for one. On QEMU, zeroing the guest's memory behind its end keeps a core busy for more than a second
    (docs/hardware.md)."""
    ended = m.text().split("vm fuzz: exited 33")[-1]
    return [e for e in m.errors() if not (accel == "tcg" and "does not answer: an NMI found it" in e and e in ended)]


@pytest.mark.weight(5)
def test_fuzz(boot, accel):
    cmdline = f"seed={SEED} count={COUNT} report={REPORT} qemu={int(accel == 'tcg')}" + (f" trace={TRACE}" if TRACE else "")
    fuzz = vm("fuzz.elf", "fuzz", vcpus=2, kind="multiboot", platform="pc", cmdline=cmdline,
              debug_exit="0xf4", debug_console="0xe9")
    m = boot(CONFIG + fuzz, [FILE, "fuzz.elf"], accel, timeout=900 + COUNT // 500)
    try:
        witness = Witness(m)
        # What is waited for may also have come while the witness was.
        ended = re.search(END, m.text())
        while not ended:
            last = m.expect(rf"fuzz: \d+[\r\n]|{END}", 300).group(0)
            witness.ask()
            ended = not last[-1:].isspace() or re.search(END, m.text())
    except (pexpect.TIMEOUT, pexpect.EOF):
        pytest.fail(verdict(m))
    if "socle: vm fuzz: exited 33" not in m.text():
        pytest.fail(verdict(m))
    witness.ask()
    witness.stop()
    m.finish()
    assert not errors(m, accel)
    done = {kind: int(n) for kind, n in re.findall(r"fuzz: ([\w ]+): (\d+), \d+ of them faulted", m.text())}
    both = int(re.search(r"fuzz: (\d+) operations done", m.text()).group(1))
    # An INIT may come between the two counts of an operation.
    assert both == COUNT + COUNT % 2 and abs(sum(done.values()) - both) <= 10 + COUNT // 1000, (both, done)
    assert all(done[kind] > COUNT // 100 for kind in KINDS), done
