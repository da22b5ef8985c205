"""Excerpts of source files, which the cards show: read from the files, so they are the code that runs."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Excerpt:
    """Lines `first` to `last` of a file, counted from 1, without their common indent."""

    file: str
    first: int
    last: int
    text: str


@lru_cache
def excerpt(place: str) -> Excerpt:
    """The lines of "file:name" or "file:first name..last name", with the comment above them. A name is that of a
    function, a class or an assignment, with those around it: "Class.method". Raises LookupError."""
    file, _, names = place.partition(":")
    lines = (ROOT / file).read_text().splitlines()
    found = dict(_lua(lines) if file.endswith(".lua") else _python(ast.parse("\n".join(lines)), ""))
    wanted = [found[name] for name in names.split("..")]
    first, last = wanted[0][0], wanted[-1][1]
    while lines[first - 2].lstrip().startswith(("#", "--")):
        first -= 1
    return Excerpt(file, first, last, dedent("\n".join(lines[first - 1 : last])))


Places = Iterator[tuple[str, tuple[int, int]]]  # name, and its first and last line


def _python(node: ast.AST, around: str) -> Places:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assign | ast.AnnAssign):
            for target in ast.walk(child):
                if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                    yield around + target.id, (child.lineno, child.end_lineno or child.lineno)
        elif isinstance(child, ast.FunctionDef | ast.ClassDef):
            name, decorators = around + child.name, [one.lineno for one in child.decorator_list]
            yield name, (min([child.lineno, *decorators]), child.end_lineno or child.lineno)
            yield from _python(child, f"{name}.")


def _lua(lines: list[str]) -> Places:
    for first, line in enumerate(lines, 1):
        if line.startswith("function "):
            yield line.split()[1].partition("(")[0], (first, lines.index("end", first) + 1)
