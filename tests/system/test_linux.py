"""Debian's unmodified kernels, to a shell and back."""
import re

import pytest

from guests import SOON, Shell, converse, linux_files, linux_vm

# Emulated, a boot is thousands of millions of instructions.
LIMIT = 900
# README, "Speed".
BOOT_EXITS = 5000


def boot_linux(boot, accel, flavour="cloud", cpus=2, machine_memory=1024, model=None, **keys):
    m = boot(linux_vm(**keys), linux_files(flavour), accel, cpus=cpus, memory=machine_memory, model=model,
             timeout=LIMIT)
    m.expect(rf"socle-guest: up {keys.get('vcpus', 1)} cpus")
    shell = Shell(m)
    shell.wait()
    return m, shell


def power_off(m):
    m.send("poweroff\r")
    m.finish()
    lines = m.lines()
    assert "socle: vm linux: shut down" in lines
    assert "socle: all guests ended" in lines
    assert not m.errors()


@pytest.mark.long
@pytest.mark.weight(5)
@pytest.mark.parametrize("vcpus", [1, 2])
@pytest.mark.parametrize("flavour", ["cloud", "generic"])
def test_shell(boot, accel, flavour, vcpus):
    m, shell = boot_linux(boot, accel, flavour, vcpus=vcpus)
    converse(shell, vcpus)
    assert shell.run("cat /proc/cmdline").strip().endswith("console=ttyS0")
    power_off(m)


@pytest.mark.long
@pytest.mark.weight(2)
@pytest.mark.parametrize("flavour", ["cloud", "generic"])
def test_four_vcpus(boot, flavour):
    m, shell = boot_linux(boot, "tcg", flavour, cpus=4, vcpus=4)
    assert shell.run("nproc").strip() == "4"
    power_off(m)


@pytest.mark.long
@pytest.mark.weight(4)
def test_smallest_memory(boot, accel):
    """128 MiB, a line from the configuration, and power-off from a script without a key typed. All of it takes no more
    exits than a boot may; Bochs, with the clock of a processor, counts them alike each time."""
    m = boot("[socle]\nlog = debug\n" + linux_vm("128M", cmdline=f'{SOON} socle.run="grep MemTotal /proc/meminfo; poweroff"'),
             linux_files(), accel, cpus=1, memory=512, timeout=LIMIT, ips=1000000000)
    m.finish()
    exits = [int(n) for n in re.findall(r"socle: vm linux: exits: .*: (\d+)", m.text())]
    assert exits and (accel == "tcg" or sum(exits) <= BOOT_EXITS), sum(exits)
    total = re.search(r"MemTotal: +(\d+) kB", m.text())
    assert total and 64 << 10 < int(total.group(1)) < 128 << 10
    assert "socle: vm linux: shut down" in m.lines()


@pytest.mark.long
@pytest.mark.weight(9)
def test_memory_beyond_4_gib(boot, accel):
    # Of 6 GiB the firmware of Bochs leaves 5038 MiB.
    m, shell = boot_linux(boot, accel, machine_memory=6144, memory="4608M", vcpus=2)
    total = int(re.search(r"MemTotal: +(\d+) kB", shell.run("cat /proc/meminfo")).group(1))
    assert 4300 << 10 < total < 4608 << 10
    assert "100000000-" in shell.run("grep 'System RAM' /proc/iomem")
    power_off(m)


@pytest.mark.long
@pytest.mark.weight(7)
def test_reboot(boot, accel):
    """By default the guest starts afresh, from the files as they were read."""
    m, shell = boot_linux(boot, accel, vcpus=2)
    m.send("reboot\r")
    m.expect("socle: vm linux: rebooted")
    m.expect("socle-guest: up 2 cpus")
    shell.wait()
    power_off(m)


@pytest.mark.long
@pytest.mark.weight(3)
def test_reboot_can_stop(boot, accel):
    m = boot(linux_vm(cmdline=f"{SOON} socle.run=reboot", on_reboot="stop"), linux_files(), accel,
             timeout=LIMIT)
    m.finish()
    lines = m.lines()
    assert "socle: vm linux: rebooted" in lines
    assert "socle: all guests ended" in lines
    assert sum(line.startswith("socle-guest: up") for line in lines) == 1


@pytest.mark.long
@pytest.mark.weight(3)
def test_triple_fault(boot, accel):
    """reboot=t makes the kernel reset by a triple fault, which is a crash."""
    m = boot(linux_vm(cmdline=f"{SOON} reboot=t socle.run=reboot"), linux_files(), accel, timeout=LIMIT)
    m.finish()
    text = m.text()
    assert "socle: vm linux: crashed: triple fault" in text
    assert re.search(r"rip\W+[0-9a-f]{16}", text, re.IGNORECASE), "a dump shows where"


@pytest.mark.long
@pytest.mark.extra
@pytest.mark.weight(5)
@pytest.mark.parametrize("model", ["corei7_ivy_bridge_3770k", "corei7_haswell_4770"])
def test_other_processors(boot, model):
    """With other features than the usual one."""
    m, shell = boot_linux(boot, "bochs", model=model, vcpus=2)
    assert shell.run("nproc").strip() == "2"
    power_off(m)


@pytest.mark.long
@pytest.mark.extra
@pytest.mark.weight(6)
def test_two_machines(boot, accel):
    """Two kernels side by side; each line says whose it is, and the machine ends with the last one."""
    keys = dict(memory="192M", cmdline=f"{SOON} socle.run=poweroff")
    config = linux_vm(**keys, cpus="0") + linux_vm(**keys, cpus="1").replace("[vm linux]", "[vm other]")
    m = boot(config, linux_files(), accel, timeout=LIMIT)
    m.finish()
    text = m.text()
    for name in ("linux", "other"):
        assert f"\n{name}| socle-guest: up 1 cpus\n" in text
        assert f"\nsocle: vm {name}: shut down\n" in text
    assert "socle: all guests ended" in text


# What the kernel is told not to use, and the interrupt controller and pin that its timer then has.
LEGACY = {"ioapic": ("lapic=notscdeadline nolapic_timer", r"IO-APIC +2-edge"),
          "virtual_wire": ("noapic lapic=notscdeadline nolapic_timer", "XT-PIC"),
          "no_apic": ("nolapic", "XT-PIC")}


@pytest.mark.long
@pytest.mark.weight(3)
@pytest.mark.parametrize("name", LEGACY)
def test_legacy_timer(boot, accel, name):
    """platform = pc: the 8254 ticks through the I/O APIC, and through the 8259 pair."""
    options, controller = LEGACY[name]
    m = boot(linux_vm(platform="pc", cmdline=f"{SOON} {options} "
                      'socle.run="sleep 2; cat /proc/interrupts; poweroff"'), linux_files(), accel, timeout=LIMIT)
    m.finish()
    text = m.text()
    ticks = re.search(rf"^ *0: +(\d+) +{controller} +timer", text, re.MULTILINE)
    assert ticks and int(ticks.group(1)) > 200
    assert re.search(r"^LOC: +0 ", text, re.MULTILINE)
    assert "socle: vm linux: shut down" in m.lines()


LOOK = ("cd /sys/devices/system; echo clocks $(cat clocksource/clocksource0/available_clocksource); "
        "for c in cpu/cpu[0-9]*/topology; do echo topology $(cat $c/physical_package_id $c/core_id $c/thread_siblings_list); "
        "done; echo devices $(ls /sys/bus/acpi/devices); sleep 1; cat /proc/interrupts /proc/ioports")
PC_DEVICES = {"PNP0000:00", "PNP0100:00"}  # the 8259 pair and the 8254


def words(text, name):
    return set(re.search(rf"^{name} (.*)$", text, re.MULTILINE).group(1).split())


def look(boot, accel, vcpus, before="", **keys):
    """What Debian's generic kernel finds with no option but its console's; LOOK's output."""
    m = boot(linux_vm(vcpus=vcpus, cmdline=f'console=ttyS0 socle.run="{before}{LOOK}; poweroff"', **keys),
             linux_files("generic"), accel, timeout=LIMIT)
    m.finish()
    assert "socle: vm linux: shut down" in m.lines()
    text = m.text()
    # One package, as many cores, no threads.
    assert re.findall(r"^topology (.*)$", text, re.MULTILINE) == [f"0 {n} {n}" for n in range(vcpus)]
    for port in ("0070-0071 : rtc0", "03f8-03ff : serial", "0600-0603 : ACPI PM1a_EVT_BLK",
                 "0604-0605 : ACPI PM1a_CNT_BLK", "0608-060b : ACPI PM_TMR"):
        assert port in text
    assert re.search(r"^ *4:.*IO-APIC +4-edge +ttyS0", text, re.MULTILINE)
    assert re.search(r"^ *9:.*IO-APIC +9-fasteoi +acpi", text, re.MULTILINE)
    # QEMU's processors have no invariant TSC, which Linux wants of several.
    assert {"kvm-clock", "acpi_pm"} | ({"tsc"} if vcpus == 1 else set()) <= words(text, "clocks")
    return text


@pytest.mark.long
@pytest.mark.weight(3)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_pc(boot, accel, vcpus):
    """platform = pc, the default: the clock's alarm comes, and all is as on a PC."""
    text = look(boot, accel, vcpus, "echo +2 > /sys/class/rtc/rtc0/wakealarm; sleep 4; ")
    alarm = re.search(r"^ *8:([ 0-9]+)IO-APIC +8-edge +rtc0", text, re.MULTILINE)
    assert alarm and sum(map(int, alarm.group(1).split())) == 1
    assert PC_DEVICES <= words(text, "devices")


@pytest.mark.long
@pytest.mark.weight(3)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_minimal(boot, accel, vcpus):
    text = look(boot, accel, vcpus, platform="minimal")
    assert not PC_DEVICES & words(text, "devices")


@pytest.mark.long
@pytest.mark.weight(4)
def test_real_time_kernel(boot, accel):
    m, shell = boot_linux(boot, accel, "rt", vcpus=2)
    assert "PREEMPT_RT" in shell.run("uname -v")
    assert shell.serial_interrupts() > 0
    power_off(m)
