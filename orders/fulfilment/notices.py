"""The notices of a parcel: their text, and whether they are still wanted when they are sent.

None is sent of an order that was cancelled, for an erased customer, over two weeks after the event, or of a parcel
that left once it has arrived. notifications/notify.py sends each once, by the customer's channel or by mail.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from notifications.kinds import Message
from notifications.notify import notify
from orders.models import Order, Status

NEWS = timedelta(days=14)  # a report that comes later is no news to the customer


def notify_shipped(number: int) -> None:
    _notify(number, "shipped")


def notify_delivered(number: int) -> None:
    _notify(number, "delivered")


def _notify(number: int, kind: str) -> None:
    notify(Order.objects.select_related("user").get(number=number).user, kind, about=str(number))


def shipped(about: str, user: User | None) -> Message | None:
    """For notifications/kinds.py."""
    order = _wanted(about, delivered_at=None, shipped_at__gt=timezone.now() - NEWS)
    tracking = f", tracking number {order.tracking}" if order and order.tracking else ""
    return _message(order, "shipped", f"Your order {about} has been shipped", tracking) if order else None


def delivered(about: str, user: User | None) -> Message | None:
    """For notifications/kinds.py."""
    order = _wanted(about, delivered_at__gt=timezone.now() - NEWS)
    return _message(order, "delivered", f"Your order {about} has been delivered") if order else None


def _wanted(about: str, **conditions: Any) -> Order | None:
    return Order.objects.filter(number=about, status=Status.PAID, erased_at=None, **conditions).first()


def _message(order: Order, kind: str, subject: str, more: str = "") -> Message:
    order.renew_link()
    url = settings.SITE_URL + order.get_absolute_url()
    return Message(
        to=order.email,
        subject=subject,
        template=f"orders/mail/{kind}",
        context={"order": order, "url": url, "site": settings.SITE_URL},
        short=f"Backroom Greengrocer: {subject[0].lower()}{subject[1:]}{more}.",
        url=settings.SITE_URL + reverse("orders:history"),  # no token: the number of an SMS is not verified
        headers={"X-Order": str(order.number)},  # by it the mail server forgets: privacy.py
    )
