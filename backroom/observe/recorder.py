"""What an attempt has told so far, in memory; and the thread of this process that writes it down.

An attempt only takes notes. The thread writes what is new once in EVERY seconds, on a connection of its own: so
nobody's body waits for that, nor does it matter whether the body is in a transaction, or will roll it back. The
statement that ends the attempt writes the rest (ledger.py), so a short attempt makes no transaction of its own for it,
and one that says nothing pays nothing.

A row belongs to one claim: a worker back from the dead writes into its own row, not into that of who has the job now.
Once the end is written, nothing changes a row: a write that was on its way comes too late.
"""

import json
import threading
import time
from collections import deque
from typing import NamedTuple

from django.db import Error, connection

EVERY = 1.0  # seconds between two writes, and before the first
LINES = 100  # of one attempt that are kept: the last

_WRITE = """
INSERT INTO backroom_progress (job_id, claim, attempt, done, total, rate, lines, left_out, at, ended)
SELECT id, claims, %s, %s::bigint, %s::bigint, %s::float, %s::jsonb, %s, clock_timestamp(), {ended} FROM {source}
ON CONFLICT (job_id, claim) DO UPDATE SET done = excluded.done, total = excluded.total, rate = excluded.rate,
    lines = excluded.lines, left_out = excluded.left_out, at = excluded.at, ended = excluded.ended
WHERE NOT backroom_progress.ended
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
            writer.tell(self)

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
    """The thread that writes, begun by the first word that is told in this process. It looks once in `every` seconds
    while there is something to write, and holds no connection while there is not."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
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
            time.sleep(self.every)
            self.work.clear()
            due = list(self.fresh)
            for notes in due:
                self.fresh.discard(notes)
                notes.write()
            if due:
                self.work.set()  # look once more
            else:
                connection.close()


writer = Writer()
