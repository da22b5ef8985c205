"""What a body reports while it runs: how far it is, and its log lines. Both are shown with the job.

    for row in progress(rows, total=n):
        ...
    report(done, of)

Both raise Cancelled once a person has cancelled the job. Outside of a job they do nothing.
"""

import logging
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import Error, connection, transaction
from structlog.contextvars import get_contextvars

from backroom.ledger.limits import LINE
from backroom.ledger.sql import Claimed
from backroom.observe import cancellation
from backroom.observe.recorder import Record, writer
from backroom.observe.redact import redact

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST = 2**63 - 1  # the table's largest number

_current: ContextVar[Record | None] = ContextVar("progress", default=None)


@contextmanager
def of_attempt(job: Claimed) -> Iterator[None]:
    """Reports and log lines in the block belong to this attempt."""
    record = Record(job)
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)
        writer.remove(record)


def current_job() -> Claimed | None:
    """The job that this thread runs; None outside of one."""
    record = _current.get()
    return record.job if record else None


def current_id() -> str | None:
    job = current_job()
    return job.id if job else None


def write_last(snoozed: bool = False) -> None:
    """Write the current attempt's last row, just before its end. Nothing depends on it: a database error costs the row,
    not the finish. A snooze writes no first row, as there may be thousands."""
    record = _current.get()
    if not record or (snoozed and not record.written):
        return
    try:
        with transaction.atomic() if connection.in_atomic_block else nullcontext():  # a savepoint for an atomic task
            record.write(ended=True)
    except Error as error:
        log.warning("the last progress of an attempt is not written: %s", type(error).__name__)


def report(done: int, of: int | None = None) -> None:
    """Report how far this job is: `done` of a known or unknown total. Raises ValueError for negative or huge counts,
    and Cancelled."""
    if not 0 <= done <= MOST or not 0 <= (of or 0) <= MOST:
        raise ValueError(f"progress is counted from 0 to {MOST}: {done} of {of}")
    if record := _current.get():
        record.set_progress(int(done), None if of is None else int(of))
        cancellation.check(record.job.id)


def progress(rows: Iterable[T], total: int | None = None) -> Iterator[T]:
    """Yield the rows, and report each as done when the next one is requested. `total` is for iterators, which have no
    length."""
    if total is None and isinstance(rows, Sized):
        total = len(rows)
    if total != 0:
        report(0, total)
    for done, row in enumerate(rows, 1):
        yield row
        report(done, total)


class Handler(logging.Handler):
    """Keeps a job's log lines for its page. Name it in settings.LOGGING beside the handlers that write the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of the current attempt; outside of one, nothing."""
        if attempt := _current.get():
            try:
                attempt.add_line(_line(record))
            except Exception:
                self.handleError(record)


def _line(record: logging.LogRecord) -> dict[str, str]:
    """The log's line, without the ids that all lines of the job share, and without a traceback."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    text = _text(record.msg) if isinstance(record.msg, dict) else record.getMessage()
    if record.exc_info and (error := record.exc_info[1]):
        text += f" ({type(error).__name__}: {error})"
    return {"at": at, "level": record.levelname.lower(), "text": redact(text, LINE)}


def _text(line: dict[str, Any]) -> str:
    """A line of structlog's: the event, then name=value."""
    known = {"event", "level", "logger", "timestamp", "exc_info", *get_contextvars()}
    return " ".join([str(line.get("event")), *(f"{name}={line[name]}" for name in line if name not in known)])
