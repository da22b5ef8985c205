"""The bodies of the API's requests and responses. Strict: no text for a number, no unknown field."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Literal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django_countries import countries
from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, StringConstraints, field_validator

from orders.storefront.text import max_length, one_printable_line


def _checked(check: Callable[[str], None]) -> AfterValidator:
    """A Django validator for pydantic."""

    def run(value: str) -> str:
        try:
            check(value)
        except ValidationError as error:
            raise ValueError(error.messages[0]) from None
        return value

    return AfterValidator(run)


def _known_country(code: str) -> None:
    if code not in countries:
        raise ValidationError("This is not an ISO 3166-1 alpha-2 country code.")


def _line_of(field: str) -> StringConstraints:
    return StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=max_length(field))


Printable = _checked(one_printable_line)
# Money is text with two decimals: never a JSON number, which many programs read as a float.
Money = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str)]
Price = Annotated[str, StringConstraints(strict=True, pattern=r"^\d{1,6}\.\d{2}$")]


class LineIn(Schema):
    """One product of an order. With a price, the order fails (409) once the price has changed."""

    model_config = ConfigDict(extra="forbid")

    product: Annotated[str, StringConstraints(strict=True, pattern=r"^[-a-zA-Z0-9_]{1,50}$")] = Field(
        description="the product's slug"
    )
    quantity: Annotated[int, Field(strict=True, ge=1, le=99)]
    price: Price | None = Field(None, description="the price that the customer saw")


class OrderIn(Schema):
    """An order. Text is trimmed; each product has one line."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, _line_of("email"), _checked(validate_email), Printable]
    name: Annotated[str, _line_of("name"), Printable]
    address: Annotated[str, _line_of("address"), Printable]
    city: Annotated[str, _line_of("city"), Printable]
    postcode: Annotated[str, _line_of("postcode"), Printable]
    country: Annotated[str, StringConstraints(strict=True, strip_whitespace=True), _checked(_known_country)]
    card: Literal["demo-approve", "demo-decline", "demo-slow"]
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=50)]

    @field_validator("lines")
    @classmethod
    def each_product_once(cls, lines: list[LineIn]) -> list[LineIn]:
        if len({line.product for line in lines}) < len(lines):
            raise ValueError("Each product may have one line only: add up its quantities.")
        return lines


class Placed(Schema):
    """A placed order. Keep the token: it opens the order's page."""

    number: int
    status: str = Field(
        description="placed: the payment is being confirmed; paid; on_hold: paid, and under review before the card is "
        "charged and the order ships; declined; cancelled: the payment could not be confirmed, or staff cancelled the "
        "order and the payment is released or refunded"
    )
    total: Money
    currency: str
    url: str
    token: str


class LineOut(Schema):
    product: str
    name: str
    unit: str
    unit_price: Money
    quantity: int


class JobOut(Schema):
    """A background job. `wait_ms` until its last start, `run_ms` from there; null: not yet."""

    id: str
    task: str
    key: str
    state: str
    attempts: int
    wait_ms: int | None
    run_ms: int | None


class OrderOut(Placed):
    delivery: Money = Field(description="its cost, included in the total")
    lines: list[LineOut]
    jobs: list[JobOut]


class ProductOut(Schema):
    slug: str
    name: str
    price: Money
    currency: str
    stock: int


class Products(Schema):
    items: list[ProductOut]
    next: str | None = Field(description="the address of the next page; null on the last page")


class FieldError(Schema):
    pointer: str | None = None
    detail: str


class Problem(Schema):
    """Any error, by RFC 9457: application/problem+json."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] | None = None
