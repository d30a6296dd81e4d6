"""What exits cost, how many there are, and how large all is: the part of the benchmark that has targets."""
import os
import re
import subprocess
import sys

import pytest

from conftest import LOGS, ROOT


@pytest.mark.long
@pytest.mark.weight(8)
def test_exit_costs():
    run = subprocess.run([sys.executable, "-B", "bench/bench.py", "--exits-only"], cwd=ROOT, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=1800, check=False, text=True)
    with open(os.path.join(LOGS, "test_exit_costs.log"), "w", encoding="utf-8") as f:
        f.write(run.stdout)
    print(run.stdout)
    assert not re.findall(r"^not ok .*", run.stdout, re.MULTILINE)
    assert run.returncode == 0 and re.search(r"^ok ", run.stdout, re.MULTILINE)
