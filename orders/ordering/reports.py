"""What a partner reports of an order by webhook: the event, and what changes with it, in one transaction."""

import logging
import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from structlog.contextvars import bound_contextvars

from backroom.inbound.webhooks import Event, Unreadable
from orders.models import Order, PaymentEvent, ShipmentEvent

log = logging.getLogger(__name__)

NUMBER = re.compile("[1-9][0-9]{0,17}")


def record(
    partner: str,
    event: Event,
    table: type[PaymentEvent | ShipmentEvent],
    kind: str | None,
    change: Callable[[Order], None],
) -> None:
    """Store an event, and make its change once. One without a kind or with an unknown order is only logged. Raises
    Unreadable for one without an order's number."""
    if kind is None:
        log.info("ignored a report of the %s: its type is unknown", partner)
        return
    number = number_of(event.data)
    with bound_contextvars(order=number), transaction.atomic():
        order = Order.objects.filter(number=number).first()
        if order is None:
            log.warning("the %s reports of order %s, which does not exist", partner, number)
            return
        values = {"order": order, "kind": kind, "at": event.at}
        if table.objects.get_or_create(id=event.id, defaults=values)[1]:
            change(order)


def number_of(data: dict[str, Any]) -> int:
    """Raises Unreadable for data without the order's number, as text."""
    text = data.get("order")
    if not (isinstance(text, str) and NUMBER.fullmatch(text)):
        raise Unreadable("its order is not a number, as text")
    return int(text)
