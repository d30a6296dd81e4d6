"""What bad input gets: socle: error: lines that say what and where, no VM started, control back at the firmware."""
import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import BUILD
from guests import linux_files, vm

FLAT = vm("flat16.bin", kind="flat16")


def check(lines, *wanted):
    """Each of the wanted patterns is found in an error of its own, and nothing was started."""
    errors = [line for line in lines if line.startswith("socle: error: ")]
    for pattern in wanted:
        assert any(re.search(pattern, e) for e in errors), f"no error matches {pattern!r}: {errors}"
    assert not any("started" in line and line.startswith("socle: vm") for line in lines)
    assert not any(re.match(r"socle: cpu \d+: (vmx|svm) on", line) for line in lines)
    assert "socle: returning to the firmware" in lines
    return errors


def at(line, column=r"\d+"):
    return rf"socle: error: \S*socle\.cfg:{line}:{column}: "


def linux_head(size):
    """The first bytes of the real kernel; all but so many with a negative size."""
    with open(linux_files()[0], "rb") as f:
        return f.read()[:size]


def bios_only():
    """A file as memory disks and network boot programs come: it looks like a kernel, and only a BIOS can start it."""
    image = bytearray(linux_head(0x4000))
    image[0x214:0x218] = bytes(4)  # code32_start
    image[0x236:0x238] = bytes(2)  # xloadflags
    return bytes(image)


def guest(name):
    """One of the built guests, under its own name."""
    return {name: Path(BUILD, "guests", name).read_bytes}


KERNEL = vm("vmlinuz", memory="256M")

# What the file says, what must be said of it, and what other files there are: each a name and a function that makes its
# content; flat16.bin is always there.
CASES = {
    "empty": ("", [at(1) + ".*no VM"]),
    "only_comments": ("# nothing\n\n; here\n", [at(r"\d+") + ".*no VM"]),
    "syntax_section": ("[vm a\nmemory = 16M\n", [at(1) + r".*\]"]),
    "syntax_line": (FLAT + "what is this\n", [at(6, 1) + "expected KEY = VALUE"]),
    "unknown_key": (FLAT + "memroy = 1\n", [at(6, 1) + ".*'memroy'.*'memory'"]),
    "name_of_32": (vm("flat16.bin", "n" * 32, kind="flat16"), [at(1, 5) + ".*31 characters.*32"]),
    "two_of_a_name": (FLAT + FLAT, [at(6, 5) + ".*'a'.*line 1"]),
    "memory_0": (vm("flat16.bin", kind="flat16", memory="0"), [at(2, 10) + ".*memory.*0"]),
    "memory_3_bytes": (vm("flat16.bin", kind="flat16", memory="3"), [at(2, 10) + ".*memory = 3"]),
    "memory_1_tib": (vm("flat16.bin", kind="flat16", memory="1024G"), [at(2, 10) + ".*vm 'a'.*1048576M"]),
    "vcpus_0": (vm("flat16.bin", kind="flat16", vcpus=0), [at(3, 9) + ".*vcpus.*0"]),
    "vcpus_too_many": (vm("flat16.bin", kind="flat16", vcpus=3), [at(3, 9) + ".*vm 'a'.*3 vcpus.*2 processors"]),
    "cpus_not_there": (FLAT + "cpus = 7\n", [at(6, 8) + ".*no processor 7"]),
    "kernel_missing": (vm("nothere.bin", kind="flat16"), [at(4, 10) + r".*nothere\.bin"]),
    "not_utf8": (b"[vm \xff]\n", [at(1) + ".*UTF-8"]),
    "all_at_once": ("[vm a]\nmemory = 3\nvcpus = 0\nkernel = flat16.bin\n[vm b c]\nx = 1\n",
                    [at(2), at(3), at(5), at(6)]),
    "kernel_of_100_bytes": (KERNEL, [at(4) + ".*(bzImage|cut off)"], {"vmlinuz": lambda: linux_head(100)}),
    "kernel_is_no_bzimage": (KERNEL, [at(4) + ".*no bzImage"], {"vmlinuz": lambda: b"no kernel at all" * 1000}),
    # One is cut off in its header, the other has the 16-bit entry alone.
    "kernels_cut_and_for_a_bios": (KERNEL + vm("memdisk", "b"),
                                   [at(4) + ".*cut off", at(8) + ".*vm b.*only a 16-bit entry, which needs a BIOS"],
                                   {"vmlinuz": lambda: linux_head(0x210), "memdisk": bios_only}),
    "kernel_cut_in_the_middle": (KERNEL, [at(4) + ".*cut off"],
                                 {"vmlinuz": lambda: linux_head(os.path.getsize(linux_files()[0]) // 2)}),
    "kernel_does_not_fit": (vm("vmlinuz", memory="16M"), [at(2) + ".*MiB"], {"vmlinuz": lambda: linux_head(None)}),
    "initrd_missing": (vm("vmlinuz", memory="128M", initrd="nothere"), [at(5) + ".*nothere"],
                       {"vmlinuz": lambda: linux_head(None)}),
    "debug_port_taken": (vm("flat16.bin", kind="flat16", debug_exit="0x3f8"),
                         [":6:14: vm a: debug_exit = 0x3f8 to 0x3fb: COM1 has a port there"]),
    "format_forced": (vm("mb_elf32.bin", kind="pvh"), [at(4) + ".*no PVH entry"], guest("mb_elf32.bin")),
    "module_missing": (vm("mb_elf32.bin") + "module = missing.txt words\n",
                       [r":5:10: vm a: module: cannot read \S*\\missing\.txt"], guest("mb_elf32.bin")),
    # Both fit alone; the second one is named, with what there is, and the first one is not.
    "machine_is_full": (vm("flat16.bin", "first", "256M", kind="flat16") +
                        vm("flat16.bin", "second", "256M", kind="flat16"), [at(7) + "(?!.*first).*second.*256M"]),
}

STARTUP = """\
@echo -off
memmap
%s
memmap
reset -s
"""


def folder(path, config, files):
    """A folder of the image with an application of its own, which looks for its file there first."""
    path.mkdir()
    shutil.copy(os.path.join(BUILD, "socle.efi"), path)
    (path / "socle.cfg").write_bytes(config.encode() if isinstance(config, str) else config)
    shutil.copy(os.path.join(BUILD, "guests", "flat16.bin"), path)
    for name, content in files.items():
        (path / name).write_bytes(content())
    return str(path)


def press_a_key(m, behind):
    """End the wait before the return to the firmware, after which that says BEHIND."""
    for _ in range(200):  # keys typed before the wait began do not count
        m.send("x")
        if m.seen(behind, 0.3):
            return
    raise AssertionError("the firmware did not go on")


def of_case(text, name):
    """The lines between a case's begin and its status, and the status."""
    match = re.search(rf"^case {name}$\n(.*)^case {name}: status 0x([0-9A-F]+)$", text, re.MULTILINE | re.DOTALL)
    assert match, f"{name}: no begin or no end"
    return match.group(1).split("\n"), int(match.group(2), 16)


@pytest.mark.quick
@pytest.mark.weight(1)
def test_files(boot, accel, tmp_path):
    """All in one boot. The application that the firmware starts finds no file; it gets a key, returns an error status,
    and the firmware goes on with its next boot option, its shell. A script has that start one application after the
    other."""
    folders = [folder(tmp_path / name, case[0], case[2] if len(case) > 2 else {}) for name, case in CASES.items()]
    script = tmp_path / "startup.nsh"
    script.write_text(STARTUP % "\n".join(
        f"echo case {name}\n\\{name}\\socle.efi\necho case {name}: status %lasterror%" for name in CASES))
    m = boot(None, [str(script), *folders], accel, stay=True, timeout=400)

    m.expect("socle: returning to the firmware")
    press_a_key(m, "failed to start Boot")
    lines = m.lines()
    check(lines, r"socle\.cfg")
    text = "\n".join(lines)
    assert re.search(r"EFI\\BOOT\\socle\.cfg", text, re.IGNORECASE), "each path tried is named"
    assert re.search(r"\[vm .*\][^[]*kernel = ", text, re.DOTALL), "a file that would work is shown"

    m.expect("any other key to continue")
    m.send("x")
    for name in CASES:
        m.expect("socle: returning to the firmware")
        press_a_key(m, f"case {name}: status")
    m.finish(1)
    wrong, text = [], m.text()
    for name, case in CASES.items():
        try:
            lines, status = of_case(text, name)
            check(lines, *case[1])
            assert status != 0
        except AssertionError as e:
            wrong.append(f"{name}: {e}")
    assert not wrong
    # What the applications took is LoaderData; the shell itself takes a page now and then.
    before, after = (int(pages.replace(",", "")) for pages in re.findall(r"LoaderData: +([\d,]+) Pages", text))
    assert after == before, "the firmware has its memory back"


def test_initrd_does_not_fit(boot, accel, tmp_path):
    path = tmp_path / "initrd.gz"
    with open(path, "wb") as f:
        f.truncate(100 << 20)
    config = vm("vmlinuz", memory="128M", initrd="initrd.gz")
    m = boot(config, [linux_files()[0], str(path)], accel, memory=512, timeout=240)
    m.finish(1)
    check(m.lines(), at(r"\d") + ".*initrd")


# Processors that lack something, oldest first: Bochs' models, and what must be named.
MODELS = {
    "no_vmx": ("p4_prescott_celeron_336", ["VT-x"]),
    "no_ept": ("core2_penryn_t9600", ["EPT"]),
    "no_unrestricted_guest": ("corei5_lynnfield_750", ["[Uu]nrestricted guest"]),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.quick if n == "no_vmx" else ()) for n in MODELS])
def test_processor(boot, name):
    model, wanted = MODELS[name]
    m = boot(FLAT, ["flat16.bin"], "bochs", model=model)
    m.finish(1)
    check(m.lines(), *wanted)


@pytest.mark.quick
def test_processor_without_svm(boot):
    m = boot(FLAT, ["flat16.bin"], "tcg", model="max,-svm")
    m.finish(1)
    check(m.lines(), "AMD-V.*SVM")
