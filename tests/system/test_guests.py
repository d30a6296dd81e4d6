"""Formats of kernels, and what test programs end with."""
import os
import re

import pytest

from conftest import BUILD, ROOT
from guests import vm

DEBUG = dict(debug_exit="0xf4", debug_console="0xe9")


@pytest.mark.quick
def test_debug_ports(boot, accel):
    m = boot(vm("debug16.bin", kind="flat16", **DEBUG), ["debug16.bin"], accel)
    m.finish()
    lines = m.lines()
    assert lines.index("debug16: hello") < lines.index("socle: vm a: exited 300")
    assert "socle: vm a: shut down" not in lines
    assert "socle: all guests ended" in lines


FORMATS = ["mb_addresses", "mb_elf32", "mb_elf64", "pvh"]


@pytest.fixture
def modules(tmp_path):
    """Two files to be modules; the second is longer than a page."""
    (tmp_path / "first.txt").write_text("the first\n")
    (tmp_path / "second.txt").write_text("long " * 1000 + "\n")
    return [str(tmp_path / "first.txt"), str(tmp_path / "second.txt")]


@pytest.mark.quick
def test_formats(boot, accel, modules):
    """Each format is recognized by its content, and the kernel gets its command line, modules and memory map."""
    config = "".join(vm(f"{name}.bin", name, cmdline="some  words", **DEBUG) +
                     "module = first.txt\nmodule = second.txt with words\n" for name in FORMATS)
    m = boot(config, [f"{name}.bin" for name in FORMATS] + modules, accel)
    m.finish()
    lines = m.lines()
    for name in FORMATS:
        said = "pvh" if name == "pvh" else "multiboot"
        # A line that takes long may be broken by a neighbour's; none of it is lost.
        mine = "".join(line[len(name) + 2:] for line in lines if line.startswith(f"{name}| "))
        for text in ("command line: some  words", "module first.txt: the first", "module second.txt with words: long ",
                     f"memory {16 * 1024 - 384 - 1} KiB"):
            assert f"{said}: {text}" in mine, (name, text)
        assert f"socle: vm {name}: exited 33" in lines
        assert mine.count("long ") == 1000, name


def pieces(name):
    """The names of what tests/guests/devices/NAME.c goes through."""
    with open(os.path.join(ROOT, "tests", "guests", "devices", name + ".c"), encoding="utf-8") as f:
        return re.findall(r'^\t\{"([^"]+)", \w+\},$', f.read(), re.MULTILINE)


@pytest.mark.weight(1)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_devices(boot, accel, vcpus, modules):
    """A kernel that goes through all devices of a PC from inside."""
    config = vm("devices.elf", memory="16M", vcpus=vcpus, cmdline="some words", hpet="yes", com2="yes", **DEBUG)
    m = boot(config + "fw_cfg.opt/first = first.txt\nfw_cfg.opt/org.example/second = second.txt\n",
             ["devices.elf"] + modules, accel)
    m.finish()
    said = [line for line in m.lines() if line.startswith("devices: ")]
    names = [name for part in ("firmware", "timers", "controllers", "apic") for name in pieces(part)]
    assert len(names) > 40 and said == [f"devices: {name}: ok" for name in names]
    assert "com2| second port" in m.lines()
    assert "socle: vm a: exited 33" in m.lines()


@pytest.mark.weight(1)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_memory_tester(boot, accel, vcpus):
    """Debian's memtest86+, a program of the Linux boot protocol: it tests memory, and its Escape key resets the VM."""
    m = boot(vm("vmlinuz", memory="16M", vcpus=vcpus, cmdline="console=ttyS0,115200", on_reboot="stop"),
             [os.path.join(BUILD, "guest-memtest", "vmlinuz")], accel, timeout=600)
    m.expect(r"Memtest86\+ v6")
    m.expect("Status: Testing")
    m.expect(r"#[567] +\[Moving inversions")
    m.expect(r"Errors: +0 ")
    m.send("\x1b")
    m.finish()
    assert "socle: vm a: rebooted" in m.text()
