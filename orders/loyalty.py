"""Loyalty points: one for each whole euro of a paid order."""

from django.db.models import F

from orders.models import LoyaltyAccount, Order


def add_points(number: int) -> None:
    """Add the order's points to its customer's account, made at need.

    Nothing here remembers that it was done: called in the job's own transaction (an atomic task), it
    happens exactly once. The UPDATE adds in the database, so two orders of one customer at once both count.
    """
    order = Order.objects.only("email", "total").get(number=number)
    account, _ = LoyaltyAccount.objects.get_or_create(email=order.email.lower())
    LoyaltyAccount.objects.filter(pk=account.pk).update(points=F("points") + int(order.total))
