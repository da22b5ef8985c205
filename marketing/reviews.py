"""Reviews: the mail that asks for them, a week after the delivery, and the customer's own answers."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils import timezone

from backroom import Call
from catalog.reviews import Review
from marketing import bulk_mail, subscriptions
from orders import privacy
from orders.models import Order

LATELY = timedelta(days=21)  # a week, and the two of orders/fulfilment/notices.py for a report that is late


def ask(number: int) -> None:
    """Mail the customer of an order that arrived lately, if a subscription of their account or address has
    reminders."""
    order = Order.objects.filter(number=number, delivered_at__gt=timezone.now() - LATELY).first()
    if order is None or not order.reviewable or Review.objects.filter(order=number).exists():
        return
    own = Q(user=order.user_id) if order.user_id else Q(email=order.email.lower())
    if subscription := subscriptions.wanting("reminders").filter(own).order_by("pk").first():
        order.renew_link()
        bulk_mail.send(
            key=f"review:{number}",
            subscription=subscription,
            topic="reminders",
            subject=f"How was your order {number}?",
            template="marketing/mail/review",
            context={"order": order, "url": settings.SITE_URL + order.review_url},
            headers={"X-Order": str(number)},  # by it the mail server forgets: orders/privacy.py
        )


def save(order: Order, product_id: int, stars: int, text: str) -> None:
    """A changed review waits for staff again."""
    values = {"stars": stars, "text": text}
    review, new = Review.objects.get_or_create(order=order.number, product_id=product_id, defaults=values)
    if not new and (review.stars, review.text) != (stars, text):
        Review.objects.filter(pk=review.pk).update(**values, shown=None)


def of(address: str, user: User | None) -> QuerySet[Review]:
    """The reviews of a person's orders."""
    return Review.objects.filter(order__in=privacy.orders_of(address, user).values("number"))


def export(address: str, user: User | None) -> dict[str, Any] | None:
    """A holder of accounts/personal_data.py."""
    found = list(of(address, user).values("order", "product__name", "stars", "text", "created_at"))
    return {"reviews": found} if found else None


def erase(address: str, user: User | None) -> list[Call] | None:
    """As `export`: a customer's own words may name them."""
    return [] if of(address, user).delete()[0] else None
