#!/bin/sh
# Install the Debian packages that building, running and testing Socle need. Does nothing, quickly, when all are there.
set -eu
export LC_ALL=C

# building; images; the emulators and their firmware; tests (libzydis: the instruction decoder is compared with it;
# clang: the fuzzers);
# downloading the sample guest's kernel
packages="
gcc libc6-dev make binutils gnu-efi nasm acpica-tools python3 fonts-spleen
gdisk mtools
bochs bochs-term bochsbios vgabios ovmf qemu-system-x86
libcmocka-dev libzydis-dev libasan8 libubsan1 clang libclang-rt-14-dev python3-pytest python3-pytest-xdist python3-pexpect dosfstools
apt dpkg gzip tar
"

fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

command -v dpkg-query >/dev/null || fail "this needs Debian's package tools; install by hand:" $packages

# One line for each package that is installed; the others are missing.
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $packages 2>/dev/null | sed -n 's/^ii *//p' | tr '\n' ' ')
missing=
for p in $packages; do
    case " $installed " in *" $p "*) ;; *) missing="$missing $p" ;; esac
done
[ -n "$missing" ] || exit 0

echo "setup.sh: installing$missing" >&2
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "not root, and no sudo. As root: apt-get install$missing"
    as_root="sudo"
fi
install_missing() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2
}
# Package lists may be absent (a fresh container) or out of date: fetch them when a first try fails.
install_missing || { $as_root apt-get update >&2 && install_missing; } ||
    fail "apt-get could not install$missing"
