"""Asking the warehouse to send what was paid for."""

from jobs import Permanent, Snooze
from jobs.http import Partner
from orders.models import Order, Status

HOLD = 3600  # seconds between two looks at an order on hold

partner = Partner("warehouse", timeout=(1, 10))


def request_shipment(number: int) -> None:
    """Request the shipment of a paid order. Raises Snooze while it is on hold, Permanent if it is not to be
    shipped at all, and what Partner.post does.

    Accepted: an order cancelled in the instant between our look and the warehouse's answer is shipped.
    """
    order = Order.objects.get(number=number)
    if order.status == Status.ON_HOLD:
        raise Snooze(HOLD, "the order is on hold")
    if order.status != Status.PAID:
        raise Permanent(f"the order is {order.get_status_display()}: nothing is shipped")
    partner.post("/warehouse/shipments", _shipment(order), key=f"shipment:{number}")


def _shipment(order: Order) -> dict:
    return {
        "order": str(order.number),
        "name": order.name,
        "address": order.address,
        "city": order.city,
        "postcode": order.postcode,
        "country": order.country,
        "lines": [
            {"sku": line.product.slug, "name": line.name, "quantity": line.quantity}
            for line in order.lines.select_related("product")
        ],
    }
