"""Checks of our own tables, of which no partner has a record: points, stock, and effects that rows of ours show.

Points and pieces are compared in one statement each, so no change comes in between. An order whose effect seems missing
is read again: its job, done by the first look, has committed by then.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q, Sum

from backroom.ledger.models import LIVE, Job
from backroom.ledger.sql import rows
from orders import follow_ups
from orders.models import AccountingBatch, Order, OrderLine, ShipmentEvent, Status
from orders.reconciliation.expected import MONEY_KEPT, Effect, OrderState

# An order's points change in one transaction with its customer's account: fulfilment/loyalty.py. An erased customer has
# none.
POINTS = """
SELECT COALESCE(account.points, 0) - COALESCE(earned.points, 0) FROM orders_loyaltyaccount account
FULL JOIN (SELECT lower(email) AS email, sum(points) AS points FROM orders_order
WHERE points > 0 AND erased_at IS NULL GROUP BY 1) earned
ON earned.email = account.email WHERE COALESCE(account.points, 0) <> COALESCE(earned.points, 0)
"""
KEEPS_ITS_PIECES = Q(order__status__in=[Status.PLACED, *MONEY_KEPT]) | Q(
    order__status=Status.CANCELLED, order__sent_at__isnull=False
)

Finding = tuple[str, dict[str, Any]]  # "lost", "duplicated" or "unexpected", and the row of the report


def findings(ours: dict[int, OrderState]) -> Iterator[Finding]:
    """The discrepancies of these orders, all accounts, all products and all batches of documents."""
    yield from _not_counted(ours)
    for event in ShipmentEvent.objects.filter(order__sent_at=None).order_by("order"):
        if event.order_id in ours:
            effect = Effect("warehouse", event.kind, f"{event.kind}:{event.order_id}")
            yield "unexpected", effect.finding("the warehouse reports it, but its shipment was not requested")
    yield from _unsent()
    for (difference,) in rows(POINTS):
        row = Effect("orders", "points", "loyalty").finding(f"an account is off by {difference}")
        yield "duplicated" if difference > 0 else "lost", row
    for slug, more in oversold():
        why = f"orders keep {more} more than were taken from stock"
        yield "duplicated", Effect("orders", "pieces", slug).finding(why)


def _unsent() -> Iterator[Finding]:
    """Batches of documents that no job sends any more."""
    batches = AccountingBatch.objects.filter(sent_at=None)
    keys = {f"accounting:{id}" for id in batches.values_list("pk", flat=True)}
    live = Job.objects.filter(key__in=keys, state__in=LIVE).values_list("key", flat=True)
    for key in sorted(keys - set(live)):
        if batches.filter(pk=key.partition(":")[2]).exists():  # it was not sent between the two looks
            yield "lost", Effect("accounting", "batch", key).finding("no job sends it")


def _not_counted(ours: dict[int, OrderState]) -> Iterator[Finding]:
    """Orders that our tables did not count, although no job of them is alive."""
    finished = [number for number, order in ours.items() if order.status in MONEY_KEPT and not order.unfinished()]
    kept = Order.objects.filter(status__in=MONEY_KEPT).order_by("number")
    for step in follow_ups.FOLLOW_UPS:
        if step.counted is None:
            continue
        suspects = [number for number in finished if step.key(number) not in ours[number].counted]
        for number in kept.filter(~step.counted, pk__in=suspects).values_list("number", flat=True):
            effect = Effect("orders", step.kind, step.key(number))
            yield "lost", effect.finding(ours[number].why_missing(effect))


def oversold() -> list[tuple[str, int]]:
    """Products of which orders keep more pieces than were taken from stock for them, and how many more.

    Fewer pieces prove nothing: a release that does not count yet may have released some. The stock itself proves
    nothing: staff edit it.
    """
    kept = OrderLine.objects.filter(KEEPS_ITS_PIECES, taken__gt=0).values("product_id").annotate(kept=Sum("taken"))
    more = kept.filter(kept__gt=F("product__taken")).order_by("product__slug")
    return [(slug, kept - taken) for slug, kept, taken in more.values_list("product__slug", "kept", "product__taken")]
