"""Uploaded tables, good and hostile: each is read right, or refused with a sentence; none takes its reader along."""

import io
import tracemalloc
import zipfile
from datetime import date, datetime
from decimal import Decimal

import pytest
import xlsxwriter
from django.core.exceptions import ValidationError

from catalog.imports import fields, reading
from catalog.imports import workbook as workbooks
from catalog.imports.reading import Unreadable

TABLE = "slug;name;price\nzurek;Żurek „świąteczny”;12,50\ncreme;Crème fraîche;1,05\n"
FRENCH = "slug;name\ncreme;Crème fraîche épaisse, déjà sucrée à la vanille\nchataigne;Châtaignes grillées\n"
POLISH = "slug;name\nzurek;Żurek śląski na zakwasie, gęsty i łagodny\nsliwki;Śliwki węgierki słodkie\n"


def file(content: bytes | str, encoding: str = "utf-8") -> io.BytesIO:
    return io.BytesIO(content.encode(encoding) if isinstance(content, str) else content)


def cells(content: io.BytesIO) -> list[list[str]]:
    table = reading.examine(content)
    return list(reading.rows(content, table.encoding, table.separator))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_read_in_each_unicode(encoding):
    assert cells(file(TABLE, encoding)) == [line.split(";") for line in TABLE.splitlines()]


@pytest.mark.parametrize(("text", "encoding"), [(FRENCH, "cp1252"), (POLISH, "cp1250")])
def test_the_windows_of_western_and_central_europe_are_told_apart(text, encoding):
    assert reading.encoding_of(file(text, encoding)) == encoding
    assert cells(file(text, encoding)) == [line.split(";") for line in text.splitlines()]


@pytest.mark.parametrize("separator", reading.SEPARATORS)
def test_the_separator_is_found_beside_other_ones_and_decimal_commas(separator):
    rows = [["slug", "name", "price"], ["a", "one, two; three", "1,50"], ["b", 'say "hi"', "2,05"]]
    text = "".join(
        separator.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in rows
    )  # fmt: skip
    assert cells(file(text)) == rows
    assert reading.examine(file(text)).decimal == ","


def test_blank_rows_keep_their_numbers_and_the_heading_is_the_first_row_with_text():
    table = reading.examine(file("\n\nslug,name\n\na,one\n"))
    assert (table.heading_row, table.heading, table.rows, table.sample) == (3, ["slug", "name"], 2, [["a", "one"]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"slug,name\n", "no rows"),
        (b"\n\n\n", "no rows"),
        (b'slug,name\na,"one\nb,two\n', "Row 2 has a quotation mark"),
        (b"slug,name\na,one\n" * 3 + b'b,"two" three\n', "Row 7 has a quotation mark"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"abc" * 40, "not a table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 500, "old format"),
        (("a," * 200 + "\n").encode() * 3, "more than 100 columns"),
        (b"slug,name\n" + b'a,"' + b"x" * 200_000 + b"\n", "quotation mark"),
        (b"slug,name\n" + b"," * (8 << 20), "Row 2 is too long"),
        (b"slug,name\na,b\n" + b'"a\n",' * (1 << 20), "Row 3 is too long"),
        (b"slug,name\n" + b"\xe9" * (16 << 20), "Row 2 is too long"),
    ],
    ids=["empty", "heading only", "blank", "open quote", "text behind a quote", "picture", "old Excel", "wide", "long",
         "commas", "many lines", "one line"],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_a_sentence(content, said):
    table = file(content)

    def look() -> None:
        reading.kind(table)
        reading.examine(table)

    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=said):
            look()
        assert tracemalloc.get_traced_memory()[1] < 40_000_000  # without the files of `look`
    finally:
        tracemalloc.stop()


def test_a_file_of_too_many_rows_is_refused(monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 3)
    reading.examine(file("slug\n" + "a\n" * 3))
    with pytest.raises(Unreadable, match="more than 3 rows"):
        reading.examine(file("slug\n" + "a\n" * 4))


def workbook(*sheets: list[list[object]]) -> io.BytesIO:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"default_date_format": "yyyy-mm-dd"}) as book:
        for rows in sheets:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number + 1, 0, row)  # below a blank row
    return content


def test_a_workbook_gives_what_a_person_would_type():
    rows = [
        ["slug", "price", "active", "added", "at"],
        ["a", 0.1 + 0.2, True, date(2026, 11, 27), datetime(2026, 1, 2, 3, 4)],
        ["b", 12.0, False, "", "=1+1"],
    ]
    book = workbook([], rows)
    assert reading.kind(book) == "workbook"
    converted, sheet = workbooks.converted(book)
    with converted:
        assert sheet == "Sheet2"
        found = cells(converted)
    assert not any(found[0])
    assert found[1:3] == [rows[0], ["a", "0.3", "true", "2026-11-27", "2026-01-02T03:04:00"]]
    assert found[3][:3] == ["b", "12", "false"]


def changed(part: str, old: bytes, new: bytes) -> bytes:
    """A workbook with other bytes in one of its parts."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(workbook([["slug"]])) as whole,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in whole.namelist():
            text = whole.read(name)
            made.writestr(name, text.replace(old, new) if name.endswith(part) else text)
    return content.getvalue()


def far_cell() -> bytes:
    """A legal workbook of 2 kB, for which its reader would allocate 500 GB."""
    far = b'<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData>'
    return changed("sheet1.xml", b"</sheetData>", far)


def test_the_name_of_a_sheet_is_cut():
    converted, sheet = workbooks.converted(file(changed("workbook.xml", b"Sheet1", b"N" * 1_000_000)))
    with converted:
        assert sheet == "N" * 100


def bomb() -> bytes:
    """Half a gigabyte of one letter."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(workbook([["slug"]])) as old,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            if name.endswith("sharedStrings.xml"):
                with new.open(name, "w") as part:
                    part.write(b"<sst><si><t>")
                    for _ in range(700):
                        part.write(b"a" * (1 << 20))
                    part.write(b"</t></si></sst>")
            else:
                new.writestr(name, old.read(name))
    return content.getvalue()


@pytest.mark.parametrize(
    "hostile",
    [far_cell, lambda: b"PK\x03\x04 and no more", lambda: workbook([["slug"]]).getvalue()[:1500],
     pytest.param(bomb, marks=pytest.mark.slow)],
    ids=["cell far away", "no zip", "truncated", "zip bomb"],
)  # fmt: skip
def test_a_hostile_workbook_ends_its_own_process_only(hostile):
    with pytest.raises(Unreadable, match="could not be read"):
        workbooks.converted(file(hostile()))


POINT, COMMA = fields.Style(".", "dmy"), fields.Style(",", "mdy")


@pytest.mark.parametrize(
    ("name", "cell", "style", "value"),
    [
        ("price", "2.5", POINT, "2.50"),
        ("price", "2,5", COMMA, "2.50"),
        ("price", "1,234.50 €", POINT, "1234.50"),
        ("price", "1.234,50", COMMA, "1234.50"),
        ("price", "1 234,50", COMMA, "1234.50"),
        ("vat_rate", "5 %", POINT, "5.00"),
        ("stock", "12", POINT, 12),
        ("stock", "12.0", POINT, 12),
        ("stock", "1.200", COMMA, 1200),
        ("active", "TRUE", POINT, True),
        ("active", "no", POINT, False),
        ("added_at", "2026-11-27", POINT, "2026-11-27"),
        ("added_at", "2026-11-27 10:00:00", POINT, "2026-11-27"),
        ("added_at", "27.11.2026", COMMA, "2026-11-27"),
        ("added_at", "02/11/2026", POINT, "2026-11-02"),
        ("added_at", "02/11/2026", COMMA, "2026-02-11"),
        ("name", "'=cmd", POINT, "=cmd"),
        ("category", "Frische Früchte", POINT, "fruit"),
        ("category", "FRUIT", POINT, "fruit"),
    ],
)
def test_a_cell_is_read_as_a_person_meant_it(name, cell, style, value):
    categories = {"frische früchte": "fruit", "fruit": "fruit"}
    assert fields.parse([cell], {name: 0}, style, categories) == ({name: value}, {})


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("price", "0", "above 0"),
        ("price", "-1", "above 0"),
        ("price", "2,50", "such as 2.50"),
        ("price", "1,23,456.00", "such as 2.50"),
        ("price", "1e9", "such as 2.50"),
        ("price", "NaN", "such as 2.50"),
        ("price", "2026-05-02", "made a date"),
        ("price", "2.505", "decimal places"),
        ("price", "1000000", "digits"),
        ("price", "9" * 19_999, "such as 2.50"),
        ("vat_rate", "-1", "below 100"),
        ("stock", "-1", "negative"),
        ("stock", "1.5", "whole number"),
        ("stock", "99999999999", "less than"),
        ("active", "maybe", "yes or no"),
        ("added_at", "31.02.2026", "such as 2026"),
        ("slug", "not a slug", "slug"),
        ("slug", "x" * 51, "50 characters"),
        ("name", "one\ntwo", "one line"),
        ("name", "a\u202eb", "turn text around"),
        ("name", "a\x00b", "unreadable"),
        ("name", "a\ufffdb", "encoding"),
        ("description", "x" * 20_001, "longer than"),
        ("category", "Meat", "no category “Meat”"),
    ],
)
def test_a_wrong_cell_is_an_error_that_says_what_to_do(name, cell, said):
    values, wrong = fields.parse([cell], {name: 0}, POINT, {})
    assert values == {}
    assert said in " ".join(wrong[name])


def test_an_empty_cell_empties_only_what_may_be_empty():
    columns = {name: number for number, name in enumerate(fields.FIELDS)}
    values, wrong = fields.parse([" "] * len(columns), columns, POINT, {})
    assert (values, wrong) == (fields.EMPTY, {})


def test_columns_are_found_by_their_headings():
    assert fields.guess(["Old_Price", "SLUG", "vat", "x", "Added on"]) == {
        "was": 0,
        "slug": 1,
        "vat_rate": 2,
        "added_at": 4,
    }


def test_decimals_of_the_model_are_what_values_hold():
    with pytest.raises(ValidationError):
        fields.FIELDS["price"].parse("0.001", POINT)
    assert Decimal(fields.FIELDS["price"].parse("999999.99", POINT)) == Decimal("999999.99")
