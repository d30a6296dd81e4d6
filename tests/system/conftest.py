"""Whole boots: an image made by tools/mkimg.sh, run by tools/run.sh, with the serial port on a terminal of pexpect."""
import os
import re
import subprocess
import sys

import pexpect
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
LOGS = os.path.join(BUILD, "logs")

# The emulators that every test with the fixture `accel` is run on.
ACCELS = ["tcg", "bochs"]

# Bochs takes ten times as long as QEMU. Of what is the same code on both, make test boots there what VT-x can make
# different; these are left to make test-all.
BOCHS_EXTRA = re.compile(r"test_core_that_hangs\[bochs-0|test_own_port|test_cap\b"
                         r"|test_crashes_in_a_row|test_nothing_starts|test_reboot_can_stop|test_triple_fault\["
                         r"|test_legacy_timer|test_pc\[bochs-1|test_minimal\[|test_real_time_kernel"
                         r"|test_devices\[bochs-1|test_memory_tester\[bochs-2|test_initrd_does_not_fit"
                         r"|test_shell\[bochs-(?!cloud-1)|test_memory_beyond_4_gib\[|test_reboot\["
                         r"|test_fair_shares\[bochs-weights[12]")
# The model there that has most, virtual-interrupt delivery included; Linux gets the one that run.sh takes by itself.
BOCHS_NEWEST = "corei7_skylake_x"
# What make test-quick boots there.
BOCHS_QUICK = re.compile(r"test_kinds")

ANSI = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][0-9A-B]|[=>])")


def pytest_configure(config):
    for mark in ("quick: belongs to make test-quick as well", "long: minutes long", "slow: too slow for test-quick",
                 "extra: only in make test-all", "weight(n): expected minutes, to start long tests first"):
        config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc):
    if "accel" in metafunc.fixturenames:
        metafunc.parametrize("accel", getattr(metafunc.module, "ACCELS", ACCELS))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With two workers the longest tests must not come last."""
    for item in items:
        if "[bochs" in item.name and BOCHS_EXTRA.search(item.name):
            item.add_marker(pytest.mark.extra)
        if "[bochs" in item.name and not BOCHS_QUICK.search(item.name):
            item.add_marker(pytest.mark.slow)

    def weight(item):
        mark = item.get_closest_marker("weight")
        return mark.args[0] if mark else (3 if item.get_closest_marker("long") else 0)
    items.sort(key=weight, reverse=True)


def clean(data):
    """Text as a terminal would show it, one line each."""
    return ANSI.sub("", data.decode(errors="replace")).replace("\r", "")


class Machine:
    """A booted image. Everything it printed is in text()."""

    def __init__(self, command, log, timeout):
        self.log, self.timeout = log, timeout
        self.child = pexpect.spawn(command[0], command[1:], timeout=timeout, cwd=ROOT)
        self.child.delaybeforesend = None

    def expect(self, pattern, timeout=None):
        """Wait for a regular expression; returns the match."""
        self.child.expect(pattern, timeout=timeout or self.timeout)
        return self.child.match

    def seen(self, pattern, timeout):
        """Does a regular expression come within so many seconds?"""
        return self.child.expect([pattern, pexpect.TIMEOUT], timeout=timeout) == 0

    def expect_all(self, *patterns):
        """Wait for regular expressions that may come in any order."""
        left = list(patterns)
        while left:
            del left[self.child.expect(left)]

    def send(self, text):
        self.child.send(text)

    def finish(self, code=0):
        """Wait for the end, which must come with this exit code of run.sh."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == code, f"run.sh ended with {self.child.exitstatus}, not {code}"

    def text(self):
        with open(self.log, "rb") as f:
            return clean(f.read())

    def lines(self):
        return self.text().split("\n")

    def errors(self):
        return [line for line in self.lines() if re.match(r"(\[[^]]*\] *)?socle: error: ", line)]

    def stop(self):
        """However the test ended, leave no emulator behind: run.sh takes its own along."""
        if self.child.isalive():
            self.child.terminate()
            try:
                self.child.expect(pexpect.EOF, timeout=10)
            except pexpect.TIMEOUT:
                pass
        self.child.close(force=True)


def path_of(name):
    """Where a file of an image comes from: a path as it is, else a built test guest."""
    return name if os.path.isabs(name) else os.path.join(BUILD, "guests", name)


@pytest.fixture
def boot(request, tmp_path):
    """boot(config, files) makes an image and boots it. CONFIG is the text of socle.cfg, None for no file."""
    machines = []

    def start(config, files=(), accel="bochs", cpus=2, memory=512, model=None, usb=False, stay=False, timeout=180,
              com2=None, efi=None, qmp=None, device=None, ips=None):
        image, socle_cfg = str(tmp_path / "disk.img"), "none"
        if config is not None:
            (tmp_path / "socle.cfg").write_bytes(config.encode() if isinstance(config, str) else config)
            socle_cfg = str(tmp_path / "socle.cfg")
        subprocess.run([os.path.join(ROOT, "tools", "mkimg.sh"), "-o", image, "-c", socle_cfg,
                        *(["--efi", efi] if efi else []), *map(path_of, files)], check=True)
        name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", request.node.name).strip("-")
        log = os.path.join(LOGS, name + (f"-{len(machines)}" if machines else "") + ".log")
        command = [os.path.join(ROOT, "tools", "run.sh"), "--accel", accel, "--cpus", str(cpus),
                   "--memory", str(memory), "--timeout", str(timeout), "--log", log]
        # Flat guests meet virtual-interrupt delivery; Linux is not for Bochs 2.7's (docs/hardware.md).
        if accel == "bochs" and not model and not any("vmlinu" in str(f) for f in files):
            model = BOCHS_NEWEST
        command += ["--model", model] if model else []
        command += ["--ips", str(ips)] if ips and accel == "bochs" else []
        command += ["--usb"] if usb else []
        command += ["--stay"] if stay else []
        command += ["--com2", com2] if com2 else []
        command += ["--qmp", qmp] if qmp else []
        command += ["--device", device] if device else []
        machines.append(Machine(command + [image], log, timeout + 30))
        request.node.machines = machines
        return machines[-1]

    yield start
    for machine in machines:
        machine.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed boot is understood from the end of its transcript, and of the emulator's own log."""
    report = (yield).get_result()
    if report.when != "call" or not report.failed:
        return
    for machine in getattr(item, "machines", []):
        for path in (machine.log, machine.log + ".bochs", machine.log + ".qemu"):
            if os.path.exists(path):
                with open(path, "rb") as f:
                    lines = clean(f.read()).rstrip("\n").split("\n")
                # Bochs reports each of these, and they are nothing unusual.
                lines = [line for line in lines if "VMEXIT: EPT violation" not in line]
                report.sections.append((path, "\n".join(lines[-60:])))


def pytest_sessionstart(session):
    os.makedirs(LOGS, exist_ok=True)
    sys.dont_write_bytecode = True
