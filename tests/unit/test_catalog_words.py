"""Without a database: amounts, tidied searches, and a drawing for every product."""

import re
import tomllib
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from django.core.exceptions import ValidationError

from catalog.pictures import FALLBACK, FOLDER, picture_url
from catalog.search.query import LONGEST, tidy
from catalog.seed import SOURCE
from catalog.templatetags.money import money
from catalog.text import plain_line, visible_line

SLUGS = [p["slug"] for shelf in tomllib.loads(SOURCE.read_text(encoding="utf-8"))["shelf"] for p in shelf["products"]]


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [("12.4", "EUR", "€12.40"), ("0.75", "GBP", "£0.75"), ("1234.5", "USD", "$1,234.50"), ("3", "PLN", "3.00 PLN")],
)
def test_an_amount_always_has_two_places_and_its_currency(amount, currency, written):
    assert money(Decimal(amount), currency) == written


def test_no_amount_is_empty():
    assert money(None) == ""


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("  cherry \t tomato\n", "cherry tomato"),
        ("toma\x00to", "toma to"),
        ("\x00\x1b\u200b", ""),
        ("cre\u0300me", "cr\u00e8me"),  # a letter and its accent, as macOS types them, become one
    ],
)
def test_a_search_is_tidied_before_postgresql_sees_it(typed, searched):
    assert tidy(typed) == searched


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("\u0301", "Write at least one visible character."),  # an accent and no letter
        ("Zo\u00eb \U0001f98a", "Leave out “\U0001f98a”. An invoice can't show it."),
        ("\U00020bb7\u91ce", "Leave out “\U00020bb7”. An invoice can't show it."),
        ("two\nlines", "Use one line, without invisible characters."),
        ("a\ufe0f", "Use one line, without invisible characters."),
    ],
)
def test_a_name_is_refused_by_a_sentence_that_names_what_is_wrong(typed, wrong):
    with pytest.raises(ValidationError) as refused:
        plain_line(typed)
    assert refused.value.messages == [wrong]


@pytest.mark.parametrize("typed", ["Spring \U0001f955", "We \u2764\ufe0f you", "\U0001f468\u200d\U0001f33e", "שלום"])
def test_a_subject_may_have_what_an_invoice_can_not_show(typed):
    visible_line(typed)


@pytest.mark.parametrize("typed", ["a\nBcc: b", "a\r", "\u3164", "\u200d", " ", "\ufe0f", "a\u202eb", "a\x00"])
def test_a_subject_is_one_visible_line(typed):
    with pytest.raises(ValidationError):
        visible_line(typed)


@pytest.mark.parametrize("typed", ["x" * 10_000, "ﷺ" * 10_000, "a b " * 5_000])
def test_no_search_gets_longer_than_the_limit(typed):
    assert 0 < len(tidy(typed)) <= LONGEST


@pytest.mark.parametrize("slug", [*SLUGS, FALLBACK])
def test_every_product_has_a_small_drawing_of_its_own(slug):
    drawing = FOLDER / f"{slug}.svg"
    assert ElementTree.fromstring(drawing.read_text()).get("viewBox") == "0 0 240 240"  # noqa: S314 - our own file
    assert drawing.stat().st_size < 8_000
    assert picture_url(slug).endswith(f"/{slug}.svg") or re.search(rf"/{slug}\.\w+\.svg$", picture_url(slug))


@pytest.mark.parametrize("slug", ["dragonfruit", "../../secrets", ""])
def test_a_product_without_a_drawing_shows_a_crate(slug):
    assert f"/{FALLBACK}." in picture_url(slug)
