"""Requesting the shipment of a paid order from the warehouse."""

import re
from typing import Any

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from backroom import enqueue_all
from backroom.outbound.http import Partner
from orders import follow_ups
from orders.follow_ups import When
from orders.fulfilment.capture import may_capture
from orders.models import Order, Status

partner = Partner("warehouse", timeout=(1, 10))
TRACKING = re.compile(r"[!-~]{1,40}")


def request_shipment(number: int) -> None:
    """Request the shipment of a paid order; a cancelled one is left alone. Raises what may_capture and Partner.post do.

    `sent_at` is set before the request, and only while the order is paid. A concurrent cancellation therefore either
    stops the shipment, or sees that the goods may be on their way and does not restock them.
    """
    order = Order.objects.get(number=number)
    still_paid = Order.objects.filter(number=number, status=Status.PAID)
    if may_capture(order) and still_paid.update(sent_at=Coalesce("sent_at", Now())):
        answer = partner.post("/warehouse/shipments", _shipment(order), key=f"shipment:{number}")
        accept(number, answer.get("tracking"))


def accept(number: int, tracking: Any) -> None:
    """Keep the parcel's tracking number, and enqueue what follows, once. Ignores what is not 1 to 40 characters of
    ASCII: the number is printed and mailed.

    A job that dies after the answer asks again and gets the same number, by its key.
    """
    if isinstance(tracking, str) and TRACKING.fullmatch(tracking):
        with transaction.atomic():
            if Order.objects.filter(number=number, tracking="", erased_at=None).update(tracking=tracking):
                enqueue_all(*follow_ups.calls(number, When.SENT))


def _shipment(order: Order) -> dict:
    fields = ("name", "address", "city", "postcode", "country")
    return {
        "order": str(order.number),
        **{field: getattr(order, field) for field in fields},
        "lines": [
            {"sku": line.product.slug, "name": line.name, "quantity": line.quantity}
            for line in order.lines.select_related("product")
        ],
    }
