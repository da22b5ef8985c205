"""Slots of the schedule that are due in some seconds: a sales report each, for a day long ago, mailed to staff."""

import json
import random
from datetime import timedelta

from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

NAME = "lab: report of"


def add(seconds: float) -> str:
    """Have a slot due so many seconds from now; the key of the mail that it causes. It is a daily one that fired a day
    less `seconds` ago; beat looks for new ones every five seconds."""
    day = f"{random.randint(1000, 1899)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"  # noqa: S311
    daily, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    fired = timezone.now() - timedelta(days=1) + timedelta(seconds=seconds)
    PeriodicTask.objects.create(
        name=f"{NAME} {day}",
        task="orders.mail_sales_report",
        args=json.dumps([day]),
        interval=daily,
        last_run_at=fired,
    )
    return f"sales-report:{day}"


def remove() -> None:
    """Take all of them out of the schedule."""
    PeriodicTask.objects.filter(name__startswith=NAME).delete()
