"""The end of notices: they go with the customers of their time."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from notifications.models import Notice

SLICE = 5_000  # rows of one DELETE: more could run into the statement's time limit


def purge() -> int:
    """Delete notices older than CUSTOMER_RETENTION_DAYS; returns how many. From then on only the event's own room
    keeps it from being sent again."""
    end, gone = timezone.now() - timedelta(days=settings.CUSTOMER_RETENTION_DAYS), 0
    while ids := list(Notice.objects.filter(created_at__lt=end).order_by("id").values_list("id", flat=True)[:SLICE]):
        gone += Notice.objects.filter(id__in=ids).delete()[0]
    return gone
