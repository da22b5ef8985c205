"""A validator for names, which must not change the page around them."""

import unicodedata

from django.core.exceptions import ValidationError

# These characters reverse the text after them until another one ends it (UAX 9), so a name could falsify a page.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def keeps_its_direction(text: str) -> None:
    """Raises ValidationError for characters that reverse the text after them. Arabic and Hebrew need none of them."""
    if any(unicodedata.bidirectional(character) in TURNING for character in text):
        raise ValidationError("Leave out the invisible characters that turn text around.")
