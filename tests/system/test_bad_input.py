"""What bad input gets: socle: error: lines that say what and where, no VM started, control back at the firmware."""
import os
import re

import pytest

from guests import linux_files, vm

FLAT = vm("flat16.bin", kind="flat16")


def check(machine, *wanted):
    """Each of the wanted patterns is found in an error of its own, and nothing was started."""
    machine.finish(1)
    errors = machine.errors()
    for pattern in wanted:
        assert any(re.search(pattern, e) for e in errors), f"no error matches {pattern!r}: {errors}"
    lines = machine.lines()
    assert not any("started" in line and line.startswith("socle: vm") for line in lines)
    assert not any(re.match(r"socle: cpu \d+: (vmx|svm) on", line) for line in lines)
    assert "socle: returning to the firmware" in lines
    return errors


def at(line, column=r"\d+"):
    return rf"socle: error: \S*socle\.cfg:{line}:{column}: "


# What the file says, and what must be said of it. All that is named in a file is in the image.
FILES = {
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
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.quick if n == "all_at_once" else ())
                                  for n in FILES])
def test_config(boot, accel, name):
    text, wanted = FILES[name]
    check(boot(text, ["flat16.bin"], accel), *wanted)


def test_no_config(boot, accel):
    m = boot(None, [], accel)
    check(m, r"socle\.cfg")
    text = m.text()
    assert re.search(r"EFI\\BOOT\\socle\.cfg", text, re.IGNORECASE), "each path tried is named"
    assert re.search(r"\[vm .*\][^[]*kernel = ", text, re.DOTALL), "a file that would work is shown"


def test_error_status(boot, accel):
    """A key ends the wait; then the firmware gets control back with an error status: it says so, and goes on with its
    next boot option."""
    m = boot("", [], accel, stay=True)
    m.expect("socle: returning to the firmware")
    for _ in range(30):  # keys typed before the wait began do not count
        m.send("x")
        if m.seen("failed to start Boot", 2):
            return
    raise AssertionError("the firmware did not go on")


@pytest.fixture
def kernel(tmp_path):
    """kernel(n): a file with the first n bytes of the real kernel, of all but -n with a negative one."""
    def cut(size):
        path = tmp_path / "vmlinuz"
        with open(linux_files()[0], "rb") as f:
            path.write_bytes(f.read()[:size])
        return str(path)
    return cut


KERNEL = vm("vmlinuz", memory="256M")


def test_kernel_of_100_bytes(boot, accel, kernel):
    check(boot(KERNEL, [kernel(100)], accel), at(4) + ".*(bzImage|cut off)")


@pytest.mark.quick
def test_kernel_is_no_bzimage(boot, accel, tmp_path):
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"no kernel at all" * 1000)
    check(boot(KERNEL, [str(path)], accel), at(4) + ".*no bzImage")


@pytest.fixture
def bios_only(tmp_path):
    """A file as memory disks and network boot programs come: it looks like a kernel, and only a BIOS can start it."""
    path = tmp_path / "memdisk"
    with open(linux_files()[0], "rb") as f:
        image = bytearray(f.read(0x4000))
    image[0x214:0x218] = bytes(4)  # code32_start
    image[0x236:0x238] = bytes(2)  # xloadflags
    path.write_bytes(image)
    return str(path)


def test_kernels_cut_and_for_a_bios(boot, accel, kernel, bios_only):
    """One kernel is cut off in its header, the other has the 16-bit entry alone."""
    m = boot(KERNEL + vm("memdisk", "b"), [kernel(0x210), bios_only], accel)
    check(m, at(4) + ".*cut off", at(8) + ".*vm b.*only a 16-bit entry, which needs a BIOS")


def test_kernel_cut_in_the_middle(boot, accel, kernel):
    check(boot(KERNEL, [kernel(os.path.getsize(linux_files()[0]) // 2)], accel), at(4) + ".*cut off")


def test_kernel_does_not_fit(boot, accel):
    check(boot(vm("vmlinuz", memory="16M"), linux_files()[:1], accel), at(2) + ".*MiB")


def test_initrd_does_not_fit(boot, accel, tmp_path):
    path = tmp_path / "initrd.gz"
    with open(path, "wb") as f:
        f.truncate(100 << 20)
    config = vm("vmlinuz", memory="128M", initrd="initrd.gz")
    check(boot(config, [linux_files()[0], str(path)], accel, memory=512, timeout=240), at(r"\d") + ".*initrd")


def test_initrd_missing(boot, accel):
    check(boot(vm("vmlinuz", memory="128M", initrd="nothere"), linux_files()[:1], accel), at(5) + ".*nothere")


def test_machine_is_full(boot, accel):
    """Both VMs fit alone; the second one is named, with what there is."""
    config = (vm("flat16.bin", "first", "256M", kind="flat16") + vm("flat16.bin", "second", "256M", kind="flat16"))
    errors = check(boot(config, ["flat16.bin"], accel, memory=400), at(7) + ".*second.*256M")
    assert not any("first" in e for e in errors)


# Processors that lack something, oldest first: Bochs' models, and what must be named.
MODELS = {
    "no_vmx": ("p4_prescott_celeron_336", ["VT-x"]),
    "no_ept": ("core2_penryn_t9600", ["EPT"]),
    "no_unrestricted_guest": ("corei5_lynnfield_750", ["[Uu]nrestricted guest"]),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.quick if n == "no_vmx" else ()) for n in MODELS])
def test_processor(boot, name):
    model, wanted = MODELS[name]
    check(boot(FLAT, ["flat16.bin"], "bochs", model=model), *wanted)


@pytest.mark.quick
def test_processor_without_svm(boot):
    check(boot(FLAT, ["flat16.bin"], "tcg", model="max,-svm"), "AMD-V.*SVM")
