"""What an attempt tells while it runs: how far it is, and its log lines. Both are shown with the job.

    for row in progress(rows, total=n):
        ...
    report(done, of)

Either only notes it in memory. One thread of the process writes what is new once in EVERY seconds, on a connection of
its own: so nobody's body waits for that, nor does it matter whether the body is in a transaction, or will roll it back.
The statement that ends the attempt writes the rest (ledger.py), so a short attempt makes no transaction of its own for
it, and one that says nothing pays nothing.

A row belongs to one claim: a worker back from the dead writes into its own row, not into that of who has the job now.
Once the end is written, nothing changes a row: a write that was on its way comes too late.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from django.db import Error, connection
from structlog.contextvars import get_contextvars

from jobs.cleanse import clean

T = TypeVar("T")

EVERY = 1.0  # seconds between two writes, and before the first
LINES = 100  # of one attempt that are kept: the last
LINE_LIMIT = 500  # characters of a line
MOST = 2**63 - 1  # what the table can hold

_WRITE = """
INSERT INTO jobs_journal (job_id, claim, attempt, done, total, rate, lines, left_out, at, ended)
SELECT id, claims, %s, %s::bigint, %s::bigint, %s::float, %s::jsonb, %s, clock_timestamp(), {ended} FROM {source}
ON CONFLICT (job_id, claim) DO UPDATE SET done = excluded.done, total = excluded.total, rate = excluded.rate,
    lines = excluded.lines, left_out = excluded.left_out, at = excluded.at, ended = excluded.ended
WHERE NOT jobs_journal.ended
"""
AT_THE_END = _WRITE.format(ended="true", source="ended")  # `ended` is the job's row, in a statement of ledger.py
MEANWHILE = _WRITE.format(ended="false", source="(VALUES (%s::uuid, %s)) AS attempt (id, claims)")


class Entry(NamedTuple):
    """What an attempt has told so far, in the order of the statement's parameters."""

    attempt: int
    done: int | None
    total: int | None
    rate: float | None
    lines: str  # JSON
    left_out: int


class Mark(NamedTuple):
    """How far an attempt was at a time of time.monotonic."""

    at: float
    done: int
    total: int | None


class Notes:
    """An attempt's own memory of what it told. Only the attempt writes it, and each change is one assignment or append,
    so the thread that reads it needs no lock: nobody's body waits for one, nor dies with one in its hands."""

    def __init__(self, id: str, claim: int, attempt: int) -> None:
        self.id, self.claim, self.attempt = id, claim, attempt
        self.lines: deque[dict[str, str]] = deque(maxlen=LINES)
        self.said = 0  # lines, with those that are no longer kept
        self.first: Mark | None = None
        self.last: Mark | None = None
        self.fresh = False  # something is to be written
        self.written = self.over = False

    def note(self, line: dict[str, str]) -> None:
        """Take down a line of the log."""
        self.lines.append(line)
        self.said += 1
        self.tell()

    def report(self, done: int, of: int | None) -> None:
        """Take down how far it is."""
        self.last = Mark(time.monotonic(), done, of)
        self.first = self.first or self.last
        self.tell()

    def tell(self) -> None:
        """Have it written soon."""
        if not self.fresh and not self.over:
            self.fresh = True
            _writer.tell(self)

    def entry(self) -> Entry | None:
        """All that it told; None if it said nothing."""
        if not self.said and self.last is None:
            return None
        lines = list(self.lines)
        return Entry(self.attempt, *self._progress(), json.dumps(lines), self.said - len(lines))

    def _progress(self) -> tuple[int | None, int | None, float | None]:
        """Done, of how many, and how many a second since the first report."""
        if self.first is None or self.last is None:
            return None, None, None
        (begin, before, _), (now, done, total) = self.first, self.last
        return done, total, (done - before) / (now - begin) if done > before and now > begin else None

    def write(self) -> None:
        """Write it down meanwhile. Trouble with the database is waited out: nobody depends on this."""
        self.fresh, entry = False, self.entry()
        try:
            with connection.cursor() as cursor:
                cursor.execute(MEANWHILE, [*(entry or ()), self.id, self.claim])
            self.written = True
        except Error:
            connection.close()
            self.tell()


class Writer:
    """The thread that writes, begun by the first word that is told in this process. It looks once in EVERY seconds
    while there is something to write, and holds no connection while there is not."""

    def __init__(self) -> None:
        self.fresh: set[Notes] = set()
        self.work = threading.Event()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    def tell(self, notes: Notes) -> None:
        """There is something new in these."""
        self.fresh.add(notes)
        self.work.set()
        if not self._alive():
            with self.starting:
                if not self._alive():
                    self.thread = threading.Thread(target=self._run, daemon=True, name="journal")
                    self.thread.start()

    def forget(self, notes: Notes) -> None:
        """The attempt is over, and what it told was written with its end."""
        notes.over = True
        self.fresh.discard(notes)

    def _alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()  # not alive: this is a child, forked since

    def _run(self) -> None:
        while self.work.wait():
            time.sleep(EVERY)
            self.work.clear()
            due = list(self.fresh)
            for notes in due:
                self.fresh.discard(notes)
                notes.write()
            if due:
                self.work.set()  # look once more
            else:
                connection.close()


_writer = Writer()
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
        _writer.forget(notes)


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
