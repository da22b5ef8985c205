"""What a run measured, in a document: the text between `<!-- name -->` and `<!-- /name -->` is of the last run."""

import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write(document: str, name: str, text: str) -> None:
    """Replace the text of this name. Raises ValueError if the document has no such place."""
    path = ROOT / document
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    replaced, count = place.subn(lambda _: f"{begin}\n{text.strip()}\n\n{end}", path.read_text())
    if count != 1:
        raise ValueError(f"{document} has {count} places {begin.strip()}, and needs one")
    path.write_text(replaced)


def table(head: list[str], rows: list[list[object]]) -> str:
    """A table of Markdown. Columns of numbers stand right."""
    right = [all(isinstance(row[column], int | float) for row in rows) for column in range(len(head))]
    lines: list[Sequence[object]] = [head, ["--:" if number else "---" for number in right], *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(cell: object) -> str:
    return f"{cell:,.3g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
