"""An entry of beat's schedule: which of its slots become jobs."""

from datetime import datetime, timedelta
from typing import Any

from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from backroom.runtime import slots


class LedgerEntry(ModelEntry):
    """An entry of the schedule. Its `expires` ends the schedule, and is no option of its jobs."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        super().__init__(model, app)
        self.schedule.remaining_estimate(self.last_run_at)  # before Celery 5.7 a time that never occurs raises here
        if model.expires:
            del self.options["expires"]

    @property
    def each_late(self) -> bool:
        """Whether each missed slot becomes a job. Raises ValueError."""
        return slots.rule(self.options["headers"]) == slots.EACH

    def due(self, last: datetime, now: datetime) -> tuple[list[datetime], list[datetime]]:
        """The slots after `last` that are over their deadline, and those that become jobs. Raises ValueError."""
        most, seconds = slots.MOST if self.each_late else 1, slots.deadline(self.options["headers"])
        first = max(last, self.model.start_time or last)
        found = [first] * (first > last) + slots.passed(self.schedule, first, now, most)  # the start is a slot, too
        found = found[-most:] or [now]
        late = [slot for slot in found if seconds is not None and now - slot > timedelta(seconds=seconds)]
        return late, found[len(late) :]

    def at(self, slot: datetime) -> "LedgerEntry":
        """This entry with the slot's time, if its task takes it."""
        found = type(self)(self.model, app=self.app)
        found.kwargs = slots.given(self.app.tasks.get(self.task), self.args, self.kwargs, slot)
        return found
