"""What a typed name may be: of people, streets and towns, of products and categories.

The order's and the catalog's columns have `plain_line` as a validator. Forms, API and admin take it from there.
"""

import re
import unicodedata
from functools import cache

from django.core.exceptions import ValidationError

from catalog import fonts

NO_INK = "Write at least one visible character."
ONE_LINE = "Use one line, without invisible characters."
# These characters reverse the text after them until another one ends it (UAX 9), so a name could falsify a page.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def keeps_its_direction(text: str) -> None:
    """Raises ValidationError for characters that reverse the text after them. Arabic and Hebrew need none of them."""
    if any(unicodedata.bidirectional(character) in TURNING for character in text):
        raise ValidationError("Leave out the invisible characters that turn text around.")


@cache
def line_pattern() -> str:
    """One line of characters that an invoice can show, as JSON Schema and Python read it."""
    return f"^[{fonts.printable()}]+$"


@cache
def ink_pattern() -> str:
    """A character that is seen by itself: no space, no joiner, and no accent, which sits on another one."""
    return rf"[^\s\u200c\u200d{fonts.accents()}]"


def plain_line(text: str) -> None:
    """Raises ValidationError for text that is not one visible line, or that an invoice can't show."""
    keeps_its_direction(text)
    if not re.search(ink_pattern(), text):
        raise ValidationError(NO_INK)
    for character in text:
        if re.fullmatch(line_pattern(), character):
            continue
        if character.isprintable() and character not in fonts.BLANK:
            raise ValidationError(f"Leave out “{character}”. An invoice can't show it.")
        raise ValidationError(ONE_LINE)


def visible_line(text: str) -> None:
    """Raises ValidationError for text that is not one visible line. No invoice shows it: emoji are welcome."""
    keeps_its_direction(text)
    if not any(re.fullmatch(ink_pattern(), character) and character not in fonts.BLANK for character in text):
        raise ValidationError(NO_INK)
    if not all(character.isprintable() or character in fonts.JOINERS for character in text):
        raise ValidationError(ONE_LINE)
