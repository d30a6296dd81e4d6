#!/usr/bin/python3
"""Print C source with the table of functions that boot/symbols.h declares, from what `nm` says of a linked image; with
no file, an empty one.

usage: mksymbols.py [FILE]
"""
import subprocess
import sys

HEAD = """/* Made by tools/mksymbols.py. */
#include "boot/symbols.h"
"""


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


def main():
    table = functions(sys.argv[1]) if len(sys.argv) > 1 else []
    print(HEAD)
    print("const uint32_t symbols_start[] = {", *([f"{address:#x}," for address, _ in table] or ["0,"]), "};", sep="\n")
    print("const char symbols_names[] =", *(f'"{text}\\0"' for _, text in table or [(0, "")]), ";", sep="\n")
    print(f"const uint32_t symbols_count = {len(table)};")


if __name__ == "__main__":
    main()
