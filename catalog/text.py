"""What a name that people type may not hold, because it would do something to the page around it."""

import unicodedata

from django.core.exceptions import ValidationError

# Characters that turn the text after them around until they are undone (UAX 9): a name could make a page lie.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def keeps_its_direction(text: str) -> None:
    """Raises Django's ValidationError for characters that turn text around. Arabic and Hebrew need none of them."""
    if any(unicodedata.bidirectional(character) in TURNING for character in text):
        raise ValidationError("Leave out the invisible characters that turn text around.")
