"""Cancelling an order, by staff, or by its customer until it is sent. The payment is released or refunded, points are
taken back, and unsent stock returns to the shelf.

The status changes by compare-and-set, and the rest commits with it: our own rows at once, the gateway and the
customer by jobs. Of two concurrent cancellations one does everything and the other nothing.
"""

from django.db import transaction

from backroom import enqueue_all
from backroom.ledger import operations
from orders import events, follow_ups
from orders.fulfilment import loyalty
from orders.models import Invoice, Order, Status
from orders.ordering import settlement, stock


def cancel(number: int) -> bool:
    """Cancel an order in any status; False if it has ended already. An unpaid one comes first: it may become paid at
    this moment, and then the second cancels it."""
    return settlement.cancel(number) or cancel_paid(number)


def cancel_unsent(number: int) -> bool:
    """Cancel a paid order for its customer; False once its shipment may have been requested. The UPDATEs of this and of
    the shipment name each other's column, so the first of the two wins."""
    return cancel_paid(number, sent_at=None)


def cancel_paid(number: int, **conditions: None) -> bool:
    """Cancel an order that is paid or on hold and meets the conditions; False if it does not.

    The UPDATE waits for an invoice that is being made, and one that is made later finds the order cancelled: so
    whether an invoice exists is final here.
    """
    with transaction.atomic():
        # An erased order has no customer to refund and to mail.
        paid = Order.objects.filter(
            number=number, status__in=[Status.PAID, Status.ON_HOLD], erased_at=None, **conditions
        )
        if not paid.update(status=Status.CANCELLED):
            return False
        order = Order.objects.get(number=number)
        # In the order of their chains, in which a finishing job locks them, too: no deadlock.
        for follow_up in follow_ups.FOLLOW_UPS:
            if follow_up.stops:
                operations.cancel(keys=[follow_up.key(number)], why="the order was cancelled")
        if order.sent_at is None:  # otherwise the goods may be on their way
            stock.release(number)
        loyalty.take_back(order)
        invoiced = Invoice.objects.filter(order=order).exists()
        Order.objects.filter(number=number).update(credited=invoiced)
        enqueue_all(*follow_ups.calls(number, *follow_ups.ending(invoiced)))
        operations.reschedule(follow_ups.ERASE.key(number))  # it waits for the end of a review
        events.announce(number, "cancelled")
    return True
