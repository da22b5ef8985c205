"""What marketing holds about a person: accounts/personal_data.py says how it is exported and erased.

An address that was entered and never confirmed is erased after a week.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from backroom import Call, enqueue_all
from backroom.outbound.http import Partner
from marketing.models import StockAlert, Subscription
from marketing.subscriptions import PATIENT, TOPICS

MAIL = Partner("mail")
FORGET = "marketing.forget_reader"
UNCONFIRMED = timedelta(days=7)
BATCH = 500


def export(address: str, user: User | None) -> dict[str, Any] | None:
    subscriptions = _of(address, user).values("email", *TOPICS, "time_zone", "created_at", "confirmed_at", "left_at")
    alerts = StockAlert.objects.filter(user=user).values("product__name", "asked_at", "notified_at") if user else []
    found = {"subscriptions": list(subscriptions), "stock_alerts": list(alerts)}
    return found if any(found.values()) else None


def erase(address: str, user: User | None) -> list[Call] | None:
    """Delete the subscriptions and alerts at once: a campaign's job finds no reader, and sends nothing. The mail server
    forgets in a job. The limit: the same address, subscribed again, has a new id, and gets a campaign that still
    runs."""
    calls = _erase(_of(address, user))
    alerts = StockAlert.objects.filter(user=user).delete()[0] if user else 0
    return calls if calls or alerts else None


def erase_unconfirmed() -> int:
    """A batch of those that were never confirmed; returns how many."""
    with transaction.atomic():
        old = Subscription.objects.filter(confirmed_at=None, created_at__lt=Now() - UNCONFIRMED)
        return len(enqueue_all(*_erase(old)))


def forget(id: int) -> None:
    """Have the mail server forget the mails to a subscription without an account."""
    MAIL.post("/mail/erasures", {"person": f"s{id}"}, key=f"forget-reader:{id}")


def _of(address: str, user: User | None) -> QuerySet[Subscription]:
    return Subscription.objects.filter(Q(email=address.lower()) | (Q(user=user) if user else Q()))


def _erase(its: QuerySet[Subscription]) -> list[Call]:
    ids = list(its.order_by("pk").values_list("pk", flat=True)[:BATCH])
    its.filter(pk__in=ids).delete()
    return [Call(FORGET, {"subscription": id}, "bulk", PATIENT.attempts, f"forget-reader:{id}") for id in ids]
