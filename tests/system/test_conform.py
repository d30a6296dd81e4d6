"""What a guest sees of its processor, compared with the same guest in the same emulator without Socle."""
import os
import re
import subprocess

import pytest

from conftest import BOCHS_NEWEST, BUILD, LOGS, ROOT, clean
from guests import vm

SECTIONS = {"bochs": "## Bochs (VT-x)", "tcg": "## QEMU TCG (AMD-V)"}


def cases(text):
    """The lines of each case, by its name."""
    lines = text.split("\n")
    lines = lines[lines.index("conform: begin") + 1:lines.index("conform: end")]
    found = {}
    for line in lines:
        name, _, what = line.partition(": ")
        found.setdefault(name, []).append(what)
    return found


def explained(accel):
    """The cases that docs/differences.md has a row for, in this emulator's section."""
    with open(os.path.join(ROOT, "docs", "differences.md"), encoding="utf-8") as f:
        text = f.read()
    section = text[text.index(SECTIONS[accel] + "\n"):].split("\n## ", 1)[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`([^`]+)`", row)}


def bare(guest, accel):
    log = os.path.join(LOGS, f"bare-{guest}-{accel}.log")
    command = [os.path.join(ROOT, "tools", "run.sh"), "--bios", "--accel", accel, "--cpus", "2", "--memory", "64",
               "--timeout", "180", "--log", log, *(["--model", BOCHS_NEWEST] if accel == "bochs" else []),
               os.path.join(BUILD, "guests", guest + ".disk")]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    with open(log, "rb") as f:
        return clean(f.read())


@pytest.mark.parametrize("guest", ["conform32", "conform64"])
def test_conform(boot, accel, guest):
    m = boot(vm(guest + ".bin", kind="flat32", memory="64M", vcpus=2), [guest + ".bin"], accel, timeout=300)
    m.finish()
    ours, theirs = cases(m.text()), cases(bare(guest, accel))
    different = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    for name in sorted(different - explained(accel)):
        print(f"bare:  {name}: {theirs.get(name)}\nSocle: {name}: {ours.get(name)}")
    assert not different - explained(accel)
    assert len(ours) > 50


def test_every_difference_is_one(boot, accel):
    """A row of docs/differences.md is about a case that there is."""
    sources = os.path.join(ROOT, "tests", "guests", "conform")
    text = "".join(open(os.path.join(sources, name), encoding="utf-8").read() for name in os.listdir(sources))
    for name in explained(accel):
        assert f'"{name}"' in text, name
