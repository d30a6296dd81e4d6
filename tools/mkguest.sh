#!/bin/bash
# Make the sample guest out of Debian's own packages: an unmodified kernel and a small initramfs with busybox.
# Needs no root. What was downloaded is kept in build/guest/cache and used again.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
usage: tools/mkguest.sh [-o DIR] [--flavour cloud|generic|rt|memtest]

Writes DIR/vmlinuz and DIR/initrd.gz (default: build/guest): Debian's kernel of that flavour and an initramfs for it.
Of memtest, the memory tester memtest86+, there is DIR/vmlinuz alone.
The guest prints "socle-guest: up N cpus" and gives a shell on its console. On the kernel's command line,
  socle.run=COMMAND or socle.run="COMMAND; COMMAND"
is run before that; poweroff and reboot act at once.
END
}

fail() {
    echo "mkguest.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")/.." && pwd)
out=$here/build/guest flavour=cloud
while [ $# -gt 0 ]; do
    case $1 in
    -o | --flavour)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in -o) out=$2 ;; --flavour) flavour=$2 ;; esac
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
done
case $flavour in
cloud) package=linux-image-cloud-amd64 ;;
generic) package=linux-image-amd64 ;;
rt) package=linux-image-rt-amd64 ;;
memtest) package=memtest86+ ;;
*) fail "--flavour is cloud, generic, rt or memtest, not $flavour" ;;
esac

cache=$here/build/guest/cache
mkdir -p "$out" "$cache"
exec 9>"$cache/lock"
flock 9 # two of these at once would fetch the same file

# The path of a package's file, downloaded if it is not there yet.
fetch() {
    local file
    file=$(find "$cache" -name "$1_*.deb" | sort | tail -1)
    if [ -z "$file" ]; then
        (cd "$cache" && apt-get -q download "$1" >&2) ||
            fail "apt-get could not download $1: are there package lists (apt-get update, as root) and a network?"
        file=$(find "$cache" -name "$1_*.deb" | sort | tail -1)
    fi
    echo "$file"
}

# Only the file WHAT of the package FILE is wanted.
extract() {
    dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "$2" || fail "$1 holds no $2"
}

if [ "$flavour" = memtest ]; then
    file=$(fetch "$package")
    extract "$file" './boot/memtest86+x64.bin' >"$out/vmlinuz.tmp"
    mv "$out/vmlinuz.tmp" "$out/vmlinuz"
    echo "mkguest.sh: $out/vmlinuz from $(basename "$file")" >&2
    exit 0
fi

# The image's package is named by its version; the plain name only depends on it. Offline, what is cached will do.
real=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -1)
case $flavour in
cloud) cached=$(find "$cache" -name 'linux-image-[0-9]*-cloud-amd64_*.deb') ;;
rt) cached=$(find "$cache" -name 'linux-image-[0-9]*-rt-amd64_*.deb') ;;
generic) cached=$(find "$cache" -name 'linux-image-[0-9]*-amd64_*.deb' ! -name '*-cloud-*' ! -name '*-rt-*') ;;
esac
cached=$(sort -V <<<"$cached" | tail -1)
if [ -n "$cached" ]; then
    kernel=$cached
else
    [ -n "$real" ] || fail "apt knows no $package: run apt-get update as root"
    kernel=$(fetch "$real")
fi
busybox=$(fetch busybox-static)

# No modules.
extract "$kernel" './boot/vmlinuz-*' >"$out/vmlinuz.tmp"
extract "$busybox" ./bin/busybox >"$out/busybox.tmp"
/usr/bin/python3 "$here/tools/mkinitrd.py" "$out/busybox.tmp" | gzip -n -9 >"$out/initrd.tmp"
rm "$out/busybox.tmp"
mv "$out/vmlinuz.tmp" "$out/vmlinuz"
mv "$out/initrd.tmp" "$out/initrd.gz"
echo "mkguest.sh: $out/vmlinuz and initrd.gz from $(basename "$kernel") and $(basename "$busybox")" >&2
