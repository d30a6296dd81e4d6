"""Several machines at once: their cores, consoles and lives, and the monitor."""
import os
import re
import time

import pytest

from conftest import BUILD, ROOT
from guests import SOON, SecondPort, Shell, converse, linux_files, linux_vm, vm

# Both vendors.
ACCELS = ["bochs", "tcg"]

LIMIT = 600
ESCAPE = "\x1d"
PROMPT = "socle> "


def flat(guest, name=None, memory="16M", **keys):
    return vm(f"{guest}.bin", name or guest, memory, kind="flat64", **keys)


class Monitor:
    """The monitor's prompt on the machine's serial port."""

    def __init__(self, machine):
        self.machine = machine

    def open(self):
        self.machine.send(ESCAPE)
        self.machine.expect(PROMPT)

    def run(self, command, until=None):
        """What COMMAND printed. UNTIL: wait for this, which comes when a core has got to it."""
        self.machine.send(command + "\r")
        self.machine.expect(re.escape(command) + r"(\x1b\[K)?\r+\n")
        said = b""
        if until:
            self.machine.expect(until)
            said = self.machine.child.before + self.machine.child.after
        self.machine.expect(PROMPT)
        said += self.machine.child.before
        return re.sub(r"\x1b\[[0-9]*[A-Z]", "", said.decode(errors="replace")).replace("\r", "")

    def list(self):
        """{name: its line's words}"""
        lines = [line.split() for line in self.run("list").split("\n") if line.strip()]
        assert lines[0][:3] == ["NAME", "STATE", "VCPUS"]
        return {line[0]: line[1:] for line in lines[1:]}

    def used(self):
        """KiB of Socle's own memory that are in use."""
        return int(re.search(r"(\d+) KiB used of", self.run("mem")).group(1))


# ---- several at once ----

def check_lines(machine, names):
    """Each line is of one machine, and says of which."""
    lines = machine.lines()
    first = next(i for i, line in enumerate(lines) if line.startswith("socle: vm "))
    one = "|".join(names)
    for line in lines[first:]:
        assert re.match(rf"(({one})\| |socle: |$)", line), line
        assert len(re.findall(rf"({one})\| ", line)) <= 1, line


@pytest.mark.long
@pytest.mark.weight(8)
def test_three_machines(boot, accel):
    """On four cores, one for each vCPU."""
    run = "for i in 1 2 3 4 5 6 7 8; do echo mine $i; sleep 0.1; done"
    config = (linux_vm("192M", vcpus=2, name="one", cmdline=f'{SOON} socle.run="{run}"') +
              linux_vm("192M", name="two", cmdline=f'{SOON} socle.run="{run}; poweroff"') +
              flat("flat64", "three"))
    m = boot(config, linux_files() + ["flat64.bin"], accel, cpus=4, memory=1024, timeout=LIMIT)
    m.expect_all(r"one\| socle-guest# ", "socle: vm two: shut down", "socle: vm three: shut down")
    converse(Shell(m, "one"), 2)
    m.send("poweroff\r")
    m.finish()
    lines = m.lines()
    for cpu, vcpu in enumerate(("one: vcpu 0", "one: vcpu 1", "two: vcpu 0", "three: vcpu 0")):
        assert f"socle: vm {vcpu}: on cpu {cpu}" in lines
    assert "three| flat64: hello, memory 16 MiB" in lines
    for name, count in (("one", 2), ("two", 1)):
        assert f"{name}| socle-guest: up {count} cpus" in lines
        assert [line for line in lines if re.match(rf"{name}\| mine", line)] == \
            [f"{name}| mine {n}" for n in range(1, 9)]
        assert f"socle: vm {name}: shut down" in lines
    assert lines.count("socle: all guests ended") == 1
    check_lines(m, ("one", "two", "three"))
    assert not m.errors()


def shares(boot, accel, weights, **keys):
    """Percent of one core that guests of these weights get of it, over ten seconds of theirs."""
    config = "".join(flat("share64", f"w{i}", weight=w, cpus="0") for i, w in enumerate(weights))
    m = boot(config, ["share64.bin"], accel, timeout=300)
    pattern = r"w\d\| share64: had \d+ of 1000"
    for _ in range(12 * len(weights) + 6):
        m.expect(pattern, timeout=60)
    had = []
    for i in range(len(weights)):
        seconds = [int(n) for n in re.findall(rf"w{i}\| share64: had (\d+) of 1000", m.text())]
        assert len(seconds) >= 10
        had.append(sum(seconds[-11:-1]))
    return [100 * n / sum(had) for n in had]


@pytest.mark.weight(3)
@pytest.mark.parametrize("weights", [(100, 100), (100, 300), (100, 200, 300)])
def test_fair_shares(boot, accel, weights):
    for got, weight in zip(shares(boot, accel, weights), weights):
        assert abs(got - 100 * weight / sum(weights)) < 5


@pytest.mark.weight(2)
def test_cap(boot, accel):
    """Alone on its core, and still no more than it is allowed."""
    m = boot(flat("share64", "capped", cap=30, cpus="1"), ["share64.bin"], accel, timeout=300)
    had = [int(m.expect(r"had (\d+) of 1000").group(1)) for _ in range(8)]
    assert 100 < sum(had[2:]) / 6 < 350, had
    monitor = Monitor(m)
    monitor.open()
    monitor.list()
    time.sleep(5)
    assert 25 < float(monitor.list()["capped"][4]) < 35


@pytest.mark.weight(2)
def test_registers_do_not_leak(boot, accel):
    """Nor do a guest's steer the hypervisor; every countermeasure against speculation is in the way of each exit, and
    does no harm there."""
    config = "[socle]\nslice = 1 ms\n" + flat("state64", "one", "16M", cpus="0") + flat("state64", "two", "18M", cpus="0")
    # The one model that has SPEC_CTRL.
    m = boot(config, ["state64.bin"], accel, efi=os.path.join(BUILD, "hooks", "guarded.efi"),
             model="corei7_icelake_u" if accel == "bochs" else None)
    m.finish()
    assert m.text().count("state64: SPEC_CTRL is there") == (2 if accel == "bochs" else 0)
    assert m.text().count("state64: PKRU is there") == 2
    assert "one| state64: good" in m.lines()
    assert "two| state64: good" in m.lines()
    told = re.findall(r"guarded: (\d+) pieces of text, (\d+) bytes of them left out; exits: (\d+), "
                      r"left in registers: (\w+)", m.text())
    assert len(told) == 2
    assert all(int(pieces) > 15 and int(exits) > 100 for pieces, _, exits, _ in told), told
    assert all((out, left) == ("0", "0") for _, out, _, left in told), told


@pytest.mark.weight(2)
def test_memory_is_isolated(boot, accel):
    m = boot(flat("keeper64") + flat("prober64"), ["keeper64.bin", "prober64.bin"], accel)
    m.finish()
    assert "prober64| prober64: good" in m.lines()
    assert "keeper64| keeper64: good" in m.lines()


# ---- bad neighbours ----

# What each says when it begins.
BAD = {"hltoff64": "hltoff64: halted", "spin64": "spin64: spinning", "triple64": "triple64: falling",
       "flood64": "flood64: all this text"}


def answers(machine, name, number):
    """Typing goes to the Linux guest NAME, and it answers."""
    machine.send(f"attach {name}\r")
    machine.expect(f"typing goes to vm {name}")
    for n in range(number, number + 3):
        # A line in which it pauses for 20 ms may be broken by what others say: ask again.
        for _ in range(4):
            machine.send(f"echo $(({n}+40))\r")
            if machine.seen(rf"{name}\| {n + 40}\r", timeout=40):
                break
        else:
            pytest.fail(f"{name} does not answer")


@pytest.mark.long
@pytest.mark.weight(8)
def test_bad_neighbours(boot, accel):
    """Three machines on two cores, and beside them, on the boot core, which one of them has to itself otherwise, one
    after the other four that are in the way as best they can."""
    config = (linux_vm("192M", vcpus=2, name="one", cmdline=SOON) +
              linux_vm("192M", name="two", cpus="0", cmdline=SOON) + flat("flat64", "three"))
    for guest in BAD:
        config += flat(guest, cpus="0", autostart="no", **({"on_crash": "restart"} if guest == "triple64" else {}))
    m = boot(config, linux_files() + [f"{guest}.bin" for guest in ("flat64", *BAD)], accel, cpus=2, memory=1024,
             timeout=LIMIT)
    m.expect_all(r"one\| socle-guest: up 2 cpus", r"two\| socle-guest: up 1 cpus", r"one\| socle-guest# ",
                 r"two\| socle-guest# ", "three. flat64: hello, memory 16 MiB", "socle: vm three: shut down")
    monitor = Monitor(m)
    for n, (guest, begins) in enumerate(BAD.items()):
        monitor.open()
        monitor.run(f"start {guest}", f"socle: vm {guest}: started")
        m.send(ESCAPE)
        m.expect(begins)
        for name in ("two", "one"):
            monitor.open()
            answers(m, name, 10 * n)
        if guest == "triple64":
            continue
        # What hangs is still seen and stopped.
        monitor.open()
        # In either order; and where lines of others come between, the prompt is drawn again.
        monitor.run(f"dump {guest}", r"(?i)r15.*rip|rip.*r15")
        monitor.run(f"pause {guest}")
        assert monitor.list()[guest][0] == "paused"
        monitor.run(f"stop {guest}", f"socle: vm {guest}: stopped")
        assert monitor.list()[guest][0] == "ended"
        m.send(ESCAPE)
    for name in ("one", "two"):
        monitor.open()
        answers(m, name, 50)
        m.send("poweroff\r")
        m.expect(f"socle: vm {name}: shut down")
    m.finish()
    assert m.text().count("socle: vm triple64: crashed: triple fault") > 1
    assert m.lines().count("socle: all guests ended") == 1


# ---- consoles of their own ----

def test_own_port(boot, accel):
    """`console = com2`: bytes pass as they are, both ways, and nothing of it is on the common line; `none` is in the
    monitor's log only."""
    second = SecondPort()
    m = boot(flat("echo64", "own", console="com2") + flat("echo64", "line") + flat("flat64", "mute", console="none"),
             ["echo64.bin", "flat64.bin"], accel, com2=second.address)
    second.accept()
    second.expect(b"echo64: up\r\n")
    m.expect_all("\necho64: up\r\n", "socle: vm mute: shut down")
    second.port.sendall(b"to \x1d you\r\x80\n")
    second.expect(b"to \x1d you\r\x80\n")
    m.send("here")
    m.expect("here")
    monitor = Monitor(m)
    monitor.open()
    assert "flat64: hello" in monitor.run("log mute")
    assert "not on this console" in monitor.run("attach own")
    second.port.sendall(b"meanwhile")
    second.expect(b"meanwhile")
    assert "to  you" in monitor.run("log own")
    assert "typing goes here" in re.search("^line .*$", monitor.run("list"), re.MULTILINE).group(0)
    m.send(ESCAPE)
    second.port.sendall(b"q")
    m.expect("socle: vm own: shut down")
    m.send("q")
    m.finish()
    # The firmware has had the port before, as any that it finds.
    assert b"socle: " not in second.got
    assert second.got.split(b"echo64: up")[1:] == [b"\r\nto \x1d you\r\x80\nmeanwhile"]
    before = m.text().split("socle> ", maxsplit=1)[0]
    assert before.count("echo64: up") == 1 and "flat64: hello" not in before


def test_own_port_is_not_there(boot, accel):
    """Before anything runs, the line of the file is named."""
    m = boot(flat("flat64", console="com2"), ["flat64.bin"], accel)
    m.finish(1)
    assert any(re.search(r"socle.cfg:6:11: vm flat64: console: com2 \(port 2f8h\) does not answer", line)
               for line in m.errors()), m.errors()


# ---- the monitor ----

@pytest.mark.weight(2)
def test_monitor(boot, accel):
    config = flat("spin64", "spin") + flat("flat64", "later", autostart="no") + flat("hltoff64", "halted", cpus="1")
    m = boot(config, ["spin64.bin", "flat64.bin", "hltoff64.bin"], accel, timeout=300)
    m.expect_all("spin64: spinning", "hltoff64: halted")
    monitor = Monitor(m)
    monitor.open()
    said = monitor.run("help")
    for command in ("list", "attach NAME", "log", "pause", "resume", "reset", "stop", "start", "stats", "dump", "mem"):
        assert command.split()[0] in said
    vms = monitor.list()
    assert [vms[name][0] for name in ("spin", "later", "halted")] == ["running", "off", "running"]
    time.sleep(2)
    vms = monitor.list()
    assert float(vms["spin"][4]) > 60 and float(vms["halted"][4]) < 5
    assert "hltoff64: halted" in monitor.run("log halted")
    monitor.run("pause spin")
    monitor.list()
    time.sleep(1)
    vms = monitor.list()
    assert vms["spin"][0] == "paused" and float(vms["spin"][4]) < 10
    assert "cannot be paused: it is paused" in monitor.run("pause spin")
    monitor.run("resume spin")
    assert monitor.list()["spin"][0] == "running"
    assert "port I/O" in monitor.run("stats spin")
    monitor.run("start later", "socle: vm later: shut down")
    assert monitor.list()["later"][0] == "ended"
    assert "flat64: hello" in monitor.run("log later")
    monitor.run("start later", "socle: vm later: shut down")
    assert monitor.list()["later"][5] == "2"
    monitor.run("reset spin", "socle: vm spin: started")
    assert monitor.list()["spin"][5] == "2"
    assert "cannot be started: it is running" in monitor.run("start spin")
    assert re.search("RIP", monitor.run("dump halted", r"R15|r15"), re.IGNORECASE)
    assert monitor.used() > 100
    assert "typing goes here" in re.search("^spin .*$", monitor.run("list"), re.MULTILINE).group(0)
    m.send("attach halted\r")
    m.expect("typing goes to vm halted; \\^] opens the monitor")
    monitor.open()
    assert "typing goes here" in re.search("^halted .*$", monitor.run("list"), re.MULTILINE).group(0)
    # Completion, editing, and what is wrong with a line.
    m.send("li\t\r")
    m.expect("typing goes here")
    m.expect(PROMPT)
    m.send("st\t")
    for word in ("stop", "start", "stats"):
        m.expect(word)
    m.send("\x15lost\x01\x1b[3~\x7f\x05\x7f\x7f\x7fist\r")
    m.expect("ist: no such command")
    m.expect(PROMPT)
    assert "usage: stop NAME" in monitor.run("stop")
    assert "nobody: no such VM" in monitor.run("stop nobody")
    # It stays while nobody runs, and the machine ends with it.
    monitor.run("stop spin", "socle: vm spin: stopped")
    monitor.run("stop halted", "socle: vm halted: stopped")
    assert "all guests ended" not in m.text()
    m.send("quit\r")
    m.finish()
    assert "socle: all guests ended" in m.lines()


@pytest.mark.weight(2)
def test_readme_sample(boot):
    """What README's transcript of config/samples/two.cfg shows."""
    with open(os.path.join(ROOT, "config", "samples", "two.cfg"), encoding="utf-8") as f:
        m = boot(f.read(), linux_files(), "tcg", memory=1024)
    m.expect_all(r"web\| socle-guest: up 2 cpus", r"batch\| socle-guest: up 1 cpus", r"batch\| socle-guest# ")
    monitor = Monitor(m)
    monitor.open()
    vms = monitor.list()
    assert vms["web"][:3] == ["running", "2", "0,1"] and vms["web"][-3:] == ["typing", "goes", "here"]
    assert vms["batch"][:3] == ["running", "1", "0"]
    monitor.run("pause batch", "socle: vm batch: paused")
    assert monitor.list()["batch"][0] == "paused"
    monitor.run("resume batch", "socle: vm batch: resumed")
    m.send("attach batch\r")
    m.expect("socle: typing goes to vm batch; \\^] opens the monitor")
    m.send("\recho $((6*7))\r")
    m.expect(r"batch\| 42\r")
    m.send("poweroff\r")
    m.expect("socle: vm batch: shut down")
    monitor.open()
    m.send("attach web\r")
    m.expect("typing goes to vm web")
    m.send("poweroff\r")
    m.finish()


def test_nothing_starts_by_itself(boot, accel):
    """The monitor is open then. Its key is the configuration's."""
    m = boot("[socle]\nescape = ^T\n" + flat("flat64", "a", autostart="no"), ["flat64.bin"], accel, timeout=300)
    m.expect("no vm starts by itself")
    m.expect(PROMPT)
    monitor = Monitor(m)
    assert monitor.list()["a"][0] == "off"
    monitor.run("start a", "socle: vm a: shut down")
    m.send("\x14")
    m.finish()
    assert "flat64: hello, memory 16 MiB" in m.text()


# ---- pauses ----

def gaps(machine, seconds):
    """The widest gaps, in ms, that gap64 has seen in its TSC and in its ACPI timer in each of so many seconds."""
    pairs = [machine.expect(r"gap64: tsc (\d+) ms, timer (\d+) ms").groups() for _ in range(seconds)]
    return [int(gap) for pair in pairs for gap in pair]


def test_pause_stops_the_clocks(boot, accel):
    """A guest sees nothing of a pause that is longer than any that it sees otherwise."""
    m = boot(flat("gap64"), ["gap64.bin"], accel)
    assert max(gaps(m, 2)) < 500
    monitor = Monitor(m)
    monitor.open()
    for pause in (5, 3):
        monitor.run("pause gap64", "socle: vm gap64: paused")
        time.sleep(pause)
        monitor.run("resume gap64", "socle: vm gap64: resumed")
    m.send(ESCAPE)
    assert max(gaps(m, 5)) < 500


@pytest.mark.extra
@pytest.mark.long
def test_linux_sees_no_pause(boot):
    """25 seconds, more than its watchdog for hung processors grants, and it has nothing to say about it."""
    m = boot(linux_vm("192M", vcpus=2, cmdline=SOON), linux_files(), "tcg")
    shell = Shell(m)
    shell.wait()
    before = float(shell.run("cat /proc/uptime").split()[0])
    said = shell.run("dmesg | grep -c .")
    monitor = Monitor(m)
    monitor.open()
    monitor.run("pause linux", "socle: vm linux: paused")
    time.sleep(25)
    monitor.run("resume linux", "socle: vm linux: resumed")
    m.send(ESCAPE)
    assert float(shell.run("cat /proc/uptime").split()[0]) - before < 20
    assert shell.run("dmesg | grep -c .") == said, shell.run("dmesg | tail")
    m.send("poweroff\r")
    m.finish()


# ---- a core of the hypervisor that hangs ----

HANGS = os.path.join(BUILD, "hooks", "faults.efi")


@pytest.mark.parametrize("core", [0, 1])
def test_core_that_hangs(boot, accel, core):
    """An NMI finds it, and where is said; the other goes on. The boot core, whose work consoles are, is found by the
    other one. Before, some from outside come while the other core is in its guest: they are said, and nothing else. And
    what the hypervisor defends itself with is as it should be behind an exit of either vendor's, on each core."""
    m = boot(vm("fault64.bin", "bad", kind="flat64", cpus=core) + flat("gap64", "good", cpus=1 - core),
             ["fault64.bin", "gap64.bin"], accel, efi=HANGS)
    m.expect_all("fault64: ready", "good. gap64: tsc")
    m.send("m")
    # Bochs' Skylake has no UMIP.
    m.expect(f"registers: WP 1, SMEP 1, SMAP 1, UMIP {int(accel == 'tcg')}, NXE 1")
    m.expect(r"tables: \d+ KiB mapped, 0 writable and executable, 0 for user mode")
    m.expect("tables: 16384 KiB of 16384 of vm bad, whose exit this is")
    m.expect("tables: 0 KiB of 16384 of vm good, which is another")
    m.send("N")
    m.expect_all("nmi: 20 of 20 came", f"socle: warning: cpu {1 - core}: NMI of unknown origin.*; ignored")
    m.expect("good. gap64: tsc")
    m.send("l")
    found = m.expect(rf"socle: error: cpu {core} does not answer: an NMI found it at socle\.efi\+([0-9a-f]+)").group(1)
    assert 0 < int(found, 16) < os.path.getsize(HANGS)
    if core:
        m.expect("good. gap64: tsc")
        monitor = Monitor(m)
        monitor.open()
        assert monitor.list()["good"][0] == "running"
    assert "socle: panic" not in m.text()


# ---- lives ----

@pytest.mark.weight(3)
def test_restarts_leak_nothing(boot, accel):
    lives = 1000 if accel == "tcg" else 100
    m = boot(vm("reset_cf9.bin", "again", "2M", kind="flat16"), ["reset_cf9.bin"], accel, timeout=300)
    m.expect("reset_cf9: up")
    monitor = Monitor(m)
    monitor.open()
    before = monitor.used()
    while int(monitor.list()["again"][5]) < lives:
        time.sleep(1)
    assert monitor.used() == before
    monitor.run("stop again", "socle: vm again: stopped")
    assert monitor.used() == before


def test_crashes_in_a_row_have_an_end(boot, accel):
    m = boot(flat("triple64", on_crash="restart") + flat("flat64"), ["triple64.bin", "flat64.bin"], accel)
    m.finish()
    text = m.text()
    assert text.count("socle: vm triple64: crashed: triple fault") == 6
    assert "socle: error: vm triple64: crashed 6 times in a row: not started again" in text
    assert "socle: all guests ended" in text
