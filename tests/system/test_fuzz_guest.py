"""A guest that throws what a seed says at the hypervisor (tests/guests/fuzz), beside one that must not notice.

make fuzz-guest SEED= COUNT= ACCEL= runs it alone."""
import os
import re

import pexpect
import pytest

from guests import vm
from witness import CONFIG, FILE, Witness

SEED = int(os.environ.get("FUZZ_SEED") or 1)
COUNT = int(os.environ.get("FUZZ_COUNT") or 500000)  # on the first processor; the second does as many beside it
TRACE = os.environ.get("FUZZ_TRACE")


def verdict(text):
    """Why it failed, with what is needed to see it again."""
    why = re.findall(r"socle: vm fuzz: crashed: .*|socle: error: .*|.*panic.*|rt: .*|Bail out.*", text)
    last = (re.findall(r"fuzz: (?:trace )?(\d+)", text) or ["0"])[-1]
    return f"seed {SEED}, at operation {last}: {why[-1] if why else 'it hangs'}; again, each operation by its name: " \
        f"make fuzz-guest SEED={SEED} COUNT={COUNT} TRACE={last}"


@pytest.mark.extra
@pytest.mark.weight(4)
def test_fuzz(boot, accel):
    cmdline = f"seed={SEED} count={COUNT} report=5000 breakpoints={int(accel == 'bochs')}" + (f" trace={TRACE}" if TRACE else "")
    fuzz = vm("fuzz.elf", "fuzz", vcpus=2, kind="multiboot", platform="pc", cmdline=cmdline,
              debug_exit="0xf4", debug_console="0xe9")
    m = boot(CONFIG + fuzz, [FILE, "fuzz.elf"], accel, timeout=900 + COUNT // 500)
    witness = Witness(m)
    try:
        while m.expect(r"fuzz: \d+[\r\n]|fuzz: \d+ operations done|socle: vm fuzz: (?:crashed|exited)", 180) \
                .group(0)[-1:].isspace():
            witness.ask()
        m.expect("socle: all|vm fuzz: exited 33", 60)
    except (pexpect.TIMEOUT, pexpect.EOF):
        pytest.fail(verdict(m.text()))
    if "socle: vm fuzz: exited 33" not in m.text():
        pytest.fail(verdict(m.text()))
    witness.ask()
    witness.stop()
    m.finish()
    assert not m.errors()
