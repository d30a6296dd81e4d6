#!/usr/bin/python3
"""Boot a Socle image in an emulator, with the machine's serial port on standard input and output.

Exit code: 0 when Socle powered off after its guests ended, 1 when it reported an error or the machine ended in any
other way, 2 when the emulator could not be started, 124 at the timeout, 130 when the user left.
"""
import argparse
import contextlib
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AUTO_FALLBACK = "tcg"  # what `auto` means where nested KVM is not there: ten times as fast as Bochs

# Without virtual-interrupt delivery, with which Bochs 2.7 interrupts a guest whose IF is clear (docs/hardware.md).
BOCHS_MODEL = "corei7_sandy_bridge_2600k"

OVMF_BOCHS = "/usr/share/ovmf/OVMF.fd"
BIOS_BOCHS = "/usr/share/bochs/BIOS-bochs-latest"
OVMF_CODE = "/usr/share/OVMF/OVMF_CODE.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS.fd"

ESCAPE = 0x01  # Ctrl-A, as in QEMU
ANSI = re.compile(rb"\x1b(\[[0-9;?=]*[A-Za-z]|[()][0-9A-B]|[=>])")
ERROR = re.compile(rb"(\[[^]]*\] *)?socle: error: ")
ENDED = re.compile(rb"(\[[^]]*\] *)?socle: all guests ended")
RETURNED = re.compile(rb"(\[[^]]*\] *)?socle: returning to the firmware")

BOCHSRC = """\
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1
config_interface: textconfig
display_library: term
memory: guest={memory}, host={host}
romimage: file={rom}
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
clock: sync=none
ata0-master: type=disk, path={disk}, mode=flat
boot: disk
com1: enabled=1, mode=socket-client, dev=localhost:{port}
{com2}log: {log}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


class Failure(Exception):
    """What keeps an emulator from starting, for the user to read."""


def say(text):
    print(f"run.sh: {text}", file=sys.stderr, flush=True)


def read_first(path):
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def kvm_problem():
    """Why a guest's own hypervisor cannot run under KVM here, or None. That /dev/kvm exists proves nothing."""
    flags = set(re.findall(r"\b(vmx|svm)\b", read_first("/proc/cpuinfo")))
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no access to /dev/kvm"
    if not flags:
        return "the processor offers neither VT-x nor AMD-V here"
    nested = [read_first(f"/sys/module/kvm_{v}/parameters/nested").strip() for v in ("intel", "amd")]
    if not any(n in ("Y", "1") for n in nested):
        return "the kvm module has nested virtualization off"
    return None


def last_lines(path, pattern, count=5):
    """The last lines of a file that match, as text."""
    try:
        with open(path, "rb") as f:
            lines = [line for line in f.read().splitlines() if re.search(pattern, line)]
    except OSError:
        return ""
    return b"\n".join(lines[-count:]).decode(errors="replace")


def choose_accel(wanted):
    if wanted not in ("auto", "kvm"):
        return wanted
    problem = kvm_problem()
    if problem is None:
        return "kvm"
    if wanted == "kvm":
        raise Failure(f"no nested KVM: {problem}")
    say(f"no nested KVM ({problem}): using {AUTO_FALLBACK}")
    return AUTO_FALLBACK


def need(*paths):
    for path in paths:
        if not (os.path.exists(path) if "/" in path else shutil.which(path)):
            raise Failure(f"{path} is not there: run tools/setup.sh")


def die_with_parent():
    """In the child before exec: it must not outlive this program, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """A running emulator. What comes from `drain`, if that is not None, is dropped; `messages` is its own log; off()
    tells, once it has ended, whether the machine was powered off rather than lost."""

    def __init__(self, process, serial_in, serial_out, messages, off, drain=None):
        self.process, self.serial_in, self.serial_out = process, serial_in, serial_out
        self.messages, self.off, self.drain = messages, off, drain


def start_bochs(args, scratch, log):
    firmware = BIOS_BOCHS if args.bios else OVMF_BOCHS
    need("bochs-bin", firmware, "/usr/share/vgabios/vgabios.bin")
    if args.usb or args.device:
        raise Failure("--usb and --device need QEMU (--accel tcg or kvm)")
    # A copy, since this firmware writes its variables into the image, and Bochs leaves a lock file beside it.
    disk = os.path.join(scratch, "disk.img")
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", args.image, disk], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    rc, script = os.path.join(scratch, "bochsrc"), os.path.join(scratch, "commands")
    with open(rc, "w", encoding="ascii") as f:
        f.write(BOCHSRC.format(memory=args.memory, host=min(args.memory, 2048), ips=args.ips, rom=firmware,
                               cpus=args.cpus, model=args.model or BOCHS_MODEL, disk=disk,
                               port=listener.getsockname()[1], log=log + ".bochs",
                               com2=f"com2: enabled=1, mode=socket-client, dev={args.com2}\n" if args.com2 else ""))
    with open(script, "w", encoding="ascii") as f:
        f.write("continue\n")
    # Bochs' text display wants a terminal of its own.
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    # Its messages go to its log; what it says before it has one stays on the screen.
    process = subprocess.Popen(["bochs-bin", "-q", "-f", rc, "-rc", script], cwd=scratch, stdin=slave, stdout=slave,
                               stderr=slave, start_new_session=True, preexec_fn=die_with_parent,
                               env=dict(os.environ, TERM="xterm"))
    os.close(slave)
    os.set_blocking(master, False)
    screen = b""
    try:
        listener.settimeout(0.2)
        for _ in range(900):  # with more memory than Bochs keeps in RAM it first writes a file
            with contextlib.suppress(BlockingIOError, OSError):
                screen += os.read(master, 65536)
            with contextlib.suppress(TimeoutError):
                serial, _ = listener.accept()
                fd = serial.detach()
                return Machine(process, fd, fd, log + ".bochs", drain=master,
                               off=lambda: "soft power off" in last_lines(log + ".bochs", b"PANIC", 1))
            if process.poll() is not None:
                break
        with contextlib.suppress(BlockingIOError, OSError):
            screen += os.read(master, 65536)
        raise Failure("Bochs did not start:\n" + ANSI.sub(b"", screen[-1000:]).decode(errors="replace"))
    except Failure:
        end(process)
        raise
    finally:
        listener.close()


def start_qemu(args, accel, scratch, log):
    need("qemu-system-x86_64", OVMF_CODE, OVMF_VARS)
    variables = os.path.join(scratch, "vars.fd")
    shutil.copyfile(OVMF_VARS, variables)
    model = args.model or ("host" if accel == "kvm" else "max,+svm")
    image = os.path.abspath(args.image).replace(",", ",,")
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", accel, "-cpu", model, "-smp", str(args.cpus),
               "-m", str(args.memory), "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
               "-drive", f"if=none,id=disk,format=raw,snapshot=on,file={image}",
               "-chardev", "stdio,id=com1,signal=off", "-serial", "chardev:com1"]
    if args.com2:
        command += ["-serial", f"tcp:{args.com2}"]
    if not args.bios:
        command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                    "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
    if args.icount:
        # The firmware's waits are long then: no drives that it would look for.
        command += ["-icount", "shift=0,sleep=off", "-nodefaults"]
    # Its own protocol, for the one event that tells a power-off from a reset (both end it).
    ours, its = socket.socketpair()
    ours.sendall(b'{"execute": "qmp_capabilities"}\n')
    command += ["-chardev", f"socket,id=qmp,fd={its.fileno()}", "-mon", "chardev=qmp,mode=control"]
    if args.qmp:
        command += ["-qmp", f"unix:{args.qmp},server=on,wait=off"]
    for device in args.device:
        command += ["-device", device]
    if args.usb:
        command += ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk"]
    else:
        command += ["-device", ("virtio-blk-pci" if args.icount else "ide-hd") + ",drive=disk"]
    with open(log + ".qemu", "wb") as messages:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages,
                                   start_new_session=True, preexec_fn=die_with_parent, pass_fds=[its.fileno()])
    its.close()
    return Machine(process, process.stdout.fileno(), process.stdin.fileno(), log + ".qemu",
                   off=lambda: b"guest-shutdown" in read_all(ours))


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def read_all(sock):
    """What is left to read from a socket whose other end is closed."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            data += more
    sock.close()
    return data


class Watch:
    """Reads along, line by line, and knows what Socle said."""

    def __init__(self):
        self.rest, self.error, self.ended, self.returned = b"", False, False, False

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.rest = self.rest[-4096:]
        for line in lines:
            # What has been erased again, the monitor's prompt, is not on the line.
            line = ANSI.sub(b"", line.rpartition(b"\r\x1b[K")[2]).replace(b"\r", b"")
            self.error = self.error or bool(ERROR.match(line))
            self.ended = self.ended or bool(ENDED.match(line))
            self.returned = self.returned or bool(RETURNED.match(line))


class Keyboard:
    """Standard input. On a terminal every key goes to the machine, except the escape."""

    def __init__(self):
        self.fd, self.escaped, self.leave = sys.stdin.fileno(), False, False
        self.tty = os.isatty(self.fd)

    @contextlib.contextmanager
    def raw(self):
        if not self.tty:
            yield
            return
        before = termios.tcgetattr(self.fd)
        say("press Ctrl-A X to leave, Ctrl-A Ctrl-A for a Ctrl-A")
        tty.setraw(self.fd)
        try:
            yield
        finally:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, before)
            print(flush=True)

    def read(self):
        """What was typed for the machine, or None when there will be nothing more."""
        try:
            data = os.read(self.fd, 1024)
        except OSError:  # the terminal is gone
            return None
        if not data:
            return None
        return self.filter(data) if self.tty else data

    def filter(self, data):
        out = bytearray()
        for byte in data:
            if self.escaped:
                self.escaped = False
                if byte in b"xX":
                    self.leave = True
                    break
                if byte != ESCAPE:
                    continue
            elif byte == ESCAPE:
                self.escaped = True
                continue
            out.append(byte)
        return bytes(out)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def serve(machine, keyboard, transcript, timeout, stay):
    """Pass bytes to and fro until the machine ends; returns the exit code."""
    watch, pending = Watch(), b""
    deadline = time.monotonic() + timeout if timeout else None
    os.set_blocking(machine.serial_out, False)
    readers = [machine.serial_in] + [fd for fd in (machine.drain,) if fd is not None] + [keyboard.fd]
    while True:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return 124
        wait = deadline - now if deadline is not None else None
        ready, writable, _ = select.select(readers, [machine.serial_out] if pending else [], [], wait)
        if keyboard.fd in ready:
            typed = keyboard.read()
            if keyboard.leave:
                return 130
            if typed is None:
                readers.remove(keyboard.fd)
            else:
                pending += typed
        if machine.drain is not None and machine.drain in ready:
            try:
                os.read(machine.drain, 65536)
            except OSError:
                readers.remove(machine.drain)
        if writable:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                pending = pending[os.write(machine.serial_out, pending[:256]):]
        if machine.serial_in in ready:
            try:
                data = os.read(machine.serial_in, 65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                break
            transcript.write(data)
            write_all(sys.stdout.fileno(), data)
            watch.feed(data)
            if watch.returned and not stay:  # its last word: what the firmware does next is of no interest
                return 1
    watch.feed(b"\n")
    machine.process.wait()
    if machine.off():
        return 0 if watch.ended else 1
    say("the machine was not powered off: it crashed, or was reset")
    say(last_lines(machine.messages, b"PANIC|qemu-system") or f"see {machine.messages}")
    return 1


def parse():
    p = argparse.ArgumentParser(
        prog="run.sh", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog="On a terminal every key goes to the machine; Ctrl-A X leaves, Ctrl-A Ctrl-A is a Ctrl-A.\n"
               "A transcript is kept in build/logs/; build/logs/last.log is the newest.")
    p.add_argument("--accel", choices=("auto", "kvm", "bochs", "tcg"), default="auto",
                   help="auto: nested KVM where it is truly there, else " + AUTO_FALLBACK)
    p.add_argument("--cpus", type=int, default=2, metavar="N", help="processor cores (default 2)")
    p.add_argument("--memory", type=int, default=1024, metavar="MIB", help="default 1024")
    p.add_argument("--timeout", type=float, default=0, metavar="S", help="end the machine after S seconds")
    p.add_argument("--icount", action="store_true", help="time counts instructions (QEMU TCG; Bochs always does)")
    p.add_argument("--com2", metavar="HOST:PORT", help="a second serial port, connected to who listens there (nc -l)")
    p.add_argument("--usb", action="store_true", help="the image is a USB stick (QEMU)")
    p.add_argument("--device", action="append", default=[], metavar="DEVICE", help="one more, in QEMU's words")
    p.add_argument("--model", help="Bochs' cpu model, or QEMU's -cpu")
    p.add_argument("--ips", type=int, default=50000000, metavar="N", help="Bochs: instructions in a second of its clock")
    p.add_argument("--bios", action="store_true", help="the image is a disk for a PC's BIOS: no Socle, no UEFI")
    p.add_argument("--stay", action="store_true", help="go on when Socle returns to the firmware")
    p.add_argument("--qmp", metavar="SOCKET", help="where QEMU's monitor listens (QMP)")
    p.add_argument("--log", help="where the transcript goes (default: a new file in build/logs)")
    p.add_argument("image", metavar="IMG")
    args = p.parse_args()
    if args.cpus < 1 or args.memory < 64:
        p.error("at least one core and 64 MiB")
    if args.com2 and not re.fullmatch(r"[A-Za-z0-9.-]+:\d+", args.com2):
        p.error("--com2 wants HOST:PORT")
    if not os.path.isfile(args.image):
        p.error(f"{args.image}: no such file")
    return args


def transcript_path(args):
    if args.log:
        path = os.path.abspath(args.log)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path
    folder = os.path.join(ROOT, "build", "logs")
    os.makedirs(folder, exist_ok=True)
    name = time.strftime("run-%Y%m%d-%H%M%S-") + f"{os.getpid()}.log"
    link = os.path.join(folder, f".last-{os.getpid()}")
    os.symlink(name, link)
    os.replace(link, os.path.join(folder, "last.log"))
    return os.path.join(folder, name)


def boot(args):
    accel = choose_accel(args.accel)
    log = transcript_path(args)
    os.makedirs(os.path.join(ROOT, "build", "run"), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "build", "run")) as scratch:
        if accel == "bochs":
            machine = start_bochs(args, scratch, log)
        else:
            machine = start_qemu(args, accel, scratch, log)
        try:
            keyboard = Keyboard()
            with open(log, "wb", buffering=0) as transcript, keyboard.raw():
                return serve(machine, keyboard, transcript, args.timeout, args.stay)
        finally:
            end(machine.process)


def main():
    args = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: sys.exit(128 + n))
    try:
        return boot(args)
    except Failure as e:
        say(e)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
