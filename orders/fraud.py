"""The fraud review of a paid order, by a partner. It may put the order on hold, for a person to look at."""

import logging

from jobs.http import Partner
from orders.models import Order, Status

log = logging.getLogger(__name__)

partner = Partner("fraud", timeout=(1, 5))


def review(number: int) -> None:
    """Have an order reviewed; "hold" puts it on hold if it is still paid, by compare-and-set: a person who
    has cancelled it meanwhile wins. Raises what Partner.post does.

    Accepted: a worker that dies between our UPDATE and the job's finish reviews again, gets the recorded
    verdict again, and would take back a person's release of the order if that fell into this same instant.
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
        held = Order.objects.filter(number=number, status=Status.PAID).update(status=Status.ON_HOLD)
        log.info(
            "order %s: fraud score %s, %s",
            number,
            answer.get("score"),
            "on hold" if held else "not paid any more",
        )
