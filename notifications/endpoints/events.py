"""The one call by which the rest of the shop tells a person's own systems of an event."""

from secrets import token_hex
from typing import Any

from django.db import transaction

from backroom import enqueue_all
from notifications.endpoints import jobs
from notifications.endpoints.models import Delivery, Endpoint, Event

# What an endpoint may choose, and what the page says of each. This room knows no order.
TYPES = {
    "order.placed": "an order was placed",
    "order.paid": "its payment was approved",
    "order.shipped": "its parcel left",
    "order.delivered": "its parcel arrived",
    "order.cancelled": "it was cancelled, or its payment was declined",
    "order.refunded": "its payment was refunded",
}
TEST = "test"


def emit(user: int, type: str, about: str, data: dict[str, Any]) -> None:
    """Tell a person's endpoints of an event, once: in the caller's transaction, the event, a delivery for each, and
    their jobs. `about` is an id; another event of this type about it does nothing. `data` has no personal data.

    Without an endpoint that chose it, nothing is kept. An endpoint that is added at this moment may miss it. Race: one
    is deleted now. Whichever of the two locks it first, the other waits.
    """
    with transaction.atomic():
        mine = Endpoint.objects.filter(user=user).exclude(state=Endpoint.State.OFF).order_by("id")
        if wanted := [each for each in mine.select_for_update(no_key=True) if each.chose(type)]:
            _deliver(user, type, about, data, wanted)


def send_test(endpoint: Endpoint) -> None:
    """An event for this endpoint alone."""
    _deliver(endpoint.user_id, TEST, f"{endpoint.pk}-{token_hex(8)}", {"endpoint": str(endpoint.pk)}, [endpoint])


def _deliver(user: int, type: str, about: str, data: dict[str, Any], endpoints: list[Endpoint]) -> None:
    """Two calls at once: the second waits at the unique pair for the first's transaction, then finds its event."""
    with transaction.atomic():
        fresh = {"id": f"evt_{token_hex(12)}", "user_id": user, "data": data}
        event, new = Event.objects.get_or_create(type=type, about=about, defaults=fresh)
        if new:
            deliveries = Delivery.objects.bulk_create(
                Delivery(event=event, endpoint=endpoint, round=1) for endpoint in endpoints
            )
            enqueue_all(*(jobs.call(delivery, delivery.endpoint) for delivery in deliveries))
