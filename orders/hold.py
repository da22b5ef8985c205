"""An order on hold: a person looks at it before its money is taken and its goods are sent."""

from jobs import Snooze
from orders.models import Order, Status

LOOK_AGAIN = 3600  # seconds


def wait_for_release(order: Order) -> None:
    """Raises Snooze while the order is on hold; settlement.release_hold cuts the wait short."""
    if order.status == Status.ON_HOLD:
        raise Snooze(LOOK_AGAIN, "the order is on hold")
