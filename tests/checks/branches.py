#!/usr/bin/python3
"""Indirect branches of the linked image, checked: every one is in a thunk of arch/x86/thunks.asm, where retpolines take
its place, but for those that run once at boot. Prints an "ok" or "not ok" line (TAP).
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGE = os.path.join(ROOT, "build", "socle.so")

# A core's way from the trampoline, and the boot core's to its own stack: before there are guests.
AT_BOOT = {"trampoline_start", "trampoline_32", "trampoline_64", "on_own_stack", "boot_start"}


def main():
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", IMAGE], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    function, bad, thunks = "", [], 0
    for line in text.split("\n"):
        if match := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
            function = match.group(1).split(".")[0]
        elif re.search(r"\t(call|l?jmp) +\*", line):
            thunks += function.startswith("__x86_indirect_thunk_")
            if not function.startswith("__x86_indirect_thunk_") and function not in AT_BOOT:
                bad.append(f"{function}: {line.strip()}")
    good = not bad and thunks == 15
    print(f"{'ok' if good else 'not ok'} 1 - indirect branches are in thunks")
    for line in bad:
        print("# " + line)
    print("1..1")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
