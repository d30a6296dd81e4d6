#!/usr/bin/python3
"""Run fuzzers that have been built, two at once, each over the seeds of tests/fuzz/corpus/NAME; what they find stays in
build/fuzz. The last line is "N passed, N failed".

usage: fuzz.py [--seconds N] [--seed N] [NAME...]
"""
import argparse
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKERS = 2
OVERTIME = 120  # for the seeds and for the input that was running when the time was up
RSS_LIMIT = 2048  # MiB


def targets():
    return sorted(re.sub(r".*/fuzz_(.*)\.c", r"\1", f) for f in glob.glob(os.path.join(ROOT, "tests/fuzz/fuzz_*.c")))


def command(name, seconds, seed):
    """New inputs go to the first folder; the seeds are only read."""
    found = os.path.join("build/fuzz/corpus", name)
    seeds = os.path.join("tests/fuzz/corpus", name)
    dictionary = os.path.join("tests/fuzz", name + ".dict")
    os.makedirs(os.path.join(ROOT, found), exist_ok=True)
    line = [os.path.join("build/fuzz", "fuzz_" + name), f"-max_total_time={seconds}", f"-rss_limit_mb={RSS_LIMIT}",
            "-timeout=20", "-len_control=0", "-print_final_stats=1", f"-artifact_prefix=build/fuzz/{name}-"]
    line += [f"-seed={seed}"] if seed else []
    line += [f"-dict={dictionary}"] if os.path.exists(os.path.join(ROOT, dictionary)) else []
    return line + [found] + ([seeds] if os.path.isdir(os.path.join(ROOT, seeds)) else [])


def run(name, seconds, seed):
    """(NAME, whether nothing was found, what to say)"""
    log = os.path.join(ROOT, "build/fuzz", name + ".log")
    with open(log, "wb") as out:
        try:
            code = subprocess.run(command(name, seconds, seed), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                                  check=False, timeout=seconds + OVERTIME, stdin=subprocess.DEVNULL).returncode
        except (subprocess.TimeoutExpired, OSError) as e:
            return name, False, str(e)
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    units = re.search(r"stat::number_of_executed_units: +(\d+)", text)
    if code == 0 and units:
        return name, True, f"{units.group(1)} inputs in {seconds} s"
    return name, False, f"ended with {code}: {log}\n" + "\n".join(text.split("\n")[-60:])


def run_all(names, seconds, seed=1):
    """Yields the results of run()."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(lambda name: run(name, seconds, seed), names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    failed = passed = 0
    for name, good, text in run_all(arguments.names or targets(), arguments.seconds, arguments.seed):
        print(f"{'passed' if good else 'FAILED'}  fuzz {name}: {text}", flush=True)
        passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
