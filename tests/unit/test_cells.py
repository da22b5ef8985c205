"""Files for spreadsheets: no text becomes a formula, and each comes back as it was."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from backroom import Permanent
from catalog import cells

AT = datetime(2026, 11, 27, 10, 15, tzinfo=UTC)
ROWS = [["=1+1", Decimal("-2.40"), AT, None], ['Łąka, a “quote"', 7, AT, "two\nlines"]]


def written(form: str, rows: list) -> BytesIO:
    file = BytesIO()
    assert cells.write(file, form, ["text", "number", "time", "more"], iter(rows)) == len(rows)
    return BytesIO(file.getvalue())


@pytest.mark.parametrize(
    "text", ["=1+1", "+353861234567", "-1", "@SUM(A1)", "\uff1d1", "'=1", "\t=1", 'say ";=1+1', "a,=cmd|' /C calc'!A0"]
)
def test_a_formula_becomes_text_wherever_a_cell_may_begin(text):
    assert "'" in cells.harmless(text)
    for separator in ",;\t|\n":
        assert not [cell for cell in cells.harmless(text).split(separator) if re.match(r'["\s]*[=+\-@\uff1d]', cell)]


@settings(derandomize=True, database=None, deadline=None)
@given(st.text("=+-@',;\t\r\n\"a \uff1d"))
@example("''=1")
@example("a - b, c-d")
def test_what_is_made_harmless_comes_back(text):
    assert cells.plain(cells.harmless(text)) == text


def test_plain_text_and_numbers_stay():
    assert cells.harmless("Flat 3 - rear, O'Neill's +1") == "Flat 3 - rear, O'Neill's +1"
    assert "-2.40" in written("csv", ROWS).getvalue().decode("utf-8-sig")


def test_a_csv_file_has_its_mark_its_quotes_and_no_formula():
    text = written("csv", ROWS).getvalue()
    assert text.startswith("\ufeff".encode())
    assert text.decode("utf-8-sig").split("\r\n") == [
        "text,number,time,more", "'=1+1,-2.40,2026-11-27 10:15:00,",
        '"Łąka, a “quote""",7,2026-11-27 10:15:00,"two\nlines"',
        "",
    ]  # fmt: skip


def test_an_excel_file_has_texts_numbers_and_times_and_no_formula():
    sheet = CalamineWorkbook.from_filelike(written("xlsx", ROWS)).get_sheet_by_index(0)
    at = AT.replace(tzinfo=None)
    assert sheet.to_python()[1:] == [["=1+1", -2.4, at, ""], ['Łąka, a “quote"', 7.0, at, "two\nlines"]]


def test_an_excel_file_refuses_more_rows_than_excel_has_and_leaves_no_file(monkeypatch, settings, tmp_path: Path):
    monkeypatch.setattr(cells, "EXCEL_ROWS", 2)
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    with pytest.raises(Permanent, match="holds 2 rows"):
        written("xlsx", [["a"]] * 3)
    assert list(tmp_path.iterdir()) == []
    assert cells.write(BytesIO(), "csv", ["a"], [["a"]] * 3) == 3


def test_an_empty_file_has_its_header():
    assert written("csv", []).getvalue().decode("utf-8-sig") == "text,number,time,more\r\n"
