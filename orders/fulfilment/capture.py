"""The till: the money of a paid order is taken, or given back. Jobs call this; who decides it stands in settlement.py
and cancellation.py, and has changed the order's status before.

A capture and a cancellation may meet. The gateway takes the first one it hears and refuses the other: a capture that
comes second finds the order cancelled and is done; a void that comes second becomes a refund.
"""

import logging

from django.db.models.functions import Now

from backroom import Permanent
from backroom.outbound.http import Conflict
from orders import payments
from orders.fulfilment.may_capture import go_ahead
from orders.models import Order, Status

log = logging.getLogger(__name__)


def take(number: int) -> None:
    """Take the money of a paid order, and none of a cancelled one. Raises Conflict if the gateway says that there is
    nothing to take, and what go_ahead and payments.capture do."""
    if not go_ahead(Order.objects.get(number=number)):
        return
    try:
        payments.capture(number)
    except Conflict:
        if Order.objects.filter(number=number, status=Status.PAID).exists():
            raise
        log.info("order %s: cancelled before its money was taken", number)


def give_back(number: int) -> str:
    """Give the money of a cancelled order back; returns how, see payments.give_back. Raises Permanent for an order
    that is not cancelled, and what payments.give_back does."""
    cancelled = Order.objects.filter(number=number, status=Status.CANCELLED)
    if not cancelled.exists():
        raise Permanent("the order is not cancelled: its money is not given back")
    how = payments.give_back(number)
    cancelled.filter(returned_at=None).update(returned_at=Now())
    return how
