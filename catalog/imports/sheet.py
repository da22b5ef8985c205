"""Writes the first sheet of a workbook that has rows to stdout, as CSV in UTF-8, and its name to stderr.

`python sheet.py FILE` is a program of its own: it imports nothing of the shop, and its memory, time and output are
bounded. calamine holds a whole sheet, 300 MB for 200,000 rows of seven columns. A cell far below the others makes it
allocate all between.
"""

import csv
import io
import resource
import sys
from datetime import date, datetime, time

from python_calamine import CalamineSheet, CalamineWorkbook, SheetVisibleEnum

LIMITS = {
    resource.RLIMIT_AS: 640 << 20,  # bytes
    resource.RLIMIT_FSIZE: 512 << 20,
    resource.RLIMIT_CPU: 60,  # seconds
    resource.RLIMIT_CORE: 0,
}


def main(path: str) -> None:
    for which, limit in LIMITS.items():
        resource.setrlimit(which, (limit, limit))
    with (
        CalamineWorkbook.from_path(path) as book,
        io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="") as output,
    ):
        sheet = first(book)
        if sheet:
            csv.writer(output).writerows(map(text, row) for row in sheet.iter_rows())  # blank rows above, too
            print(sheet.name[:100], file=sys.stderr)  # the format sets no limit


def first(book: CalamineWorkbook) -> CalamineSheet | None:
    for about in book.sheets_metadata:
        if about.visible == SheetVisibleEnum.Visible and (sheet := book.get_sheet_by_name(about.name)).height:
            return sheet
    return None


def text(value: object) -> str:
    """As a person would type it: the 15 digits that Excel keeps, and days without midnight."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return value.isoformat() if isinstance(value, date) else str(value)


if __name__ == "__main__":
    main(sys.argv[1])
