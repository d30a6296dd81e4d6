"""Guests without an operating system: each kind of flat image, and what such a guest can do to itself."""
import pytest

from guests import vm


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["flat16", "flat32"])
def test_kind(boot, accel, kind):
    m = boot(vm(f"{kind}.bin", kind=kind), [f"{kind}.bin"], accel)
    m.finish()
    lines = m.lines()
    said = lines.index(f"{kind}: hello")
    assert lines.index("socle: vm a: started") < said < lines.index("socle: vm a: shut down")
    assert "socle: all guests ended" in lines


@pytest.mark.quick
def test_kind_flat64(boot, accel):
    m = boot(vm("flat64.bin", kind="flat64", memory="48M"), ["flat64.bin"], accel)
    m.finish()
    lines = m.lines()
    assert "flat64: hello, memory 48 MiB" in lines
    assert "socle: vm a: shut down" in lines


@pytest.mark.parametrize("kind", ["flat16", "flat32", "flat64"])
def test_next_rip(boot, kind):
    """AMD-V once more, on a model with next-RIP save, flush by ASID and PAUSE filter, which QEMU lacks."""
    m = boot(vm(f"{kind}.bin", kind=kind), [f"{kind}.bin"], "bochs", model="ryzen")
    m.finish()
    lines = m.lines()
    assert "socle: cpu 0: svm on" in lines
    assert any(line.startswith(f"{kind}: hello") for line in lines)
    assert "socle: vm a: shut down" in lines


@pytest.mark.quick
def test_log_words(boot, accel):
    """The lines that tools look for, in their order."""
    m = boot(vm("flat64.bin", kind="flat64"), ["flat64.bin"], accel)
    m.finish()
    lines = [line for line in m.lines() if line.startswith("socle")]
    on = "vmx on" if accel != "tcg" else "svm on"
    wanted = [f"socle: cpu 0: {on}", "socle: vm a: vcpu 0: on cpu", "socle: vm a: started", "socle: vm a: shut down",
              "socle: all guests ended"]
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


@pytest.mark.parametrize("guest, kind", [("triple16", "flat16"), ("triple64", "flat64")])
def test_triple_fault_is_a_crash(boot, accel, guest, kind):
    m = boot(vm(f"{guest}.bin", kind=kind), [f"{guest}.bin"], accel)
    m.finish()
    text = m.text()
    assert f"{guest}: falling" in text
    assert "socle: vm a: crashed: triple fault" in text
    assert "socle: all guests ended" in text
    if guest == "triple64":  # what it had in its registers stands in the dump
        assert "1122334455667788" in text.lower() and "99aabbccddeeff00" in text.lower()


def test_crash_can_restart(boot, accel):
    m = boot(vm("triple16.bin", kind="flat16", on_crash="restart"), ["triple16.bin"], accel)
    m.expect("triple16: falling")
    m.expect("socle: vm a: crashed: ")
    m.expect("triple16: falling")


@pytest.mark.parametrize("guest", ["reset_cf9", "reset_kbd"])
def test_reset_stops(boot, accel, guest):
    m = boot(vm(f"{guest}.bin", kind="flat16", on_reboot="stop"), [f"{guest}.bin"], accel)
    m.finish()
    lines = m.lines()
    assert lines.count(f"{guest}: up") == 1
    assert "socle: vm a: rebooted" in lines
    assert "socle: all guests ended" in lines


def test_reset_restarts(boot, accel):
    m = boot(vm("reset_cf9.bin", kind="flat16"), ["reset_cf9.bin"], accel)
    for _ in range(3):
        m.expect("reset_cf9: up")
        m.expect("socle: vm a: rebooted")


def test_leaving_its_memory(boot, accel):
    m = boot(vm("wild64.bin", kind="flat64"), ["wild64.bin"], accel)
    m.finish()
    text = m.text()
    assert "wild64: leaving its memory" in text
    assert "socle: vm a: crashed: " in text


def test_neighbours(boot, accel):
    """One guest spins for ever, one crashes; the third runs to its end, and nobody's lines are mixed."""
    config = (vm("spin64.bin", "spinning", kind="flat64", cpus="0") + vm("triple16.bin", "falling", kind="flat16", cpus="1") +
              vm("flat64.bin", "steady", kind="flat64", cpus="1"))
    m = boot(config, ["spin64.bin", "triple16.bin", "flat64.bin"], accel)
    m.expect_all("socle: vm falling: crashed: triple fault", "socle: vm steady: shut down", "spin64: spinning")
    text = m.text()
    assert "\nspinning| spin64: spinning\n" in text
    assert "\nsteady| flat64: hello, memory 16 MiB\n" in text
    assert "socle: all guests ended" not in text


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
