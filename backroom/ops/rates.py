"""Throughput, failure rates and times, out of the per-minute tables.

What ended in minutes that are not written yet comes from the ledger, three minutes back at most. While neither a
dispatcher nor a watcher runs, older minutes are missing until one does.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backroom.ledger.sql import rows
from backroom.ops import rollups
from backroom.ops.models import TaskHour, TaskMinute

WINDOW = 300  # seconds over which current throughput and rates are measured
SHARES = (0.5, 0.95, 0.99)


@dataclass
class Ended:
    """What ended over a span of seconds; times in ms, shares between 0 and 1."""

    span: float
    succeeded: int = 0
    retried: int = 0
    dead: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)

    def add(self, minute: TaskMinute | TaskHour) -> None:
        self.succeeded += minute.succeeded
        self.retried += minute.retried
        self.dead += minute.dead
        self.waits.update(minute.waits)
        self.runs.update(minute.runs)

    @property
    def finished(self) -> int:
        return self.succeeded + self.dead

    @property
    def per_minute(self) -> float:
        return round(self.finished * 60 / self.span, 2)

    @property
    def success_rate(self) -> float:
        """Of the finished jobs."""
        return self.succeeded / self.finished if self.finished else 0.0

    @property
    def failure_rate(self) -> float:
        return self.dead / self.finished if self.finished else 0.0

    @property
    def retry_rate(self) -> float:
        """Of all attempts."""
        return self.retried / (self.finished + self.retried) if self.finished + self.retried else 0.0

    @property
    def waits_ms(self) -> list[float | None]:
        """Percentiles p50, p95 and p99 of the time from due to start."""
        return [percentile(self.waits, share) for share in SHARES]

    @property
    def runs_ms(self) -> list[float | None]:
        """Percentiles p50, p95 and p99 of the attempts' run time."""
        return [percentile(self.runs, share) for share in SHARES]


def percentile(histogram: Counter[str], share: float) -> float | None:
    """The upper edge, in ms, of the bucket that reaches this share of all times: at most 1.41 times too high."""
    left = share * histogram.total()
    for bucket in sorted(map(int, histogram)):
        left -= histogram[str(bucket)]
        if left <= 1e-9:
            return 2 ** (bucket / 2)
    return None


def minutes(span: float, now: datetime) -> list[TaskMinute]:
    """What ended in the `span` seconds before `now`, rounded up to full minutes."""
    begin = (now - timedelta(seconds=span)).replace(second=0, microsecond=0)
    return [*TaskMinute.objects.filter(minute__gte=begin), *_unwritten(begin, now)]


def hours(span: float, now: datetime) -> list[TaskHour | TaskMinute]:
    """As minutes(), rounded up to full hours."""
    begin = (now - timedelta(seconds=span)).replace(minute=0, second=0, microsecond=0)
    return [*TaskHour.objects.filter(hour__gte=begin), *_unwritten(begin, now)]


def _unwritten(begin: datetime, now: datetime) -> list[TaskMinute]:
    ((last,),) = rows("SELECT max(minute) FROM backroom_ops_queueminute")
    since = max(last + rollups.MINUTE, begin) if last else begin
    return rollups.ended(max(since, now - 3 * rollups.MINUTE), now)


def by(name: str, entries: Iterable[TaskMinute | TaskHour], span: float) -> dict[str, Ended]:
    """What ended for each `task` or `queue`, sorted by name."""
    found: dict[str, Ended] = {}
    for entry in entries:
        found.setdefault(getattr(entry, name), Ended(span)).add(entry)
    return dict(sorted(found.items()))
