"""Loyalty points: one for each whole euro of a paid order's products. The transaction that cancels an order takes
them back."""

from django.db.models import F

from orders.models import LoyaltyAccount, Order, Status


def add_points(number: int) -> None:
    """Add the order's points to its customer's account, which it creates if missing. Does nothing for an order that is
    cancelled or was counted before.

    Call it in a transaction, as an atomic task does. The UPDATE adds in the database, so concurrent orders of one
    customer both count.
    """
    # The lock lets a cancellation, or a correction of the address, come before this, or see the points.
    order = Order.objects.select_for_update(no_key=True).only("email", "total", "delivery").get(number=number)
    points = int(order.total - order.delivery)
    kept = Order.objects.filter(number=number, status__in=[Status.PAID, Status.ON_HOLD], points=0)
    if kept.update(points=points):
        _add(order.email, points)


def _add(email: str, points: int) -> None:
    """The lock keeps an empty account from being deleted before it gets its points."""
    account, _ = LoyaltyAccount.objects.select_for_update().get_or_create(email=email.lower())
    LoyaltyAccount.objects.filter(pk=account.pk).update(points=F("points") + points)


def take_back(order: Order) -> None:
    """Take back the order's points. Call it in the transaction that cancels the order."""
    if order.points:
        LoyaltyAccount.objects.filter(email=order.email.lower()).update(points=F("points") - order.points)
        Order.objects.filter(number=order.number).update(points=0)


def leave(order: Order) -> None:
    """Take the order's points out of its customer's account, and delete an empty account. The order keeps its count of
    them. Call it in the transaction that takes the customer off the order."""
    _take(order.email, order.points)


def move(old: str, email: str, points: int) -> None:
    """Move points to another customer's account. Call it in the transaction that changes the address of their
    orders."""
    _take(old, points)
    if points:
        _add(email, points)


def _take(email: str, points: int) -> None:
    account = LoyaltyAccount.objects.filter(email=email.lower())
    account.update(points=F("points") - points)
    account.filter(points=0).delete()
