#!/usr/bin/python3
"""The rules that keep the code apart and readable, checked: prints one "ok" or "not ok" line for each (TAP).

Who may include whom; headers that compile alone; no #if in .c files; sizes of files, functions and lines.
"""
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Folder: what its files may include besides their own folder. A name that ends in .h is that header alone.
ALLOWED = {
    "lib": [],
    "config": ["lib"],
    "emul": ["lib"],
    "arch/x86": ["lib"],
    "core": ["arch/x86", "emul", "lib"],
    "vmx": ["core", "arch/x86", "lib"],
    "svm": ["core", "arch/x86", "lib"],
    "devices": ["core", "lib"],
    # a VM's memory, and the state in which its first vCPU starts
    "guest": ["core/vm.h", "core/vcpu.h", "core/gmem.h", "config", "lib"],
    "efi": ["boot/handover.h", "config", "lib"],
    "boot": ["arch/x86", "config", "core", "devices", "efi", "emul", "guest", "lib", "svm", "vmx"],
}
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h"}
MAX_FILE, MAX_FUNCTION, MAX_LINE = 900, 100, 100

COMPILE = ["gcc", "-std=gnu11", "-I.", "-Ibuild/gen", "-ffreestanding", "-fshort-wchar", "-mno-red-zone",
           "-mgeneral-regs-only", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]
COMPILE_EFI = ["-I/usr/include/efi", "-I/usr/include/efi/x86_64", "-DGNU_EFI_USE_MS_ABI"]


def files(*patterns):
    return sorted(f for p in patterns for f in glob.glob(p, root_dir=ROOT, recursive=True))


def sources(*suffixes):
    return [f for folder in ALLOWED for s in suffixes for f in files(f"{folder}/*{s}")]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def folder_of(path):
    return next((f for f in ALLOWED if os.path.dirname(path) == f), None)


def include_problem(path, kind, name):
    own = folder_of(path)
    if kind == "<":
        if name in FREESTANDING or own == "efi" and re.fullmatch(r"efi\w*\.h", name):
            return None
        return f"<{name}>: only {', '.join(sorted(FREESTANDING))}, and gnu-efi's headers in efi/"
    if "/" not in name and not os.path.exists(os.path.join(ROOT, name)):
        return None if own in ("guest", "vmx", "svm", "core", "arch/x86", "boot") else f'"{name}": made headers only where made'
    if any(name == a or os.path.dirname(name) == a for a in [own] + ALLOWED[own]):
        return None
    return f'"{name}": {own} may not include it'


def check_includes():
    for path in sources(".c", ".h"):
        for number, line in enumerate(read(path).split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            problem = match and include_problem(path, match[1], match[2])
            if problem:
                yield f"{path}:{number}: {problem}"


def compile_alone(path):
    """Twice, so that the guard is seen to work; nothing before it, so that it needs nothing."""
    command = COMPILE[:-3] + (COMPILE_EFI if folder_of(path) == "efi" else []) + COMPILE[-3:]
    result = subprocess.run(command, cwd=ROOT, input=f'#include "{path}"\n#include "{path}"\n', text=True,
                            capture_output=True, check=False)
    return None if result.returncode == 0 else f"{path}: {result.stderr.strip()}"


def check_headers():
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(compile_alone, sources(".h")))


def check_guards():
    for path in sources(".h"):
        guard = re.sub(r"[^A-Za-z0-9]", "_", path).upper()
        wanted = {guard, guard.replace("ARCH_X86_", "X86_")}
        match = re.search(r"^#ifndef (\w+)\n#define (\w+)$", read(path), re.MULTILINE)
        if not match or match[1] != match[2] or match[1] not in wanted:
            yield f"{path}: no include guard {guard}"


def check_conditionals():
    for path in sources(".c") + files("tools/*.c"):
        for number, line in enumerate(read(path).split("\n"), 1):
            if re.match(r"\s*#\s*(if|ifdef|ifndef)\b", line):
                yield f"{path}:{number}: {line.strip()}: choose files when linking instead"


def check_file_sizes():
    for path in sources(".c", ".h", ".asm") + files("tests/**/*.[ch]", "tests/**/*.py", "tests/**/*.asm", "tools/*"):
        if os.path.isfile(os.path.join(ROOT, path)):
            count = read(path).count("\n")
            if count > MAX_FILE:
                yield f"{path}: {count} lines, more than {MAX_FILE}"


def functions(text):
    """(line, length) of each function: its braces stand in the first column; those of data end in "};"."""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number - start - 1
            start = None


def check_functions():
    for path in sources(".c", ".h"):
        for number, length in functions(read(path)):
            if length > MAX_FUNCTION:
                yield f"{path}:{number}: a function of {length} lines, more than {MAX_FUNCTION}"


def check_lines():
    for path in sources(".c", ".h", ".asm") + files("tests/**/*.c", "tests/**/*.h", "tools/*.c"):
        for number, line in enumerate(read(path).split("\n"), 1):
            if len(line.expandtabs(8)) > MAX_LINE and "/* links:" not in line:
                yield f"{path}:{number}: {len(line.expandtabs(8))} columns, more than {MAX_LINE}"
            if line != line.rstrip():
                yield f"{path}:{number}: space at the end"


CHECKS = {
    "each folder includes only what it may": check_includes,
    "each header compiles alone": check_headers,
    "each header has its guard": check_guards,
    "no conditional compilation in .c files": check_conditionals,
    f"no file is longer than {MAX_FILE} lines": check_file_sizes,
    f"no function is longer than {MAX_FUNCTION} lines": check_functions,
    f"no line is wider than {MAX_LINE} columns": check_lines,
}


def main():
    failed = 0
    for number, (name, check) in enumerate(CHECKS.items(), 1):
        problems = list(check())
        failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for problem in problems:
            print("# " + problem.replace("\n", "\n# "))
    print(f"1..{len(CHECKS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
