"""Buying: from a basket to an order with a payment.

Transaction A reserves the stock, inserts the order and enqueues `settle:<number>`. The payment is authorized outside
any transaction. Transaction B is settlement.py. If this process dies in between, `settle:<number>` finishes the order:
no charge without an order, no order without a charge.
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
from django.utils import timezone

from backroom import Permanent, RetryAfter, enqueue_all
from backroom.ledger import db_errors, operations
from backroom.observe import context
from backroom.outbound.errors import Away, PartnerUnavailable, PartnerUnreachable
from catalog.templatetags.money import money
from orders import events, numbers, payments
from orders.cart import MAX_PIECES, Cart
from orders.follow_ups import SETTLE
from orders.models import Order, OrderLine, Status
from orders.ordering import basket, delivery, owners, settlement, stock
from orders.ordering.basket import Wanted
from orders.ordering.refusals import KeyReused, Refused, TooLarge

log = logging.getLogger(__name__)

SETTLE_AFTER = timedelta(minutes=1)  # much longer than a request takes
KEY_LASTS = timedelta(days=1)
ALIVE = [Status.PLACED, Status.PAID, Status.ON_HOLD]
LARGEST_TOTAL = Decimal(100_000)


@dataclass(frozen=True)
class Customer:
    """The customer and the delivery address, validated by the form or the API."""

    email: str
    name: str
    address: str
    city: str
    postcode: str
    country: str


def place(
    customer: Customer, wanted: Sequence[Wanted], card: str, key: str | None = None, user: int | None = None
) -> Order:
    """Place an order and pay for it; `user` is the account that orders, None a guest. Returns it paid, declined,
    cancelled (the gateway could not be reached) or placed (the payment is being confirmed). The same key again returns
    the first order and charges nothing.

    Raises Refused, and django.db.Error as long as nothing is charged; after that it always returns the order. Must not
    be called inside a transaction.
    """
    fingerprint = fingerprint_of(customer, wanted, card)
    try:
        order = numbers.retry_if_taken(db_errors.retry_on_clash, reserve, customer, wanted, key, fingerprint, user)
    except (Refused, IntegrityError):
        # A repetition. A concurrent one waits for the first INSERT and then violates the unique key; a later one may
        # find the stock sold out, to its own first order. In both cases the first order is the answer.
        twin = _earlier(key, fingerprint)
        if twin is None:
            raise
        if twin.status != Status.PLACED:
            return twin
        order = twin  # its request died, or is still at the gateway, which knows the key
    return _paid(order, card)


def _paid(order: Order, card: str) -> Order:
    """The order after its payment. The card may have been charged, so no error leaves here: "placed" is true, and
    `settle:<number>` finishes the order."""
    try:
        _pay(order, card)
        order.refresh_from_db(fields=["status", "paid_at"])
    except Exception:
        log.exception("order %s is left to its settle job", order.number)
        db_errors.close_connection()
    return order


def take_from_cart(order: Order, cart: Cart) -> None:
    """Take what was ordered out of the cart, and give the cart's next order another key. An order that ended unpaid in
    this moment leaves the cart as it is: the row's lock puts this before or after its end, which gives back."""
    with transaction.atomic():
        alive = Order.objects.filter(number=order.number, cart=None, status__in=ALIVE)
        if alive.update(cart=cart):
            cart.take_out(order.lines.values_list("product_id", "quantity"))
        cart.renew_key()


def fingerprint_of(customer: Customer, wanted: Sequence[Wanted], card: str) -> str:
    """SHA-256 of the request's content. It tells a repetition from another order with the same key."""
    lines = sorted((line.slug, line.quantity, str(line.price)) for line in wanted)
    return hashlib.sha256(json.dumps([asdict(customer), lines, card]).encode()).hexdigest()


def reserve(
    customer: Customer, wanted: Sequence[Wanted], key: str | None, fingerprint: str, user: int | None = None
) -> Order:
    """Transaction A. The order is inserted first: a key in use fails here, before any product row is locked."""
    with transaction.atomic(durable=True):
        if user is not None:
            owners.lock(user)
        if sum(line.quantity for line in wanted) > MAX_PIECES:
            raise TooLarge(f"An order can have at most {MAX_PIECES} pieces in all.")
        picked = basket.pick(wanted)
        products = sum((product.price * quantity for product, quantity in picked), Decimal(0))
        parcel = delivery.quote(customer.country, products)
        total = products + parcel.cost
        if total > LARGEST_TOTAL:
            raise TooLarge(f"The total of an order can be at most {money(LARGEST_TOTAL)}.")
        order = Order.objects.create(
            **asdict(customer),
            user_id=user,
            total=total,
            delivery=parcel.cost,
            delivery_vat_rate=delivery.VAT_RATE,
            arrives_on=parcel.arrives_on,
            currency=settings.STORE_CURRENCY,
            idempotency_key=key,
            fingerprint=fingerprint,
        )
        context.bind(order=order.number)
        for product, quantity in picked:
            if not stock.reserve(product, quantity):
                raise basket.refusal(product, quantity)
        OrderLine.objects.bulk_create(basket.order_line(order, product, quantity) for product, quantity in picked)
        if user is not None:
            events.announce(order.number, "placed")
        enqueue_all(SETTLE.call(order.number, run_after=SETTLE_AFTER))
    return order


def _earlier(key: str | None, fingerprint: str) -> Order | None:
    """The first order with this key. Raises KeyReused if its content differs, or if it is old.

    The answer opens the order, so a key belongs to its request: views.py takes the form's key with its own cart only,
    and the API, which knows no callers, is left with the whole request. A guessed key gives away that it was used; used
    first, it blocks the other client's order. Each guess counts as an order in the limits. A copy of the whole request,
    with the customer's name, address and card, gives the order away for a day, as a client may retry from anywhere.
    """
    order = Order.objects.filter(idempotency_key=key).first() if key else None
    if order and order.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used before, for a different order.")
    if order and order.created_at < timezone.now() - KEY_LASTS:
        raise KeyReused("This Idempotency-Key was used over a day ago. The link to its order is in the receipt.")
    return order


def _pay(order: Order, card: str) -> None:
    """Authorize the payment. Without a clear answer the card may have been charged, and the settle job runs soon. A
    gateway that was never reached has charged nothing, and the card is not stored for later: the order is over."""
    try:
        payment = payments.authorize(order.number, order.total, order.currency, card)
    except (Away, PartnerUnreachable):
        payment = None
    except (PartnerUnavailable, RetryAfter, Permanent):
        payment = payments.PENDING
    if payment == payments.PENDING:
        operations.reschedule(SETTLE.key(order.number), seconds=5)
    else:
        db_errors.retry_on_clash(settlement.conclude, order.number, payment, True)
