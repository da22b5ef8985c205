"""Beat, safe to run twice and to kill: it enqueues a slot's job once, and also after an outage of the database.

django-celery-beat locks nothing (its issue 558) and writes what it fired only every three minutes. Here a
compare-and-set moves an entry's `last_run_at` in the transaction that enqueues the job: of two beats the second one
finds it moved, and a beat that dies has done both or neither.

Slots that passed without a beat become one late job, a job each, or none: as the entry says (beat_entry.py).
"""

import logging
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from celery import signals
from celery.beat import SchedulingError
from django.db import Error, connection, transaction
from django.db.models import F, Q, QuerySet
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from backroom.ledger import db_errors
from backroom.observe.outages import OutageLog, diagnose
from backroom.runtime.beat_entry import LedgerEntry
from backroom.runtime.checks import log_findings
from backroom.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)


@signals.beat_init.connect
def _log_findings(**_: Any) -> None:
    log_findings()


class LedgerScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, enqueueing each slot once."""

    Entry = LedgerEntry
    starting = False  # whether this process is making one

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read the schedule. Race: Celery's handler of SIGTERM makes another one to close it, whose statement would
        wait forever for the one that this one has sent."""
        if LedgerScheduler.starting:
            raise SystemExit
        LedgerScheduler.starting = True
        self.heartbeat = Heartbeat("beat")
        self.outage = OutageLog(log)
        self.ticking = False
        try:
            super().__init__(*args, **kwargs)
        finally:
            LedgerScheduler.starting = False

    def setup_schedule(self) -> None:
        """Copy the code's schedule into the tables. An entry that never ran counts from its last change, and this copy
        is one: so the count starts in `last_run_at`, or a slot missed before this start would be forgotten."""
        new = PeriodicTask.objects.filter(enabled=True, last_run_at=None, start_time=None)
        new.update(last_run_at=F("date_changed"))
        super().setup_schedule()

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        """All enabled entries. django-celery-beat leaves out those whose hour is over two hours away, so it would find
        a missed daily slot only then."""
        return PeriodicTask.objects.enabled()

    def schedule_changed(self) -> bool:
        """Whether the tables changed since the last look. Races, in each of which django-celery-beat reads a change
        only minutes later: it is made between a beat's start and its first look; or of two at once, the one with the
        earlier time is committed last."""
        before = self._last_timestamp
        super().schedule_changed()
        return self._last_timestamp != before

    def all_as_schedule(self) -> dict[str, LedgerEntry]:
        """The enabled entries by name. One that can't be read is logged and left out: it must not stop the others."""
        found = {}
        for model in self.enabled_models():
            try:
                found[model.name] = self.Entry(model, app=self.app)
            except Error:
                raise
            except Exception as error:
                log.error("the schedule %s is left out: %s", model.name, db_errors.summary(error))
        return found

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Enqueue what is due, and beat. Returns the seconds until the next look."""
        self.ticking = True
        try:
            return self._tick(*args, **kwargs)
        finally:
            self.ticking = False

    def _tick(self, *args: Any, **kwargs: Any) -> float:
        # First the database: during an outage Celery's code would end the process, or log a traceback at each look.
        if found := diagnose():
            self.outage.begin(found)
            return 1.0
        self.outage.end()
        try:
            self.heartbeat.beat_if_due()
        except Error:
            connection.close()
        return super().tick(*args, **kwargs)

    def close(self) -> None:
        """Stop the heartbeat. Race: Celery's handler of SIGTERM calls this in the middle of a statement, and its own
        would wait for that forever. Celery calls it again at the end of the process."""
        if self.ticking:
            return
        with suppress(Error):
            self.heartbeat.stop()
        super().close()

    def apply_async(self, entry: LedgerEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
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

    def apply_entry(self, entry: LedgerEntry, producer: Any = None) -> None:
        """Enqueue what is due. A failure is one line in the log; Celery would add a traceback and a stack."""
        try:
            self.apply_async(entry, producer, advance=False)
        except SchedulingError as error:
            log.error("%s", db_errors.summary(error))
        except Exception:  # a defect in one entry must not stop the others; the slot is due again at the next look
            log.exception("%s could not be enqueued", entry.name)

    def _enqueue_once(self, entry: LedgerEntry, before: datetime) -> Any:
        # A schedule that never fired has no last_run_at in its row; beat counts from its own start then.
        unmoved = Q(last_run_at=before) | Q(last_run_at=None)
        broken = None
        with transaction.atomic():
            row = PeriodicTask.objects.filter(unmoved, pk=entry.model.pk, enabled=True)
            # One that fires once is disabled with it. django-celery-beat does so when it reads the tables anew.
            once = {"enabled": False, "total_run_count": 0} if entry.model.one_off else {}
            moved = {"last_run_at": entry.model.last_run_at, "total_run_count": F("total_run_count") + 1}
            if row.update(**moved | once):
                try:
                    return self._enqueue_slots(entry, before)
                except SchedulingError as error:
                    if isinstance(error.__context__, Error):
                        raise error.__context__ from None
                    broken = error  # no such task, or wrong arguments: the slot has passed all the same
        if broken:
            raise broken
        self._initial_read, self._heap = True, None  # read the entry anew, and weigh it
        log.info("%s: another beat was first, or the entry has changed", entry.name)
        return None

    def _enqueue_slots(self, entry: LedgerEntry, before: datetime) -> Any:
        try:
            late, due = entry.due(before, entry.model.last_run_at)
        except ValueError as error:
            raise SchedulingError(f"{entry.name}: {error}") from error
        if late:
            log.warning("%s: its slot is over its deadline, and skipped: %s", entry.name, ", ".join(map(str, late)))
        result = None
        for slot in due:
            result = super().apply_async(entry.at(slot), advance=False)
        if due and entry.each_late:  # an interval goes on from its last slot, not from now
            PeriodicTask.objects.filter(pk=entry.model.pk).update(last_run_at=due[-1])
            entry.model.last_run_at, self._heap = due[-1], None
        return result

    def sync(self) -> None:
        """Nothing to write: each firing is in its row since it happened."""
        self._dirty.clear()
