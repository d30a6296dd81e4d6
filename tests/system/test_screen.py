"""The console on the firmware's screen: pictures of QEMU's screen, read with the font that Socle was built with."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pexpect
import pytest

from conftest import BUILD, LOGS, ROOT
from guests import PROMPT, SOON, linux_files, linux_vm, vm

sys.path.insert(0, os.path.join(ROOT, "tools"))
import mkfont
import run as emulator

BLACK, GREY = bytes(3), b"\xaa" * 3


def made_with_font():
    """The font file that the Makefile names."""
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as f:
        return re.search(r"^FONT := (.*)$", f.read(), re.MULTILINE)[1]


class Picture:
    """A picture of the screen (PPM), and the text in it."""

    def __init__(self, path):
        with open(path, "rb") as f:
            magic, size, depth, self.pixels = f.read().split(b"\n", 3)
        assert (magic, depth) == (b"P6", b"255")
        self.width, self.height = map(int, size.split())

    def text(self):
        """Each line of characters, as they are for who knows the font: every pixel counts. Light grey on black,
        or the other way round where the cursor is (on a blank: a block); anything else is a '?'."""
        height, glyphs = mkfont.read_font(made_with_font())
        known = {rows: chr(code) for code, rows in sorted(glyphs.items(), reverse=True)}
        known = {self.draw(rows, BLACK, GREY): char for rows, char in known.items()} | \
            {self.draw(rows, GREY, BLACK): char for rows, char in known.items()}
        return ["".join(known.get(self.cell(x, y, height), "?") for x in range(self.width // 8)).rstrip()
                for y in range(self.height // height)]

    @staticmethod
    def draw(rows, fg, bg):
        return b"".join(fg if row & 0x80 >> x else bg for row in rows for x in range(8))

    def cell(self, x, y, height):
        starts = ((line * self.width + x * 8) * 3 for line in range(y * height, (y + 1) * height))
        return b"".join(self.pixels[start:start + 24] for start in starts)


class Machine:
    """QEMU with a screen. SERIAL: its port is on `child`, a terminal of pexpect; else it has none."""

    def __init__(self, folder, name, config, files, serial, display="VGA"):
        (folder / "socle.cfg").write_text(config)
        image, qmp = str(folder / "disk.img"), str(folder / "qmp")
        subprocess.run([os.path.join(ROOT, "tools", "mkimg.sh"), "-o", image, "-c", str(folder / "socle.cfg"),
                        "--efi", os.path.join(BUILD, "socle.efi"), *files], check=True)
        shutil.copyfile(emulator.OVMF_VARS, folder / "vars.fd")
        self.child = pexpect.spawn("qemu-system-x86_64", [
            "-machine", "q35", "-accel", "tcg", "-cpu", "max,+svm", "-smp", "2", "-m", "512", "-display", "none",
            "-nic", "none", "-vga", "none", "-device", display, "-no-shutdown",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={emulator.OVMF_CODE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={folder / 'vars.fd'}",
            "-drive", f"if=none,id=disk,format=raw,snapshot=on,file={image}", "-device", "ide-hd,drive=disk",
            "-monitor", "none", "-serial", "stdio" if serial else "none", "-qmp", f"unix:{qmp},server=on,wait=off"],
            timeout=120)
        self.child.delaybeforesend = None
        self.child.logfile_read = open(os.path.join(LOGS, name + ".log"), "wb")
        self.ppm = os.path.join(LOGS, name + ".ppm")
        self.qmp = self.connect(qmp)
        self.answers = self.qmp.makefile("rb")
        self.command("qmp_capabilities")

    @staticmethod
    def connect(path):
        for _ in range(100):
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(path)
                return sock
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"QEMU does not listen on {path}")

    def next_message(self, key, timeout=120):
        self.qmp.settimeout(timeout)
        while key not in (message := json.loads(self.answers.readline())):
            assert "error" not in message, message
        return message

    def command(self, name, **arguments):
        self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        self.next_message("return")

    def wait_power_off(self):
        """With -no-shutdown QEMU then stays, and so does the picture."""
        while self.next_message("event")["event"] != "SHUTDOWN":
            pass

    def picture(self):
        self.command("screendump", filename=self.ppm)
        return Picture(self.ppm)

    def wait_text(self, wanted, timeout=30):
        """The screen is drawn when there is time. Its lines, as soon as one matches WANTED."""
        for _ in range(timeout * 2):
            lines = self.picture().text()
            if any(re.search(wanted, line) for line in lines):
                return lines
            time.sleep(0.5)
        raise AssertionError(f"no {wanted!r} on the screen:\n" + "\n".join(lines))

    def stop(self):
        self.child.close(force=True)
        self.child.logfile_read.close()
        self.qmp.close()


@pytest.fixture
def start(request, tmp_path):
    machines = []

    def start_machine(config, files, serial, **keys):
        name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", request.node.name).strip("-")
        machines.append(Machine(tmp_path, name, config, files, serial, **keys))
        return machines[-1]

    yield start_machine
    for machine in machines:
        machine.stop()


def status(line):
    """The words of a status line, which is dark on light."""
    return line.replace("█", " ").split()


def flat(name):
    return os.path.join(BUILD, "guests", name)


@pytest.mark.parametrize("display", [pytest.param("VGA", marks=pytest.mark.quick), "bochs-display"])
def test_no_serial_port(start, display):
    """Without being asked Socle shows its log, from the firmware's report on, and its guests' output."""
    m = start(vm("flat64.bin", "one", kind="flat64") + vm("flat32.bin", "two", kind="flat32"),
              [flat("flat64.bin"), flat("flat32.bin")], serial=False, display=display)
    m.wait_power_off()
    lines = m.picture().text()
    shown = "\n".join(lines)
    assert re.match(r"socle \d", lines[0]), shown
    assert re.search(r"^socle: no serial port answers: the console goes to the firmware's screen: \d+ x \d+ pixels",
                     shown, re.MULTILINE), shown
    assert "one| flat64: hello, memory 16 MiB" in lines, shown
    assert "two| flat32: hello" in lines, shown
    assert any(line.startswith("socle: all guests ended") for line in lines), shown
    assert [status(line)[:2] for line in lines[-2:]] == [["one", "ended"], ["two", "ended"]], shown


def test_none_means_none(start):
    """`console = none` on a machine without a serial port leaves the screen alone."""
    m = start("[socle]\nconsole = none\n" + vm("flat64.bin", kind="flat64"), [flat("flat64.bin")], serial=False)
    m.wait_power_off()
    assert not any("flat64: hello" in line for line in m.picture().text())


def test_both(start):
    """The screen shows what the serial port does: it scrolls, and a line is edited on it as on any terminal."""
    m = start("[socle]\nconsole = com1, screen\n" + linux_vm(cmdline=SOON), linux_files(), serial=True)
    m.child.expect_exact(PROMPT)
    m.wait_text(f"^{PROMPT}█$")
    lines = m.wait_text("^█linux█")
    assert status(lines[-1]) == ["linux", "running", "cpu", "0"], "\n".join(lines)
    m.child.send("i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo number $i; done\r")
    m.child.expect("number 200\r+\n")
    lines = m.wait_text(f"^{PROMPT}█$")
    end = lines.index("number 200")
    count = len(lines) - 3
    assert lines[end - count + 1:end + 1] == [f"number {n}" for n in range(201 - count, 201)], "\n".join(lines)
    # Two characters too many, then Home (Ctrl-A), two to the right and one inserted.
    m.child.send("ecoxx\b\b right" + "\x01" + "\x1b[C\x1b[C" + "h")
    m.wait_text(f"^{PROMPT}echo right$")
    m.child.send("\r")
    m.wait_text("^right$")
    m.child.send("clear; printf '\\033[3;5Hcaf\\303\\251 \\342\\224\\200\\n'; poweroff -f\r")
    m.wait_power_off()
    lines = m.picture().text()
    assert lines[2] == "    café ─", "\n".join(lines)
