#!/usr/bin/python3
"""Write the sample guest's initramfs to standard output, as a cpio archive ("newc"): the same bytes every time.

usage: mkinitrd.py BUSYBOX
"""
import stat
import subprocess
import sys

# Process 1. Nothing may be needed but the kernel: it makes /dev itself, and its console is the one it was given.
INIT = """\
#!/bin/sh
export PATH=/bin HOME=/ TERM=vt100 ENV=/etc/shrc
mount -t devtmpfs dev /dev 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
. /etc/shrc
echo
echo "socle-guest: $(uname -r)"
echo "socle-guest: up $(nproc) cpus"
read -r line </proc/cmdline
case $line in
*socle.run=\\"*) run=${line#*socle.run=\\"}; run=${run%%\\"*} ;;
*socle.run=*) run=${line#*socle.run=}; run=${run%% *} ;;
*) run= ;;
esac
if [ -n "$run" ]; then
	eval "$run"
	echo "socle-guest: ran, status $?"
fi
while :; do
	setsid cttyhack sh
done
"""

# Read by each interactive shell: there is no init that the commands could ask, so they ask the kernel.
SHRC = """\
poweroff() { busybox poweroff -f; }
halt() { busybox halt -f; }
reboot() { busybox reboot -f; }
PS1='socle-guest# '
"""


def entry(number, name, mode, data=b"", device=(0, 0)):
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(busybox_path):
    with open(busybox_path, "rb") as f:
        busybox = f.read()
    # Applet names come from the program itself; it is static, so it runs on any Linux for its processor.
    subprocess.run(["chmod", "+x", busybox_path], check=True)
    applets = subprocess.run([busybox_path, "--list"], check=True, capture_output=True, text=True).stdout.split()
    folder, program, link = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777
    yield ".", folder
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        yield name, folder
    # Without this the kernel has no console to give to process 1.
    yield "dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)
    yield "init", program, INIT.encode()
    yield "etc/shrc", stat.S_IFREG | 0o644, SHRC.encode()
    yield "bin/busybox", program, busybox
    for name in sorted(set(applets) - {"busybox"}):
        yield "bin/" + name, link, b"busybox"


def main():
    out = sys.stdout.buffer
    for number, args in enumerate(archive(sys.argv[1]), 1):
        out.write(entry(number, *args))
    out.write(entry(0, "TRAILER!!!", 0))


if __name__ == "__main__":
    main()
