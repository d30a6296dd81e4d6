"""The innocent neighbour (tests/guests/witness): asked by a byte on its console, it says what it finds."""
from guests import vm

FILE = "witness.elf"
CONFIG = vm(FILE, "witness", memory="16M", kind="multiboot", debug_exit="0xf4", debug_console="0xe9", cpus="0")
ANSWER = r"witness\| witness: (\d+): ([^\r\n]*)[\r\n]"


class Witness:
    """What is typed goes to it, since its section is the first."""

    def __init__(self, machine):
        self.machine, self.asked = machine, 0
        machine.expect(r"witness\| witness: ready")

    def ask(self, timeout=60):
        """Console, memory and clock of the neighbour."""
        self.asked += 1
        self.machine.send("x")
        number, said = (g.decode() for g in self.machine.expect(ANSWER, timeout).groups())
        assert (int(number), said) == (self.asked, "memory ok, clock ok")

    def stop(self):
        self.machine.send("\x1d")
        self.machine.expect("socle> ")
        self.machine.send("stop witness\r")
        self.machine.expect("socle: vm witness: stopped")
        self.machine.send("\x1d")
