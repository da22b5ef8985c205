"""Buying: from a basket to an order with a payment, step by step.

Transaction A reserves the pieces, writes the order and enqueues the safety net; then the gateway is asked, outside any
transaction; then settlement.py draws the consequence, transaction B. If this process dies anywhere in between,
`settle:<number>` finishes the order: no charge without an order, no order without a charge.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction

from backroom import Permanent, RetryAfter
from backroom.ledger import db_errors, operations
from backroom.observe import context
from backroom.outbound.errors import Away, PartnerUnavailable, PartnerUnreachable
from catalog.models import Product
from orders import payments
from orders.models import Order, OrderLine, Status
from orders.ordering import settlement, stock

log = logging.getLogger(__name__)

SETTLE_AFTER = timedelta(minutes=1)  # much longer than any request lives
LARGEST_TOTAL = Decimal(100_000)


@dataclass(frozen=True)
class Customer:
    """Who buys and where it goes; validated by the form or the API."""

    email: str
    name: str
    address: str
    city: str
    postcode: str
    country: str


@dataclass(frozen=True)
class Wanted:
    """One product of a basket, each product once. `price` is what the customer saw, or None for whatever it is."""

    slug: str
    quantity: int
    price: Decimal | None = None


class Refused(Exception):
    """The order can't be taken, and nothing was saved. The message is for the customer."""

    def __init__(self, message: str, slug: str = "") -> None:
        super().__init__(message)
        self.slug = slug  # of the product it is about


class UnknownProduct(Refused):
    """There is no such product, or it is not sold any more."""


class PriceChanged(Refused):
    """The price is not what the customer saw."""


class SoldOut(Refused):
    """There are fewer pieces than wanted."""


class TooLarge(Refused):
    """The total is absurd."""


class KeyReused(Refused):
    """The idempotency key came before, with another order."""


def place(customer: Customer, wanted: Sequence[Wanted], card: str, key: str | None = None) -> Order:
    """Place an order and pay for it; returns it as it then stands: paid, declined, cancelled where the gateway could
    not be asked, or placed while the payment is being confirmed. The same key again returns the order that it named
    first, and charges nothing.

    Raises Refused, and django.db.Error while nothing is charged: an order that stands is always answered, as placed
    where the database is lost on the way. Must not be called inside a transaction.
    """
    fingerprint = fingerprint_of(customer, wanted, card)
    try:
        order = db_errors.retry_on_clash(reserve, customer, wanted, key, fingerprint)
    except (Refused, IntegrityError):
        # A repetition, maybe at the same moment: it waits for the first one's INSERT and then fails on the unique key;
        # or it came so late that the first one has bought the last piece. Either way the first one's order answers.
        twin = _earlier(key, fingerprint)
        if twin is None:
            raise
        if twin.status != Status.PLACED:
            return twin
        order = twin  # the first request died, or lost the answer of its commit; if it lives, the gateway knows the key
    return _paid(order, card)


def _paid(order: Order, card: str) -> Order:
    """The order with its payment. Whatever fails from here on, the order stands and the card may have been charged:
    "placed" is true, and `settle:<number>` finds out the rest."""
    try:
        _pay(order, card)
        order.refresh_from_db(fields=["status", "paid_at"])
    except Exception:
        log.exception("order %s is left to settling", order.number)
        db_errors.close_connection()
    return order


def fingerprint_of(customer: Customer, wanted: Sequence[Wanted], card: str) -> str:
    """SHA-256 of what is asked for, by which a repetition is told from another order under the same key."""
    lines = sorted((line.slug, line.quantity, str(line.price)) for line in wanted)
    return hashlib.sha256(json.dumps([asdict(customer), lines, card]).encode()).hexdigest()


def reserve(customer: Customer, wanted: Sequence[Wanted], key: str | None, fingerprint: str) -> Order:
    """Transaction A. The order goes in first: with a key taken it ends here, before any product row is locked."""
    with transaction.atomic(durable=True):
        picked = _pick(wanted)
        total = sum((product.price * quantity for product, quantity in picked), Decimal(0))
        if total > LARGEST_TOTAL:
            raise TooLarge("That is more than we can sell in one order.")
        order = Order.objects.create(
            **asdict(customer),
            total=total,
            currency=settings.STORE_CURRENCY,
            idempotency_key=key,
            fingerprint=fingerprint,
        )
        context.bind(order=order.number)
        for product, quantity in picked:
            if not stock.reserve(product, quantity):
                raise _what_became_of(product, quantity)
        OrderLine.objects.bulk_create(_line(order, product, quantity) for product, quantity in picked)
        settlement.settle_payment.using(run_after=SETTLE_AFTER).enqueue(order.number)
    return order


def _pick(wanted: Sequence[Wanted]) -> list[tuple[Product, int]]:
    """The products with their quantities, by id. Raises Refused for what can be seen without a lock."""
    by_slug = {
        product.slug: product for product in Product.objects.filter(slug__in=[w.slug for w in wanted], active=True)
    }
    for line in wanted:
        product = by_slug.get(line.slug)
        if product is None:
            raise UnknownProduct("This product is not sold here (any more).", line.slug)
        if line.price is not None and line.price != product.price:
            raise PriceChanged(f"The price of {product.name} is now {product.price} {product.currency}.", line.slug)
        if product.stock < line.quantity:
            raise _sold_out(product)
    return sorted(((by_slug[line.slug], line.quantity) for line in wanted), key=lambda pair: pair[0].pk)


def _sold_out(product: Product) -> SoldOut:
    left = f"only {product.stock} left" if product.stock else "sold out"
    return SoldOut(f"{product.name}: {left}.", product.slug)


def _what_became_of(product: Product, quantity: int) -> Refused:
    """Why a product could not be reserved although a moment ago it could."""
    product.refresh_from_db(fields=["price", "stock", "active"])
    if not product.active:
        return UnknownProduct(f"{product.name} is not sold any more.", product.slug)
    if product.stock < quantity:
        return _sold_out(product)
    return PriceChanged(f"The price of {product.name} is now {product.price} {product.currency}.", product.slug)


def _line(order: Order, product: Product, quantity: int) -> OrderLine:
    return OrderLine(
        order=order,
        product=product,
        name=product.name,
        unit=product.unit,
        unit_price=product.price,
        vat_rate=product.vat_rate,
        quantity=quantity,
        taken=quantity,
    )


def _earlier(key: str | None, fingerprint: str) -> Order | None:
    """The order that this key named first. Raises KeyReused if it was another one."""
    order = Order.objects.filter(idempotency_key=key).first() if key else None
    if order and order.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used before, for another order.")
    return order


def _pay(order: Order, card: str) -> None:
    """Ask the gateway. Where it gives no clear answer, the card may have been charged: settling finds out, soon. Where
    it was never asked there is nothing to find out, and nobody keeps the card to ask later: the order is over."""
    try:
        payment = payments.authorize(order.number, order.total, order.currency, card)
    except (Away, PartnerUnreachable):
        payment = None
    except (PartnerUnavailable, RetryAfter, Permanent):
        payment = payments.PENDING
    if payment == payments.PENDING:
        operations.reschedule(f"settle:{order.number}", seconds=5)
    else:
        answered = True  # by what our caller says next
        db_errors.retry_on_clash(settlement.conclude, order.number, payment, answered)
