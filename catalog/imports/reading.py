"""An uploaded table as rows of text. CSV is streamed. A workbook becomes CSV first: workbook.py.

Rows are counted as a spreadsheet does: from 1, the heading and blank rows included.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, islice
from typing import IO, Any

from charset_normalizer import from_bytes

MOST_ROWS, MOST_COLUMNS = 200_000, 100
SAMPLE = 5  # rows that the page shows
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16, big-endian",
    "cp1250": "Windows-1250, Central Europe",
    "cp1252": "Windows-1252, Western Europe",
}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
BLOCK = 1 << 20  # bytes
LONGEST = 1 << 20  # characters of a row
OLE = b"\xd0\xcf\x11\xe0"  # an .xls file, or a workbook with a password


class Unreadable(Exception):
    """Why a file is no table that can be imported, as a sentence for staff."""


@dataclass
class Table:
    """How a file is read, and its beginning. `rows` counts the data rows, blank ones included."""

    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    sheet: str = ""
    heading_row: int = 0
    rows: int = 0
    heading: list[str] = field(default_factory=list)
    sample: list[list[str]] = field(default_factory=list)

    def options(self) -> dict[str, Any]:
        return asdict(self)


def rows(file: IO[bytes], encoding: str, separator: str) -> Iterator[list[str]]:
    """Each row's cells. A byte that is none of the encoding becomes U+FFFD. Raises Unreadable."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        if text.read(1) != "\ufeff":
            text.seek(0)
        yield from _parsed(text, separator)
    finally:
        with suppress(ValueError):  # the file may be closed
            text.detach()  # else it closes the file


def _parsed(text: io.TextIOWrapper, separator: str) -> Iterator[list[str]]:
    number, length = 0, 0  # of the row that is read, in characters

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(LONGEST):
            length += len(line)
            if length >= LONGEST:
                raise Unreadable(f"Row {number} is too long for a table.")
            yield line

    found = csv.reader(lines(), delimiter=separator, strict=True)
    for number in count(1):
        try:
            cells = next(found)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(f'Row {number} has a quotation mark (") that is not closed, or not doubled.') from error
        if number > MOST_ROWS + 1:
            raise Unreadable(f"The file has more than {MOST_ROWS:,} rows. Divide it.")
        yield cells
        length = 0


def examine(file: IO[bytes], encoding: str = "", separator: str = "") -> Table:
    """Read a CSV file once, and find what is not given. Raises Unreadable."""
    encoding = encoding or encoding_of(file)
    table = Table(encoding, separator or _separator(file, encoding))
    marks = {".": 0, ",": 0}
    for number, cells in enumerate(rows(file, table.encoding, table.separator), 1):
        if len(cells) > MOST_COLUMNS:
            raise Unreadable(f"Row {number} has more than {MOST_COLUMNS} columns.")
        if not table.heading and any(cells):
            table.heading, table.heading_row = [_shown(cell.strip()) for cell in cells], number
        elif table.heading:
            table.rows += 1
            if len(table.sample) < SAMPLE and any(cells):
                table.sample.append(list(map(_shown, cells)))
            if number < 1000:
                for cell in cells:
                    if found := re.fullmatch(r"\d+([.,])\d{1,2}", cell.strip()):
                        marks[found[1]] += 1
    if not table.sample:
        raise Unreadable("The file has no rows below its heading.")
    table.decimal = max(marks, key=lambda mark: marks[mark])
    return table


def _shown(cell: str) -> str:
    """PostgreSQL's JSON holds no NUL."""
    return cell[:100].replace("\0", "\ufffd")


def encoding_of(file: IO[bytes]) -> str:
    """The encoding of a text, by its byte order mark, its zeros, or by what its bytes can be. Raises Unreadable."""
    file.seek(0)
    head = file.read(BLOCK)
    for mark, name in BOMS.items():
        if head.startswith(mark):
            return name
    if (zeros := head.count(0)) * 4 >= len(head) and head:  # text of mostly western letters
        return "utf-16-le" if head[1::2].count(0) * 2 > zeros else "utf-16-be"
    if zeros:
        raise Unreadable("This is not a table: upload a CSV file or an Excel workbook (.xlsx).")
    return "utf-8" if _is_utf8(file) else _legacy(file)


def _is_utf8(file: IO[bytes]) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _legacy(file: IO[bytes]) -> str:
    """By the lines that are not ASCII. A long one counts as several."""
    file.seek(0)
    lines = iter(partial(file.readline, BLOCK // 500), b"")
    telling = b"".join(islice((line for line in lines if not line.isascii()), 500))
    found = from_bytes(telling, cp_isolation=["cp1250", "cp1252"])
    best = min(found, key=lambda each: (each.chaos, -each.coherence, each.encoding != "cp1252"), default=None)
    return best.encoding if best else "cp1252"


def _separator(file: IO[bytes], encoding: str) -> str:
    """The one that divides the first rows into the most columns, the same number in each if there is one."""
    file.seek(0)
    text = file.read(64 * 1024).decode(encoding, "replace").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)[:20]

    def fits(separator: str) -> tuple[bool, int]:
        widths = [len(cells) for cells in csv.reader(lines[:-1] or lines, delimiter=separator) if cells]
        return len(set(widths)) == 1 and widths[0] > 1, min(widths, default=0)

    return max(SEPARATORS, key=fits)


def kind(file: IO[bytes]) -> str:
    """ "workbook" or "csv", by the content: a file's name is only what a person typed. Raises Unreadable."""
    file.seek(0)
    head = file.read(8)
    if head.startswith(OLE):
        raise Unreadable(
            "This workbook is in an old format, or has a password. Save it as .xlsx without one, or as CSV."
        )
    if not head:
        raise Unreadable("The file is empty.")
    return "workbook" if head.startswith(b"PK\x03\x04") else "csv"
