"""The fraud review of a paid order, by a partner. It may put the order on hold, for a person to look at, before any
money is taken and anything is sent."""

import logging

from django.db.models.functions import Now

from backroom.outbound.http import Partner
from orders.models import Order, Status

log = logging.getLogger(__name__)

partner = Partner("fraud", timeout=(1, 5))


def review(number: int) -> None:
    """Have an order reviewed; "hold" puts it on hold if it is still paid, by compare-and-set: a person who
    has cancelled it meanwhile wins. Raises what Partner.post does.

    An order is put on hold once. A worker that dies between our UPDATE and the job's finish reviews again and gets the
    recorded verdict again; without `held_at` it would take back a person's release that fell in between.
    """
    order = Order.objects.get(number=number)
    answer = partner.post(
        "/fraud/reviews",
        {
            "order": str(number),
            "amount": str(order.total),
            "currency": order.currency,
            "country": order.country,
        },
        key=f"fraud:{number}",
    )
    if answer["verdict"] == "hold":
        suspect = Order.objects.filter(number=number, status=Status.PAID, held_at=None)
        held = suspect.update(status=Status.ON_HOLD, held_at=Now())
        log.info(
            "order %s: fraud score %s, %s",
            number,
            answer.get("score"),
            "on hold" if held else "released or cancelled already",
        )
