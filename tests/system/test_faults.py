"""Faults of the hypervisor's own, made on purpose by the images of tests/hooks, and faults of the machine."""
import json
import os
import re
import socket
import time

import pytest

from conftest import BUILD
from guests import vm

FAULTS = os.path.join(BUILD, "hooks", "faults.efi")
NO_START = os.path.join(BUILD, "hooks", "no_start.efi")
TWO = vm("fault64.bin", "a", kind="flat64", cpus=0) + vm("fault64.bin", "b", kind="flat64", cpus=1)

# QEMU's -cpu max has SMEP, SMAP, UMIP and NX; Bochs' Skylake all but UMIP.
ACCELS = ["tcg"]


def start(boot, accel, config=TWO, wait=True, **keys):
    m = boot(config, ["fault64.bin"], accel, efi=FAULTS, **keys)
    if not wait:
        return m
    m.expect_all(*[p + "fault64: ready" for p in ((r"a\| ", r"b\| ") if config is TWO else ("",))])
    return m


# What is typed, and what panic() says. Addresses and names of the functions on the way are looked at in test_panic.
PANICS = {
    "panic": ("p", r"socle: panic: on purpose, by vm a"),
    "assert": ("a", r"socle: panic: tests/hooks/faults\.c:\d+: what == 'b'"),
    "write_to_text": ("t", r"socle: panic: cpu 0: exception #PF \(error 3\)"),
    "write_to_constant": ("c", r"socle: panic: cpu 0: exception #PF \(error 3\)"),
    "run_data": ("x", r"socle: panic: cpu 0: exception #PF \(error 11\)"),
    "stack_guard_page": ("s", r"socle: panic: cpu 0: exception #DF"),
    "stack_protector": ("k", r"socle: panic: a function has written over its stack"),
    "other_vms_memory": ("o", r"socle: panic: cpu 0: exception #PF \(error 0\)"),
}


@pytest.mark.parametrize("what", PANICS)
def test_panic(boot, accel, what):
    """Why, registers, who called whom, the vCPU, the last messages; then the machine stands still."""
    key, why = PANICS[what]
    m = start(boot, accel)
    m.send(key)
    m.expect(why)
    m.expect(r"rax [0-9a-f]{16}")
    m.expect(r"  at [0-9a-f]+, which is no code of Socle's" if what == "run_data" else r"  at socle\.efi\+[0-9a-f]+ \w+")
    m.expect(r"from socle\.efi\+[0-9a-f]+ exit_pio")
    m.expect(r"from socle\.efi\+[0-9a-f]+ run_vcpu")
    m.expect(r"from socle\.efi\+[0-9a-f]+ sched_loop")
    m.expect("cpu 0 has vm a vcpu 0 loaded")
    m.expect("1 of 1 other cpus have stopped")
    m.expect("socle: the last messages:")
    if what != "panic":
        m.expect("socle: vm b: started")
    m.expect("socle: panic: halted")
    if what == "panic":
        last = re.search("socle: the last messages:\n(.*)\nsocle: panic: halted", m.text(), re.DOTALL).group(1)
        assert last.split("\n") == [f"socle: line {n}" for n in range(7, 71)]
    assert "fault64: after" not in m.text()


def test_panic_reboots(boot, accel):
    m = start(boot, accel, "[socle]\non_panic = reboot\n" + vm("fault64.bin", kind="flat64"))
    m.send("p")
    m.expect("socle: panic: on purpose")
    m.expect("socle: panic: rebooting")
    m.finish(1)
    assert "halted" not in m.text()


canaries = set()


def see_canary(m):
    """Another in each boot; text that runs over meets a 0 first."""
    canary = m.expect(r"canary ([0-9a-f]{16})").group(1)
    assert canary.endswith(b"00") and canary not in canaries
    canaries.add(canary)


def test_active_tables(boot, accel):
    """While the exits of a VM are handled: its memory and no other's, nothing writable and executable. And no device
    reaches memory by itself any more; the disk's controller could, which the firmware has used. Of a VM that has ended
    nothing is left in memory, while another runs. And the VM that nobody types to gets nothing but text to the
    terminal, behind its name."""
    m = start(boot, accel)
    assert re.search(r"socle: pci: bus mastering off for [1-9]\d* of \d+ functions", m.text())
    m.send("m")
    see_canary(m)
    # Both guests try; A, which is typed to, may.
    with open(m.log, "rb") as f:
        said = f.read()
    assert said.count(b"\x1b[6n") <= 1 and len(re.findall(rb"[\r\n]socle: vm c", said)) <= 1
    m.expect("registers: WP 1, SMEP 1, SMAP 1, UMIP 1, NXE 1")
    m.expect(r"tables: \d+ KiB mapped, 0 writable and executable, 0 for user mode")
    m.expect(r"tables: 16384 KiB of 16384 of vm a, whose exit this is")
    m.expect(r"tables: 0 KiB of 16384 of vm b, which is another")
    m.expect("fault64: after m")
    m.send("d")
    m.expect(r"devices: \d+ functions, 0 of them masters")
    m.send("e")
    m.expect(r"memory: of vm b, [1-9]\d* of 2097152 words are not zero")
    m.send("\x1dstop b\r")
    m.expect("socle: vm b: stopped")
    m.send("attach a\r")
    m.expect("typing goes to vm a")
    # It is zeroed in pieces, by the core that it ran on.
    deadline = time.monotonic() + m.timeout
    while True:
        m.send("e")
        if m.expect(r"memory: of vm b, (\d+) of 2097152 words").group(1) == b"0":
            break
        assert time.monotonic() < deadline
    m.send("q")
    m.finish()


def monitor(path, *commands):
    """Type lines at QEMU's monitor."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        f = s.makefile("rw")
        f.readline()
        for request in [{"execute": "qmp_capabilities"}] + [
                {"execute": "human-monitor-command", "arguments": {"command-line": c}} for c in commands]:
            f.write(json.dumps(request) + "\n")
            f.flush()
            while "return" not in (answer := json.loads(f.readline())):
                assert "error" not in answer, answer


def test_machine_check_corrected(boot, accel, tmp_path):
    """It is said, with its name, for each core, and the guests go on; an NMI from outside likewise."""
    m = start(boot, accel, qmp=str(tmp_path / "qmp"))
    monitor(str(tmp_path / "qmp"), "mce 1 3 0x9400000000000136 0x0 0x12340 0x0", "nmi")
    m.expect_all(r"socle: warning: cpu 1: machine check, bank 3: cache error, corrected, address 12340, status 94",
                 r"socle: warning: cpu 0: NMI of unknown origin; ignored")
    m.send("z")
    m.expect("fault64: after z")
    assert "panic" not in m.text()


def test_machine_check_uncorrected(boot, accel, tmp_path):
    """The hypervisor's core waits for work: it is a panic that says which bank has what. And this machine's firmware
    has left an IOMMU on."""
    m = start(boot, accel, vm("fault64.bin", kind="flat64", autostart="no"), wait=False, qmp=str(tmp_path / "qmp"),
              device="intel-iommu")
    m.expect("socle: warning: iommu: VT-d's at fed90000 was left on: it translates devices' accesses")
    m.expect("socle> ")
    monitor(str(tmp_path / "qmp"), "mce 0 4 0xbe00000000000800 0x5 0xabc000 0x0")
    m.expect(r"socle: panic: cpu 0: machine check; bank 4: bus or interconnect error, uncorrected, "
             r"processor context corrupt, address abc000, status be00000000000800")
    m.expect("socle: panic: halted")


def test_nmi_in_the_hypervisor(boot, accel):
    """Both guests go on; likewise with a machine check from which the guest can. An IOMMU of AMD's was left on here."""
    m = start(boot, accel, device="amd-iommu")
    m.send("n")
    m.expect_all("nmi: the hypervisor runs on", "fault64: after n", "socle: warning: cpu 0: NMI of unknown origin; ignored")
    assert "socle: warning: iommu: AMD's at fed80000 was left on: it translates devices' accesses" in m.text()
    m.send("v")
    m.expect_all("machine check: the hypervisor runs on, MCG_STATUS 0", "fault64: after v")
    m.send("m")
    see_canary(m)


def test_core_that_does_not_start(boot, accel):
    """It is said, nothing is placed there, and the machine goes on without it."""
    m = boot(vm("flat64.bin", vcpus=2, kind="flat64"), ["flat64.bin"], accel, efi=NO_START)
    m.expect(r"socle: warning: cpu 1: APIC ID 1 does not start")
    m.expect(r"socle: warning: 1 of 2 processors did not start")
    m.expect(r"socle: warning: vm a: vcpu 1 shares a core: not all of this machine's started")
    m.expect(r"socle: vm a: vcpu 0: on cpu 0")
    m.expect(r"socle: vm a: vcpu 1: on cpu 0")
    m.expect("flat64: hello")
    m.finish()


def test_mitigations(boot, accel):
    """A processor that needs them, by its family: the text is changed at boot, and guests run. An IOMMU is off."""
    m = boot("[socle]\nlog = debug\n" + vm("flat64.bin", kind="flat64"), ["flat64.bin"], accel,
             model="max,+svm,family=23,model=49", device="intel-iommu")
    m.expect("socle: iommu: VT-d's at fed90000 is off")
    m.expect(r"socle: mitigations: retpolines .*, return stack filled after exits .*, DE_CFG\[9\] \(Zenbleed\)")
    m.expect("socle: warning: mitigations: newer microcode is wanted for: .*retbleed")
    m.expect("flat64: hello")
    m.finish()


def test_mitigations_off(boot, accel):
    m = boot("[socle]\nmitigations = off\n" + vm("flat64.bin", kind="flat64"), ["flat64.bin"], accel,
             model="max,+svm,family=23,model=49")
    m.expect("socle: mitigations: off by socle.cfg; this processor wants: retpolines")
    m.expect("flat64: hello")
    m.finish()
