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
    """As checkout.place. Raises LimitReached, too: by orders of the client or for the mail address, or by orders of the
    client that were declined, or stay unconfirmed and hold stock."""
    client = client_of(request)
    limits.check(request, unpaid_by_client=client)
    limits.take(request, orders_by_client=client, orders_by_email=customer.email.casefold())
    order = checkout.place(customer, wanted, card, key, user)
    if order.status in UNPAID:
        limits.count(unpaid_by_client=client)
    return order
