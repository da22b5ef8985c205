"""Reads the code blocks of docs/adopt.md, in order, by the heading that they stand below."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TEXT = (Path(__file__).parents[2] / "docs" / "adopt.md").read_text()
PARTS = {title: text for title, _, text in (part.partition("\n") for part in TEXT.split("\n## ")[1:])}
BLOCK = re.compile(r"(?:^`(?P<file>\S+)`.*:\n\n)?^```(?P<language>\w+)\n(?P<text>[^`]*)^```", re.MULTILINE)


class Block(NamedTuple):
    """A file's text, or with `file` empty commands of a shell."""

    file: str
    text: str


def blocks(*headings: str) -> Iterator[Block]:
    """The blocks below these headings; a heading is given by its beginning. Fails for one that is not there."""
    for heading in headings:
        (text,) = (text for title, text in PARTS.items() if title.startswith(heading))
        for found in BLOCK.finditer(text):
            assert (found["language"] == "python") == bool(found["file"]), f"a block below {heading} names no file"
            yield Block(found["file"] or "", found["text"])


def commands(heading: str) -> list[list[str]]:
    """The lines of each block of commands below this heading."""
    return [block.text.splitlines() for block in blocks(heading) if not block.file]
