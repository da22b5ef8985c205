"""What an address may be: one that our mail arrives at.

Only ASCII: another mailbox name needs SMTPUTF8, which many servers lack, and look-alike letters reach a stranger. A
browser turns an international domain into its ASCII form. No "?", which would begin an encoded word (RFC 2047).
"""

import re

from django.core.exceptions import ValidationError

ATOM = "[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
TOP = "([A-Za-z]{2,63}|xn--[A-Za-z0-9]{1,59})"
# Spaces around it are trimmed. RFC 5321: at most 64 characters before the @.
PATTERNS = (rf"^ *{ATOM}(\.{ATOM})*@({LABEL}\.)+{TOP} *$", "^ *[^@ ]{1,64}@")


def deliverable(address: str) -> None:
    """Raises ValidationError for an address at which no mail would arrive."""
    if address != address.strip() or not all(re.search(pattern, address) for pattern in PATTERNS):
        raise ValidationError("Enter a complete email address, like name@example.com, without accented letters.")
