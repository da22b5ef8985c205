"""The reminder of a cart that was left: one job for each cart, moved by each change, and decided again when it is due.

A state of a cart, which ends with its next change, gets one mail at most. Races: the cart changes while the job runs,
which then finds it changed and leaves it to the job of that change. Or it is bought, changed or unsubscribed between
the decision and the mail server's answer: that mail comes all the same.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now
from django.urls import reverse

from marketing import bulk_mail, subscriptions
from orders.cart import Cart
from orders.models import Order
from orders.ordering.checkout import ALIVE

AFTER = timedelta(hours=2)
NAME = "cart:{cart}"  # the unique name of its job


def is_reminded(cart: Cart) -> bool:
    """Whether its owner subscribed to reminders."""
    return cart.user_id is not None and subscriptions.of_user(cart.user_id, "reminders") is not None


def remind(cart_id: int) -> None:
    """Mail the owner of a cart that was left, unless it was changed, emptied or bought, or the owner unsubscribed."""
    cart = Cart.objects.filter(pk=cart_id, user__isnull=False, changed_at__lte=Now() - AFTER).first()
    # An order has the key of its cart, until the cart is emptied for it.
    if cart is None or Order.objects.filter(idempotency_key=cart.key, status__in=ALIVE).exists():
        return
    lines = [line for line in cart.lines() if not line.too_many]
    subscription = subscriptions.of_user(cart.user_id, "reminders")
    if lines and subscription:
        bulk_mail.send(
            key=f"cart:{cart.pk}-{cart.changed_at:%Y%m%d%H%M%S%f}",
            subscription=subscription,
            topic="reminders",
            subject="Your cart is waiting",
            template="marketing/mail/cart",
            context={"lines": lines, "url": settings.SITE_URL + reverse("orders:cart")},
        )
