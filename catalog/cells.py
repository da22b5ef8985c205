"""Rows into a file for a spreadsheet, in constant memory. No text in it becomes a formula.

A spreadsheet reads a cell of CSV that begins with =, +, - or @ as a formula, which can send the sheet to a stranger. So
does one whose locale splits cells at another character. An apostrophe in front makes it text; `plain` removes it
again. In an Excel file each cell has a type, and text stays text.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import IO, Any

from xlsxwriter import Workbook

from backroom import Permanent
from catalog.media.temporary import workplace

EXCEL_ROWS = 1_048_575  # below the header

# At the beginning, or behind a character at which some spreadsheet begins a cell. The last four are the wide forms.
_CELL = r"""(?<![^,;|\t\r\n"])"""
_FORMULA = r"'*[=+\-@\uff1d\uff0b\uff0d\uff20]"
_BARE = re.compile(f"{_CELL}(?={_FORMULA})")
_QUOTED = re.compile(f"{_CELL}'(?={_FORMULA})")
_EXCEL = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "remove_timezone": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
}


def harmless(text: str) -> str:
    """The text with an apostrophe before each formula in it: "=1+1" as "'=1+1"."""
    return _BARE.sub("'", text)


def plain(text: str) -> str:
    """The text of which `harmless` made this one."""
    return _QUOTED.sub("", text)


def write(file: IO[bytes], form: str, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a "csv" or "xlsx" file; returns the number of rows. Times lose their time zone. Excel's texts are cut at
    32,767 characters. Raises Permanent for more than EXCEL_ROWS there."""
    return (_csv if form == "csv" else _xlsx)(file, header, rows)


def _csv(file: IO[bytes], header: Iterable[str], rows: Iterable[Sequence[Any]]) -> int:
    text = TextIOWrapper(file, "utf-8-sig", newline="")  # type: ignore[arg-type] # Excel reads UTF-8 only with the mark
    lines = csv.writer(text)
    lines.writerow(header)
    count = 0
    for row in rows:
        lines.writerow(map(_cell, row))
        count += 1
    text.detach()
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return harmless(value) if isinstance(value, str) else value


def _xlsx(file: IO[bytes], header: Iterable[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    # Its rows wait in files of this folder, which an error deletes. The machine's /tmp may be too small for them.
    with workplace() as folder:
        book = Workbook(file, _EXCEL | {"tmpdir": str(folder)})
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, header, book.add_format({"bold": True}))
        for count, row in enumerate(rows, 1):
            if count > EXCEL_ROWS:
                raise Permanent(f"an Excel file holds {EXCEL_ROWS} rows")
            for column, value in enumerate(row):
                sheet.write(count, column, value)
        book.close()
    return count
