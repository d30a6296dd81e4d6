#!/usr/bin/python3
"""Measure what exits cost: Socle beside Linux with KVM, in the same emulators, with the same guest.

Prints a table and writes build/bench.csv. With --exits-only just the part that CI runs: Socle's own costs, counts and
sizes against their targets, a line of TAP for each, exit code 1 when one is over. A figure that has moved by more than
1 % from bench/baseline.csv is marked.
"""
import argparse
import csv
import glob
import gzip
import os
import re
import signal
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import mkinitrd  # noqa: E402  pylint: disable=wrong-import-position
import trace_exit  # noqa: E402  pylint: disable=wrong-import-position

BEDS = ("vmx", "svm")
ACCEL = {"vmx": ["--accel", "bochs"], "svm": ["--accel", "tcg", "--icount"]}
BED_NAMES = {"vmx": "VT-x (Bochs)", "svm": "AMD-V (QEMU TCG -icount)"}
ENTRY_64, SPARE = 0x200, 0x1c0  # in the protected-mode part of a bzImage: the entry, and room that nothing uses
MODULES = ("irqbypass", "kvm", "kvm-intel", "kvm-amd")
COLUMNS = ("metric", "bed", "socle", "kvm", "bare", "ratio", "target")
MOVED = 0.01

# Metric of the table: what the guest calls it under Socle, under KVM (an access that KVM serves in the kernel), and
# the targets; a target of None is half of KVM's figure.
METRICS = (
    ("cpuid", "cpuid", "cpuid", {"vmx": 110, "svm": 260}),
    ("hypercall", "hypercall", "hypercall", {"vmx": 110, "svm": 260}),
    ("rdmsr-apic-base", "rdmsr-apic-base", "rdmsr-apic-base", {"vmx": 140, "svm": 300}),
    ("wrmsr-tsc-deadline", "wrmsr-tsc-deadline", "wrmsr-tsc-deadline", {"vmx": 220, "svm": 400}),
    ("wrmsr-tsc-deadline-moved", "wrmsr-tsc-deadline-moved", "wrmsr-tsc-deadline-moved", {"vmx": 220, "svm": 400}),
    ("in-pm-timer", "in-pm-timer", "in-pic-mask", {"vmx": 220, "svm": 300}),
    ("in-uart-status", "in-uart-status", "in-pic-mask", {"vmx": 220, "svm": 300}),
    ("mmio-ioapic", "mmio-ioapic", "mmio-ioapic", {"vmx": None, "svm": None}),
    ("self-ipi", "self-ipi", "self-ipi", {"vmx": 300, "svm": 1500}),
    ("self-ipi-no-vid", "self-ipi", "self-ipi", {"vmx": 1200}),
    ("ipi-halted-and-back", "ipi-halted-and-back", "ipi-halted-and-back", {"vmx": None, "svm": None}),
)
OF_TWO = ("ipi-halted-and-back",)
# What a boot is, and the rows that are no exit's cost.
CLOCK = {"vmx": 50e6, "svm": 1000e6}  # ticks of the TSC in a second
BOOT_TARGET, BOOT_OVER_BARE, IDLE_TARGET, IDLE_SECONDS = 5000, 1.02, 10, 10
BOOT_MEMORY, START_TARGET = 192, 20e6
BOOT_CMDLINE = "console=ttyS0 quiet nokaslr"
# What Socle calls an exit's reason, and what KVM's counters do.
KVM_COUNTERS = {"port I/O": "io_exits", "nested page fault": "pf_taken", "HLT": "halt_exits",
                "interrupt of the machine": "irq_exits", "interrupt window": "irq_window_exits"}
SIZE_TARGET, LINES_TARGET, MEMORY_TARGET, VMCS_TARGET = 256 << 10, 15000, 256, 6
# What CI holds them to that are over their targets, or have no room left below: README.md says why. The two runs that the spinning guest's
# figure is the difference of may differ by an exit or two elsewhere; whatever comes by a clock is one a second or more.
HELD = {("source-lines", "both"): 33000, ("socle.efi-bytes", "both"): 258 << 10, ("spinning-exits-a-second", "vmx"): 0.5}
SOURCE = ("lib", "config", "arch/x86", "core", "emul", "vmx", "svm", "devices", "guest", "boot", "efi")

# A whole boot takes as many timer ticks as the guest's clock makes of it: on Bochs a second is made as many instructions
# as QEMU's -icount makes it.
BOOT_CLOCK = {"vmx": ["--ips", "1000000000"], "svm": []}
# An older processor, without virtual-interrupt delivery.
NO_VID = "corei7_sandy_bridge_2600k"

METRIC = re.compile(r"^(?:\[[^]]*\] *)?bench: metric (\S+) (\d+) (\d+)$")
CHECK = re.compile(r"^bench: check (\S+) (ok|wrong)$")
HOST = re.compile(r"^bench: host (\S+): (.*)$")
MITIGATIONS = re.compile(r"^(?:\[[^]]*\] *)?socle: (?:warning: )?(mitigations: .*)$")
EXITS = re.compile(r"^(?:\[[^]]*\] *)?socle: (?:debug: )?vm \S+: exits: (.*): (\d+)$")
MEMORY = re.compile(r"^(?:\[[^]]*\] *)?socle: (?:debug: )?vm \S+: (\d+) KiB of Socle's memory$")
COUNTER = re.compile(r"^bench: exits (\S+) (\S+) (\d+)$")
ENDED = re.compile(r"^(?:\[[^]]*\] *)?socle: all guests ended$")
FAILED = re.compile(r"^(bench: failed: .*|socle: error: .*)$")


class Failure(Exception):
    """What keeps a figure from being measured."""


class Run:
    """What one boot said."""

    def __init__(self, whole=False):
        """WHOLE: it ends when Socle says so, behind the counts of exits."""
        self.whole = whole
        self.metrics, self.checks, self.exits = {}, {}, {}
        self.about = []  # who says what of itself
        self.counters = {}  # KVM's, by what was going on
        self.failed, self.ended, self.memory = [], False, None

    def feed(self, line):
        if match := METRIC.match(line):
            self.metrics[match[1]] = int(match[2]) / int(match[3])
        elif match := CHECK.match(line):
            self.checks[match[1]] = match[2]
        elif match := HOST.match(line):
            self.about.append(("KVM's host", f"{match[1]}: {match[2]}"))
        elif match := MITIGATIONS.match(line):
            self.about.append(("Socle", match[1]))
        elif match := EXITS.match(line):
            self.exits[match[1]] = int(match[2])
        elif match := COUNTER.match(line):
            self.counters.setdefault(match[1], {})[match[2]] = int(match[3])
        elif match := MEMORY.match(line):
            self.memory = int(match[1])
        elif match := FAILED.match(line):
            self.failed.append(match[1])
        elif line == "bench: end" and not self.whole or ENDED.match(line):
            self.ended = True


class Bench:
    def __init__(self, args):
        self.build, self.timeout = os.path.abspath(args.build), args.timeout
        self.folder = os.path.join(self.build, "bench")

    def path(self, name):
        return os.path.join(self.folder, name)

    def image(self, name, efi, config, files):
        """An image for an emulator; CONFIG is the text of socle.cfg or None."""
        image, cfg = self.path(name + ".img"), "none"
        if config is not None:
            cfg = self.path(name + ".cfg")
            with open(cfg, "w", encoding="ascii") as f:
                f.write(config)
        subprocess.run([os.path.join(ROOT, "tools", "mkimg.sh"), "-o", image, "-c", cfg, "--efi", efi, *files],
                       check=True)
        return image

    def boot(self, name, bed, image, vcpus, model=None, options=(), memory=512, last=None, whole=False):
        """Run IMAGE until its last line, or the metric LAST. Its transcript is kept beside it."""
        run, log = Run(whole), self.path(f"{name}-{bed}.log")
        command = [os.path.join(ROOT, "tools", "run.sh"), *ACCEL[bed], "--cpus", str(vcpus), "--memory", str(memory),
                   "--timeout", str(self.timeout), "--log", log]
        model = model or ("corei7_skylake_x" if bed == "vmx" else None)
        command += [*(["--model", model] if model else []), *options]
        print(f"bench: {name} on {BED_NAMES[bed]} ...", file=sys.stderr, flush=True)
        with subprocess.Popen(command + [image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              start_new_session=True) as process:
            watchdog = threading.Timer(self.timeout + 30, process.kill)
            watchdog.start()
            try:
                for line in process.stdout:
                    run.feed(mkline(line))
                    run.ended = run.ended or last in run.metrics
                    if run.ended or run.failed:
                        break
            finally:
                watchdog.cancel()
                process.send_signal(signal.SIGTERM)
        if not run.ended or run.failed:
            raise Failure(f"{name} on {bed}: {'; '.join(run.failed) or 'no last line'}: see {log}")
        wrong = [check for check, verdict in run.checks.items() if verdict != "ok"]
        if wrong:
            print(f"bench: {name} on {bed}: not as on a processor: {', '.join(wrong)}", file=sys.stderr)
        return run

    # ---- Socle ----

    def socle(self, bed, vcpus, model=None, cpu=None, guest="guest"):
        """The benchmark's guest. With CPU its one vCPU runs there, which is the last of the machine's processors."""
        config = f"[socle]\nlog = debug\n[vm bench]\nkind = flat64\nmemory = 32M\nvcpus = {vcpus}\nkernel = {guest}.bin\n"
        config += f"cpus = {cpu}\nplatform = minimal\n" if cpu else ""
        name = f"socle-{vcpus}" + ("-old" if model else "") + (f"-elsewhere-{guest}" if cpu else "")
        image = self.image(name, os.path.join(self.build, "socle.efi"), config, [self.path(guest + ".bin")])
        return self.boot(name, bed, image, cpu + 1 if cpu else vcpus, model, whole=bool(cpu))

    def socle_linux(self, bed, idle=0):
        """Debian's kernel to its first process, and IDLE seconds of sleep; what that took in exits."""
        config = (f"[socle]\nlog = debug\n[vm linux]\nmemory = {BOOT_MEMORY}M\nvcpus = 1\nkernel = vmlinuz\n"
                  f"initrd = initrd.gz\ncmdline = {BOOT_CMDLINE} bench_idle={idle}\n")
        name = "socle-linux-idle" if idle else "socle-linux"
        image = self.image(name, os.path.join(self.build, "socle.efi"), config, self.linux())
        return self.boot(name, bed, image, 1, options=BOOT_CLOCK[bed])

    def socle_start(self, bed):
        """The way from efi_main() to the first guest, with two processors and that Linux; tests/hooks/start_cost.c."""
        config = (f"[vm linux]\nmemory = {BOOT_MEMORY}M\nvcpus = 1\nkernel = vmlinuz\ninitrd = initrd.gz\n"
                  f"cmdline = {BOOT_CMDLINE}\n")
        image = self.image("socle-start", os.path.join(self.build, "hooks", "start_cost.efi"), config, self.linux())
        return self.boot("socle-start", bed, image, 2, last="start-end")

    # ---- the Linux that boots everywhere ----

    def kernel(self):
        return os.path.join(ROOT, "build", "guest", "vmlinuz")

    def linux(self):
        """The paths of Debian's kernel, whose 64-bit entry first leaves the TSC in boot_params, and its initramfs."""
        with open(self.kernel(), "rb") as f:
            image = stamp(f.read())
        folder = os.path.join(self.folder, "linux")
        os.makedirs(folder, exist_ok=True)
        kernel, initrd = os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.gz")
        with open(kernel, "wb") as f:
            f.write(image)
        with open(self.path("init"), "rb") as f:
            write_initrd(initrd, ("dev", "sys"), [("init", 0o100755, f.read())])
        return [kernel, initrd]

    # ---- Linux with KVM ----

    def modules(self):
        """KVM's modules, from the package that tools/mkguest.sh takes the kernel from."""
        cache = os.path.join(ROOT, "build", "guest", "cache")
        found = subprocess.run("ls -v linux-image-[0-9]*-cloud-amd64_*.deb | tail -1", shell=True, cwd=cache, check=True,
                               capture_output=True, text=True).stdout.strip()
        for name in MODULES:
            tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", os.path.join(cache, found)], stdout=subprocess.PIPE)
            data = subprocess.run(["tar", "-xO", "--wildcards", f"./lib/modules/*/{name}.ko"], stdin=tar.stdout,
                                  check=True, capture_output=True).stdout
            tar.wait()
            yield name, data

    def initrd(self):
        path, linux = self.path("initrd.gz"), self.linux()
        files = []
        for name, source, mode in (("init", self.path("kvm"), 0o100755), ("guest.bin", self.path("guest.bin"), 0o100644),
                                   *((os.path.basename(f), f, 0o100644) for f in linux)):
            with open(source, "rb") as f:
                files.append((name, mode, f.read()))
        files += [(f"modules/{name}.ko", 0o100644, data) for name, data in self.modules()]
        write_initrd(path, ("dev", "proc", "sys", "modules"), files)
        return path

    def loader_image(self, name, line, files):
        cmdline = self.path("cmdline")
        with open(cmdline, "w", encoding="ascii") as f:
            f.write(line + "\n")
        return self.image(name, self.path("loader.efi"), None, [*files, cmdline])

    def kvm_image(self, vcpus):
        return self.loader_image(f"kvm-{vcpus}", f"console=ttyS0 quiet bench_vcpus={vcpus}", [self.kernel(), self.initrd()])

    def kvm(self, bed, vcpus):
        # One processor: Linux finds no more on Bochs, whose firmware has no ACPI tables, and with -icount it takes
        # minutes to start a second one.
        return self.boot(f"kvm-{vcpus}", bed, self.kvm_image(vcpus), 1)

    def kvm_linux(self, bed):
        image = self.loader_image("kvm-linux", f"console=ttyS0 quiet bench_idle={IDLE_SECONDS}",
                                  [self.kernel(), self.initrd()])
        return self.boot("kvm-linux", bed, image, 1, options=BOOT_CLOCK[bed])

    # ---- no hypervisor ----

    def bare(self, bed, vcpus):
        image = self.loader_image(f"bare-{vcpus}", f"flat {vcpus}", [self.path("guest.bin")])
        return self.boot(f"bare-{vcpus}", bed, image, vcpus)

    def bare_linux(self, bed):
        image = self.loader_image("bare-linux", BOOT_CMDLINE, self.linux())
        return self.boot("bare-linux", bed, image, 1, options=BOOT_CLOCK[bed], memory=BOOT_MEMORY, last="boot-ticks")


def stamp(kernel):
    """A bzImage whose 64-bit entry begins with RDTSC and stores that at boot_params.hd0_info, which nothing uses."""
    start = (kernel[0x1f1] + 1) * 512
    entry, spare = start + ENTRY_64, start + SPARE
    first = kernel[entry:entry + 6]
    if first != bytes.fromhex("fcfa31c08ed8") or any(kernel[spare:entry]):  # CLD, CLI, XOR EAX, EAX, MOV DS, EAX
        raise Failure("the kernel's 64-bit entry is not the one that is known")
    code = bytes.fromhex("0f31 898680000000 899684000000") + first  # RDTSC; MOV [RSI + 80h], EAX; MOV [RSI + 84h], EDX
    code += b"\xe9" + (entry + 6 - (spare + len(code) + 5)).to_bytes(4, "little", signed=True)
    jump = b"\xe9" + (spare - entry - 5).to_bytes(4, "little", signed=True) + b"\x90"
    return kernel[:spare] + code + kernel[spare + len(code):entry] + jump + kernel[entry + 6:]


def write_initrd(path, folders, files):
    """FILES are (name, mode, data)."""
    entries = [(name, 0o040755) for name in (".", *folders)] + [("dev/console", 0o020600, b"", (5, 1))]
    entries += [(name, mode, data) for name, mode, data in files]
    archive = b"".join(mkinitrd.entry(n, *e) for n, e in enumerate(entries, 1)) + mkinitrd.entry(0, "TRAILER!!!", 0)
    with open(path, "wb") as f:
        f.write(gzip.compress(archive, 6, mtime=0))


def mkline(data):
    text = re.sub(rb"\x1b\[[0-9;?=]*[A-Za-z]", b"", data).decode(errors="replace")
    return text.replace("\r", "").strip("\n")


def attempt(boot, *args):
    """A boot that fails leaves its figures out of the table."""
    try:
        return boot(*args)
    except Failure as e:
        print(f"bench: {e}", file=sys.stderr)
        return Run()


def measure(bench, beds, with_kvm):
    """Figures by (metric, bed), each a dictionary of columns; and what both sides say of themselves, by bed."""
    rows, about = {}, {}
    for bed in beds:
        # With -icount the firmware of two processors takes a minute to come to Socle.
        counts = (1, 2) if with_kvm or bed == "vmx" else (1,)
        socle = [attempt(bench.socle, bed, n) for n in counts]
        kvm = [attempt(bench.kvm, bed, n) for n in counts] if with_kvm else []
        # TCG's own processors have no x2APIC, by which the second one would be started.
        bare = [attempt(bench.bare, bed, n) for n in counts if n == 1 or bed == "vmx"] if with_kvm else []
        ours = {k: v for run in socle for k, v in run.metrics.items()}
        theirs = {k: v for run in kvm for k, v in run.metrics.items()}
        nobodys = {k: v for run in bare for k, v in run.metrics.items()}
        old = attempt(bench.socle, bed, 1, NO_VID).metrics if bed == "vmx" else {}
        about[bed] = socle[0].about + (kvm[0].about if kvm else [])
        for metric, in_socle, in_kvm, targets in METRICS:
            if bed not in targets or (metric in OF_TWO and 2 not in counts):
                continue
            source = old if metric.endswith("-no-vid") else ours
            rows[metric, bed] = row(source.get(in_socle), targets[bed], theirs.get(in_kvm), nobodys.get(in_socle))
        rows["wrong-on-cpuid", bed] = row(sum(v != "ok" for v in socle[0].checks.values())
                                          if socle[0].checks else None, 0)
        rows["vm-memory-kib", bed] = row(socle[0].memory, MEMORY_TARGET)
    return rows, about


def row(socle, target=None, kvm=None, bare=None):
    return {"socle": socle, "kvm": kvm, "bare": bare, "target": target}


def measure_boots(bench, beds, rows, with_kvm):
    """Ticks and exits of one whole boot, exits by reason and in all; and exits a second of a guest that sleeps: what a
    boot with a sleep before its end has more than one without."""
    for bed in beds:
        socle = attempt(bench.socle_linux, bed)
        kvm = attempt(bench.kvm_linux, bed) if with_kvm else Run()
        bare = attempt(bench.bare_linux, bed) if with_kvm else Run()
        rows["boot-instructions", bed] = row(*(r.metrics.get("boot-ticks") if r else None
                                               for r in (socle, None, kvm, bare)))
        counters = kvm.counters.get("boot", {})
        rows["boot-exits", bed] = row(sum(socle.exits.values()) or None, BOOT_TARGET, counters.get("exits"))
        for reason, count in sorted(socle.exits.items(), key=lambda e: -e[1]):
            rows["boot-exits: " + reason, bed] = row(count, None, counters.get(KVM_COUNTERS.get(reason)))
        if with_kvm:
            measure_idle(bench, bed, socle.exits, kvm.counters.get("idle", {}), rows)


def measure_idle(bench, bed, before, counters, rows):
    exits = attempt(bench.socle_linux, bed, IDLE_SECONDS).exits

    def a_second(count):
        return None if count is None else count / IDLE_SECONDS
    rows["idle-exits-a-second", bed] = row(a_second(sum(exits.values()) - sum(before.values()) if exits and before else None),
                                           IDLE_TARGET, a_second(counters.get("exits")))
    for reason, count in sorted(exits.items(), key=lambda e: -e[1]):
        if before and count != before.get(reason, 0):
            rows["idle-exits: " + reason, bed] = row(a_second(count - before.get(reason, 0)), None,
                                                     a_second(counters.get(KVM_COUNTERS.get(reason))))


def measure_start(bench, beds, rows):
    """Instructions from efi_main() to the first entry, and what is apart from them."""
    for bed in beds:
        metrics = attempt(bench.socle_start, bed).metrics
        rows["start-instructions", bed] = row(metrics.get("start-own"), START_TARGET)
        for name, ticks in metrics.items():
            if name.startswith("start-") and name not in ("start-own", "start-end"):
                rows["start-apart: " + name[6:], bed] = row(ticks)


def measure_spin(bench, rows):
    """What makes a guest that does nothing and has a core alone exit: not the boot core, which also keeps house, nor the
    one that watches the boot core, for which there is a third. Two that spin for different times differ in nothing
    else. They have no PC's timer, which runs from power-on, and their own is armed and does not fire."""
    short, long = (attempt(bench.socle, "vmx", 1, None, 2, guest) for guest in ("guest", "guest-long"))
    seconds = (long.metrics.get("spinning", 0) - short.metrics.get("spinning", 0)) / CLOCK["vmx"]
    # Where a reason has less exits in the longer run, the rest of the two runs did differ by a few.
    more = sum(max(0, count - short.exits.get(reason, 0)) for reason, count in long.exits.items())
    rows["spinning-exits-a-second", "vmx"] = row(more / seconds if seconds and short.exits else None, 0)


def dear(what, trace, *args):
    """What is dear on silicon in the only one of the instructions' lists that TRACE gives, or None."""
    print(f"bench: trace of CPUID with {what} ...", file=sys.stderr, flush=True)
    try:
        return trace_exit.dear(trace(*args)["cpuid"])
    except (trace_exit.Failure, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return None


def measure_traces(bench, beds, rows, with_kvm):
    """What is dear on silicon on the way of a CPUID exit, counted in a trace of its instructions."""
    for bed in beds:
        socle = dear(f"Socle on {BED_NAMES[bed]}", trace_exit.measure, bench.build, bed, ["cpuid"], bench.timeout)
        kvm = dear(f"KVM on {BED_NAMES[bed]}", trace_exit.rounds, bench.build, bed, ["cpuid"], bench.kvm_image(1),
                   bench.timeout, trace_exit.KVM_STEPS) if with_kvm else None
        if bed == "vmx":
            rows["cpuid-vmread-vmwrite", bed] = row(socle and socle["vmcs"], VMCS_TARGET, kvm and kvm["vmcs"])
        socle, kvm = (d and d["msr"] + d["cr"] + d["serializing"] for d in (socle, kvm))
        rows["cpuid-msr-cr-serializing", bed] = row(socle, 0, kvm)


def code_lines(path):
    """Lines of a file that are neither blank nor all comment."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    comment = r";[^\n]*" if path.endswith(".asm") else r"/\*.*?\*/|//[^\n]*"
    return sum(bool(line.strip()) for line in re.sub(comment, "", text, flags=re.DOTALL).split("\n"))


def measure_tree(bench, rows):
    files = [f for d in SOURCE for e in ("c", "h", "asm", "asl") for f in glob.glob(os.path.join(ROOT, d, "*." + e))]
    rows["socle.efi-bytes", "both"] = row(os.path.getsize(os.path.join(bench.build, "socle.efi")), SIZE_TARGET)
    rows["source-lines", "both"] = row(sum(map(code_lines, files)), LINES_TARGET)


def finish(rows, baseline):
    """Fill in what follows from the figures; a target that is relative needs KVM's, if need be the baseline's."""
    for key, row in rows.items():
        for side in ("kvm", "bare"):
            if row[side] is None:
                row[side] = baseline.get(key, {}).get(side)
        if key[0] == "boot-instructions":
            row["target"] = row["bare"] and row["bare"] * BOOT_OVER_BARE
        elif key[0] in HALF_OF_KVM and row["kvm"]:
            row["target"] = row["kvm"] / 2
        row["ratio"] = row["kvm"] / row["socle"] if row["kvm"] and row["socle"] else None


HALF_OF_KVM = {metric for metric, _, _, targets in METRICS if None in targets.values()}


def number(text):
    return float(text) if text else None


def read_csv(path):
    if not os.path.exists(path):
        return {}
    with open(path, newline="", encoding="ascii") as f:
        return {(r["metric"], r["bed"]): {k: number(v) for k, v in r.items() if k not in ("metric", "bed")}
                for r in csv.DictReader(f)}


def show(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="ascii") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (metric, bed), row in rows.items():
            writer.writerow([metric, bed] + [show(row.get(c), 2) for c in COLUMNS[2:]])


def notes(row, before):
    said = []
    if row["socle"] is not None and row["target"] is not None and row["socle"] > row["target"]:
        said.append("over target")
    for side in ("socle", "kvm"):
        if row[side] and before.get(side) and abs(row[side] / before[side] - 1) > MOVED:
            said.append(f"{side} was {before[side]:.1f}")
    return ", ".join(said)


def print_table(rows, baseline, about):
    line = "{:24} {:4} {:>10} {:>10} {:>8} {:>7} {:>9}  {}"
    print(line.format(*COLUMNS, ""))
    for (metric, bed), row in rows.items():
        print(line.format(metric, bed, show(row["socle"]), show(row["kvm"]), show(row.get("bare")), show(row["ratio"]),
                          show(row["target"]), notes(row, baseline.get((metric, bed), {}))).rstrip())
    for bed, lines in about.items():
        for who, what in lines:
            print(f"{who} on {BED_NAMES[bed]}: {what}")


def print_tap(rows):
    """Exit code 1 when a figure is over its limit, or is missing."""
    bad = 0
    for (metric, bed), row in rows.items():
        most = HELD.get((metric, bed), row["target"])
        if most is None:
            continue
        good = row["socle"] is not None and row["socle"] <= most
        bad += not good
        print(f"{'ok' if good else 'not ok'} - {metric} on {bed}: {show(row['socle'])}, at most {show(most)}")
    return 1 if bad else 0


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build"), help="the folder that `make bench` builds in")
    p.add_argument("--bed", choices=BEDS, action="append", help="only this one")
    p.add_argument("--exits-only", action="store_true", help="without KVM; exit code 1 for a figure over its target")
    p.add_argument("--timeout", type=int, default=900, metavar="S", help="for each boot")
    return p.parse_args()


def main():
    # Whoever ends this ends the emulator with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    args = parse()
    bench, beds = Bench(args), args.bed or BEDS
    os.makedirs(bench.folder, exist_ok=True)
    baseline = read_csv(os.path.join(ROOT, "bench", "baseline.csv"))
    rows, about = measure(bench, beds, not args.exits_only)
    measure_traces(bench, beds, rows, not args.exits_only)
    # A whole boot takes Bochs minutes.
    measure_boots(bench, [bed for bed in beds if bed == "svm" or not args.exits_only], rows, not args.exits_only)
    if not args.exits_only:
        measure_start(bench, beds, rows)
    if "vmx" in beds:
        measure_spin(bench, rows)
    measure_tree(bench, rows)
    finish(rows, baseline)
    write_csv(os.path.join(bench.build, "bench.csv"), rows)
    print_table(rows, baseline, about)
    return print_tap(rows) if args.exits_only else 0


if __name__ == "__main__":
    sys.exit(main())
