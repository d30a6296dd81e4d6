#!/bin/bash
# Make a disk image that boots Socle: GPT with one FAT32 EFI system partition. Needs no root and no loop device, and
# the same input gives the same bytes. Written to a USB stick as it is, it boots.
set -euo pipefail
export LC_ALL=C TZ=UTC
# mtools asks these; SOURCE_DATE_EPOCH is the time of every folder entry (files carry it by their own, set below).
export MTOOLS_SKIP_CHECK=1 MTOOLS_LOWER_CASE=0 MTOOLSRC=/dev/null
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000}

usage() {
    cat <<'END'
usage: tools/mkimg.sh -o IMG -c CONFIG [--efi FILE] [FILE...]

  -o IMG       the image to write
  -c CONFIG    lands in the root folder as socle.cfg (-c none: an image without one)
  --efi FILE   the application, EFI/BOOT/BOOTX64.EFI (default: build/socle.efi)
  FILE...      land in the root folder; a folder lands there with all that is in it
END
}

fail() {
    echo "mkimg.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")/.." && pwd)
out='' config='' efi=$here/build/socle.efi files=()
while [ $# -gt 0 ]; do
    case $1 in
    -o | -c | --efi)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in -o) out=$2 ;; -c) config=$2 ;; --efi) efi=$2 ;; esac
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; fail "unknown option $1" ;;
    *) files+=("$1") ;;
    esac
    shift
done
[ -n "$out" ] || { usage >&2; fail "-o IMG is missing"; }
[ -n "$config" ] || { usage >&2; fail "-c CONFIG is missing"; }
for tool in sgdisk mformat mcopy mmd truncate; do
    command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null ||
        fail "$tool is not installed: run tools/setup.sh"
done
PATH=$PATH:/usr/sbin:/sbin

# Everything is laid out in a folder first, so that names, order and times are under control.
tree=$(mktemp -d "${TMPDIR:-/tmp}/mkimg.XXXXXX")
trap 'rm -rf "$tree"' EXIT
[ -f "$efi" ] || fail "$efi: no such file (run make)"
mkdir -p "$tree/EFI/BOOT"
cp -L "$efi" "$tree/EFI/BOOT/BOOTX64.EFI"
if [ "$config" != none ]; then
    [ -f "$config" ] || fail "$config: no such file"
    cp -L "$config" "$tree/socle.cfg"
fi
for f in "${files[@]}"; do
    [ -e "$f" ] || fail "$f: no such file"
    name=$(basename "$f")
    # FAT does not tell upper from lower case.
    if [ -n "$(find "$tree" -mindepth 1 -maxdepth 1 -iname "${name//[\[\]\\?*]/?}")" ]; then
        fail "$f: the image already has a file of the name $name"
    fi
    cp -RL "$f" "$tree/$name"
done
chmod -R u+rwX "$tree"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# The size follows from the content. A volume is FAT32 only with at least 65525 clusters; a little room is left, so that
# a configuration can be edited on the stick.
limit=4294967295
biggest=$(find "$tree" -type f -printf '%s %P\n' | sort -rn | head -1)
[ "${biggest%% *}" -le $limit ] || fail "${biggest#* }: FAT32 holds no file of 4 GiB or more"
content=$(find "$tree" -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%.0f", n }')
if [ "$content" -gt $((400 << 20)) ]; then cluster=8; else cluster=1; fi # in sectors of 512 bytes
bytes=$((cluster * 512))
entries=$(find "$tree" | wc -l)
clusters=$(find "$tree" -type f -printf '%s\n' |
    awk -v b=$bytes -v e="$entries" '{ n += int(($1 + b - 1) / b) } END { printf "%.0f", n + 16 * e }')
clusters=$((clusters + (4 << 20) / bytes))
[ $clusters -ge 65600 ] || clusters=65600
sectors=$((32 + clusters * cluster + 2 * ((clusters + 2) / 128 + 1)))
sectors=$(((sectors + 2047) / 2048 * 2048))

first=2048 # 1 MiB
total=$((first + sectors + 2048))
rm -f "$out"
truncate -s $((total * 512)) "$out" || fail "$out: cannot write"
sgdisk --clear --disk-guid=6f3c1d52-8a0e-4b57-9d0b-50c1e0000001 \
    --new=1:$first:$((first + sectors - 1)) --typecode=1:ef00 --change-name=1:'EFI System' \
    --partition-guid=1:6f3c1d52-8a0e-4b57-9d0b-50c1e0000002 "$out" >"$tree.log" 2>&1 || {
    cat "$tree.log" >&2
    rm -f "$tree.log"
    fail "sgdisk failed"
}
rm -f "$tree.log"

volume=$out@@$((first * 512))
mformat -i "$volume" -F -T $sectors -h 255 -s 63 -H $first -c $cluster -N 50c1e001 -v SOCLE ::
cd "$tree"
case $volume in /*) ;; *) volume=$OLDPWD/$volume ;; esac
find . -mindepth 1 -type d -printf '%P\n' | sort | while IFS= read -r d; do
    mmd -i "$volume" "::/$d"
done
find . -type f -printf '%P\n' | sort | while IFS= read -r f; do
    mcopy -m -i "$volume" "$f" "::/$f" || fail "$f: cannot be copied into the image"
done
