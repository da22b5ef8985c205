"""The runs of `make versions`, and their table in docs/adopt.md: `python -m tests.versions FILE...` writes it out of
what noxfile.py found."""

import json
import sys
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from bench import outcome


class Run(NamedTuple):
    of: str  # library or shop
    python: str
    django: str
    celery: str


_WANTED = tomllib.loads((outcome.ROOT / "pyproject.toml").read_text())["tool"]["versions"]
RUNS = [Run(of, *versions) for of in ("library", "shop") for versions in _WANTED[of]]


def results(rows: Iterable[dict[str, Any]]) -> dict[Run, bool]:
    """Whether each run passed."""
    return {Run(*(row[name] for name in Run._fields)): row["passed"] for row in rows}


def text(found: dict[Run, bool]) -> str:
    """Missing is not passed."""
    verdicts = ["passed" if found.get(run) else "**failed**" if run in found else "**did not run**" for run in RUNS]
    rows: list[list[object]] = [[*run, verdict] for run, verdict in zip(RUNS, verdicts, strict=True)]
    return f"On {date.today()}:\n\n{outcome.table(['The', 'on Python', 'Django', 'Celery', ''], rows)}"


if __name__ == "__main__":
    rows = [row for file in sys.argv[1:] for row in json.loads(Path(file).read_text())]
    outcome.write("docs/adopt.md", "versions", text(results(rows)))
