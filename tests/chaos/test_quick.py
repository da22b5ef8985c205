"""Rows of the crash matrix, on one cluster: what no test of tests/acceptance does. The whole matrix: `make chaos`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack.supervisor import CHECKOUT
from tests.chaos.result import line

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]  # on a busy machine it takes minutes more
ROWS = (
    r"web \| after commit B \| SIGKILL to child",  # the dispatcher publishes what the web did not
    r"worker \| after claim \| SIGSTOP, SIGCONT to all",  # the fencing token
    r"dispatcher \| rows locked \| SIGKILL to the process, one of two",  # the other takes over
)


def test_nothing_is_lost_or_done_twice_at_the_most_telling_boundaries(tmp_path: Path):
    file = tmp_path / "results"
    options = [f"--rows=^({'|'.join(ROWS)})$", "--naive=0", "--clusters=1", f"--json={file}"]
    command = [sys.executable, "-m", "tests.chaos", *options]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    results = json.loads(file.read_text())
    assert len(results) == len(ROWS)
    assert all(result["orders"] for result in results)
    # The whole matrix, which has the machine to itself, checks the time.
    assert [line(result) for result in results if set(result["broken"]) - {"finished too late"}] == []
