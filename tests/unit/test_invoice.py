"""The PDF of an invoice, read back: what it says, and that data never becomes markup."""

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
import typst
from django.conf import settings
from django.core.exceptions import ValidationError
from pypdf import PdfReader

from catalog.text import line_pattern, plain_line
from orders.fulfilment.pdf import SELLER, TEMPLATES, render, typefaces

TEMPLATE = "invoice.typ"


def line(name: str, **changes: str) -> dict[str, str]:
    return {
        "name": name,
        "unit": "kg",
        "unit_price": "2.40",
        "quantity": "2",
        "vat_rate": "5",
        "amount": "4.80",
        **changes,
    }


def invoice(*lines: dict[str, str], bill_to: tuple[str, ...] = ("A Customer", "1 High Street", "GB")) -> dict:
    return {
        "seller": SELLER,
        "made_at": 1_795_305_600,
        "title": "Invoice",
        "number": "INV-7",
        "facts": [["ORDER", "1001"], ["PAYMENT", "by card, charged before shipping"]],
        "closing": "Thank you for your order!",
        "date": "22 November 2026",
        "issued": {"year": 2026, "month": 11, "day": 22},
        "bill_to": list(bill_to),
        "lines": list(lines),
        "vat": [{"rate": "5", "net": "4.57", "vat": "0.23", "gross": "4.80"}],
        "net": "4.57",
        "vat_total": "0.23",
        "total": "4.80",
    }


def pages(data: dict) -> list[str]:
    reader = PdfReader(BytesIO(render(TEMPLATE, data)))
    return [page.extract_text().replace("\u200b", "") for page in reader.pages]


def test_a_short_invoice_is_one_page_that_says_all_of_it():
    (page,) = pages(invoice(line("Braeburn apples")))
    for text in ("Backroom Greengrocer", "7 Market Hall Lane", "BILL TO", "A Customer", "INV-7", "ORDER", "1001",
                 "22 November 2026", "Braeburn apples", "2.40 / kg", "4.57", "0.23", "Total", "4.80",
                 "page 1 of 1"):  # fmt: skip
        assert text in page, text


def test_sixty_lines_fill_two_pages_with_the_head_of_the_table_on_both():
    first, second = pages(invoice(*(line(f"Product {i}") for i in range(1, 61))))
    assert "page 1 of 2" in first
    assert "page 2 of 2" in second
    for page in (first, second):
        assert "UNIT PRICE" in page
    assert re.findall(r"Product (\d+)", first + second) == [str(i) for i in range(1, 61)]
    assert "VAT RATE" in second
    assert "VAT RATE" not in first


@pytest.mark.parametrize(
    "text",
    [
        '#panic("x")',
        "*bold* _emphasis_ `raw` $x^2$",
        "\\ \\n \\u{41}",
        "= Heading",
        "- list / term: x",
        "@label <label> // comment /* comment */",
        "-- --- ... \"quotes\" 'single' ~",
        "#sys.inputs.data",
        "] [ } { ) (",
        "https://backroom.example",
    ],
)
def test_markup_in_a_name_is_printed_and_not_obeyed(text):
    (page,) = pages(invoice(line(text), bill_to=(text, "1 High Street", "GB")))
    assert page.count(text) == 2


@pytest.mark.parametrize(
    "text", ["Kawiarnia Łąka-Żółć", "ul. Świętojańska 12/4", "Ροδάκινα Νάουσας", "Груші з Їжакова", "Crème fraîche",
             "Blåbær", "Şeftali", "Naïve œuf", "Größe ẞ"]
)  # fmt: skip
def test_letters_of_europe_are_all_there(text):
    (page,) = pages(invoice(line(text), bill_to=(text, "GB")))
    assert page.count(text) == 2


@pytest.mark.parametrize("name", ["李小龍", "김민수", "やまだ", "राम", "สมชาย", "ქართველი", "ኢትዮጵያ"])
def test_a_name_in_another_script_is_printed(name):
    plain_line(name)
    (page,) = pages(invoice(line(name), bill_to=(name, "TW")))
    assert page.count(name[0]) >= 2


def drawn(text: str) -> None:
    """Raises TypstError for a character without a glyph: PDF/A has no boxes."""
    inputs = {"data": json.dumps(invoice(line("Apples"), bill_to=(text,)))}
    typst.compile(TEMPLATES / TEMPLATE, format="pdf", sys_inputs=inputs, font_paths=typefaces(), pdf_standards="a-2b")


def test_every_character_that_the_shop_accepts_has_a_glyph_on_the_invoice():
    accepted = [chr(point) for point in range(0x10000) if re.fullmatch(line_pattern(), chr(point))]
    assert len(accepted) > 50_000
    drawn(" ".join(accepted[::20]))
    for refused in "\U0001fabf", "\u1780", "\ufffe":
        with pytest.raises(ValidationError):
            plain_line(refused)
        with pytest.raises(typst.TypstError):
            drawn(refused)


def test_a_word_longer_than_its_column_is_broken_and_not_cut_off():
    (page,) = pages(invoice(line("W" * 200), bill_to=("M" * 100, "GB")))
    assert page.replace("\n", "").count("W") == 200
    assert "4.80" in page


def test_the_same_data_makes_the_same_bytes():
    data = invoice(line("Braeburn apples"))
    assert render(TEMPLATE, data) == render(TEMPLATE, data)


def test_the_invoice_bears_the_mark_of_the_shop():
    marks = [Path("orders/fulfilment/typst/logo.svg"), Path("shop/static/shop/logo.svg")]
    first, second = (settings.BASE_DIR.joinpath(mark).read_bytes() for mark in marks)
    assert first == second
