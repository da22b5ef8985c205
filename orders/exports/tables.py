"""The columns of each kind of export, and its rows, slice by slice.

A slice is a query of its own, so memory stays flat and no statement or snapshot lasts long. The limit: each slice shows
its own moment. Rows added since the request are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Lower

from catalog.models import Product
from orders.models import Export, LoyaltyAccount, Order, OrderLine, Status

SLICE = 1_000  # rows of one query
MOST = 200_000  # rows of one export: a worker ends a body after 50 s


@dataclass(frozen=True)
class Table:
    """`columns` are a field or an expression by heading. The first is the primary key, the second the time that orders
    the rows. `needs` is the permission to see one row in the admin."""

    needs: str
    rows: QuerySet[Any]
    columns: dict[str, Any]

    def found(self, export: Export, before: datetime) -> QuerySet[Any]:
        """The rows of its days, in UTC, that are from `before` this time."""
        _, at, *_ = self.columns.values()
        found = self.rows.filter(**{f"{at}__lt": before})
        if export.since:
            found = found.filter(**{f"{at}__gte": datetime.combine(export.since, time(), UTC)})
        if export.until:
            found = found.filter(**{f"{at}__lte": datetime.combine(export.until, time.max, UTC)})
        return found

    def read(self, export: Export, before: datetime) -> Iterator[tuple[Any, ...]]:
        """These rows, the oldest first."""
        key, at, *_ = self.columns.values()
        found = self.found(export, before).order_by(at, key).values_list(*self.columns.values())
        part = list(found[:SLICE])
        while part:
            yield from part
            last, moment, *_ = part[-1]
            part = list(found.filter(**{f"{at}__gte": moment}).exclude(**{at: moment, f"{key}__lte": last})[:SLICE])


_pieces = OrderLine.objects.filter(order=OuterRef("pk")).order_by().values("order").annotate(sum=Sum("quantity"))
_bought = Order.objects.filter(user=OuterRef("pk"), status__in=[Status.PAID, Status.ON_HOLD]).order_by().values("user")
_account = LoyaltyAccount.objects.filter(email=Lower(OuterRef("email")))

TABLES = {
    Export.Kind.ORDERS: Table(
        "orders.view_order",
        Order.objects.all(),
        {
            "number": "number",
            "placed (UTC)": "created_at",
            "status": "status",
            "paid (UTC)": "paid_at",
            "charged (UTC)": "charged_at",
            "refunded (UTC)": "returned_at",
            "shipped (UTC)": "shipped_at",
            "delivered (UTC)": "delivered_at",
            "email": "email",
            "name": "name",
            "address": "address",
            "postcode": "postcode",
            "city": "city",
            "country": "country",
            "pieces": Coalesce(Subquery(_pieces.values("sum")), 0),
            "delivery": "delivery",
            "total": "total",
            "currency": "currency",
            "invoice": "invoice__number",
        },
    ),
    Export.Kind.CUSTOMERS: Table(
        "auth.view_user",
        User.objects.filter(is_staff=False, is_active=True),
        {
            "number": "pk",
            "joined (UTC)": "date_joined",
            "email": "email",
            "name": "customer__name",
            "address": "customer__address",
            "postcode": "customer__postcode",
            "city": "customer__city",
            "country": "customer__country",
            "orders": Coalesce(Subquery(_bought.annotate(count=Count("pk")).values("count")), 0),
            "spent": Subquery(_bought.annotate(sum=Sum("total")).values("sum")),
            "points": Subquery(_account.values("points")),
        },
    ),
    # Headings by which an import finds each column again.
    Export.Kind.PRODUCTS: Table(
        "catalog.view_product",
        Product.objects.all(),
        {
            "number": "pk",
            "added": "added_at",
            "slug": "slug",
            "name": "name",
            "also called": "also_called",
            "category": "category__slug",
            "description": "description",
            "price": "price",
            "price before the offer": "was",
            "VAT rate": "vat_rate",
            "unit": "unit",
            "stock": "stock",
            "active": "active",
        },
    ),
}


def table(export: Export) -> Table:
    return TABLES[Export.Kind(export.kind)]
