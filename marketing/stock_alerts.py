"""Back in stock: a person asks once for a sold-out product, and those who asked first hear of it first.

An alert that is due becomes a notice. Whether the product is still on sale is decided twice: before the alert is used
up, and when the notice is sent. Limit: notices begin in the order asked, but two workers may send two of them at once.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from catalog.models import Product
from marketing.models import StockAlert
from notifications.kinds import Message
from notifications.notify import notify

ON_SALE = Product.objects.filter(active=True, stock__gt=0)


def ask(user_id: int, product: Product, asked_at: datetime | None = None) -> bool:
    """Note that the user waits for the product, `asked_at` or now; False if it is on sale.

    Race: the product is restocked now. Its row's lock puts this before, and the scan sees the alert, or behind.
    """
    with transaction.atomic():
        if Product.objects.select_for_update(no_key=True).get(pk=product.pk).available:
            return False
        since = {"asked_at": asked_at} if asked_at else {}
        StockAlert.objects.get_or_create(user_id=user_id, product=product, notified_at=None, defaults=since)
        return True


def waits(user_id: int, product: Product) -> bool:
    return StockAlert.objects.filter(user=user_id, product=product, notified_at=None).exists()


def awaited(products: Sequence[int] | QuerySet[Product] = ON_SALE) -> list[int]:
    """The ids of those of the products for which alerts wait."""
    alerts = StockAlert.objects.filter(product__in=products, notified_at=None)
    return list(alerts.values_list("product_id", flat=True).distinct())


def waiting(product_id: int) -> Iterator[int]:
    """The alerts for a product that is on sale, in the order asked."""
    alerts = StockAlert.objects.filter(product=product_id, product__in=ON_SALE, notified_at=None)
    return alerts.order_by("asked_at", "pk").values_list("pk", flat=True).iterator()


def tell(alert_id: int) -> None:
    """Make a notice of an alert, in the caller's transaction. It waits on if the product is sold out again.

    Race: two jobs have one alert. The second UPDATE waits for the first, and then finds `notified_at` set.
    """
    alerts = StockAlert.objects.filter(pk=alert_id, notified_at=None, product__in=ON_SALE)
    if alerts.update(notified_at=Now()):
        notify(User.objects.get(stock_alerts=alert_id), "back_in_stock", about=str(alert_id))


def back_in_stock(about: str, user: User | None) -> Message | None:
    """None if the account is closed, or the product is sold out again: the person keeps the place in a new alert."""
    alert = StockAlert.objects.select_related("product").filter(pk=about).first()
    if alert is None or user is None or not user.is_active:
        return None
    product = alert.product
    again = StockAlert.objects.filter(user=user, product=product, asked_at=alert.asked_at, pk__gt=alert.pk)
    # An attempt before this one may have made that alert. `ask` looks at the stock again, under the row's lock.
    if again.exists() or (not product.available and ask(user.pk, product, alert.asked_at)):
        return None
    return Message(
        to=user.email,
        subject=f"{product.name} is back in stock",
        template="marketing/mail/back_in_stock",
        context={"product": product, "url": settings.SITE_URL + product.get_absolute_url()},
        short=f"{product.name} is back in stock.",
        url=settings.SITE_URL + product.get_absolute_url(),
    )
