"""The back room in figures, for people and machines: what `manage.py jobs` and the operations page show.

Nothing here reads the ledger from end to end: what is live is counted by partial indexes, what has ended comes from the
minutes that were written down (backroom/ops/rollups.py), and from the ledger only for the last three at most: where neither
dispatcher nor watcher lives, what ended before that is missing until one does.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backroom.ledger.rescue import SILENCE
from backroom.ledger.sql import rows
from backroom.ops import rollups
from backroom.ops.models import TaskMinute

WINDOW = 300  # seconds that throughput and rates look back
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

    def add(self, minute: TaskMinute) -> None:
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
        """Of the jobs that finished."""
        return self.succeeded / self.finished if self.finished else 0.0

    @property
    def failure_rate(self) -> float:
        return self.dead / self.finished if self.finished else 0.0

    @property
    def retry_rate(self) -> float:
        """Of all attempts, those that were tried again."""
        return self.retried / (self.finished + self.retried) if self.finished + self.retried else 0.0

    @property
    def waits_ms(self) -> list[float | None]:
        """How long half, 95 % and 99 % of the attempts waited at most, from being due to their start."""
        return [percentile(self.waits, share) for share in SHARES]

    @property
    def runs_ms(self) -> list[float | None]:
        """How long half, 95 % and 99 % of the attempts ran at most."""
        return [percentile(self.runs, share) for share in SHARES]


def percentile(histogram: Counter[str], share: float) -> float | None:
    """The upper edge, in ms, of the bucket in which this share of all times is reached: at most 1.41 times too much."""
    left = share * histogram.total()
    for bucket in sorted(map(int, histogram)):
        left -= histogram[str(bucket)]
        if left <= 1e-9:
            return 2 ** (bucket / 2)
    return None


def seconds(value: float | None) -> str:
    """Seconds as people say them."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.0f} h" if value < 172_800 else f"{value / 86_400:.0f} days"


def minutes(span: float) -> tuple[float, list[TaskMinute]]:
    """What ended in the last `span` seconds and, to the full minute, a little before; and how many seconds that is."""
    ((now, last),) = rows("SELECT clock_timestamp(), max(minute) FROM backroom_ops_queueminute")
    begin = (now - timedelta(seconds=span)).replace(second=0, microsecond=0)
    written = list(TaskMinute.objects.filter(minute__gte=begin)) if last else []
    since = max(last + rollups.MINUTE, begin) if last else begin
    recent = rollups.ended(max(since, now - 3 * rollups.MINUTE), now)
    return (now - begin).total_seconds(), written + recent


def by(name: str, entries: Iterable[TaskMinute], span: float) -> dict[str, Ended]:
    """What ended for each `task` or `queue`, sorted by name."""
    found: dict[str, Ended] = {}
    for entry in entries:
        found.setdefault(getattr(entry, name), Ended(span)).add(entry)
    return dict(sorted(found.items()))


def figures() -> dict[str, Any]:
    """Depth and oldest age for each queue; throughput, retries and failures for each task over WINDOW; live workers.

    Ages in seconds, times in ms, rates a minute; shares between 0 and 1.
    """
    queues = [
        {
            "queue": level.queue,
            "ready": level.ready,
            "waiting": level.due + level.later,
            "running": level.running,
            "dead": level.dead,
            "oldest_s": level.oldest_s,
        }
        for level in rollups.levels().values()
    ]
    span, ended_ = minutes(WINDOW)
    tasks = [
        {
            "task": task,
            "per_minute": ended.per_minute,
            "retry_rate": ended.retry_rate,
            "failure_rate": ended.failure_rate,
            "wait_ms_p50": ended.waits_ms[0],
            "run_ms_p50": ended.runs_ms[0],
        }
        for task, ended in by("task", ended_, span).items()
    ]
    workers = [
        {"name": name, "queues": queues_, "seen_s": seen}
        for name, queues_, seen in rows(
            "SELECT name, queues, extract(epoch FROM now() - seen_at)::float FROM backroom_heartbeat"
            " WHERE role = 'worker' AND seen_at > now() - %s * interval '1 second' ORDER BY name",
            SILENCE,
        )
    ]
    return {"window_s": WINDOW, "queues": queues, "tasks": tasks, "workers": workers}
