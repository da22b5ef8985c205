"""Request bodies, idempotency keys and times, checked before anything is done."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from partners.problems import Problem

KEY = re.compile(r"[A-Za-z0-9._:-]{1,200}")
# Amounts above zero, as text: a JSON number would pass through a float.
Amount = Annotated[str, Field(pattern=r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,2})?\Z")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}\Z")]
Count = Annotated[int, Field(ge=1, le=100_000)]
Text = Annotated[str, Field(pattern=r"\S", max_length=500)]
# An order's number, or the shop's name for a person.
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}\Z")]


class Strict(BaseModel):
    """JSON in which no type is converted and no field is unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, regex_engine="python-re")

    def fingerprint(self) -> str:
        """A hash that is the same for the same values, in any order and spacing."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


class Body(Strict):
    """The body of a request about an order."""

    order: Reference


Model = TypeVar("Model", bound=Strict)


async def read(request: web.Request, model: type[Model]) -> Model:
    """The request's JSON as a model. Raises Problem 400 or 422."""
    try:
        values = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not valid JSON.") from None
    return validate(model, values)


def validate(model: type[Model], values: Any, strict: bool = True) -> Model:
    """The values as a model; with `strict=False`, text is converted. Raises Problem 422."""
    try:
        return model.model_validate(values, strict=strict)
    except ValidationError as error:
        wrong = (": ".join([".".join(map(str, one["loc"])) or "body", one["msg"]]) for one in error.errors())
        raise Problem(422, "; ".join(wrong)) from None


def idempotency_key(request: web.Request) -> str:
    """The header `Idempotency-Key`, or "" if it is missing. Raises Problem 422."""
    header = request.headers.get("Idempotency-Key")
    return "" if header is None else key(header)


def key(value: str) -> str:
    """An idempotency key from a header or a path. Raises Problem 422."""
    if not KEY.fullmatch(value):
        raise Problem(422, "A key has 1 to 200 characters: letters, digits, and . _ : -")
    return value


def kind_and_order(key: str, default: str) -> tuple[str, str]:
    """`receipt` and `1001` of `receipt:1001`. A key without a kind has the default, one about no order has ""."""
    kind, _, about = key.partition(":")
    return kind or default, about if about.isdigit() else ""


def utc(name: str, value: str) -> str:
    """An ISO 8601 time in the store's format; "" stays "". Raises Problem 422."""
    try:
        return value and datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise Problem(422, f"{name} must be a time such as 2026-11-22T10:30:00+00:00.") from None
