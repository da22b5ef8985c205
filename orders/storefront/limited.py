"""Orders within their limits, from the form and the API alike."""

from collections.abc import Sequence

from django.http import HttpRequest

from backroom.inbound import limits
from backroom.inbound.client import client_of
from orders.models import Order, Status
from orders.ordering import checkout

UNPAID = (Status.DECLINED, Status.PLACED)  # an unreachable gateway is not the customer's doing


def place(
    request: HttpRequest,
    customer: checkout.Customer,
    wanted: Sequence[checkout.Wanted],
    card: str,
    key: str | None,
    user: int | None = None,
) -> Order:
    """As checkout.place. Raises LimitReached, too: by orders of the client or for the mail address, by its orders that
    were declined or stay unconfirmed, or by the pieces that these hold."""
    client = client_of(request)
    limits.check(request, unpaid_by_client=client)
    limits.take(request, orders_by_client=client, orders_by_email=customer.email.casefold())
    pieces, held = sum(line.quantity for line in wanted), False
    limits.take(request, pieces, unpaid_pieces_by_client=client)  # before: a slow card takes seconds, many come at once
    try:
        order = checkout.place(customer, wanted, card, key, user)
        held = order.status == Status.PLACED
    finally:
        if not held:
            limits.count(-pieces, unpaid_pieces_by_client=client)
    if order.status in UNPAID:
        limits.count(unpaid_by_client=client)
    return order
