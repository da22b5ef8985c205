"""Rows that a job goes through, and goes on with where a deploy or a crash cut it off: docs/resumable.md."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from operator import attrgetter
from typing import Any, Generic, TypeVar

from celery import current_app, current_task
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Model, QuerySet

from backroom.ledger import transitions
from backroom.ledger.sql import Claimed
from backroom.observe import progress
from backroom.runtime import sigterm
from backroom.runtime.storable import check_arguments

T = TypeVar("T")
M = TypeVar("M", bound=Model)

SLICE = 100  # rows of a QuerySet read at a time
EVERY = 1.0  # seconds between two writes of the cursor
LIMITS = ("soft_time_limit", "time_limit")


class Interrupted(BaseException):
    """The attempt ends between two rows. It is no Exception: a body that caught it would let an unfinished job
    succeed."""


class Resumable(Generic[T]):
    """An iterator of the rows after the job's cursor. A row is done when the next one is requested, or when its atomic
    step is committed."""

    def __init__(self, read: Callable[[Any], Iterable[T]], position: Callable[[T], Any], by: str | None = None) -> None:
        self.job = progress.current_job()
        self.position = position
        self.cursor: dict[str, Any] = {"by": by, "at": None, "done": 0}
        if self.job and self.job.cursor:
            self.cursor = json.loads(self.job.cursor)
        if self.cursor["by"] != by:
            raise wrong(self.cursor, by)
        self.rows = iter(read(self.cursor["at"]))
        self.current: dict[str, Any] | None = None  # the cursor once the body's row is done
        self.moved = False  # since it was written
        self.write_at = time.monotonic() + EVERY
        self.ends_at: float | None = None  # by time.monotonic
        self.total: int | None = None

    def __iter__(self) -> "Resumable[T]":
        return self

    def __next__(self) -> T:
        if not self.job:
            return next(self.rows)
        self._check_no_transaction()
        self._advance()
        try:
            row = next(self.rows)
        except StopIteration:
            self.write()
            raise
        if sigterm.stops():
            raise Interrupted("its worker stopped")
        if self.ends_at is None:  # at least one row is done
            self.ends_at = time.monotonic() + turn()
        elif time.monotonic() >= self.ends_at:
            raise Interrupted("it goes on, so that no time limit cuts it off")
        if (at := self.position(row)) is None:
            raise ValueError("a row's cursor is None, which means all rows: the next attempt would begin anew")
        self.current = {**self.cursor, "at": at, "done": self.cursor["done"] + 1}
        check_arguments(self.current)
        return row

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """The row's effects in the database and the cursor are one transaction, which must be the last of the row.
        Raises Superseded if the job is no longer this worker's: that rolls back both."""
        self._check_no_transaction()
        if self.job and not self.current:
            raise RuntimeError("rows.atomic() is for the row in hand, once")
        with transaction.atomic():
            yield
            if self.job and self.current:
                self.moved = False  # the commit decides which cursor the ledger has: write() keeps off
                transitions.save_cursor(self.job, self.current)
        if self.current:
            self.cursor, self.current = self.current, None

    def write(self) -> None:
        """Write the cursor, if it moved. Errors of the database pass through, and Superseded."""
        if self.job and self.moved:
            transitions.save_cursor(self.job, self.cursor)
            self.moved, self.write_at = False, time.monotonic() + EVERY

    def _advance(self) -> None:
        """The body is done with its row."""
        if self.current:
            self.cursor, self.current, self.moved = self.current, None, True
        if time.monotonic() >= self.write_at:
            self.write()
        progress.report(self.cursor["done"], self.total)

    def _check_no_transaction(self) -> None:
        """One around several rows could roll their effects back, and not the cursor. A TestCase's does not count."""
        blocks: list[Any] = connection.atomic_blocks if self.job else []
        if blocks and not blocks[0]._from_testcase:
            raise transaction.TransactionManagementError(
                "resumable() in a transaction, or in an atomic task: use rows.atomic() for each row instead"
            )


class _Ordered(Generic[M]):
    """A QuerySet in the order of a field, read in slices: no cursor of the database stays open while a row is done."""

    def __init__(self, rows: QuerySet[M], name: str) -> None:
        options: Any = rows.model._meta
        self.name, self.field = name, options.pk if name == "pk" else options.get_field(name)
        self.by = f"{options.label_lower}.{name}"
        if not self.field.unique or self.field.null:
            raise ValueError(f"{self.by} is no cursor: its values must be unique, and never NULL")
        if rows.query.order_by not in ((), (name,)):
            raise ValueError(f"rows of a cursor come in its order: by {name}")
        self.rows = rows.order_by(name)

    def after(self, value: Any) -> QuerySet[M]:
        return self.rows if value is None else self.rows.filter(**{f"{self.name}__gt": value})

    def value(self, at: str | None) -> Any:
        try:
            return None if at is None else self.field.to_python(at)
        except ValidationError as error:
            raise wrong(at, self.by) from error

    def read(self, at: str | None) -> Iterator[M]:
        value = self.value(at)
        while part := list(self.after(value)[:SLICE]):
            value = getattr(part[-1], self.field.attname)  # now: the body may delete it
            yield from part


def time_limit(task: Any) -> float | None:
    """Seconds after which a worker ends this task's body: of its two limits, or else the project's, the shorter one."""
    limits = [getattr(task, name, None) or current_app.conf[f"task_{name}"] for name in LIMITS]
    return min(filter(None, limits), default=None)


def turn() -> float:
    """Seconds after which an attempt ends between two rows: half of the time limit of the task that runs."""
    return (time_limit(current_task) or math.inf) / 2


def wrong(cursor: Any, by: str | None) -> ValueError:
    return ValueError(
        f"the code has changed: the job's cursor {cursor} is not one by {by}."
        " Replay the job with edited arguments to begin anew"
    )


_latest: ContextVar[Resumable | None] = ContextVar("resumable", default=None)


def resumable(
    rows: QuerySet[M] | Callable[[Any], Iterable[Any]],
    cursor: str | Callable[[Any], Any] = "pk",
    total: int | None = None,
) -> Resumable[Any]:
    """The rows that this job has not done yet; outside of a job, all. `rows` is a QuerySet, which is read in the order
    of `cursor`, a unique field; or a function that returns the rows after a cursor (None: all), and `cursor` is then an
    attribute or a function of a row: JSON, at most 8,000 bytes. Raises ValueError for a cursor that does not fit."""
    if isinstance(rows, QuerySet):
        ordered = _Ordered(rows, str(cursor))
        found: Resumable[Any] = Resumable(ordered.read, ordered.field.value_to_string, ordered.by)
        if found.job and total is None:
            total = found.cursor["done"] + ordered.after(ordered.value(found.cursor["at"])).count()
    elif not callable(rows):
        raise TypeError(f"rows is a QuerySet (of a manager: .all()) or a function of the cursor, not {type(rows)}")
    else:
        found = Resumable(rows, attrgetter(cursor) if isinstance(cursor, str) else cursor)
    found.total = total
    if found.job:
        if (other := _latest.get()) and other.job is found.job:
            raise RuntimeError("a job has one cursor: enqueue a job for each resumable()")
        _latest.set(found)
    return found


def write_last(job: Claimed) -> None:
    """Write this job's cursor before its attempt ends without success, if it moved. Raises as Resumable.write does."""
    if (latest := _latest.get()) and latest.job is job:
        latest.write()
