#!/usr/bin/python3
"""Print C source with the table of functions that boot/symbols.h declares, from what `nm` says of a linked image; with
no file, an empty one. What occurs in the names has a byte: each letter, and the most frequent pairs of these bytes.

usage: mksymbols.py [FILE]
"""
import collections
import subprocess
import sys

HEAD = """/* Made by tools/mksymbols.py. */
#include "boot/symbols.h"
"""
DEPTH = 8  # how deep pairs are of pairs


def functions(path):
    """(address, name), one for each address; a global name is better than a local one."""
    found = {}
    output = subprocess.run(["nm", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tT" and not fields[2].startswith((".", "_text_")):
            address = int(fields[0], 16)
            if address not in found or fields[1] == "T":
                found[address] = fields[2]
    return sorted(found.items())


def replaced(name, pair, byte):
    out = []
    for b in name:
        if out and (out[-1], b) == pair:
            out[-1] = byte
        else:
            out.append(b)
    return out


def packed(names):
    """NAMES, each with its 0, as lists of bytes, and what these stand for, from 1 on: 0 and a letter, or two bytes."""
    letters = sorted(set("".join(names)))
    names = [[letters.index(letter) + 1 for letter in name] + [0] for name in names]
    meanings, depth = [(0, ord(letter)) for letter in letters], {}
    for byte in range(len(letters) + 1, 256):
        count = collections.Counter(pair for name in names for pair in zip(name, name[1:])
                                    if max(depth.get(b, 0) for b in pair) < DEPTH)
        if not count:
            break
        pair = min(count, key=lambda p: (-count[p], p))
        names = [replaced(name, pair, byte) for name in names]
        depth[byte] = max(depth.get(b, 0) for b in pair) + 1
        meanings.append(pair)
    return names, meanings


def packed_size(size):
    return f"{size}" if 0 < size < 256 else f"0, {size % 256}, {size // 256}"


def array(declaration, values):
    print(f"const {declaration} = {{", *(f"{value}," for value in values or [0]), "};", sep="\n")


def main():
    table = functions(sys.argv[1]) if len(sys.argv) > 1 else []
    starts = [address for address, _ in table]
    names, meanings = packed([name for _, name in table])
    print(HEAD)
    print(f"const uint32_t symbols_start = {starts[0] if starts else 0:#x};")
    array("uint8_t symbols_size[]", [packed_size(after - before) for before, after in zip(starts, starts[1:])])
    array("uint8_t symbols_names[]", [", ".join(map(str, name)) for name in names])
    array("uint8_t symbols_meaning[][2]", [f"{{{a}, {b}}}" for a, b in meanings] or ["{0, 0}"])
    print(f"const uint32_t symbols_count = {len(table)};")


if __name__ == "__main__":
    main()
