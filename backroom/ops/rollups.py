"""A row for each queue and task per minute, and for each task per hour, so that a page reads the past without reading
the ledger.

The first dispatcher or watcher to get the lock writes each finished minute and adds it to the totals. Totals never go
down, so rows may be purged. A job whose finish commits more than SETTLING after its stamp is missing here, and only
here.
"""

import logging
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import Error, transaction
from django.db.models.functions import Now

from backroom.ledger import db_errors
from backroom.ledger.sql import rows
from backroom.ops.levels import MEASURED, Level, levels
from backroom.ops.models import QueueMinute, TaskHour, TaskMinute, TaskTotal

log = logging.getLogger(__name__)

SETTLING = 10  # seconds after a minute's end
CATCH_UP = 60  # minutes that are written late, if no dispatcher and no watcher ran
TASKS_KEPT = timedelta(hours=25)  # by minute
KEPT = timedelta(days=8)  # queues by minute, tasks by hour
MINUTE = timedelta(minutes=1)
BUCKETS = 60  # bucket n holds times up to sqrt(2) ** n ms; the last one a week and more

COUNTS, HISTOGRAMS, SUMS = ("succeeded", "retried", "dead"), ("waits", "runs"), ("wait_s", "run_s")

BUCKET = (  # GREATEST ignores NULL, which an attempt has that was refused before its start
    "CASE WHEN {0} IS NOT NULL"
    f" THEN LEAST(ceil(2 * log(2, GREATEST(extract(epoch FROM {{0}}) * 1000, 1))), {BUCKETS - 1})::int END"
)

# The BRIN index over finished_at finds what succeeded or expired, the index over attempts all other ends.
ENDED = f"""
SELECT task, queue, outcome, {BUCKET.format("wait")}, {BUCKET.format("run")}, count(*),
       COALESCE(sum(extract(epoch FROM GREATEST(wait, '0'))), 0)::float,
       COALESCE(sum(extract(epoch FROM GREATEST(run, '0'))), 0)::float
FROM (
    SELECT task, queue, CASE state WHEN 'cancelled' THEN 'expired' ELSE state END AS outcome,
           started_at - COALESCE(run_at, created_at) AS wait,
           finished_at - started_at AS run
    FROM backroom_job WHERE finished_at >= %s AND finished_at < %s
         AND (state = 'succeeded' OR (state = 'cancelled' AND error LIKE 'expired: %%'))
    UNION ALL
    SELECT task, queue, outcome, started_at - published_at, ended_at - started_at
    FROM backroom_attempt WHERE ended_at >= %s AND ended_at < %s
) ended GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - BUCKET stands above


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
            if bucket is not None:
                histogram[str(bucket)] = histogram.get(str(bucket), 0) + count
    return [found[name] for name in sorted(found)]


def write_finished_minutes() -> None:
    """Write the missing minutes of all queues. Logs database errors: no dispatcher stops for them."""
    try:
        write([queue.name for queue in current_app.amqp.queues.values()])
    except Error as error:
        log.warning("the last minute could not be written: %s", db_errors.summary(error))


def write(queues: list[str], now: datetime | None = None) -> int:
    """Write the finished minutes that are missing, for these queues at least; returns how many. `now`: for tests, which
    hold the clock still."""
    written = 0
    while _write_next(queues, now):
        written += 1
    return written


@transaction.atomic
def _write_next(queues: list[str], now: datetime | None) -> bool:
    """Write the oldest missing minute. One transaction, so a process that dies in it has added nothing to the totals.
    The lock comes first, as a statement reads what was committed before its begin; without it another process writes.
    """
    ((ours,),) = rows("SELECT pg_try_advisory_xact_lock(hashtext('backroom.rollups'))")
    ((clock, last),) = rows("SELECT clock_timestamp(), max(minute) FROM backroom_ops_queueminute")
    # The first minute that is not finished.
    over = ((now or clock) - timedelta(seconds=SETTLING)).replace(second=0, microsecond=0)
    minute = max(last + MINUTE, over - CATCH_UP * MINUTE) if last else over - MINUTE
    if not ours or minute >= over:
        return False
    _write(minute, queues, levels(MEASURED) if minute + MINUTE == over else None)
    return True


def _write(minute: datetime, queues: list[str], levels: dict[str, Level] | None) -> None:
    tasks = ended(minute, minute + MINUTE)
    TaskMinute.objects.bulk_create(tasks, ignore_conflicts=True)
    _add(TaskTotal, tasks)
    _add(TaskHour, tasks, hour=minute.replace(minute=0))
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


def _add(totals_of: Any, tasks: list[TaskMinute], **at: datetime) -> None:
    """Add a minute to totals. The lock keeps other processes from changing them between read and write."""
    known = {(total.task, total.queue): total for total in totals_of.objects.filter(**at)}
    totals = []
    for entry in tasks:
        total = known.get((entry.task, entry.queue)) or totals_of(task=entry.task, queue=entry.queue, **at)
        for name in (*COUNTS, "expired", *SUMS):
            setattr(total, name, getattr(total, name) + getattr(entry, name))
        for name in HISTOGRAMS:
            setattr(total, name, dict(Counter(getattr(total, name)) + Counter(getattr(entry, name))))
        totals.append(total)
    fields = [*COUNTS, "expired", *SUMS, *HISTOGRAMS]
    names = [*at, "task", "queue"]
    totals_of.objects.bulk_create(totals, update_conflicts=True, unique_fields=names, update_fields=fields)


def purge() -> None:
    """Delete the minutes and hours that no page shows any more."""
    TaskMinute.objects.filter(minute__lt=Now() - TASKS_KEPT).delete()
    QueueMinute.objects.filter(minute__lt=Now() - KEPT).delete()
    TaskHour.objects.filter(hour__lt=Now() - KEPT).delete()
