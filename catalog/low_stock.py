"""Products that run low: staff get one mail for each crossing of Product.LOW_STOCK, and one for all of a scan.

A scan every few minutes reads the stock itself, so a checkout does nothing for it, and a change by SQL counts, too. A
product that was never in stock, as many of an import are, is no crossing. The limits: neither is one that falls and is
filled up again between two scans, nor a new one that staff set to 0 before its first order.
"""

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from catalog.models import Product
from catalog.supply import LowStock
from notifications import mail

LISTED = 100  # products in one mail
KEPT = timedelta(days=365)  # after the end of a crossing
# Race: two scans at once. Each would begin the same crossings, and a mail could be about the later ids only.
ALONE = "LOCK TABLE catalog_lowstock IN SHARE ROW EXCLUSIVE MODE"
BEGIN = """
INSERT INTO catalog_lowstock (product_id, stock)
SELECT id, stock FROM catalog_product WHERE active AND stock <= %s AND (stock > 0 OR taken <> 0)
    AND NOT EXISTS (SELECT FROM catalog_lowstock WHERE product_id = catalog_product.id AND ended_at IS NULL)
"""


def low() -> QuerySet[Product]:
    return Product.objects.filter(active=True, stock__lte=Product.LOW_STOCK)


@transaction.atomic
def scan() -> int | None:
    """Begin and end crossings. Returns the last one that no mail has named, for a mail about all until it."""
    with connection.cursor() as cursor:
        cursor.execute(ALONE)
        LowStock.objects.filter(ended_at=None).exclude(product__in=low()).update(ended_at=Now())
        cursor.execute(BEGIN, [Product.LOW_STOCK])
    return _unmailed().aggregate(last=Max("pk"))["last"]


def _unmailed() -> QuerySet[LowStock]:
    return LowStock.objects.filter(ended_at=None, mailed_at=None)


def send(last: int) -> None:
    """Mail the products of all crossings until this one that are still low, and were in no mail."""
    crossings = _unmailed().filter(pk__lte=last)
    products = low().filter(pk__in=crossings.values("product")).order_by("stock", "name")
    if count := products.count():
        mail.send(
            key=f"low-stock:{last}",
            to=settings.STAFF_EMAIL,
            subject=f"{count} product{'s' if count > 1 else ''} running low",
            template="catalog/mail/low_stock",
            context={
                "products": products[:LISTED],
                "more": max(0, count - LISTED),
                "limit": Product.LOW_STOCK,
                "url": f"{settings.SITE_URL}{reverse('admin:catalog_product_changelist')}",
            },
        )
    crossings.update(mailed_at=Now())


def purge() -> int:
    """Delete the crossings that ended long ago; returns how many."""
    return LowStock.objects.filter(ended_at__lt=Now() - KEPT).delete()[0]
