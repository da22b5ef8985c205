"""The bodies of the API's requests and responses. Strict: no text for a number, no unknown field."""

from decimal import Decimal
from typing import Annotated, Literal

from django.core.exceptions import ValidationError
from django_countries import countries
from ninja import Schema
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict

from orders.cart import MAX_LINES, MAX_PIECES, MAX_QUANTITY
from orders.ordering import delivery
from orders.storefront import text


def _clean(field: str) -> AfterValidator:
    """The rules of an order's column, for pydantic."""

    def run(typed: str) -> str:
        try:
            return text.clean(field, typed)
        except ValidationError as error:
            raise ValueError(error.messages[0]) from None

    return AfterValidator(run)


def _schema(field: str) -> WithJsonSchema:
    """The same rules, for readers of the document."""
    return WithJsonSchema({"type": "string"} | text.schema(field))


def _known_country(code: str) -> str:
    if code not in countries:
        raise ValueError("This is not an ISO 3166-1 alpha-2 country code.")
    return code


# The document lists the countries with a carrier. An order to another one gets a sentence of its own.
Country = Annotated[
    str, Strict(), AfterValidator(_known_country), WithJsonSchema({"type": "string", "enum": sorted(delivery.ZONES)})
]
# Money is text with two decimals: never a JSON number, which many programs read as a float.
Money = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str)]
Price = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9]{1,6}\.[0-9]{2}$")]


class LineIn(Schema):
    """One product of an order. With a price, the order fails (409) once the price has changed."""

    model_config = ConfigDict(extra="forbid")

    product: Annotated[str, StringConstraints(strict=True, pattern=r"^[-a-zA-Z0-9_]{1,50}$")] = Field(
        description="the product's slug"
    )
    quantity: Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
    price: Price | None = Field(None, description="the price that the customer saw")


EXAMPLE: JsonDict = {
    "email": "kawiarnia@example.com",
    "name": "Kawiarnia Łąka",
    "address": "ul. Długa 1",
    "city": "Gdynia",
    "postcode": "81-368",
    "country": "PL",
    "card": "demo-approve",
    "lines": [{"product": "vine-tomatoes", "quantity": 2}],
}


class OrderIn(Schema):
    """An order. Text is trimmed; each product has one line."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    email: Annotated[str, Strict(), _clean("email"), _schema("email")]
    name: Annotated[str, Strict(), _clean("name"), _schema("name")]
    address: Annotated[str, Strict(), _clean("address"), _schema("address")]
    city: Annotated[str, Strict(), _clean("city"), _schema("city")]
    postcode: Annotated[str, Strict(), _clean("postcode"), _schema("postcode")]
    country: Country
    card: Literal["demo-approve", "demo-decline", "demo-slow"]
    lines: Annotated[
        list[LineIn], Field(min_length=1, max_length=MAX_LINES, json_schema_extra={"uniqueItems": True})
    ] = Field(description=f"at most {MAX_PIECES} pieces in all")

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
        "charged and the order ships; declined; cancelled: the payment could not be confirmed, or the customer "
        "or staff cancelled the order and the payment is released or refunded"
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
    """One wrong value: of the body, the query or the headers."""

    pointer: str | None = Field(None, description="JSON pointer to the field of the body")
    query: str | None = Field(None, description="name of the parameter")
    header: str | None = None
    detail: str


class Problem(Schema):
    """Any error, by RFC 9457: application/problem+json."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] | None = None
    product: str | None = Field(None, description="slug of the product that the order was refused for")
    number: int | None = Field(None, description="of the unpaid order")
    order: str | None = Field(None, description="the unpaid order's status")
