#!/usr/bin/python3
"""Print C source with the table of functions that boot/symbols.h declares, from what `nm` says of a linked image; with
no file, an empty one. The pairs of bytes that are most frequent in the names are bytes of their own, which halves them.

usage: mksymbols.py [FILE]
"""
import collections
import subprocess
import sys

HEAD = """/* Made by tools/mksymbols.py. */
#include "boot/symbols.h"
"""
PAIRS, DEPTH = 0x80, 8  # SYMBOLS_PAIRS; how deep pairs are of pairs


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
    """NAMES as lists of bytes, and the pairs that those from PAIRS on stand for."""
    pairs, depth, names = [], {}, [list(name.encode()) for name in names]
    for byte in range(PAIRS, 256):
        count = collections.Counter(pair for name in names for pair in zip(name, name[1:])
                                    if max(depth.get(b, 0) for b in pair) < DEPTH)
        if not count:
            break
        pair = min(count, key=lambda p: (-count[p], p))
        names = [replaced(name, pair, byte) for name in names]
        depth[byte] = max(depth.get(b, 0) for b in pair) + 1
        pairs.append(pair)
    return names, pairs


def array(declaration, values):
    print(f"const {declaration} = {{", *(f"{value}," for value in values or [0]), "};", sep="\n")


def main():
    table = functions(sys.argv[1]) if len(sys.argv) > 1 else []
    starts = [address for address, _ in table]
    names, pairs = packed([name for _, name in table])
    print(HEAD)
    print(f"const uint32_t symbols_start = {starts[0] if starts else 0:#x};")
    array("uint16_t symbols_size[]", [after - before for before, after in zip(starts, starts[1:])] + [0])
    array("uint8_t symbols_names[]", [", ".join(map(str, name + [0])) for name in names])
    array("uint8_t symbols_pair[][2]", [f"{{{a}, {b}}}" for a, b in pairs] or ["{0, 0}"])
    print(f"const uint32_t symbols_count = {len(table)};")


if __name__ == "__main__":
    main()
