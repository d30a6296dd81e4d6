#!/usr/bin/python3
"""Turn a console font (PSF with a table of characters, eight pixels wide) into a C array, for boot/screen.c.

usage: tools/mkfont.py FONT.psfu.gz >console_font.h
"""
import gzip
import os
import sys

PSF1 = b"\x36\x04"
HAS_512, HAS_TABLE = 1, 2
SEPARATOR, SEQUENCE = 0xFFFF, 0xFFFE
REPLACEMENT = 0xFFFD
SAME = 0x80


def replacement(height):
    """For a font without U+FFFD: a box, which nobody takes for a character."""
    top, bottom = height // 4, height - height // 4
    return bytes(0x7E if y in (top, bottom - 1) else 0x42 if top < y < bottom else 0 for y in range(height))


def read_font(path):
    """The height, and the rows of pixels of each character, a byte a row, the leftmost pixel in bit 7."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        data = f.read()
    if data[:2] != PSF1 or not data[2] & HAS_TABLE:
        raise ValueError(f"{path}: no PSF 1 font with a table of characters")
    count, height = 512 if data[2] & HAS_512 else 256, data[3]
    end = 4 + count * height
    units = [int.from_bytes(data[i:i + 2], "little") for i in range(end, len(data), 2)]
    glyphs, index, single = {}, 0, True
    for unit in units:
        if unit == SEPARATOR:
            index, single = index + 1, True
        elif unit == SEQUENCE:  # characters that together make the glyph: of no use one by one
            single = False
        elif single:
            glyphs.setdefault(unit, data[4 + index * height:4 + (index + 1) * height])
    missing = [chr(c) for c in range(0x20, 0x7F) if c not in glyphs]
    if index != count or missing:
        raise ValueError(f"{path}: {index} of {count} characters named, {len(missing)} of ASCII missing")
    glyphs.setdefault(REPLACEMENT, replacement(height))
    return height, glyphs


def packed(height, glyphs):
    """For each character, ascending by code: how far its code is from the last one, SAME with it where it looks like an
    earlier one, or 0 with the code behind it; then that one's number, or which rows differ from the row above, and those.
    """
    out, last, seen = b"", 0, {}
    for number, (code, rows) in enumerate(sorted(glyphs.items())):
        differ = [y for y in range(height) if rows[y] != (rows[y - 1] if y else 0)]
        step = code - last if code - last < SAME else 0
        out += bytes([step | (SAME if rows in seen else 0)]) + (b"" if step else code.to_bytes(2, "little"))
        if rows in seen:
            out += seen[rows].to_bytes(2, "little")
        else:
            out += sum(1 << y for y in differ).to_bytes(2, "little") + bytes(rows[y] for y in differ)
        last = code
        seen.setdefault(rows, number)
    return out


def print_header(path, out):
    height, glyphs = read_font(path)
    if height > 16:
        raise ValueError(f"{path}: {height} rows in a character, and bits for 16")
    print(f"/* Made from {os.path.basename(path)}. */", file=out)
    print(f"#define FONT_WIDTH  8u\n#define FONT_HEIGHT {height}u", file=out)
    print(f"#define FONT_COUNT  {len(glyphs)}u\n#define FONT_SAME   {SAME:#x}u\n", file=out)
    print("/* Packed: tools/mkfont.py. */\nstatic const uint8_t font_packed[] = {", file=out)
    print(*(f"\t{byte:#04x}," for byte in packed(height, glyphs)), "};", sep="\n", file=out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print_header(sys.argv[1], sys.stdout)
    except (OSError, ValueError) as e:
        sys.exit(f"mkfont.py: {e}")
