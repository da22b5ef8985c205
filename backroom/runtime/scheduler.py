"""Beat, safe to run twice and to kill: a slot's job is enqueued once, and not forgotten while the database is away.

django-celery-beat locks nothing (its issue 558) and writes down what it fired only every three minutes. Here an
entry's `last_run_at` is moved on by compare-and-set, in the transaction that enqueues the job: of two beats the second
one finds it moved, and one that dies has done both or neither.
"""

import logging
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from celery.beat import SchedulingError
from django.db import Error, connection, transaction
from django.db.models import F, Q
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from backroom.ledger import db_errors
from backroom.runtime import heartbeat

log = logging.getLogger(__name__)


class LedgerScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, enqueueing each slot once."""

    sign = heartbeat.Sign("beat")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.trouble = db_errors.OutageLog(log)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due, and say that this beat lives. Returns the seconds until the next look. Asks the database
        first: whatever is not ours ends the process when it is in trouble, or writes a traceback at each look."""
        if found := db_errors.of_database():
            self.trouble.begin(found)
            return 1.0
        self.trouble.end()
        try:
            self.sign.give()
        except Error:
            connection.close()
        return super().tick(*args, **kwargs)

    def close(self) -> None:
        """Say goodbye."""
        with suppress(Error):
            self.sign.end()
        super().close()

    def apply_async(self, entry: ModelEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Enqueue the entry's job, unless another beat did. Raises SchedulingError; beat logs it and goes on."""
        before = entry.last_run_at
        if advance:
            self.reserve(entry)  # moves entry.model on, as beat itself has done where it calls this
        try:
            return self._enqueue_once(entry, before)
        except Error as error:
            # Nothing happened: the slot stays due, for the next look.
            entry.model.last_run_at = before
            self._heap = None
            connection.close()
            time.sleep(1)
            raise SchedulingError(f"{entry.name}: the database is in trouble: {error}") from error
        finally:
            self._schedule[entry.name] = type(entry)(entry.model, app=self.app)

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Enqueue what is due. What goes wrong is a line in the log; Celery would add a traceback and a stack."""
        try:
            self.apply_async(entry, producer, advance=False)
        except SchedulingError as error:
            log.error("%s", db_errors.summary(error))

    def _enqueue_once(self, entry: ModelEntry, before: datetime) -> Any:
        # A schedule that never fired has no last_run_at in its row; beat counts from its own start then.
        unmoved = Q(last_run_at=before) | Q(last_run_at=None)
        broken = None
        with transaction.atomic():
            row = PeriodicTask.objects.filter(unmoved, pk=entry.model.pk)
            if row.update(last_run_at=entry.model.last_run_at, total_run_count=F("total_run_count") + 1):
                try:
                    return super().apply_async(entry, advance=False)
                except SchedulingError as error:
                    if isinstance(error.__context__, Error):
                        raise error.__context__ from None
                    broken = error  # a task or arguments that don't exist: its slot has passed all the same
        if broken:
            raise broken
        entry.model.refresh_from_db(fields=["last_run_at", "total_run_count"])
        self._heap = None  # beat had pushed the entry with its own time: weigh it anew
        log.info("%s: another beat was first", entry.name)
        return None

    def sync(self) -> None:
        """Nothing is left to write down: each firing is in its row since it happened."""
        self._dirty.clear()
