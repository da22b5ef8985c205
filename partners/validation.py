"""What a request says, checked field by field before anything is done."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from partners.problems import Problem

Check = Callable[[Any], Any]
KEY = re.compile(r"[A-Za-z0-9._:-]{1,200}")


async def read(request: web.Request) -> Any:
    """The decoded JSON of a request. Raises Problem 400."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Problem(400, "The body is no valid JSON.") from None


def fingerprint(body: Any) -> str:
    """The same for equal JSON, however it was written down."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def complete(body: object, checks: dict[str, Check]) -> dict[str, Any]:
    """As `fields`, and all of them must be there. Raises Problem 422."""
    checked = fields(body, checks)
    missing = checks.keys() - checked.keys()
    if missing:
        raise Problem(422, f"Missing: {', '.join(sorted(missing))}.")
    return checked


def fields(body: object, checks: dict[str, Check]) -> dict[str, Any]:
    """The fields of a JSON object, each through its check. Raises Problem 422."""
    if not isinstance(body, dict):
        raise Problem(422, "The body must be a JSON object.")
    unknown = body.keys() - checks.keys()
    if unknown:
        raise Problem(422, f"Unknown: {', '.join(sorted(unknown))}. Known: {', '.join(checks)}.")
    checked = {}
    for name, value in body.items():
        try:
            checked[name] = checks[name](value)
        except ValueError as error:
            raise Problem(422, f"{name} {error}.") from None
    return checked


def idempotency_key(request: web.Request) -> str:
    """The header `Idempotency-Key`, "" where there is none. Raises Problem 422."""
    header = request.headers.get("Idempotency-Key")
    return "" if header is None else key(header)


def key(value: str) -> str:
    """A key as it stands in a header or a path. Raises Problem 422."""
    if not KEY.fullmatch(value):
        raise Problem(422, "A key has 1 to 200 letters, digits, or . _ : - and nothing else.")
    return value


def since(value: str) -> str:
    """A time as it stands in a query, in the form of our records; "" stays "". Raises Problem 422."""
    try:
        return value and datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise Problem(422, "since must be a time such as 2026-11-22T10:30:00+00:00.") from None


def matching(pattern: str, hint: str) -> Check:
    """A check for text of one form, such as an order's number."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"must be {hint}")
        return value

    return check


def whole(low: int, high: int) -> Check:
    """A check for a whole number; JSON's true and 1.0 are none."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def one_of(*values: str) -> Check:
    """A check for one of a few words."""

    def check(value: Any) -> str:
        if value not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return value

    return check


def money(value: Any) -> str:
    """A check for an amount above zero; a JSON number would be a float on its way. Raises ValueError."""
    if not Decimal(amount(value)):
        raise ValueError("must be above zero")
    return value


amount = matching(r"[0-9]{1,9}(\.[0-9]{1,2})?", 'a decimal string, such as "12.40"')
order = matching(r"[A-Za-z0-9-]{1,40}", 'an order\'s number as a string, such as "1001"')
currency = matching(r"[A-Z]{3}", 'three capital letters, such as "EUR"')
# JSON can smuggle in halves of characters (surrogates), which no store takes
text = matching(r"(?s)(?=.*\S)[^\ud800-\udfff]{1,500}", "text of 1 to 500 characters")
