"""Beat, with a slot for each firing: two beats, or one restarted, enqueue a slot's job once.

django-celery-beat locks nothing (its issue 558), so the ledger does: the key of a scheduled job is its schedule's
name and slot, and a key names one job. Limit: the slot comes from the clock of the machine that fires, so two beats
on machines whose clocks differ by more than the slot may both fire.
"""

import time
from typing import Any

from celery.schedules import crontab
from django_celery_beat.schedulers import DatabaseScheduler

CRONTAB_SLOT = 60  # seconds: a crontab can't fire more often


def slot_of(schedule: Any, now: float) -> int:
    """The slot, as Unix seconds of its start, in which a schedule that fires `now` fires."""
    length = CRONTAB_SLOT if isinstance(schedule, crontab) else max(1, int(schedule.run_every.total_seconds()))
    return int(now) // length * length


class LedgerScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler; each entry is enqueued under its slot's key."""

    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        """Enqueue the entry's job. Raises celery.beat.SchedulingError, and beat goes on."""
        entry = self.reserve(entry) if advance else entry  # a new entry: the key must be set on that
        entry.options["key"] = f"{entry.name}:{slot_of(entry.schedule, time.time())}"
        return super().apply_async(entry, producer, advance=False, **kwargs)
