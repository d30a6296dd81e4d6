"""Configurations and conversations that several tests share."""
import os
import re

from conftest import BUILD

PROMPT = "socle-guest# "


def vm(kernel, name="a", memory="16M", vcpus=1, **keys):
    """The text of a [vm] section."""
    lines = [f"[vm {name}]", f"memory = {memory}", f"vcpus = {vcpus}", f"kernel = {kernel}"]
    return "\n".join(lines + [f"{key} = {value}" for key, value in keys.items()]) + "\n"


def linux_files(flavour="cloud"):
    folder = os.path.join(BUILD, "guest" if flavour == "cloud" else f"guest-{flavour}")
    return [os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.gz")]


def linux_vm(memory="256M", vcpus=1, cmdline="console=ttyS0", **keys):
    return vm("vmlinuz", "linux", memory, vcpus, initrd="initrd.gz", cmdline=cmdline, **keys)


class Shell:
    """The shell of the sample guest, on the machine's serial port."""

    def __init__(self, machine):
        self.machine = machine

    def wait(self, timeout=None):
        self.machine.expect(PROMPT, timeout)

    def run(self, command, timeout=60):
        """Type a command as a person would; returns what it printed."""
        self.machine.send(command + "\r")
        # The shell breaks a long line where its terminal ends.
        echo = r"[\r\n]*".join(re.escape(c) for c in command)
        self.machine.expect(echo + r"\r+\n", timeout)
        self.machine.expect(PROMPT, timeout)
        return self.machine.child.before.decode(errors="replace").replace("\r", "").rstrip("\x1b[6n")
