"""The rows of the crash matrix that tell most, on houses of their own beside each other. The whole: `make chaos`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack.supervisor import CHECKOUT
from tests.chaos.__main__ import told

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]  # minutes more where other things go on, too
ROWS = 10


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of them, and the lines that tell of each."""
    folder: Path = tmp_path_factory.mktemp("chaos")
    command = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--quick",
        "--naive=0",
        "--houses=3",
        f"--json={folder / 'results'}",
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return json.loads((folder / "results").read_text())


def test_nothing_is_lost_and_nothing_done_twice_at_the_boundaries_that_tell_most(results):
    assert len(results) == ROWS
    assert all(result["orders"] for result in results)
    # Late is for the whole matrix to say, which has the machine for itself.
    assert [told(result) for result in results if set(result["broken"]) - {"finished too late"}] == []
