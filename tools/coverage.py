#!/usr/bin/python3
"""Which lines of Socle the unit tests and the fuzzers' kept inputs execute: builds both with gcc --coverage, runs them,
and prints a line for each folder. Files that no test is linked with count as not executed.

usage: coverage.py [--list]     --list: a line for each file, too
"""
import collections
import glob
import gzip
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build", "coverage")
FOLDERS = ["vmx", "svm", "core", "devices", "emul", "arch/x86", "config", "guest", "boot", "efi", "lib"]
WORKERS = 2
FLAGS = ["-std=gnu11", "-I.", "-Ibuild/gen", '-DSOCLE_VERSION="x"', "-O0", "-g", "--coverage", "-w"]
EFI = ["-I/usr/include/efi", "-I/usr/include/efi/x86_64", "-DGNU_EFI_USE_MS_ABI", "-fshort-wchar"]


def links(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return re.search(r"links:(.*)\*/", f.readline()).group(1).split()


def run(command, cwd=ROOT, **keys):
    return subprocess.run(command, cwd=cwd, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **keys)


def programs():
    """(name, sources, libraries, arguments) of each unit test and each fuzzer."""
    for path in sorted(glob.glob("tests/unit/test_*.c", root_dir=ROOT) +
                       glob.glob("tests/fuzz/fuzz_*.c", root_dir=ROOT)):
        name, words, inputs = os.path.basename(path)[:-2], links(path), []
        sources = [path] + [w for w in words if w.endswith(".c")]
        if name.startswith("fuzz_"):
            sources.append("tests/fuzz/replay.c")
            inputs = [f for folder in ("tests/fuzz/corpus", "build/fuzz/corpus")
                      for f in sorted(glob.glob(os.path.join(ROOT, folder, name[5:], "*")))]
        yield name, sources, [w for w in words if w.startswith("-l")] + ["-lcmocka"], inputs


def measure(program):
    """Build and run one in a folder of its own; returns [(file, [(line, executed)])]."""
    name, sources, libraries, arguments = program
    folder = os.path.join(OUT, name)
    os.makedirs(folder, exist_ok=True)
    for f in glob.glob(os.path.join(folder, "*")):
        os.remove(f)
    objects = [os.path.join(folder, s.replace("/", "-")[:-2] + ".o") for s in sources]
    for source, to in zip(sources, objects):
        efi = EFI if source.startswith("efi/") or "memmap" in source else []
        built = run(["gcc", *FLAGS, *efi, "-c", "-o", to, source])
        if built.returncode:
            raise SystemExit(f"{source}:\n{built.stdout.decode()}")
    linked = run(["gcc", "--coverage", "-o", os.path.join(folder, "program"), *objects, *libraries])
    if linked.returncode:
        raise SystemExit(f"{name}:\n{linked.stdout.decode()}")
    for i in range(0, max(len(arguments), 1), 500):
        run([os.path.join(folder, "program"), *arguments[i:i + 500]], timeout=600)
    run(["gcov", "--json-format", *glob.glob(os.path.join(folder, "*.gcda"))], cwd=folder)
    return [entry for f in glob.glob(os.path.join(folder, "*.gcov.json.gz")) for entry in read_lines(f)]


def read_lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        files = json.load(f)["files"]
    return [(os.path.relpath(os.path.join(ROOT, f["file"]), ROOT),
             [(line["line_number"], line["count"] > 0) for line in f["lines"]]) for f in files]


def code_lines(path):
    """Lines with code of a file that no test has, about."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return sum(1 for line in f if re.match(r"\t+[^\s/*#].*[;{]\s*$", line))


def main():
    seen = collections.defaultdict(lambda: collections.defaultdict(bool))
    with ThreadPoolExecutor(WORKERS) as pool:
        for results in pool.map(measure, list(programs())):
            for path, lines in results:
                for number, executed in lines:
                    seen[path][number] |= executed
    for folder in FOLDERS:
        done = total = 0
        for path in sorted(glob.glob(folder + "/*.c", root_dir=ROOT)):
            if path.endswith("/offsets.c"):
                continue
            file_total = len(seen[path]) if path in seen else code_lines(path)
            file_done = sum(seen[path].values()) if path in seen else 0
            done, total = done + file_done, total + file_total
            if "--list" in sys.argv:
                print(f"{path:32} {file_done:5} of {file_total:5}  {100 * file_done / max(file_total, 1):5.1f} %")
        print(f"{folder + '/':32} {done:5} of {total:5}  {100 * done / max(total, 1):5.1f} %")


if __name__ == "__main__":
    main()
