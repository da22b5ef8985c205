"""The books against themselves: what only our own tables tell, and no partner does.

Points and pieces are compared in one statement each, so nobody can be in between. Whether an order has brought its
points and was learned from is looked at again where it seems not: by then the job that `ours` shows as done is done.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q, Sum
from django.db.models.functions import Floor

from backroom.ledger.sql import rows
from orders.models import Order, OrderLine, Status
from orders.reconciliation.expected import MONEY_KEPT, Effect, OrderState

# An order's points are changed in one transaction with its customer's account: orders/loyalty.py.
POINTS = """
SELECT COALESCE(account.points, 0) - COALESCE(earned.points, 0) FROM orders_loyaltyaccount account
FULL JOIN (SELECT lower(email) AS email, sum(points) AS points FROM orders_order WHERE points > 0 GROUP BY 1) earned
ON earned.email = account.email WHERE COALESCE(account.points, 0) <> COALESCE(earned.points, 0)
"""
KEEPS_ITS_PIECES = Q(order__status__in=[Status.PLACED, *MONEY_KEPT]) | Q(
    order__status=Status.CANCELLED, order__sent_at__isnull=False
)

Finding = tuple[str, dict[str, Any]]  # "lost" or "duplicated", and what


def findings(ours: dict[int, OrderState]) -> Iterator[Finding]:
    """What doesn't fit together, of these orders, all accounts and all products."""
    yield from _not_counted(ours)
    for (difference,) in rows(POINTS):
        row = Effect("orders", "points", "loyalty").finding(f"an account is off by {difference}")
        yield "duplicated" if difference > 0 else "lost", row
    for slug, more in pieces_sold_twice():
        why = f"orders keep {more} more than were taken off the shelf"
        yield "duplicated", Effect("orders", "pieces", slug).finding(why)


def _not_counted(ours: dict[int, OrderState]) -> Iterator[Finding]:
    """Orders whose points or whose pairs nobody counted, although nothing of them is under way."""
    finished = [number for number, order in ours.items() if order.status in MONEY_KEPT and not order.unfinished()]
    kept = Order.objects.filter(status__in=MONEY_KEPT).order_by("number")
    for kind, missing in (("loyalty", Q(points__lt=Floor("total"))), ("recommendations", Q(learned=False))):
        suspects = [number for number in finished if f"{kind}:{number}" not in ours[number].counted]
        for number in kept.filter(missing, pk__in=suspects).values_list("number", flat=True):
            effect = Effect("orders", kind, f"{kind}:{number}")
            yield "lost", effect.finding(ours[number].why_missing(effect))


def pieces_sold_twice() -> list[tuple[str, int]]:
    """Products of which orders keep more pieces than were taken off the shelf for them, and how many more.

    The other way round proves nothing: a release that doesn't count yet may have put pieces back. Nor does the stock
    itself: staff types how many there are.
    """
    kept = OrderLine.objects.filter(KEEPS_ITS_PIECES, taken__gt=0).values("product_id").annotate(kept=Sum("taken"))
    more = kept.filter(kept__gt=F("product__taken")).order_by("product__slug")
    return [(slug, kept - taken) for slug, kept, taken in more.values_list("product__slug", "kept", "product__taken")]
