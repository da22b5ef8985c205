"""What may be typed into a field of an order: the rules of its column, for the form and the API alike."""

from typing import cast

from django.core.exceptions import ValidationError
from django.db.models import CharField

from catalog import text
from notifications import addresses
from orders.models import Order


def column(field: str) -> CharField:
    """The column of this field: its `max_length` and `validators`."""
    return cast(CharField, Order._meta.get_field(field))


def clean(field: str, typed: str) -> str:
    """The text without spaces around it. Raises Django's ValidationError, with one sentence."""
    limit = cast(int, column(field).max_length)
    if len(typed) > limit:
        raise ValidationError(f"Use at most {limit} characters.")
    trimmed = typed.strip(" ")
    if not trimmed:
        raise ValidationError("This field is required.")
    for validate in reversed(column(field).validators):  # ours come before Django's of the column's type
        validate(trimmed)
    return trimmed


def schema(field: str) -> dict:
    """The same rules as JSON Schema."""
    patterns = addresses.PATTERNS if field == "email" else (text.line_pattern(), text.ink_pattern())
    return {"maxLength": column(field).max_length, "allOf": [{"pattern": pattern} for pattern in patterns]}
