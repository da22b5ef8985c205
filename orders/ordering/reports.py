"""The order that a partner's webhook is about."""

import re
from typing import Any

from backroom.inbound.webhooks import Unreadable

NUMBER = re.compile("[1-9][0-9]{0,17}")


def number_of(data: dict[str, Any]) -> int:
    """Raises Unreadable for data without the order's number, as text."""
    text = data.get("order")
    if not (isinstance(text, str) and NUMBER.fullmatch(text)):
        raise Unreadable("its order is not a number, as text")
    return int(text)
