#!/usr/bin/python3
"""Measure what exits cost: Socle beside Linux with KVM, in the same emulators, with the same guest.

Prints a table and writes build/bench.csv. With --exits-only just the part that CI runs: Socle's own costs against their
targets, exit code 1 when one is over. A figure that has moved by more than 1 % from bench/baseline.csv is marked.
"""
import argparse
import csv
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

BEDS = ("vmx", "svm")
ACCEL = {"vmx": ["--accel", "bochs"], "svm": ["--accel", "tcg", "--icount"]}
BED_NAMES = {"vmx": "VT-x (Bochs)", "svm": "AMD-V (QEMU TCG -icount)"}
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
    ("in-pm-timer", "in-pm-timer", "in-pic-mask", {"vmx": 220, "svm": 300}),
    ("in-uart-status", "in-uart-status", "in-pic-mask", {"vmx": 220, "svm": 300}),
    ("mmio-ioapic", "mmio-ioapic", "mmio-ioapic", {"vmx": None, "svm": None}),
    ("self-ipi", "self-ipi", "self-ipi", {"vmx": 300, "svm": 1500}),
    ("self-ipi-no-vid", "self-ipi", "self-ipi", {"vmx": 1200}),
    ("ipi-halted-and-back", "ipi-halted-and-back", "ipi-halted-and-back", {"vmx": None}),
)
# Where two processors run: with -icount TCG gives each of them a long turn in which the other one waits for nothing,
# and a Linux of its own does not come up in minutes.
SMP_BEDS = ("vmx",)
# An older processor, without virtual-interrupt delivery.
NO_VID = "corei7_sandy_bridge_2600k"

METRIC = re.compile(r"^bench: metric (\S+) (\d+) (\d+)$")
CHECK = re.compile(r"^bench: check (\S+) (ok|wrong)$")
HOST = re.compile(r"^bench: host (\S+): (.*)$")
EXITS = re.compile(r"^(?:\[[^]]*\] *)?socle: (?:debug: )?vm \S+: exits: (.*): (\d+)$")
ENDED = re.compile(r"^(?:\[[^]]*\] *)?socle: all guests ended$")
FAILED = re.compile(r"^(bench: failed: .*|socle: error: .*)$")


class Failure(Exception):
    """What keeps a figure from being measured."""


class Run:
    """What one boot said."""

    def __init__(self):
        self.metrics, self.checks, self.host, self.exits = {}, {}, {}, {}
        self.failed, self.ended = [], False

    def feed(self, line):
        if match := METRIC.match(line):
            self.metrics[match[1]] = int(match[2]) / int(match[3])
        elif match := CHECK.match(line):
            self.checks[match[1]] = match[2]
        elif match := HOST.match(line):
            self.host[match[1]] = match[2]
        elif match := EXITS.match(line):
            self.exits[match[1]] = int(match[2])
        elif match := FAILED.match(line):
            self.failed.append(match[1])
        elif line == "bench: end" or ENDED.match(line):
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

    def boot(self, name, bed, image, vcpus, model=None):
        """Run IMAGE until its last line. Its transcript is kept beside it."""
        run, log = Run(), self.path(f"{name}-{bed}.log")
        command = [os.path.join(ROOT, "tools", "run.sh"), *ACCEL[bed], "--cpus", str(vcpus), "--memory", "512",
                   "--timeout", str(self.timeout), "--log", log]
        command += ["--model", model] if model else []
        print(f"bench: {name} on {BED_NAMES[bed]} ...", file=sys.stderr, flush=True)
        with subprocess.Popen(command + [image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              start_new_session=True) as process:
            watchdog = threading.Timer(self.timeout + 30, process.kill)
            watchdog.start()
            try:
                for line in process.stdout:
                    run.feed(mkline(line))
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

    def socle(self, bed, vcpus, model=None):
        config = f"[vm bench]\nkind = flat64\nmemory = 32M\nvcpus = {vcpus}\nkernel = guest.bin\n"
        name = f"socle-{vcpus}" + ("-old" if model else "")
        image = self.image(name, os.path.join(self.build, "socle.efi"), config, [self.path("guest.bin")])
        return self.boot(name, bed, image, vcpus, model)

    def socle_linux(self, bed):
        """Debian's kernel to its /init, which powers off at once; what that took in exits."""
        config = ("[socle]\nlog = debug\n[vm linux]\nmemory = 192M\nvcpus = 1\nkernel = vmlinuz\ninitrd = initrd.gz\n"
                  "cmdline = console=ttyS0 quiet nokaslr socle.run=poweroff\n")
        image = self.image("socle-linux", os.path.join(self.build, "socle.efi"), config,
                           [self.kernel(), os.path.join(os.path.dirname(self.kernel()), "initrd.gz")])
        return self.boot("socle-linux", bed, image, 1)

    # ---- Linux with KVM ----

    def kernel(self):
        return os.path.join(ROOT, "build", "guest", "vmlinuz")

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
        path = self.path("initrd.gz")
        if os.path.exists(path) and os.path.getmtime(path) > max(map(os.path.getmtime, (
                self.path("kvm"), self.path("guest.bin"), self.kernel()))):
            return path
        folder, program, plain = 0o040755, 0o100755, 0o100644
        entries = [(".", folder)] + [(name, folder) for name in ("dev", "proc", "sys", "modules")]
        entries.append(("dev/console", 0o020600, b"", (5, 1)))
        for name, source, mode in (("init", "kvm", program), ("guest.bin", "guest.bin", plain)):
            with open(self.path(source), "rb") as f:
                entries.append((name, mode, f.read()))
        entries += [(f"modules/{name}.ko", plain, data) for name, data in self.modules()]
        archive = b"".join(mkinitrd.entry(n, *e) for n, e in enumerate(entries, 1)) + mkinitrd.entry(0, "TRAILER!!!", 0)
        with open(path, "wb") as f:
            f.write(gzip.compress(archive, 6, mtime=0))
        return path

    def kvm(self, bed, vcpus):
        cmdline = self.path("cmdline")
        with open(cmdline, "w", encoding="ascii") as f:
            f.write(f"initrd=\\initrd.gz console=ttyS0 quiet bench_vcpus={vcpus}\n")
        name = f"kvm-{vcpus}"
        image = self.image(name, self.path("loader.efi"), None, [self.kernel(), self.initrd(), cmdline])
        return self.boot(name, bed, image, vcpus)


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
    """Figures by (metric, bed), each a dictionary of columns; and what KVM's hosts say of themselves."""
    rows, hosts = {}, {}
    for bed in beds:
        counts = (1, 2) if bed in SMP_BEDS else (1,)
        socle = [attempt(bench.socle, bed, n) for n in counts]
        kvm = [attempt(bench.kvm, bed, n) for n in counts] if with_kvm else []
        ours = {k: v for run in socle for k, v in run.metrics.items()}
        theirs = {k: v for run in kvm for k, v in run.metrics.items()}
        old = attempt(bench.socle, bed, 1, NO_VID).metrics if bed == "vmx" else {}
        hosts[bed] = kvm[0].host if kvm else {}
        for metric, in_socle, in_kvm, targets in METRICS:
            if bed not in targets:
                continue
            source = old if metric.endswith("-no-vid") else ours
            rows[metric, bed] = {"socle": source.get(in_socle), "kvm": theirs.get(in_kvm), "target": targets[bed]}
    return rows, hosts


def measure_boots(bench, beds, rows):
    """Exits of one whole boot, by reason and in all."""
    for bed in beds:
        exits = attempt(bench.socle_linux, bed).exits
        rows["boot-exits", bed] = {"socle": sum(exits.values()) or None, "kvm": None, "target": 5000}
        for reason, count in sorted(exits.items(), key=lambda e: -e[1]):
            rows["boot-exits: " + reason, bed] = {"socle": count, "kvm": None, "target": None}


def finish(rows, baseline):
    """Fill in what follows from the figures; a target that is relative needs KVM's, if need be the baseline's."""
    for key, row in rows.items():
        if row["kvm"] is None:
            row["kvm"] = baseline.get(key, {}).get("kvm")
        if row["target"] is None and row["kvm"]:
            row["target"] = row["kvm"] / 2
        row["ratio"] = row["kvm"] / row["socle"] if row["kvm"] and row["socle"] else None


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


def print_table(rows, baseline, hosts):
    line = "{:24} {:4} {:>10} {:>10} {:>8} {:>7} {:>9}  {}"
    print(line.format(*COLUMNS, ""))
    for (metric, bed), row in rows.items():
        print(line.format(metric, bed, show(row["socle"]), show(row["kvm"]), show(row.get("bare")), show(row["ratio"]),
                          show(row["target"]), notes(row, baseline.get((metric, bed), {}))).rstrip())
    for bed, host in hosts.items():
        for what, text in host.items():
            print(f"KVM's host on {BED_NAMES[bed]}: {what}: {text}")


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(ROOT, "build"), help="the folder that `make bench` builds in")
    p.add_argument("--bed", choices=BEDS, action="append", help="only this one")
    p.add_argument("--exits-only", action="store_true", help="without KVM; exit code 1 for a figure over its target")
    p.add_argument("--timeout", type=int, default=300, metavar="S", help="for each boot")
    return p.parse_args()


def main():
    args = parse()
    bench, beds = Bench(args), args.bed or BEDS
    os.makedirs(bench.folder, exist_ok=True)
    baseline = read_csv(os.path.join(ROOT, "bench", "baseline.csv"))
    rows, hosts = measure(bench, beds, not args.exits_only)
    if not args.exits_only:
        measure_boots(bench, beds, rows)
    finish(rows, baseline)
    write_csv(os.path.join(bench.build, "bench.csv"), rows)
    print_table(rows, baseline, hosts)
    over = [key for key, row in rows.items() if row["socle"] is None or (row["target"] and row["socle"] > row["target"])]
    return 1 if args.exits_only and over else 0


if __name__ == "__main__":
    sys.exit(main())
