"""Beat, safe to run twice and to kill: it enqueues a slot's job once, and also after an outage of the database.

django-celery-beat locks nothing (its issue 558) and writes what it fired only every three minutes. Here a
compare-and-set moves an entry's `last_run_at` in the transaction that enqueues the job: of two beats the second one
finds it moved, and a beat that dies has done both or neither.
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
from backroom.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)


class LedgerScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, enqueueing each slot once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.heartbeat = Heartbeat("beat")
        self.outage = db_errors.OutageLog(log)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Enqueue what is due, and beat. Returns the seconds until the next look. Checks the database first: during an
        outage Celery's code would end the process, or log a traceback at each look."""
        if found := db_errors.diagnose():
            self.outage.begin(found)
            return 1.0
        self.outage.end()
        try:
            self.heartbeat.beat_if_due()
        except Error:
            connection.close()
        return super().tick(*args, **kwargs)

    def close(self) -> None:
        with suppress(Error):
            self.heartbeat.stop()
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
            raise SchedulingError(f"{entry.name}: the database fails: {error}") from error
        finally:
            self._schedule[entry.name] = type(entry)(entry.model, app=self.app)

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Enqueue what is due. A failure is one line in the log; Celery would add a traceback and a stack."""
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
                    broken = error  # no such task, or wrong arguments: the slot has passed all the same
        if broken:
            raise broken
        entry.model.refresh_from_db(fields=["last_run_at", "total_run_count"])
        self._heap = None  # beat had pushed the entry with its own time: weigh it anew
        log.info("%s: another beat was first", entry.name)
        return None

    def sync(self) -> None:
        """Nothing to write: each firing is in its row since it happened."""
        self._dirty.clear()
