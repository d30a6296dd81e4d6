"""The innocent neighbour (tests/guests/witness): asked by a byte on its console, it says what it finds."""
import pexpect

from guests import NoAnswer, vm

FILE = "witness.elf"
CONFIG = vm(FILE, "witness", memory="16M", kind="multiboot", debug_exit="0xf4", debug_console="0xe9", cpus="0")
PART = r"witness\| (?P<witness>[^\r\n]*)[\r\n]"


class Lines:
    """A VM's lines, each of which ends in a full stop: the console breaks one that is not finished for long."""

    def __init__(self):
        self.parts = ""

    def feed(self, part):
        """The line that ends with PART, or None."""
        self.parts += part.decode()
        if not self.parts.endswith("."):
            return None
        line, self.parts = self.parts[:-1], ""
        return line


class Witness:
    """What is typed goes to it, since its section is the first."""

    def __init__(self, machine):
        self.machine, self.lines, self.asked, self.answered = machine, Lines(), 0, 0
        assert self.next_line() == "witness: ready"

    def next_line(self, timeout=None):
        while True:
            line = self.lines.feed(self.machine.expect(PART, timeout).group(1))
            if line is not None:
                return line

    def send(self):
        """Asks; whoever waits for others as well passes what matches PART to feed()."""
        self.asked += 1
        self.machine.send("x")

    def feed(self, part):
        line = self.lines.feed(part)
        if line is not None:
            self.check(line)

    def check(self, line):
        """Console, memory and clock of the neighbour."""
        self.answered += 1
        assert line == f"witness: {self.answered}: memory ok, clock ok"

    def ask(self, timeout=60):
        self.send()
        try:
            self.check(self.next_line(timeout))
        except (pexpect.TIMEOUT, pexpect.EOF) as e:
            raise NoAnswer("the witness does not answer") from e

    def stop(self):
        self.machine.send("\x1d")
        self.machine.expect("socle> ")
        self.machine.send("stop witness\r")
        self.machine.expect("socle: vm witness: stopped")
        self.machine.send("\x1d")
