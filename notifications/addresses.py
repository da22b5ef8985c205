"""What an address may be: one that our mail arrives at.

Only ASCII: another mailbox name needs SMTPUTF8, which many servers lack, and look-alike letters reach a stranger. An
international domain has an ASCII form. No "?", which would begin an encoded word (RFC 2047).
"""

import re

from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email

ATOM = "[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
TOP = "([A-Za-z]{2,63}|xn--[A-Za-z0-9]{1,59})"
# Spaces around it are trimmed. RFC 5321: at most 64 characters before the @.
PATTERNS = (rf"^ *{ATOM}(\.{ATOM})*@({LABEL}\.)+{TOP} *$", "^ *[^@ ]{1,64}@")


def deliverable(address: str) -> None:
    """Raises ValidationError for an address at which no mail would arrive."""
    if address != address.strip() or not all(re.search(pattern, address) for pattern in PATTERNS):
        raise ValidationError("Enter a complete email address, like name@example.com, without accented letters.")


def in_ascii(address: str) -> str:
    """The address with its domain as mail servers take it: zoe@xn--bcher-kva.example for zoe@bücher.example (IDNA 2008,
    where Python's own codec would lead faß.de to another domain). Other text comes back as it is, for `deliverable`."""
    if address.isascii():
        return address
    try:
        found = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return address
    return found.ascii_email or address
