"""An attempt's progress and log lines in memory, and the thread of this process that writes them.

An attempt only changes memory. The thread writes changes every EVERY seconds, on a connection of its own: a body never
waits for a write, and a rollback of the body's transaction takes nothing back. The attempt's last write comes just
before its end, on its own connection; in an atomic task it is part of the body's transaction. So a short attempt makes
no early write, and one that reports nothing pays nothing.

A row belongs to one claim: a superseded worker writes its own row, not that of the job's current worker. A row with
`ended` never changes again, so a late write of the thread changes nothing.
"""

import json
import threading
import time
from collections import deque
from itertools import accumulate
from typing import NamedTuple

from django.db import Error, connection

from backroom.ledger.limits import LIMIT
from backroom.ledger.sql import Claimed

EVERY = 1.0  # seconds between two writes, and before the first
LINES = 100  # of one attempt that are kept: the last, LIMIT characters in all

WRITE = """
INSERT INTO backroom_progress (job_id, claim, attempt, done, total, rate, lines, left_out, at, ended)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s)
ON CONFLICT (job_id, claim) DO UPDATE SET done = excluded.done, total = excluded.total, rate = excluded.rate,
    lines = excluded.lines, left_out = excluded.left_out, at = excluded.at, ended = excluded.ended
WHERE NOT backroom_progress.ended
"""


class Mark(NamedTuple):
    """How far an attempt was at a time of time.monotonic."""

    at: float
    done: int
    total: int | None


class Record:
    """One attempt's reports. Only the attempt changes it, each time by one assignment or append, so the thread that
    reads it needs no lock: no body waits for one, and none dies holding one."""

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.lines: deque[dict[str, str]] = deque(maxlen=LINES)
        self.count = 0  # of lines, with those no longer kept
        self.first: Mark | None = None
        self.last: Mark | None = None
        self.changed = self.written = self.over = False

    def add_line(self, line: dict[str, str]) -> None:
        self.lines.append(line)
        self.count += 1
        self._change()

    def set_progress(self, done: int, total: int | None) -> None:
        self.last = Mark(time.monotonic(), done, total)
        self.first = self.first or self.last
        self._change()

    def _change(self) -> None:
        if not self.changed and not self.over:
            self.changed = True
            writer.add(self)

    def write(self, ended: bool) -> None:
        """Write the row; nothing if nothing was reported. Raises django.db.Error."""
        if not self.count and self.last is None:
            return
        self.changed, lines = False, _newest(list(self.lines))
        parameters = (*self._progress(), json.dumps(lines), self.count - len(lines), ended)
        with connection.cursor() as cursor:
            cursor.execute(WRITE, [self.job.id, self.job.claims, self.job.attempts, *parameters])
        self.written = True

    def _progress(self) -> tuple[int | None, int | None, float | None]:
        """Done, total, and done a second since the first report."""
        if self.first is None or self.last is None:
            return None, None, None
        (begin, before, _), (now, done, total) = self.first, self.last
        return done, total, (done - before) / (now - begin) if done > before and now > begin else None


def _newest(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    sizes = accumulate(len(line["text"]) for line in reversed(lines))
    return lines[len(lines) - sum(size <= LIMIT for size in sizes) :]


class Writer:
    """The thread that writes. The first report in this process starts it. It holds no connection while it is idle."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
        self.changed: set[Record] = set()
        self.work = threading.Event()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    def add(self, record: Record) -> None:
        """Write this record soon."""
        self.changed.add(record)
        self.work.set()
        if not self._alive():
            with self.starting:
                if not self._alive():
                    self.thread = threading.Thread(target=self._run, daemon=True, name="progress")
                    self.thread.start()

    def remove(self, record: Record) -> None:
        """The attempt is over, and its last write was its own."""
        record.over = True
        self.changed.discard(record)

    def _alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()  # False in a child that was forked since

    def _run(self) -> None:
        while self.work.wait():
            time.sleep(self.every)
            self.work.clear()
            due = list(self.changed)
            for record in due:
                self.changed.discard(record)
                self._write(record)
            if due:
                self.work.set()  # look once more
            else:
                connection.close()

    def _write(self, record: Record) -> None:
        try:
            record.write(ended=False)
        except Error:  # nothing depends on this write: it is due again
            connection.close()
            self.add(record)


writer = Writer()
