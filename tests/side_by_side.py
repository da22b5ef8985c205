"""A pytest plugin (`-p tests.side_by_side`): the pieces of work that `pytest -n` hands to its processes.

Tests that share running processes are one piece. Otherwise each process of pytest-xdist would start a stack of its own.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# The longest first, so that none is left for the end. A piece's tests run in this order; any other module is a piece.
PIECES = (
    ("tests/acceptance/test_demo.py", "tests/browser/test_lab.py", "tests/acceptance/test_demo_stops.py"),  # one demo
    ("tests/acceptance",),
    ("tests/browser",),
    ("tests/adopt", "tests/chaos/test_quick.py"),
)


@cache
def place(path: str) -> tuple[int, int]:
    """The number of a module's piece, and its position there."""
    for number, piece in enumerate(PIECES):
        for position, start in enumerate(piece):
            if PurePath(path).is_relative_to(start):
                return number, position
    return len(PIECES), 0


def module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class Pieces(LoadScopeScheduling):
    """Hands out the pieces in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        number, _ = place(module(nodeid))
        return str(number) if number < len(PIECES) else module(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Pieces:
    config.option.loadscopereorder = False  # by the number of tests, which says nothing of their length
    return Pieces(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(module(item.nodeid)))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """A test may log unpaired surrogate, at which execnet would end the whole run."""
    data = yield
    return json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
