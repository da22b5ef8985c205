"""Loyalty points: one for each whole euro of a paid order. They are rows of ours, so no job is needed to take them
back: that happens in the transaction that cancels the order.
"""

from django.db.models import F

from orders.models import LoyaltyAccount, Order, Status


def add_points(number: int) -> None:
    """Add the order's points to its customer's account, made at need; none for an order that has brought its points
    already, or was cancelled meanwhile.

    To be called in a transaction, as that of an atomic task. The UPDATE adds in the database, so two orders of one
    customer at once both count.
    """
    order = Order.objects.only("email", "total").get(number=number)
    points = int(order.total)
    kept = Order.objects.filter(number=number, status__in=[Status.PAID, Status.ON_HOLD], points=0)
    if kept.update(points=points):  # locks the order: a cancellation comes before us, or sees our points
        account, _ = LoyaltyAccount.objects.get_or_create(email=order.email.lower())
        LoyaltyAccount.objects.filter(pk=account.pk).update(points=F("points") + points)


def take_back(order: Order) -> None:
    """Take back what the order has earned; to be called in the transaction that has just cancelled it."""
    if order.points:
        LoyaltyAccount.objects.filter(email=order.email.lower()).update(points=F("points") - order.points)
        Order.objects.filter(number=order.number).update(points=0)
