"""Configurations and conversations that several tests share."""
import os
import re
import socket

from conftest import BUILD

PROMPT = "socle-guest# "


class NoAnswer(Exception):
    """Who of the neighbours was asked and says nothing."""


def vm(kernel, name="a", memory="16M", vcpus=1, **keys):
    """The text of a [vm] section."""
    lines = [f"[vm {name}]", f"memory = {memory}", f"vcpus = {vcpus}", f"kernel = {kernel}"]
    return "\n".join(lines + [f"{key} = {value}" for key, value in keys.items()]) + "\n"


def linux_files(flavour="cloud"):
    folder = os.path.join(BUILD, "guest" if flavour == "cloud" else f"guest-{flavour}")
    return [os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.gz")]


# For tests that want a Linux soon: its trying out each of its ciphers is half a minute on Bochs, with nothing that exits.
SOON = "console=ttyS0 quiet cryptomgr.notests"


def linux_vm(memory="256M", vcpus=1, cmdline="console=ttyS0", name="linux", **keys):
    return vm("vmlinuz", name, memory, vcpus, initrd="initrd.gz", cmdline=cmdline, **keys)


class Shell:
    """The shell of the sample guest, on the machine's serial port. NAME: of its VM, where there are several."""

    def __init__(self, machine, name=None):
        self.machine = machine
        self.prefix = f"{name}| " if name else ""

    def wait(self, timeout=None):
        self.machine.expect(re.escape(self.prefix) + PROMPT, timeout)

    def run(self, command, timeout=60):
        """Type a command as a person would; returns what it printed."""
        self.machine.send(command + "\r")
        # The shell breaks a long line where its terminal ends. No group that matches nothing at all: a search in a line
        # that has come in part would try it taken and not taken at every character.
        broken = rf"[\r\n]*(?:{re.escape(self.prefix)})?" if self.prefix else r"[\r\n]*"
        echo = broken.join(re.escape(c) for c in command)
        self.machine.expect(echo + r"\r+\n", timeout)
        self.wait(timeout)
        said = self.machine.child.before.decode(errors="replace").replace("\r", "").rstrip("\x1b[6n")
        return re.sub("^" + re.escape(self.prefix), "", said, flags=re.MULTILINE)

    def serial_interrupts(self):
        """How many interrupts its processors have had from the serial port."""
        line = re.search(r"^ *4:([ 0-9]+)IO-APIC.*ttyS0", self.run("grep ttyS0 /proc/interrupts"), re.MULTILINE)
        assert line, "the serial port has no interrupt"
        return sum(map(int, line.group(1).split()))


def converse(shell, vcpus):
    """What a shell on a machine that works is good for."""
    assert "42" in shell.run("echo $((6*7))").split("\n")
    assert shell.run("nproc").strip() == str(vcpus)
    before = shell.serial_interrupts()
    shell.run("echo hello from the serial port")
    assert shell.serial_interrupts() > before
    assert "kvm-clock" in shell.run("cat /sys/devices/system/clocksource/clocksource0/available_clocksource")
    # Ctrl-C ends a job, and the shell is back. The job itself says that it runs: a Ctrl-C between the shell's fork and
    # the job's exec goes to nobody.
    shell.machine.send("sh -c 'echo busy; exec sleep 1000'\r")
    shell.machine.expect(rf"\n{re.escape(shell.prefix)}busy\r+\n")
    shell.machine.send("\x03")
    shell.wait(60)
    for n in range(vcpus):
        assert f"processor\t: {n}" in shell.run("cat /proc/cpuinfo")
    warnings = shell.run("dmesg | grep -E 'WARNING: CPU|BUG:|Oops|LOCKUP|soft lockup|rcu.*stall|unchecked MSR' || echo none")
    assert "none" in warnings.split("\n"), warnings


class SecondPort:
    """The machine's second serial port: it is connected to this end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "localhost:%d" % self.listener.getsockname()[1]
        self.got = b""

    def accept(self):
        self.listener.settimeout(60)
        self.port, _ = self.listener.accept()
        self.listener.close()

    def expect(self, text, timeout=60):
        self.expect_match(re.escape(text), 0, timeout)

    def expect_match(self, pattern, start=0, timeout=60):
        """The first match behind START bytes."""
        self.port.settimeout(timeout)
        while not (match := re.search(pattern, self.got[start:])):
            data = self.port.recv(4096)
            assert data, f"no {pattern!r} before the end of {self.got!r}"
            self.got += data
        return match
