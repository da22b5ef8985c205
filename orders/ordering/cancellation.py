"""Cancelling an order, by staff: the money goes back, the points too, and the pieces if they are still here.

The status is changed by compare-and-set, and all else is in the same transaction: rows of ours are put right in it, the
gateway and the customer hear of it by jobs. So of two who cancel at once one does it, and one that dies did all or
nothing.
"""

from django.db import transaction

from backroom import enqueue_all
from backroom.ledger import operations
from orders import tasks
from orders.fulfilment import loyalty
from orders.models import Order, Status
from orders.ordering import settlement, stock

# What need not happen any more, if it has not begun. In the order of their chain, in which a finish locks them, too.
NEEDLESS = ("receipt", "fraud", "capture", "shipment")


def cancel(number: int) -> bool:
    """Cancel an order at whatever stage; False if it is over already. The payment may come about at this very moment,
    so first what is not paid is cancelled, and then what is."""
    return settlement.cancel(number) or cancel_paid(number)


def cancel_paid(number: int) -> bool:
    """Cancel an order that is paid or on hold; False if it is neither."""
    with transaction.atomic():
        paid = Order.objects.filter(number=number, status__in=[Status.PAID, Status.ON_HOLD])
        if not paid.update(status=Status.CANCELLED):
            return False
        order = Order.objects.get(number=number)
        for kind in NEEDLESS:
            operations.cancel(keys=[f"{kind}:{number}"], why="the order was cancelled")
        if order.sent_at is None:  # else they may be on their way
            stock.give_back(number)
        loyalty.take_back(order)
        enqueue_all(tasks.refund_payment.call(number), tasks.mail_cancellation.call(number))
    return True
