"""What an attempt tells while it runs: how far it is, and its log lines. Both are shown with the job.

    for row in progress(rows, total=n):
        ...
    report(done, of)

Either is only noted, for the attempt at hand (notes.py writes it down); outside of one, nothing is.
"""

import logging
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

from structlog.contextvars import get_contextvars

from backroom.observe.recorder import Entry, Notes, writer
from backroom.observe.redact import clean

T = TypeVar("T")

LINE_LIMIT = 500  # characters of a line
MOST = 2**63 - 1  # what the table can hold

_open: ContextVar[Notes | None] = ContextVar("journal", default=None)


@contextmanager
def of_attempt(id: str, claim: int, attempt: int) -> Iterator[None]:
    """What is reported and logged in the block is this attempt's."""
    notes = Notes(id, claim, attempt)
    token = _open.set(notes)
    try:
        yield
    finally:
        _open.reset(token)
        writer.forget(notes)


def entry(of_a_snooze: bool = False) -> Entry | None:
    """What the attempt at hand told, to be written with its end. A snooze is no attempt and may come often, so it is
    None for one of which nothing was written meanwhile."""
    notes = _open.get()
    if notes is None or (of_a_snooze and not notes.written):
        return None
    return notes.entry()


def report(done: int, of: int | None = None) -> None:
    """Tell how far this job is: `done` of so many, or of nobody knows how many. Outside of a job it does nothing.
    Raises ValueError for what is no count."""
    if not 0 <= done <= MOST or not 0 <= (of or 0) <= MOST:
        raise ValueError(f"progress is counted from 0 to {MOST}: {done} of {of}")
    if notes := _open.get():
        notes.report(int(done), None if of is None else int(of))


def progress(rows: Iterable[T], total: int | None = None) -> Iterator[T]:
    """The rows, one by one, each of which is reported as done when the next is asked for. `total`: how many there are,
    for an iterator, which can't say so itself."""
    if total is None and isinstance(rows, Sized):
        total = len(rows)
    if total != 0:
        report(0, total)
    for done, row in enumerate(rows, 1):
        yield row
        report(done, total)


class Handler(logging.Handler):
    """Beside those that write the log: keeps a job's lines for its page. To be named in settings.LOGGING."""

    def emit(self, record: logging.LogRecord) -> None:
        """A line logged outside of an attempt is not kept."""
        if notes := _open.get():
            try:
                notes.note(_line(record))
            except Exception:
                self.handleError(record)


def _line(record: logging.LogRecord) -> dict[str, str]:
    """What the log shows, without the ids that all lines of the job have, and without a traceback."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    text = _text(record.msg) if isinstance(record.msg, dict) else record.getMessage()
    if record.exc_info and (error := record.exc_info[1]):
        text += f" ({type(error).__name__}: {error})"
    return {"at": at, "level": record.levelname.lower(), "text": clean(text)[:LINE_LIMIT]}


def _text(line: dict[str, Any]) -> str:
    """A line of structlog's: the event, then name=value."""
    known = {"event", "level", "logger", "timestamp", "exc_info", *get_contextvars()}
    return " ".join([str(line.get("event")), *(f"{name}={line[name]}" for name in line if name not in known)])
