"""What pyproject.toml admits, what `make versions` ran, and what docs/adopt.md says of it, are the same versions."""

import tomllib

import pytest
from packaging.requirements import Requirement

from bench import outcome
from tests import versions

PROJECT = tomllib.loads((outcome.ROOT / "pyproject.toml").read_text())["project"]
RANGES = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
MINORS = {"celery": 15, "Django": 3}  # in each series; after its third, Django begins another


def of(field: str, kind: str) -> list[str]:
    return sorted({getattr(run, field) for run in versions.RUNS if run.of == kind})


@pytest.mark.parametrize("kind", ["library", "shop"])
def test_the_ranges_admit_what_is_run_and_nothing_else(kind):
    for name, count in MINORS.items():
        minors = [f"{major}.{minor}" for major in (4, 5, 6, 7) for minor in range(count)]
        assert [minor for minor in minors if RANGES[name].contains(f"{minor}.1")] == of(name.lower(), kind)
    assert PROJECT["requires-python"] == f">={of('python', kind)[0]}"


def test_the_document_shows_that_each_run_passed():
    _, _, table = versions.text(dict.fromkeys(versions.RUNS, True)).partition("\n\n")
    assert table in (outcome.ROOT / "docs" / "adopt.md").read_text()


def test_a_run_that_failed_or_is_missing_shows():
    failed, _, *others = versions.RUNS
    said = versions.text(dict.fromkeys(others, True) | {failed: False})
    assert (said.count("**failed**"), said.count("**did not run**")) == (1, 1)
