"""The analytics partner gets an event for each paid order: sums, and nothing about the person."""

from django.db.models import Sum

from backroom.outbound.http import Partner
from orders.models import Order

partner = Partner("analytics", timeout=(1, 5))


def send_order_paid(number: int) -> None:
    """Send the event. Raises what Partner.post does."""
    order = Order.objects.annotate(items=Sum("lines__quantity")).get(number=number)
    event = {
        "event": "order_paid",
        "order": str(number),
        "amount": str(order.total),
        "currency": order.currency,
        "items": order.items,
    }
    partner.post("/analytics/events", event, key=f"analytics:{number}")
