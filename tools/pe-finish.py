#!/usr/bin/python3
"""Finish the PE image that objcopy made: mark it as fit for no-execute data pages, and check what firmware relies on.

usage: pe-finish.py FILE
"""
import struct
import sys

NX_COMPAT = 0x0100
EXECUTE, WRITE = 0x20000000, 0x80000000
EFI_APPLICATION = 10
BASE_RELOCATION = 5


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
    except ValueError as e:
        print(f"{path}: {e}", file=sys.stderr)
        return 1
    with open(path, "wb") as f:
        f.write(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
