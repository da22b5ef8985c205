"""Whether the money of an order may be taken and its goods sent."""

from backroom import Permanent, Snooze
from orders.models import Order, Status

LOOK_AGAIN = 3600  # seconds between two looks at an order on hold; settlement.release_hold cuts the wait short


def go_ahead(order: Order) -> bool:
    """True for a paid order, False for one that was cancelled. Raises Snooze while it is on hold, and Permanent for one
    that was never paid."""
    if order.status == Status.ON_HOLD:
        raise Snooze(LOOK_AGAIN, "the order is on hold")
    if order.status not in (Status.PAID, Status.CANCELLED):
        raise Permanent(f"the order is {order.get_status_display()}: nothing is charged, nothing sent")
    return order.status == Status.PAID
