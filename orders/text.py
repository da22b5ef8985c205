"""What a line of text that people type may not hold, for the form and the API alike."""

import unicodedata

from django.core.exceptions import ValidationError

UNWANTED = {"Cc", "Cs", "Zl", "Zp"}  # control characters (NUL among them), lone surrogates, line separators


def one_printable_line(text: str) -> None:
    """Raises Django's ValidationError for line breaks and characters that nobody can see."""
    if any(unicodedata.category(character) in UNWANTED for character in text):
        raise ValidationError("Use one line of plain text, without control characters.")
