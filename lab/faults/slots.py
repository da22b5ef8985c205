"""Schedule slots that are due in a few seconds. Each mails staff a sales report for a day long ago."""

import json
import random
from datetime import timedelta

from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

NAME = "lab: report of"


def add(seconds: float) -> str:
    """Make a slot due in `seconds`. Returns the key of its mail. Beat reads new slots every five seconds.

    The slot is a daily one whose last run was a day less `seconds` ago.
    """
    day = f"{random.randint(1000, 1899)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"  # noqa: S311
    daily, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    last_run = timezone.now() - timedelta(days=1) + timedelta(seconds=seconds)
    slot = {"name": f"{NAME} {day}", "task": "orders.mail_sales_report", "args": json.dumps([day])}
    PeriodicTask.objects.create(**slot, interval=daily, last_run_at=last_run)
    return f"sales-report:{day}"


def remove() -> None:
    """Delete all these slots from the schedule."""
    PeriodicTask.objects.filter(name__startswith=NAME).delete()
