#!/usr/bin/python3
"""Trace what the hypervisor executes for one exit of the benchmark's guest, instruction by instruction.

usage: trace_exit.py [--bed vmx|svm] [--list] [LOOP...]

By Bochs' debugger on VT-x, by QEMU's gdb stub on AMD-V. Prints how many instructions each function took, and how many
of them are dear on silicon. Needs build/socle.so, build/socle.efi and build/bench/guest.bin with its map.
"""
import argparse
import bisect
import collections
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import run as emulators  # noqa: E402  pylint: disable=wrong-import-position

LOOPS = {"cpuid": "CPUID", "hypercall": "VMCALL", "hypercall-amd": "VMMCALL", "rdmsr-apic-base": "RDMSR",
         "wrmsr-tsc-deadline-moved": "DEADLINE_MOVED", "in-uart-status": "UART", "in-pm-timer": "PM_TIMER",
         "mmio-ioapic": "IOAPIC", "self-ipi": "SELF_IPI"}
GUEST = 0x200000
STEPS = 6000  # for the longest one: three rounds, of which the first fills what later ones find
KVM_STEPS = 20000

# SDM vol. 3A 8.3 (serializing instructions), and what writes a model-specific or control register.
DEAR = {"vmcs": r"vm(read|write)\b", "msr": r"wrmsr|rdmsr", "cr": r"mov cr\d|mov %\w+,%cr\d|clts|lmsw",
        "serializing": r"cpuid|iret|invd|wbinvd|invlpg|invept|invvpid|lgdt|lidt|lldt|ltr|rsm|serialize|mov dr\d|"
                       r"mov %\w+,%db?\d|xsetbv|vmptrld|vmclear"}


class Failure(Exception):
    """Why there is no trace."""


def is_guest(pc):
    return GUEST <= pc < GUEST + 0x100000


class Code:
    """The functions of socle.so, and where their instructions begin before any is written over at boot."""

    def __init__(self, build):
        self.text, self.functions = set(), []
        dump = subprocess.run(["objdump", "-d", "--no-show-raw-insn", os.path.join(build, "socle.so")],
                              capture_output=True, text=True, check=True).stdout
        for line in dump.splitlines():
            if match := re.match(r"([0-9a-f]+) <(.+)>:", line):
                # Labels within a function are not its end: "..@4.jump" of macros, "svm_enter.guarded".
                if not match[2].startswith("..") and "." not in match[2]:
                    self.functions.append((int(match[1], 16), match[2]))
            elif match := re.match(r"\s*([0-9a-f]+):\s", line):
                self.text.add(int(match[1], 16))
        self.starts = [f[0] for f in self.functions]

    def function(self, at):
        return self.functions[bisect.bisect_right(self.starts, at) - 1][1]

    def place(self, pcs):
        """Where the image lies: there nearly all of PCS are instructions of it."""
        bases = {min(pcs) - text for text in self.text if (min(pcs) - text) & 0xfff == 0}
        base = max(bases, key=lambda b: sum(pc - b in self.text for pc in pcs), default=0)
        if sum(pc - base in self.text for pc in pcs) < 0.8 * len(pcs):
            raise Failure("trace: no place for the image")
        return base


def label(build, name):
    with open(os.path.join(build, "bench", "guest.map"), encoding="ascii") as f:
        for line in f:
            match = re.match(rf"\s*([0-9A-F]+)\s+[0-9A-F]+\s+\.\.@at_DO_{name}$", line.rstrip())
            if match:
                return int(match[1], 16)
    raise Failure(f"trace: no loop {name} in guest.map")


def image(build, scratch):
    config = os.path.join(scratch, "trace.cfg")
    with open(config, "w", encoding="ascii") as f:
        f.write("[vm bench]\nkind = flat64\nmemory = 32M\nvcpus = 1\nkernel = guest.bin\n")
    path = os.path.join(scratch, "trace.img")
    subprocess.run([os.path.join(ROOT, "tools", "mkimg.sh"), "-o", path, "-c", config, "--efi",
                    os.path.join(build, "socle.efi"), os.path.join(build, "bench", "guest.bin")], check=True,
                   stdout=subprocess.DEVNULL)
    return path


# ---- VT-x ----

def trace_bochs(path, scratch, addresses, timeout, steps, model=None):
    """For each of ADDRESSES, in the guest's order, linear addresses and texts of the instructions from there on."""
    rc, script = os.path.join(scratch, "bochsrc"), os.path.join(scratch, "commands")
    with socket.create_server(("127.0.0.1", 0)) as serial:
        with open(rc, "w", encoding="ascii") as f:
            f.write(emulators.BOCHSRC.format(memory=512, host=512, rom=emulators.OVMF_BOCHS, cpus=1, com2="",
                                             model=model or "corei7_skylake_x", disk=path, ips=50000000,
                                             port=serial.getsockname()[1], log=os.path.join(scratch, "log")))
        with open(script, "w", encoding="ascii") as f:
            for n, at in enumerate(addresses, 1):
                f.write(f"lb {at:#x}\ncontinue\ndel {n}\ntrace on\nstep {steps}\ntrace off\n")
            f.write("quit\n")
        # Its text display wants a terminal; the trace goes to standard output.
        command = f"bochs-bin -q -f {rc} -rc {script}"
        out = os.path.join(scratch, "out")
        process = subprocess.Popen(["script", "-qfc", command, out], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, cwd=scratch, env=dict(os.environ, TERM="xterm"),
                                   preexec_fn=emulators.die_with_parent)
        try:
            serial.settimeout(20)
            connection = serial.accept()[0]
            end = time.monotonic() + timeout
            while process.poll() is None and time.monotonic() < end:
                if select.select([connection], [], [], 1)[0] and not connection.recv(65536):
                    break
            connection.close()
        finally:
            emulators.end(process)
    with open(out, "rb") as f:
        text = emulators.ANSI.sub(b"", f.read()).decode(errors="replace")
    pattern = re.compile(r"\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): (.*?) *; [0-9a-f]+")
    trace = [(int(m[1], 16), m[2]) for m in pattern.finditer(text)]
    pcs = [pc for pc, _ in trace]
    if not set(addresses) <= set(pcs):
        raise Failure("trace: Bochs did not come by the loops")
    starts = [pcs.index(at) for at in addresses]
    return [trace[start:start + steps] for start in starts]


# ---- AMD-V ----

LONGEST, SLOT = 16, 32  # bytes that hold any instruction, and room for it


class Stub:
    """QEMU's gdb stub, as far as stepping needs it."""

    def __init__(self, port, timeout):
        self.socket, self.data = socket.create_connection(("127.0.0.1", port)), b""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(timeout)

    def ask(self, command):
        packet = command.encode()
        self.socket.sendall(b"$%s#%02x" % (packet, sum(packet) & 0xff))
        while True:
            if match := re.match(rb"\+*\$([^#]*)#..", self.data):
                self.data = self.data[match.end():]
                self.socket.sendall(b"+")
                return match[1].decode()
            more = self.socket.recv(65536)
            if not more:
                raise Failure("trace: QEMU has ended")
            self.data += more

    def rip(self):
        registers = bytes.fromhex(self.ask("g"))
        return int.from_bytes(registers[128:136], "little")

    def memory(self, at):
        """The bytes of the instruction AT, as far as its page and perhaps the next one go."""
        here = min(LONGEST, -at & 0xfff or LONGEST)
        answers = [self.ask(f"m{at:x},{here:x}")]
        if here < LONGEST:
            answers.append(self.ask(f"m{at + here:x},{LONGEST - here:x}"))
        return b"".join(bytes.fromhex(a) for a in answers if not a.startswith("E"))

    def steps(self, at, most):
        """Continues to AT and steps from there: addresses, and the bytes that are there when they are executed."""
        self.ask(f"Z1,{at:x},1")
        self.ask("c")
        self.ask(f"z1,{at:x},1")
        trace, times = [], 0
        while len(trace) < most and times < 3:
            pc = self.rip()
            trace.append((pc, b"" if is_guest(pc) else self.memory(pc)))
            times += pc == at
            self.ask("s")
        return trace


def disassemble(codes):
    """The text of the instruction that each of CODES begins with."""
    codes = sorted(codes)
    with tempfile.NamedTemporaryFile() as f:
        # What reaches beyond a slot's bytes meets NOPs, behind which the next slot's instruction begins.
        f.write(b"".join(code.ljust(SLOT, b"\x90") for code in codes))
        f.flush()
        dump = subprocess.run(["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", f.name],
                              capture_output=True, text=True, check=True).stdout
    lines = dict(re.findall(r"^\s*([0-9a-f]+):\s+(.*?)\s*$", dump, re.MULTILINE))
    return {code: lines[f"{n * SLOT:x}"] for n, code in enumerate(codes)}


def trace_qemu(path, scratch, addresses, timeout, steps):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    variables = os.path.join(scratch, "vars.fd")
    shutil.copyfile(emulators.OVMF_VARS, variables)
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max,+svm", "-m", "512", "-nodefaults",
               "-display", "none", "-monitor", "none", "-serial", "null", "-no-reboot", "-S",
               "-gdb", f"tcp:127.0.0.1:{port}",
               "-icount", "shift=0,sleep=off",  # no clock of the host's runs while it is stepped through
               "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={emulators.OVMF_CODE}",
               "-drive", f"if=pflash,format=raw,unit=1,file={variables}",
               "-drive", f"if=none,id=disk,format=raw,snapshot=on,file={path}", "-device", "virtio-blk-pci,drive=disk"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=emulators.die_with_parent) as process:
        try:
            for _ in range(100):
                time.sleep(0.1)
                try:
                    stub = Stub(port, timeout)
                    break
                except ConnectionRefusedError:
                    pass
            stub.ask("?")
            traces = [stub.steps(at, steps) for at in addresses]
        finally:
            emulators.end(process)
    texts = disassemble({code for trace in traces for _, code in trace})
    return [[(pc, texts[code]) for pc, code in trace] for trace in traces]


# ---- what it says ----

def last_round(trace, at):
    """The hypervisor's instructions between the last two times at AT."""
    times = [i for i, (pc, _) in enumerate(trace) if pc == at]
    if len(times) < 2:
        raise Failure(f"trace: came by {at:#x} only {len(times)} times in {len(trace)} instructions")
    return [(pc, text) for pc, text in trace[times[-2]:times[-1]] if not is_guest(pc)]


def rounds(build, bed, loops, path, timeout, steps=STEPS, model=None):
    """For each of LOOPS, the instructions of one round of what runs the guest in the image PATH."""
    addresses = sorted(label(build, LOOPS[loop]) for loop in loops)
    with tempfile.TemporaryDirectory() as scratch:
        traces = trace_bochs(path, scratch, addresses, timeout, steps, model) if bed == "vmx" else \
            trace_qemu(path, scratch, addresses, timeout, steps)
    lasts = dict(zip(addresses, map(last_round, traces, addresses)))
    return {loop: lasts[label(build, LOOPS[loop])] for loop in loops}


def measure(build, bed, loops, timeout=300, model=None):
    """For each of LOOPS, (function, text) of Socle's instructions in one round."""
    code = Code(build)
    with tempfile.TemporaryDirectory() as scratch:
        traces = rounds(build, bed, loops, image(build, scratch), timeout, model=model)
    base = code.place([pc for trace in traces.values() for pc, _ in trace])
    return {loop: [(code.function(pc - base), text) for pc, text in trace] for loop, trace in traces.items()}


def dear(lines):
    return {kind: sum(bool(re.match(pattern, text)) for _, text in lines) for kind, pattern in DEAR.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--bed", choices=("vmx", "svm"), default="svm")
    p.add_argument("--model", help="Bochs' model of processor")
    p.add_argument("--list", action="store_true", help="every instruction")
    p.add_argument("loop", nargs="*", default=["cpuid"], choices=LOOPS)
    args = p.parse_args()
    for loop, lines in measure(args.build, args.bed, args.loop, model=args.model).items():
        print(f"-- {loop}: {len(lines)} instructions; " + ", ".join(f"{k}: {n}" for k, n in dear(lines).items()))
        if args.list:
            print("\n".join(f"{name:28} {text}" for name, text in lines))
        for name, count in collections.Counter(name for name, _ in lines).items():
            print(f"{count:5} {name}")


if __name__ == "__main__":
    main()
