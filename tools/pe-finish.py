#!/usr/bin/python3
"""Finish the PE image that objcopy made: its relocations become the firmware's, zeros at the ends of sections go, it is
marked as fit for no-execute data pages; and check what firmware relies on.

usage: pe-finish.py FILE
"""
import struct
import sys

NX_COMPAT = 0x0100
EXECUTE, WRITE = 0x20000000, 0x80000000
EFI_APPLICATION = 10
BASE_RELOCATION = 5
DIR64 = 10
RELA_SIZE = 24
R_X86_64_RELATIVE = 8
FILE_ALIGNMENT = 512


def sections(image: bytearray):
    """(where its header is, name, address, size in memory, where its data is, size of that) of each."""
    pe, = struct.unpack_from("<I", image, 0x3C)
    count, = struct.unpack_from("<H", image, pe + 6)
    optional_size, = struct.unpack_from("<H", image, pe + 20)
    for at in range(pe + 24 + optional_size, pe + 24 + optional_size + 40 * count, 40):
        size, address, raw_size, raw = struct.unpack_from("<IIII", image, at + 8)
        yield at, image[at:at + 8].rstrip(b"\0").decode(), address, size, raw, raw_size


def base_relocations(image: bytearray) -> bytes:
    """Write what .rela says into the image and return the PE's own list of where (PE format, the .reloc section)."""
    table = {name: (address, raw, raw_size) for _, name, address, _, raw, raw_size in sections(image)}
    _, rela, rela_size = table[".rela"]
    pages = {}
    for where, info, addend in struct.iter_unpack("<QQQ", image[rela:rela + rela_size // RELA_SIZE * RELA_SIZE]):
        if info == 0:
            continue  # what fills the section
        if info != R_X86_64_RELATIVE:
            raise ValueError(f"a relocation of type {info & 0xffffffff}")
        address, raw, raw_size = next(s for s in table.values() if s[0] <= where < s[0] + s[2])
        struct.pack_into("<Q", image, where - address + raw, addend)
        pages.setdefault(where & ~0xFFF, []).append(DIR64 << 12 | where & 0xFFF)
    blocks = b""
    for page, entries in sorted(pages.items()):
        entries += [0] * (len(entries) % 2)  # a block is a multiple of 4 bytes
        blocks += struct.pack(f"<II{len(entries)}H", page, 8 + 2 * len(entries), *entries)
    return blocks


def replace_relocations(image: bytearray) -> None:
    blocks = base_relocations(image)
    pe, = struct.unpack_from("<I", image, 0x3C)
    for at, name, address, _, raw, raw_size in sections(image):
        if name == ".reloc":
            if len(blocks) > raw_size:
                raise ValueError(f"{len(blocks)} bytes of base relocations, and room for {raw_size}")
            image[raw:raw + raw_size] = blocks.ljust(raw_size, b"\0")
            struct.pack_into("<I", image, at + 8, len(blocks))
            struct.pack_into("<II", image, pe + 24 + 112 + 8 * BASE_RELOCATION, address, len(blocks))
        if name == ".dynamic":  # DT_NULL: nothing is left for the start code
            image[raw:raw + raw_size] = bytes(raw_size)


def pack(image: bytearray) -> bytearray:
    """The image without .rela, which must be the last section, and without the zeros at the sections' ends."""
    pe, = struct.unpack_from("<I", image, 0x3C)
    table = list(sections(image))
    if table[-1][1] != ".rela":
        raise ValueError("the last section is not .rela")
    at = table[-1][0]
    image[at:at + 40] = bytes(40)
    struct.pack_into("<H", image, pe + 6, len(table) - 1)
    struct.pack_into("<II", image, pe + 12, 0, 0)  # no symbols
    headers, = struct.unpack_from("<I", image, pe + 24 + 60)
    packed = image[:headers]
    for at, _, _, size, raw, raw_size in table[:-1]:
        data = image[raw:raw + raw_size].rstrip(b"\0") or b"\0"
        data = data.ljust(-(-len(data) // FILE_ALIGNMENT) * FILE_ALIGNMENT, b"\0")
        struct.pack_into("<I", packed, at + 8, max(size, raw_size) if len(data) < raw_size else size)
        struct.pack_into("<II", packed, at + 16, len(data), len(packed))
        packed += data
    struct.pack_into("<I", packed, pe + 24 + 36, FILE_ALIGNMENT)
    return packed


def finish(image: bytearray) -> None:
    pe, = struct.unpack_from("<I", image, 0x3C)
    if image[:2] != b"MZ" or image[pe:pe + 4] != b"PE\0\0":
        raise ValueError("not a PE image")
    count, = struct.unpack_from("<H", image, pe + 6)
    optional_size, = struct.unpack_from("<H", image, pe + 20)
    optional = pe + 24
    magic, = struct.unpack_from("<H", image, optional)
    alignment, = struct.unpack_from("<I", image, optional + 32)
    subsystem, flags = struct.unpack_from("<HH", image, optional + 68)
    if magic != 0x20B or subsystem != EFI_APPLICATION:
        raise ValueError("not a PE32+ EFI application")
    if alignment != 4096:
        raise ValueError(f"section alignment is {alignment}, not 4096")
    if struct.unpack_from("<I", image, optional + 112 + 8 * BASE_RELOCATION)[0] == 0:
        raise ValueError("no relocation directory: firmware could not move the image")
    for i in range(count):
        at = optional + optional_size + 40 * i
        name = image[at:at + 8].rstrip(b"\0").decode()
        address, = struct.unpack_from("<I", image, at + 12)
        rights, = struct.unpack_from("<I", image, at + 36)
        if address % 4096:
            raise ValueError(f"section {name} is not page aligned")
        if rights & EXECUTE and rights & WRITE:
            raise ValueError(f"section {name} is writable and executable")
    struct.pack_into("<H", image, optional + 70, flags | NX_COMPAT)
    # The checksum no longer fits; 0 means none (only drivers of other systems need one).
    struct.pack_into("<I", image, optional + 64, 0)


def main() -> int:
    path = sys.argv[1]
    with open(path, "rb") as f:
        image = bytearray(f.read())
    try:
        finish(image)
        replace_relocations(image)
        image = pack(image)
    except ValueError as e:
        print(f"{path}: {e}", file=sys.stderr)
        return 1
    with open(path, "wb") as f:
        f.write(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
