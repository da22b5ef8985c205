"""The fields of a product in a table: their headings, and what a cell may hold."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError

from catalog.cells import plain
from catalog.imports.product_values import Values
from catalog.models import Product

TRUE, FALSE = {"yes", "y", "true", "1", "x"}, {"no", "n", "false", "0"}
LONGEST = 20_000  # characters of a cell
UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")
DATES = {"dmy": ("%d.%m.%Y", "%d/%m/%Y"), "mdy": ("%d.%m.%Y", "%m/%d/%Y")}
DECIMALS = {".": "2.50", ",": "2,50"}
GROUPS = {
    mark: re.compile(rf"\d{{1,3}}(?:[{groups}' \u00a0\u202f]\d{{3}})+(?:{re.escape(mark)}\d+)?")
    for mark, groups in ((".", ","), (",", "."))
}


class Style(NamedTuple):
    """How a file writes numbers and dates: a key of DECIMALS, and one of DATES."""

    decimal: str = "."
    dates: str = "dmy"


class Field(NamedTuple):
    """`empties`: an empty cell empties it; of others it changes nothing."""

    label: str
    parse: Callable[[str, Style], Any]
    empties: bool = False
    also: tuple[str, ...] = ()  # headings by which it is found, too


def _clean(name: str, value: Any) -> Any:
    field: Any = Product._meta.get_field(name)
    return field.clean(value, None)


def _text(name: str) -> Callable[[str, Style], str]:
    return lambda cell, style: _clean(name, cell)


def _number(cell: str, style: Style) -> str:
    """The number as Python writes it. Raises ValidationError."""
    text = cell.strip("€% \u00a0")
    if GROUPS[style.decimal].fullmatch(text):
        text = re.sub(rf"[^\d{style.decimal}]", "", text)
    if not re.fullmatch(rf"-?\d{{1,15}}(?:{re.escape(style.decimal)}\d+)?", text):
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValidationError("A spreadsheet has made a date of this number.")
        raise ValidationError(f"Write a number, such as {DECIMALS[style.decimal]}, not “{cell[:30]}”.")
    return text.replace(style.decimal, ".")


def _amount(name: str, fits: Callable[[Decimal], bool], refusal: str) -> Callable[[str, Style], str]:
    def parse(cell: str, style: Style) -> str:
        value: Decimal = _clean(name, _number(cell, style))
        if not fits(value):
            raise ValidationError(refusal)
        return f"{value:.2f}"

    return parse


def _stock(cell: str, style: Style) -> int:
    value = Decimal(_number(cell, style))
    if value < 0:
        raise ValidationError("Stock can't be negative.")
    if value != int(value):
        raise ValidationError("Stock is a whole number.")
    return _clean("stock", int(value))


def _active(cell: str, style: Style) -> bool:
    word = cell.casefold()
    if word not in TRUE | FALSE:
        raise ValidationError(f"Write yes or no, not “{cell[:30]}”.")
    return word in TRUE


def _day(cell: str, style: Style) -> str:
    text = re.sub(r"(?<=\d)[T ].*", "", cell)  # a time of day
    for form in ("%Y-%m-%d", *DATES[style.dates]):
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    raise ValidationError(f"Write a date, such as 2026-11-27, not “{cell[:30]}”.")


ABOVE_0 = "The price must be above 0."
FIELDS: Mapping[str, Field] = {
    "slug": Field("Slug", _text("slug"), also=("sku", "code")),
    "name": Field("Name", _text("name"), also=("product", "title")),
    "also_called": Field("Also called", _text("also_called"), empties=True),
    "category": Field("Category", lambda cell, style: cell),
    "description": Field("Description", _text("description"), empties=True),
    "price": Field("Price", _amount("price", lambda value: value > 0, ABOVE_0)),
    "was": Field(
        "Price before the offer",
        _amount("was", lambda value: value > 0, ABOVE_0),
        empties=True,
        also=("was", "old price"),
    ),
    "vat_rate": Field(
        "VAT rate",
        _amount("vat_rate", lambda value: 0 <= value < 100, "The VAT rate must be at least 0 and below 100 %."),
        also=("vat",),
    ),
    "unit": Field("Unit", _text("unit")),
    "stock": Field("Stock", _stock, also=("quantity",)),
    "active": Field("Active", _active),
    "added_at": Field("Added on", _day, also=("added",)),
}
EMPTY: Values = {"also_called": "", "description": "", "was": None}


def guess(heading: Sequence[str]) -> dict[str, int]:
    """By field, the number of the column that its heading names."""
    headings = [_plain(text) for text in heading]
    found = {}
    for name, field in FIELDS.items():
        for text in (name, field.label, *field.also):
            if _plain(text) in headings:
                found[name] = headings.index(_plain(text))
                break
    return found


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def parse(
    cells: Sequence[str], columns: Mapping[str, int], style: Style, categories: Mapping[str, str]
) -> tuple[Values, dict[str, list[str]]]:
    """The values of a row, and the sentences about those that are wrong, by field. `categories`: slug by name or slug,
    in lower case."""
    values: Values = {}
    wrong: dict[str, list[str]] = {}
    for name, column in columns.items():
        cell = plain(cells[column].strip()) if column < len(cells) else ""
        if not cell:
            if FIELDS[name].empties:
                values[name] = EMPTY[name]
            continue
        try:
            if len(cell) > LONGEST:
                raise ValidationError(f"It is longer than {LONGEST:,} characters.")
            if UNREADABLE.search(cell):
                raise ValidationError("It has unreadable characters. Choose another encoding.")
            values[name] = _category(cell, categories) if name == "category" else FIELDS[name].parse(cell, style)
        except ValidationError as error:
            wrong[name] = error.messages
    return values, wrong


def _category(cell: str, categories: Mapping[str, str]) -> str:
    if slug := categories.get(cell.casefold()):
        return slug
    raise ValidationError(f"There is no category “{cell[:60]}”.")
