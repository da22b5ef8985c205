"""The check of typed text, for the form and the API alike."""

import unicodedata
from typing import cast

from django.core.exceptions import ValidationError
from django.db.models import CharField

from catalog.text import keeps_its_direction
from orders.models import Order

UNWANTED = {"Cc", "Cs", "Zl", "Zp"}  # control characters (NUL among them), lone surrogates, line separators


def one_printable_line(text: str) -> None:
    """Raises Django's ValidationError for line breaks and invisible characters."""
    if any(unicodedata.category(character) in UNWANTED for character in text):
        raise ValidationError("Use one line of plain text, without control characters.")
    keeps_its_direction(text)


def max_length(field: str) -> int:
    """The number of characters that this field of an order holds."""
    return cast(int, cast(CharField, Order._meta.get_field(field)).max_length)
