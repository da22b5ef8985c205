"""Capturing the payment of an order, and refunding it. settlement.py and cancellation.py changed the status before.

A capture and a cancellation may meet. The gateway does the first and answers the other with a conflict: a late capture
finds the order cancelled and ends; a late void becomes a refund.
"""

import logging

from django.db import transaction
from django.db.models.functions import Now

from backroom import Permanent, Snooze
from backroom.outbound.http import Conflict
from orders import events, payments
from orders.models import Order, Status

log = logging.getLogger(__name__)

HOLD_POLL = 3600  # seconds between two looks at an order on hold; settlement.release_hold cuts the wait short


def may_capture(order: Order) -> bool:
    """Whether the payment may be captured and the goods shipped: True for a paid order, False for a cancelled one.
    Raises Snooze while it is on hold, and Permanent for one that was never paid."""
    if order.status == Status.ON_HOLD:
        raise Snooze(HOLD_POLL, "the order is on hold")
    if order.status not in (Status.PAID, Status.CANCELLED):
        raise Permanent(f"the order is {order.get_status_display()}: nothing is charged or shipped")
    return order.status == Status.PAID


def capture(number: int) -> None:
    """Capture the payment of a paid order; a cancelled one is left alone. Raises Conflict if the gateway has nothing to
    capture for a paid order, and what may_capture and payments.capture do."""
    if not may_capture(Order.objects.get(number=number)):
        return
    try:
        payments.capture(number)
    except Conflict:
        if Order.objects.filter(number=number, status=Status.PAID).exists():
            raise
        log.info("order %s: cancelled before its payment was captured", number)
    else:
        _record_charge(number)


def refund(number: int) -> str:
    """Refund a cancelled order; returns how, see payments.refund. Raises Permanent for an order that is not cancelled,
    and what payments.refund does."""
    cancelled = Order.objects.filter(number=number, status=Status.CANCELLED)
    if not cancelled.exists():
        raise Permanent("the order is not cancelled: its payment is not refunded")
    how = payments.refund(number)
    if how == payments.REFUNDED:
        _record_charge(number)  # a worker that died after its capture did not
    with transaction.atomic():
        if cancelled.filter(returned_at=None).update(returned_at=Now()) and how == payments.REFUNDED:
            events.announce(number, "refunded")
    return how


def _record_charge(number: int) -> None:
    Order.objects.filter(number=number, charged_at=None).update(charged_at=Now())
