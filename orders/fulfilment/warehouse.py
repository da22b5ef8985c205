"""Asking the warehouse to send what was paid for."""

from django.db.models.functions import Coalesce, Now

from backroom.outbound.http import Partner
from orders.fulfilment.may_capture import go_ahead
from orders.models import Order, Status

partner = Partner("warehouse", timeout=(1, 10))


def request_shipment(number: int) -> None:
    """Request the shipment of a paid order, and none of a cancelled one. Raises what go_ahead and Partner.post do.

    From `sent_at` on it counts as sent, whether or not the warehouse has answered yet. It is set before anybody is
    asked, and only while the order is paid: an order that is cancelled in this instant either is not sent, or its
    cancellation sees that it may be on its way and keeps its pieces off the shelf.
    """
    order = Order.objects.get(number=number)
    still_paid = Order.objects.filter(number=number, status=Status.PAID)
    if go_ahead(order) and still_paid.update(sent_at=Coalesce("sent_at", Now())):
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
