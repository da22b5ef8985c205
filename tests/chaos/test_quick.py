"""One row of the crash matrix for each mechanism, on one cluster. The whole matrix: `make chaos`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack.supervisor import CHECKOUT
from tests.chaos.result import line

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]  # on a busy machine it takes minutes more
ROWS = 8


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows' results."""
    file: Path = tmp_path_factory.mktemp("chaos") / "results"
    options = ["--quick", "--naive=0", "--clusters=1", f"--json={file}"]
    command = [sys.executable, "-m", "tests.chaos", *options]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return json.loads(file.read_text())


def test_nothing_is_lost_or_done_twice_at_the_most_telling_boundaries(results):
    assert len(results) == ROWS
    assert all(result["orders"] for result in results)
    # The whole matrix, which has the machine to itself, checks the time.
    assert [line(result) for result in results if set(result["broken"]) - {"finished too late"}] == []
