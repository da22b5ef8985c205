"""Shipping labels as PDF: where a parcel goes, laid out by typst/label.typ. The warehouse's number is in a QR code."""

from typing import Any

import segno

from orders.documents import Label
from orders.fulfilment.pdf import SELLER, render
from orders.models import Order, Status


def make_label(number: int) -> None:
    """Create and store the label of an order that the warehouse has accepted; a second call does nothing, nor one for a
    cancelled order or an erased customer. Call it in the job's transaction.

    The lock makes an erasure wait, which then deletes the label.
    """
    order = Order.objects.select_for_update(no_key=True).get(number=number)
    if order.status == Status.PAID and order.erased_at is None and not Label.objects.filter(order=order).exists():
        Label.objects.create(order=order, pdf=render("label.typ", label(order)))


def label(order: Order) -> dict[str, Any]:
    """A label's text as the template takes it: strings, ready to print; and `made_at` (Unix time)."""
    code = segno.make(order.tracking, micro=False).svg_inline(border=0, omitsize=True)
    return {
        "seller": SELLER,
        "made_at": int(order.sent_at.timestamp()) if order.sent_at else 0,
        "order": str(order.number),
        "tracking": order.tracking,
        "code": code.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1),
        "to": [order.name, order.address, f"{order.postcode} {order.city}", order.country_name],
    }
