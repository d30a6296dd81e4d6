"""What exits cost, how many there are, and how large all is: the part of the benchmark that has targets."""
import os
import re
import subprocess
import sys

import pytest

from conftest import LOGS, ROOT

LIMIT = 1800


@pytest.mark.long
@pytest.mark.weight(8)
def test_exit_costs():
    log = os.path.join(LOGS, "test_exit_costs.log")
    with open(log, "wb") as out, subprocess.Popen([sys.executable, "-B", "bench/bench.py", "--exits-only"], cwd=ROOT,
                                                  stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT) as bench:
        try:
            code = bench.wait(LIMIT)
        except subprocess.TimeoutExpired:
            bench.terminate()
            code = None
    with open(log, encoding="utf-8") as f:
        said = f.read()
    print(said)
    assert code is not None, f"no end after {LIMIT} s"
    assert not re.findall(r"^not ok .*", said, re.MULTILINE)
    assert code == 0 and re.search(r"^ok ", said, re.MULTILINE)
