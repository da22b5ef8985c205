"""The end of notices, which go with the customers of their time, and of events with their deliveries."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Model
from django.utils import timezone

from notifications.endpoints import transitions
from notifications.endpoints.models import Endpoint, Event
from notifications.models import Notice

SLICE = 5_000  # rows of one DELETE: more could run into the statement's time limit
EVENTS = timedelta(days=30)


def purge() -> int:
    """Delete notices older than CUSTOMER_RETENTION_DAYS, events of 30 days ago and secrets that were replaced; returns
    how many rows of the first two. Then only the event's own room keeps it from being sent again."""
    now = timezone.now()
    transitions.forget_former(Endpoint.objects.filter(former_until__lt=now))
    old = now - timedelta(days=settings.CUSTOMER_RETENTION_DAYS)
    return _purge(Notice, created_at__lt=old) + _purge(Event, SLICE // 10, at__lt=now - EVENTS)


def _purge(model: type[Model], slice: int = SLICE, **old: datetime) -> int:
    gone, rows = 0, model._default_manager.filter(**old).order_by("pk")
    while ids := list(rows.values_list("pk", flat=True)[:slice]):
        gone += model._default_manager.filter(pk__in=ids).delete()[0]
    return gone
