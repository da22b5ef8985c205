"""What happened when: a row for each queue and each task a minute, in tables of our own, so that a restart forgets
nothing and nobody who looks has to read the ledger.

Whoever comes first of dispatchers and watchers writes each minute once it is over, and adds it to the totals, which
never go down: rows may be purged.
The finish of a job that commits more than SETTLING after its stamp is missing here, and only here.
"""

import logging
from collections import Counter
from datetime import datetime, timedelta
from typing import NamedTuple

from celery import current_app
from django.db import Error, transaction
from django.db.models.functions import Now

from backroom.ledger.sql import PAUSED, rows
from backroom.ops.models import QueueMinute, TaskMinute, TaskTotal

log = logging.getLogger(__name__)

SETTLING = 10  # seconds after a minute's end
CATCH_UP = 60  # minutes that are written afterwards, if no dispatcher ran
TASKS_KEPT = timedelta(hours=25)
QUEUES_KEPT = timedelta(days=8)
MINUTE = timedelta(minutes=1)
BUCKETS = 60  # bucket n is for times up to sqrt(2) ** n ms: the last for a week and more

COUNTS, HISTOGRAMS, SUMS = ("succeeded", "retried", "dead"), ("waits", "runs"), ("wait_s", "run_s")

BUCKET = (  # GREATEST passes over a NULL, which is what an attempt has that was refused before it began
    "CASE WHEN {0} IS NOT NULL"
    f" THEN LEAST(ceil(2 * log(2, GREATEST(extract(epoch FROM {{0}}) * 1000, 1))), {BUCKETS - 1})::int END"
)

# Successes are found by the BRIN index over finished_at, all other ends by the index over attempts.
ENDED = f"""
SELECT task, queue, outcome, {BUCKET.format("wait")}, {BUCKET.format("run")}, count(*),
       COALESCE(sum(extract(epoch FROM GREATEST(wait, '0'))), 0)::float,
       COALESCE(sum(extract(epoch FROM GREATEST(run, '0'))), 0)::float
FROM (
    SELECT task, queue, 'succeeded' AS outcome, started_at - COALESCE(run_at, created_at) AS wait,
           finished_at - started_at AS run
    FROM backroom_job WHERE finished_at >= %s AND finished_at < %s AND state = 'succeeded'
    UNION ALL
    SELECT task, queue, outcome, started_at - published_at, ended_at - started_at
    FROM backroom_attempt WHERE ended_at >= %s AND ended_at < %s
) ended GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - BUCKET stands above

# What is live or dead, each state by a partial index of its own, and since when the first of each has been in it.
LIVE = """
    SELECT queue, task, 'ready' AS state, count(*) AS n, min(COALESCE(run_at, published_at)) AS since
    FROM backroom_job WHERE state = 'ready' GROUP BY queue, task
    UNION ALL SELECT queue, task, 'due', count(*), min(run_at)
    FROM backroom_job WHERE state = 'waiting' AND run_at <= now() GROUP BY queue, task
    UNION ALL SELECT queue, task, 'later', count(*), NULL
    FROM backroom_job WHERE state = 'waiting' AND (run_at > now() OR run_at IS NULL) GROUP BY queue, task
    UNION ALL SELECT queue, task, 'running', count(*), min(started_at)
    FROM backroom_job WHERE state = 'running' GROUP BY queue, task
    UNION ALL SELECT queue, task, 'dead', count(*), min(finished_at)
    FROM backroom_job WHERE state = 'dead' GROUP BY queue, task
"""
COULD_RUN = f"state IN ('ready', 'due') AND NOT ({PAUSED})"

QUEUES = f"""
SELECT queue, COALESCE(sum(n) FILTER (WHERE state = 'ready'), 0)::int,
       COALESCE(sum(n) FILTER (WHERE state = 'due'), 0)::int, COALESCE(sum(n) FILTER (WHERE state = 'later'), 0)::int,
       COALESCE(sum(n) FILTER (WHERE state = 'running'), 0)::int,
       COALESCE(sum(n) FILTER (WHERE state = 'dead'), 0)::int,
       COALESCE(extract(epoch FROM clock_timestamp() - min(since) FILTER (WHERE {COULD_RUN})), 0)::float
FROM ({LIVE}) live GROUP BY queue ORDER BY queue
"""  # noqa: S608 - the parts stand above


class Level(NamedTuple):
    """A queue now. `depth` is what could run at once: ready, or due and not published yet; `oldest_s` since when the
    oldest of them could, what is paused aside."""

    queue: str
    ready: int = 0
    due: int = 0
    later: int = 0
    running: int = 0
    dead: int = 0
    oldest_s: float = 0.0

    @property
    def depth(self) -> int:
        return self.ready + self.due


def levels() -> dict[str, Level]:
    """Each queue that has live jobs or dead letters, by name."""
    return {row[0]: Level(*row) for row in rows(QUEUES)}


def ended(begin: datetime, end: datetime) -> list[TaskMinute]:
    """What ended from `begin` to before `end`, for each task and queue; not saved."""
    found: dict[tuple[str, str], TaskMinute] = {}
    for task, queue, outcome, wait, run, count, wait_s, run_s in rows(ENDED, begin, end, begin, end):
        entry = found.setdefault((task, queue), TaskMinute(minute=begin, task=task, queue=queue))
        name = {"waiting": "retried"}.get(outcome, outcome)
        setattr(entry, name, getattr(entry, name) + count)
        entry.wait_s += wait_s
        entry.run_s += run_s
        for histogram, bucket in (entry.waits, wait), (entry.runs, run):
            if bucket is not None:  # it was refused before it began
                histogram[str(bucket)] = histogram.get(str(bucket), 0) + count
    return [found[name] for name in sorted(found)]


def write_finished_minutes() -> None:
    """Write down what is over, for all queues. Trouble with that is logged: it must keep nobody from working."""
    try:
        write([queue.name for queue in current_app.amqp.queues.values()])
    except Error as error:
        log.warning("the last minute's figures could not be written: %s", str(error).partition("\n")[0])


def write(queues: list[str]) -> int:
    """Write down the minutes that are over and missing, for these queues at least; returns how many."""
    written = 0
    while _write_next(queues):
        written += 1
    return written


@transaction.atomic
def _write_next(queues: list[str]) -> bool:
    """The oldest minute that is missing, in one transaction: whoever dies in the midst has added nothing to the totals.
    Who doesn't get the lock leaves it to the dispatcher that has it. It is asked for first: what a statement reads is
    as old as its begin."""
    ((ours,),) = rows("SELECT pg_try_advisory_xact_lock(hashtext('backroom.rollups'))")
    ((now, last),) = rows("SELECT clock_timestamp(), max(minute) FROM backroom_ops_queueminute")
    over = (now - timedelta(seconds=SETTLING)).replace(second=0, microsecond=0)  # the first minute that is not
    minute = max(last + MINUTE, over - CATCH_UP * MINUTE) if last else over - MINUTE
    if not ours or minute >= over:
        return False
    _write(minute, queues, levels() if minute + MINUTE == over else None)
    return True


def _write(minute: datetime, queues: list[str], levels: dict[str, Level] | None) -> None:
    tasks = ended(minute, minute + MINUTE)
    TaskMinute.objects.bulk_create(tasks, ignore_conflicts=True)
    _add(tasks)
    entries = []
    for queue in sorted({*queues, *(task.queue for task in tasks), *(levels or ())}):
        entry = QueueMinute(minute=minute, queue=queue)
        if levels is not None:
            level = levels.get(queue, Level(queue))
            entry.depth, entry.running, entry.oldest_s = level.depth, level.running, level.oldest_s
        for name in COUNTS:
            setattr(entry, name, sum(getattr(task, name) for task in tasks if task.queue == queue))
        entries.append(entry)
    QueueMinute.objects.bulk_create(entries, ignore_conflicts=True)


def _add(tasks: list[TaskMinute]) -> None:
    """Add a minute to the totals; under the lock nobody changes them between the reading and the writing."""
    known = {(total.task, total.queue): total for total in TaskTotal.objects.all()}
    totals = []
    for entry in tasks:
        total = known.get((entry.task, entry.queue)) or TaskTotal(task=entry.task, queue=entry.queue)
        for name in (*COUNTS, *SUMS):
            setattr(total, name, getattr(total, name) + getattr(entry, name))
        for name in HISTOGRAMS:
            setattr(total, name, dict(Counter(getattr(total, name)) + Counter(getattr(entry, name))))
        totals.append(total)
    TaskTotal.objects.bulk_create(
        totals,
        update_conflicts=True,
        unique_fields=["task", "queue"],
        update_fields=[*COUNTS, *SUMS, *HISTOGRAMS],
    )


def purge() -> None:
    """Delete what no chart shows any more."""
    TaskMinute.objects.filter(minute__lt=Now() - TASKS_KEPT).delete()
    QueueMinute.objects.filter(minute__lt=Now() - QUEUES_KEPT).delete()
