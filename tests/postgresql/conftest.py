"""Each case that passes writes its line of a table in docs/postgresql.md, with the load of its machine."""

import os
import re
from collections.abc import Callable

import pytest

from bench import outcome

DOCUMENT = outcome.ROOT / "docs" / "postgresql.md"
Row = Callable[..., None]


def write(case: str, *cells: object) -> None:
    """Replace the line that begins with this case. Raises ValueError if the document has no such line."""
    line = outcome.table([], [[case, *cells, round(os.getloadavg()[0])]]).splitlines()[-1]
    text, count = re.subn(rf"^\| {re.escape(case)} \|.*$", lambda _: line, DOCUMENT.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{DOCUMENT.name} has {count} lines of {case!r}, and needs one")
    DOCUMENT.write_text(text)


@pytest.fixture
def row() -> Row:
    """Takes a case and its cells."""
    return write
