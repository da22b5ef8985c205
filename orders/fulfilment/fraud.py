"""The fraud review of a paid order by a partner. It may put the order on hold before the charge."""

import logging

from django.db.models.functions import Now

from backroom.outbound.http import Partner
from orders.models import Order, Status

log = logging.getLogger(__name__)

partner = Partner("fraud", timeout=(1, 5))


def review(number: int) -> None:
    """Review an order; the verdict "hold" puts it on hold if it is still paid. Raises what Partner.post does.

    The compare-and-set lets a concurrent cancellation win. An order is put on hold once: a worker that dies between
    this UPDATE and its job's finish reviews again, and without `held_at` would undo a release in between.
    """
    order = Order.objects.get(number=number)
    body = {"order": str(number), "amount": str(order.total), "currency": order.currency, "country": order.country}
    answer = partner.post("/fraud/reviews", body, key=f"fraud:{number}")
    if answer["verdict"] == "hold":
        suspect = Order.objects.filter(number=number, status=Status.PAID, held_at=None)
        held = suspect.update(status=Status.ON_HOLD, held_at=Now())
        outcome = "on hold" if held else "released or cancelled already"
        log.info("order %s: fraud score %s, %s", number, answer.get("score"), outcome)
