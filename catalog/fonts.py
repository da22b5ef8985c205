"""The fonts of invoices, for what typst's own serif lacks: Kurinto Sans (SIL Open Font License), out of a wheel.

They cover the scripts that people write their names in, Chinese, Japanese and Korean included.
"""

from functools import cache
from pathlib import Path
from unicodedata import category

import weblate_fonts
from fontTools.ttLib import TTFont

FOLDER = Path(weblate_fonts.__file__).parent / "static" / "weblate_fonts" / "kurinto" / "ttf"

INVISIBLE = "Cc Cf Cn Co Cs Zl Zp"  # categories: control, format, unassigned, private, surrogate, separators
JOINERS = "\u200c\u200d"  # formats that Persian and Sinhala spell with
# Letters, marks and symbols without any ink.
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))


def printable() -> str:
    """The characters that an invoice can show, as the inside of a regular expression's class. 16-bit ones only: in
    JSON Schema others are two characters."""
    return _classes(_points())


def accents() -> str:
    """Those of them that are drawn over or beside the character before them, in the same form."""
    return _classes([point for point in _points() if category(chr(point)).startswith("M")])


@cache
def _points() -> list[int]:
    found: set[int] = set()
    for path in sorted(FOLDER.glob("*-Rg.ttf")):
        with TTFont(path, lazy=True) as font:
            font.setGlyphOrder([""] * font["maxp"].numGlyphs)  # nothing needs their names, which take 0.15 s to read
            found |= font.getBestCmap().keys()
    return sorted(filter(_shown, found))


def _shown(point: int) -> bool:
    character = chr(point)
    shown = category(character) not in INVISIBLE.split() and character not in BLANK
    return point < 0x10000 and (shown or character in JOINERS)


def _ranges(points: list[int]) -> list[tuple[int, int]]:
    starts = [point for before, point in zip([-1, *points], points, strict=False) if point != before + 1]
    ends = [point for point, after in zip(points, [*points[1:], -1], strict=False) if after != point + 1]
    return list(zip(starts, ends, strict=True))


def _classes(points: list[int]) -> str:
    return "".join(_class(start, end) for start, end in _ranges(points))


def _class(start: int, end: int) -> str:
    return f"\\u{start:04x}" if start == end else f"\\u{start:04x}-\\u{end:04x}"
