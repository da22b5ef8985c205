"""The sales of one day, and the dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Prefetch, QuerySet, Sum

from backroom import progress
from backroom.ledger.models import Job, State
from orders.fulfilment.vat import VatLine, breakdown
from orders.models import Order, OrderLine, Status

BEST_SELLERS = 10


@dataclass(frozen=True)
class SalesReport:
    """One day in UTC. `dead` counts the dead letters of all days, by task."""

    day: date
    orders: int
    on_hold: int
    revenue: Decimal
    taxes: list[VatLine]
    products: Sequence[Mapping[str, object]]
    dead: Sequence[Mapping[str, object]]


def sales_of(day: date) -> SalesReport:
    """The report on all orders paid on a day, in the shop's currency. It adds up the rounded taxes of each invoice,
    to agree with them."""
    paid = paid_orders(day, day + timedelta(days=1))
    dead = Job.objects.filter(state=State.DEAD).values("task").annotate(count=Count("pk")).order_by("task")
    return SalesReport(
        day=day,
        orders=paid.count(),
        on_hold=paid.filter(status=Status.ON_HOLD).count(),
        revenue=paid.aggregate(sum=Sum("total"))["sum"] or Decimal(0),
        taxes=_taxes(paid),
        products=best_sellers(paid),
        dead=list(dead),
    )


def paid_orders(begin: date, end: date) -> QuerySet[Order]:
    """Those paid in UTC from a day to before another, and not cancelled."""
    start, stop = (datetime.combine(day, time(), UTC) for day in (begin, end))
    return Order.objects.filter(paid_at__gte=start, paid_at__lt=stop, status__in=[Status.PAID, Status.ON_HOLD])


def best_sellers(paid: QuerySet[Order]) -> Sequence[Mapping[str, Any]]:
    """Name, unit, pieces and revenue of the products that sold most."""
    lines = OrderLine.objects.filter(order__in=paid).values("name", "unit")
    found = lines.annotate(pieces=Sum("quantity"), revenue=Sum(F("quantity") * F("unit_price")))
    return list(found.order_by("-revenue", "name")[:BEST_SELLERS])


def _taxes(paid: QuerySet[Order]) -> list[VatLine]:
    lines = OrderLine.objects.only("order_id", "vat_rate", "unit_price", "quantity")
    found = paid.only("delivery", "delivery_vat_rate").prefetch_related(Prefetch("lines", lines))
    taxes: dict[Decimal, VatLine] = {}
    for order in progress(found.iterator(chunk_size=1000), total=paid.count()):
        for tax in breakdown(order.amounts()):
            known = taxes.get(tax.rate, VatLine(tax.rate, Decimal(0), Decimal(0), Decimal(0)))
            taxes[tax.rate] = known + tax
    return [taxes[rate] for rate in sorted(taxes)]
