"""A guest that attacks (tests/guests/attack), beside one that must not notice."""
import re

import pytest

from guests import vm
from witness import CONFIG, FILE, Witness

DEBUG = dict(debug_exit="0xf4", debug_console="0xe9")

CASES = ["MSR index space", "every bit of every MSR", "read-only MSRs", "non-canonical bases", "EFER", "PAT", "DEBUGCTL",
         "MISC_ENABLE", "MTRRs", "machine-check MSRs",
         "CR0", "CR4", "CR3 and CR8", "XSETBV", "MOV SS with a pending debug exception", "single-stepped SYSCALL",
         "non-canonical RIP behind an exit",
         "extension instructions", "privileges", "software interrupts", "task switches in 64-bit mode", "hypercalls",
         "x2APIC indices", "APIC_BASE", "vectors below 16", "IPIs to nobody", "APIC timers", "NMIs to itself",
         "interrupts that nobody ends",
         "edges of devices and RAM", "string instructions", "interruptible REP INS", "page tables in devices",
         "addresses past the width", "code in devices", "odd instructions on devices",
         "I/O APIC indices", "a level that nobody ends", "ports of chipsets", "PIT, RTC and PIC races",
         "endless debug exceptions", "endless alignment checks", "HLT with interrupts off", "PAUSE loops", "NMI flood",
         "INIT and start-up races", "rewritten instruction",
         "flood of exits"]


@pytest.mark.extra
@pytest.mark.weight(4)
def test_attack(boot, accel):
    """Each case gives what a processor would give; the neighbour's memory, clock and console are asked after each."""
    # Bochs's second is long: a quarter of it for each of 25 kinds of exit there.
    flood = 1000 if accel == "tcg" else 250
    attack = vm("attack.elf", "attack", vcpus=2, kind="multiboot", platform="pc", cmdline=f"flood_ms={flood}", **DEBUG)
    m = boot(CONFIG + attack, [FILE, "attack.elf"], accel, timeout=480)
    witness, said = Witness(m), {}
    while True:
        match = m.expect(r"attack\| case ([^:\r\n]*): ([^\r\n]*)[\r\n]|attack\| attack: the end"
                         r"|socle: vm attack: (?:crashed|exited)", 240)
        if not match.group(1):
            break
        said[match.group(1).decode()] = match.group(2).decode()
        witness.ask()
    m.expect("socle: vm attack: exited 33")
    assert {case: text for case, text in said.items() if text != "ok"} == {}
    assert list(said) == CASES
    witness.ask()
    witness.stop()
    m.finish()
    assert not m.errors()


@pytest.mark.extra
def test_triple_faults_in_a_loop(boot, accel):
    """With pauses, and not for ever; and never at the neighbour's cost."""
    bad = vm("triple64.bin", "bad", kind="flat64", on_crash="restart")
    m = boot(CONFIG + bad, [FILE, "triple64.bin"], accel, timeout=300)
    witness = Witness(m)
    for _ in range(6):
        witness.ask()
    m.expect("bad: crashed 6 times in a row: not started again")
    witness.ask()
    witness.stop()
    m.finish(1)  # that it is not started again is an error
    assert len(re.findall("socle: vm bad: crashed: triple fault", m.text())) == 6
