"""What the ledger's table can keep: arguments as PostgreSQL's jsonb, and times that Python reads back."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.timezone import is_aware

from backroom.ledger.limits import DEPTH, LIMIT
from backroom.ledger.sql import READABLE

ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it
NO_NUL = "PostgreSQL keeps no NUL character"
TOO_DEEP = f"nested deeper than {DEPTH} levels: pass the id of a row instead"
NO_SURROGATE = "the text holds an unpaired surrogate (U+D800 to U+DFFF)"
NAME_LIMIT = 200  # characters of a key, a unique name and a schedule's name, as the columns have


def encoded(value: Any) -> bytes:
    """The value as JSON. Raises TypeError or ValueError for what PostgreSQL's jsonb can't keep."""
    try:
        text = ENCODER.encode(value)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    if NUL.search(text):
        raise ValueError(NO_NUL)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(NO_SURROGATE) from error


def check_arguments(args: dict[str, Any]) -> None:
    """Raises TypeError or ValueError for what PostgreSQL's jsonb can't keep, or is too long or too deep."""
    if len(encoded(args)) > LIMIT:
        raise ValueError(f"over {LIMIT} bytes: pass the id of a row instead")
    if _is_deeper(args, DEPTH):
        raise ValueError(TOO_DEEP)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether anything in it lies more levels down, as the table's constraint counts them."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(levels == 0 or _is_deeper(part, levels - 1) for part in parts)


def is_id(value: Any) -> bool:
    """Whether it is a UUID as the ledger returns a job's id."""
    try:
        return str(UUID(value)) == value
    except (AttributeError, TypeError, ValueError):
        return False


def check_name(what: str, name: Any, limit: int = NAME_LIMIT) -> None:
    """Raises TypeError or ValueError for what the table can't keep as a name."""
    if not isinstance(name, str):
        raise TypeError(f"{what} is text, not {name!r}")
    if not 0 < len(name) <= limit:
        raise ValueError(f"{what} is over {limit} characters long" if name else f"{what} is empty")
    if "\0" in name:
        raise ValueError(f"{what}: {NO_NUL}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what}: {NO_SURROGATE}") from error


def check_time(what: str, when: Any) -> None:
    """Raises TypeError or ValueError for what can't be a job's time."""
    if not isinstance(when, timedelta | datetime):
        raise TypeError(f"{what} is a timedelta or an aware datetime, not {when!r}")
    if isinstance(when, datetime) and not is_aware(when):
        raise ValueError(f"{what} needs a time zone")
    if not _readable(when):
        raise ValueError(f"{what} is beyond the years 1 to 9999")


def duration(what: str, seconds: Any) -> Any:
    """A number of seconds, as Celery has it, as a timedelta; anything else as it is. Raises ValueError."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return seconds
    try:
        return timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{what} is no number of seconds: {seconds}") from error


def _readable(when: timedelta | datetime) -> bool:
    """Whether Python can read this time back from the database."""
    try:
        moment = when if isinstance(when, datetime) else datetime.now(UTC) + when
    except OverflowError:
        return False
    return READABLE[0] <= moment <= READABLE[1]
