"""The PDF of a shipping label, read back: the address in any script, the number, and one page whatever its length."""

from datetime import UTC, datetime
from io import BytesIO

import pytest
from pypdf import PdfReader

from orders.fulfilment.labels import label
from orders.fulfilment.pdf import render
from orders.models import Order

SENT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def printed(name: str, address: str = "1 High Street", city: str = "Dublin") -> str:
    """The text of the label's only page."""
    order = Order(number=1001, name=name, address=address, city=city, postcode="D01", country="IE")
    order.tracking, order.sent_at = "BR0123456789", SENT
    (page,) = PdfReader(BytesIO(render("label.typ", label(order)))).pages
    assert (page.mediabox.width, page.mediabox.height) == pytest.approx((297.64, 419.53), abs=0.1)  # A6
    return page.extract_text().replace("\u200b", "")


def test_it_says_where_the_parcel_goes_and_its_numbers():
    text = printed("Kawiarnia Łąka")
    for part in ("Backroom Greengrocer", "Kawiarnia Łąka", "1 High Street", "D01 Dublin", "Ireland", "1001",
                 "BR0123456789"):  # fmt: skip
        assert part in text, f"{part} not in {text}"


@pytest.mark.parametrize("name", ["محمد عبد الله", "李小龍", "김민수", "राम", "Ελένη"])
def test_a_name_in_another_script_is_printed(name):
    letters = set(printed(name, address=name, city=name))
    assert {letter for letter in name if letter.isalpha()} - letters == set()


@pytest.mark.parametrize("letter", ["龍", "W"])
def test_the_longest_address_that_the_shop_accepts_stays_on_the_label(letter):
    text = printed(letter * 100, letter * 200, letter * 100)
    assert text.replace("\n", "").count(letter) == 400


@pytest.mark.parametrize("text", ['#panic("x")', "*bold* $x^2$", "\\u{41} ] ["])
def test_markup_in_a_name_is_printed_and_not_obeyed(text):
    assert text in printed(text)
