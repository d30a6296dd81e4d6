"""Guests without an operating system: each kind of flat image, and what such a guest can do to itself."""
import re

import pytest

from guests import vm

KINDS = ["flat16", "flat32", "flat64"]


def kinds(boot, accel, **keys):
    """The lines of a boot with one guest of each kind, each of which says hello and shuts down."""
    config = "".join(vm(f"{kind}.bin", kind, kind=kind) for kind in KINDS)
    m = boot(config, [f"{kind}.bin" for kind in KINDS], accel, **keys)
    m.finish()
    lines = m.lines()
    for kind in KINDS:
        assert any(line.startswith(f"{kind}| {kind}: hello") for line in lines)
        assert lines.index(f"socle: vm {kind}: started") < lines.index(f"socle: vm {kind}: shut down")
    assert "socle: all guests ended" in lines
    return lines


@pytest.mark.quick
def test_kinds(boot, accel):
    kinds(boot, accel)


def test_next_rip(boot):
    """AMD-V once more, on a model with next-RIP save, flush by ASID and PAUSE filter, which QEMU lacks."""
    assert "socle: cpu 0: svm on" in kinds(boot, "bochs", model="ryzen")


@pytest.mark.quick
def test_one_guest(boot, accel):
    """What it says is not marked as its, its memory is what the file says, and the lines that tools look for are there, in
    their order."""
    m = boot(vm("flat64.bin", kind="flat64", memory="48M"), ["flat64.bin"], accel)
    m.finish()
    lines = [line for line in m.lines() if re.match("socle|flat64", line)]
    on = "vmx on" if accel != "tcg" else "svm on"
    wanted = [f"socle: cpu 0: {on}", "socle: vm a: vcpu 0: on cpu", "socle: vm a: started", "flat64: hello, memory 48 MiB",
              "socle: vm a: shut down", "socle: all guests ended"]
    found = [next((w for w in wanted if line.startswith(w)), None) for line in lines]
    assert [w for w in found if w] == wanted
    assert f"socle: cpu 1: {on}" in lines
    assert not m.errors()


PIECES = ["cpuid", "paravirtual leaf", "undefined instruction", "unknown MSR read", "unknown MSR write", "CR4.VMXE",
          "VMXON", "CR4 reads back", "EFER", "APIC base", "absent port", "PM timer", "string output",
          "APIC timer, one-shot", "APIC timer, periodic", "IPI to itself", "I/O APIC and serial interrupt",
          "x2APIC mode", "x2APIC self IPI", "TSC deadline"]


# On VT-x the newer model has APIC-register virtualization and virtual-interrupt delivery, the older one has neither.
@pytest.mark.parametrize("model", ["corei7_skylake_x", "corei7_sandy_bridge_2600k", "tcg"])
def test_platform(boot, model):
    if model == "tcg":
        m = boot(vm("platform64.bin", kind="flat64"), ["platform64.bin"], "tcg")
    else:
        m = boot(vm("platform64.bin", kind="flat64"), ["platform64.bin"], "bochs", model=model)
    m.finish()
    said = [line for line in m.lines() if line.startswith("platform64: ")]
    assert said == [f"platform64: {piece}: ok" for piece in PIECES] + ["platform64: end"]
    assert "rep outsb" in m.lines()


EVENTS = ["AMD-V instructions", "VT-x instructions", "VMCALL and VMMCALL", "hidden instructions", "cache instructions",
          "prefixes before CPUID", "CR0 through its parts", "CR4.MCE reads back", "page fault's address",
          "software interrupts", "single step over exits", "data breakpoint", "interrupt by CR8", "interrupt window",
          "NMI", "NMI wakes HLT", "NMI after an IRET that faults", "NMI behind MOV SS", "vector registers"]


@pytest.mark.quick
def test_events(boot, accel):
    """Both vendors' extension instructions, hypercalls, traps, interrupts and NMIs, as a guest sees them."""
    m = boot(vm("events64.bin", kind="flat64", memory="64M"), ["events64.bin"], accel)
    m.finish()
    said = [line for line in m.lines() if line.startswith("events64: ")]
    assert said == [f"events64: {piece}: ok" for piece in EVENTS] + ["events64: end"]


def test_memory(boot, accel):
    m = boot(vm("memory64.bin", kind="flat64", memory="64M"), ["memory64.bin"], accel)
    m.finish()
    assert "memory64: good" in m.lines()


# Each guest's own end, in one boot: its kind, what it says, and what is said of it.
ENDS = {
    "triple16": ("flat16", "triple16: falling", "crashed: triple fault"),
    "triple64": ("flat64", "triple64: falling", "crashed: triple fault"),
    "wild64": ("flat64", "wild64: leaving its memory", "crashed: "),
    "reset_cf9": ("flat16", "reset_cf9: up", "rebooted"),
    "reset_kbd": ("flat16", "reset_kbd: up", "rebooted"),
}


def test_ends(boot, accel):
    """A triple fault, an access beyond its memory and a reset by two ways end a guest, once, and no other."""
    config = "".join(vm(f"{name}.bin", name, kind=kind, on_reboot="stop") for name, (kind, _, _) in ENDS.items())
    m = boot(config, [f"{name}.bin" for name in ENDS], accel)
    m.finish()
    lines = m.lines()
    for name, (_, said, end) in ENDS.items():
        assert lines.count(f"{name}| {said}") == 1, name
        assert len([line for line in lines if line.startswith(f"socle: vm {name}: {end}")]) == 1, name
    assert "socle: all guests ended" in lines
    text = m.text().lower()  # what it had in its registers stands in the dump
    assert "1122334455667788" in text and "99aabbccddeeff00" in text


def test_restarts(boot, accel):
    """A reset starts a guest again, and so does a crash where the file says so."""
    config = (vm("triple16.bin", "falling", kind="flat16", on_crash="restart") +
              vm("reset_cf9.bin", "resetting", kind="flat16"))
    m = boot(config, ["triple16.bin", "reset_cf9.bin"], accel)
    m.expect_all(*["socle: vm falling: crashed: ", "socle: vm resetting: rebooted"] * 3)
    text = m.text()
    assert text.count("falling| triple16: falling") >= 3
    assert text.count("resetting| reset_cf9: up") >= 3


def test_neighbours(boot, accel):
    """One guest spins for ever, one crashes; the third runs to its end, and nobody's lines are mixed."""
    config = (vm("spin64.bin", "spinning", kind="flat64", cpus="0") + vm("triple16.bin", "falling", kind="flat16", cpus="1") +
              vm("flat64.bin", "steady", kind="flat64", cpus="1"))
    m = boot(config, ["spin64.bin", "triple16.bin", "flat64.bin"], accel)
    m.expect_all("socle: vm falling: crashed: triple fault", "socle: vm steady: shut down", r"spinning\r*\n")
    # A line in which its guest pauses is broken where others have something to say, and goes on behind its name again.
    said = {name: "".join(re.findall(rf"^{name}\| (.*)$", m.text(), re.MULTILINE)) for name in ("spinning", "steady")}
    assert said["spinning"] == "spin64: spinning"
    assert said["steady"].startswith("flat64: hello, memory 16 MiB")
    assert "socle: all guests ended" not in m.text()


@pytest.mark.parametrize("bed", ["bochs", pytest.param("tcg", marks=pytest.mark.extra)])
def test_burst(boot, bed):
    """A guest that waits for its console with interrupts off does not keep the port's interrupt from being taken."""
    m = boot(vm("burst64.bin", kind="flat64"), ["burst64.bin"], bed)
    m.finish()
    lines = m.lines()
    assert lines.count("burst64: text, of which there is more than fits anywhere") == 1400
    assert "burst64: done" in lines


def test_usb_stick(boot):
    """The same image, found by the firmware's USB stack."""
    m = boot(vm("flat16.bin", kind="flat16"), ["flat16.bin"], "tcg", usb=True)
    m.finish()
    assert "flat16: hello" in m.lines()
