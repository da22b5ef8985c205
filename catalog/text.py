"""What a typed name may be: of people, streets and towns, of products and categories.

The order's and the catalog's columns have `plain_line` as a validator. Forms, API and admin take it from there.
"""

import re
import unicodedata
from functools import cache

from django.core.exceptions import ValidationError

from catalog import fonts

# These characters reverse the text after them until another one ends it (UAX 9), so a name could falsify a page.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
INK = r"[^\s\u200c\u200d]"  # no space and no joiner


def keeps_its_direction(text: str) -> None:
    """Raises ValidationError for characters that reverse the text after them. Arabic and Hebrew need none of them."""
    if any(unicodedata.bidirectional(character) in TURNING for character in text):
        raise ValidationError("Leave out the invisible characters that turn text around.")


@cache
def line_pattern() -> str:
    """One line of characters that an invoice can show, as JSON Schema and Python read it."""
    return f"^[{fonts.printable()}]+$"


def plain_line(text: str) -> None:
    """Raises ValidationError for text that is not one visible line, or that an invoice can't show."""
    keeps_its_direction(text)
    if not re.search(INK, text):
        raise ValidationError("Write at least one visible character.")
    if not re.fullmatch(line_pattern(), text):
        raise ValidationError("Use one line of plain text, without control characters, emoji and rare symbols.")
