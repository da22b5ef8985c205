"""The back room for Prometheus. All of it is read from the database and the broker, so that any web process can tell it
for all workers on all machines, and a restart forgets nothing.

What counts upwards comes from the totals, to which a dispatcher or a watcher adds each minute ten seconds after its end
(backroom/ops/rollups.py): so the purge of old rows takes nothing away. docs/signals.md has the table of all metrics.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from celery import current_app
from django.db import Error, transaction
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from backroom.ledger import db_errors
from backroom.ledger.rescue import SILENCE
from backroom.ledger.sql import rows
from backroom.ops.models import TaskTotal
from backroom.ops.rollups import COULD_RUN, COUNTS, LIVE
from backroom.ops.rules import BY_NAME, RULES
from backroom.ops.stats import SILENT
from backroom.outbound import breaker
from backroom.runtime import broker

log = logging.getLogger(__name__)

PATIENCE = 2  # seconds for each statement: a scrape must not be what brings a database in trouble down
STATES = ("ready", "due", "later", "running", "dead")
# Every second edge of the ledger's buckets, in seconds: each twice the one before, to an hour.
EDGES = [(bucket, floatToGoString(2 ** (bucket / 2) / 1000)) for bucket in range(0, 45, 2)]

LEVELS = f"""
SELECT queue, state, sum(n)::int, COALESCE(extract(epoch FROM clock_timestamp() - min(since)
                                              FILTER (WHERE {COULD_RUN} OR state = 'running')), 0)::float
FROM ({LIVE}) live GROUP BY queue, state
"""  # noqa: S608 - the parts stand in history.py

# A worker that was restarted has the name of the one before; of the two only the newer one is told.
WORKERS = """
SELECT DISTINCT ON (worker) split_part(name, '/', 1) AS worker, queues, pool, memory,
       extract(epoch FROM clock_timestamp() - seen_at)::float,
       (SELECT count(*) FROM backroom_job WHERE state = 'running' AND backroom_job.worker = backroom_heartbeat.name)
FROM backroom_heartbeat WHERE role = 'worker' ORDER BY worker, seen_at DESC
"""

PROCESSES = "SELECT role, extract(epoch FROM clock_timestamp() - seen_at)::float FROM backroom_heartbeat WHERE role <> 'worker' ORDER BY 2"

ALERTS = (
    "SELECT rule, count(*) FROM backroom_ops_alert WHERE fired_at IS NOT NULL AND recovered_at IS NULL GROUP BY rule"
)


def gauge(name: str, says: str, *labels: str) -> GaugeMetricFamily:
    """An empty gauge of ours."""
    return GaugeMetricFamily(f"backroom_{name}", says, labels=labels)


class BackRoom(Collector):
    """Collects it all anew at each scrape."""

    def collect(self) -> Iterator[Metric]:
        """Never raises for trouble of the database or the broker: then a gauge says so, and the rest is missing."""
        up = gauge("ledger_up", "Whether the ledger could be read for this scrape")
        try:
            with transaction.atomic():
                rows("SELECT set_config('statement_timeout', %s, true)", f"{PATIENCE}s")
                found = [*queues(), *workers(), *processes(), *alerts(), *pauses(), *totals()]
        except Error as error:
            if not db_errors.is_outage(error):
                raise
            log.warning("the ledger can't be read for a scrape: %s", db_errors.summary(error))
            db_errors.close_connection()
            found = []
        up.add_metric([], float(bool(found)))
        return iter([up, *found, *breakers()])


def known_queues() -> list[str]:
    """Those that a worker could serve, by name: they are told of even when they are empty."""
    return sorted(queue.name for queue in current_app.amqp.queues.values())


def queues() -> Iterable[Metric]:
    """What is live or dead, and how long a job may be due before somebody is called."""
    jobs = gauge("queue_jobs", "Jobs in each state; due are those to be published", "queue", "state")
    oldest = gauge("queue_oldest_seconds", "Since when the oldest job that could run has been due", "queue")
    objective = gauge("queue_objective_seconds", "For how long a job may be due", "queue")
    longest = gauge("queue_longest_run_seconds", "For how long the longest of the running jobs has been at it", "queue")
    found = {(queue, state): (n, age) for queue, state, n, age in rows(LEVELS)}
    for queue in sorted({*known_queues(), *(queue for queue, _ in found)}):
        for state in STATES:
            jobs.add_metric([queue, state], found.get((queue, state), (0,))[0])
        ages = {state: found.get((queue, state), (0, 0.0))[1] for state in STATES}
        oldest.add_metric([queue], max(ages["ready"], ages["due"]))
        longest.add_metric([queue], ages["running"])
        objective.add_metric([queue], BY_NAME["queue-late"].limit(queue))
    return jobs, oldest, objective, longest


def workers() -> Iterable[Metric]:
    """Signs of life; a silent worker is told of for a minute."""
    serving = gauge("queue_workers", "Live workers that serve it", "queue")
    seen = gauge("worker_seen_seconds", "Since its last sign of life; one is given every two seconds", "worker")
    pool = gauge("worker_pool_size", "How many jobs it runs at a time", "worker")
    busy = gauge("worker_busy", "Jobs it is running", "worker")
    memory = gauge("worker_memory_bytes", "Of its main process and children, what they share counted once", "worker")
    found = rows(WORKERS)
    served = [queue for _, queues, _, _, age, _ in found if age < SILENCE for queue in queues.split(",")]
    for queue in known_queues():
        serving.add_metric([queue], served.count(queue))
    for name, _, size, bytes_, age, running in found:
        seen.add_metric([name], age)
        busy.add_metric([name], running)
        for family, value in (pool, size), (memory, bytes_):
            if value is not None:  # it runs where that can't be known
                family.add_metric([name], value)
    return serving, seen, pool, busy, memory


def processes() -> Iterable[Metric]:
    """Signs of life of dispatchers, beats and watchers."""
    alive = gauge("processes", "How many live", "role")
    seen = gauge("process_seen_seconds", "Since the newest sign of life of any of them in the last hour", "role")
    ages: dict[str, list[float]] = {}
    for role, age in rows(PROCESSES):
        ages.setdefault(role, []).append(age)
    for role, limit in SILENT.items():
        found = ages.get(role, [])
        alive.add_metric([role], sum(age <= limit for age in found))
        if found:
            seen.add_metric([role], found[0])
    return alive, seen


def alerts() -> Iterable[Metric]:
    """What the shop's own watcher calls for a person for."""
    fired = gauge("alerts", "How many queues, tasks or partners it has fired for and is not over", "rule")
    counts = dict(rows(ALERTS))
    for rule in RULES:
        fired.add_metric([rule.name], counts.get(rule.name, 0))
    return [fired]


def pauses() -> Iterable[Metric]:
    """What people let stand still."""
    paused = gauge("queue_paused", "Whether somebody paused it", "queue")
    tasks = gauge("paused_tasks", "How many tasks somebody paused")
    names = [what for (what,) in rows("SELECT what FROM backroom_pause")]
    for queue in known_queues():
        paused.add_metric([queue], float(f"queue:{queue}" in names))
    tasks.add_metric([], sum(name.startswith("task:") for name in names))
    return paused, tasks


def totals() -> Iterable[Metric]:
    """What ended since ever, to the last minute that was written down."""
    labels = ["task", "queue"]
    attempts = CounterMetricFamily(
        "backroom_job_attempts", "Attempts that ended: succeeded, retried, dead", labels=[*labels, "outcome"]
    )
    wait = HistogramMetricFamily("backroom_job_wait_seconds", "From being due to the start", labels=labels)
    run = HistogramMetricFamily("backroom_job_run_seconds", "From start to end of an attempt", labels=labels)
    until = gauge("job_counted_until_timestamp_seconds", "When the newest minute ended that is counted in the others")
    for total in TaskTotal.objects.order_by("task", "queue"):
        whose = [total.task, total.queue]
        for outcome in COUNTS:
            attempts.add_metric([*whose, outcome], getattr(total, outcome))
        wait.add_metric(whose, cumulative(total.waits), total.wait_s)
        run.add_metric(whose, cumulative(total.runs), total.run_s)
    for (last,) in rows(
        "SELECT extract(epoch FROM max(minute) + interval '1 minute')::float FROM backroom_ops_queueminute"
    ):
        if last:
            until.add_metric([], last)
    return attempts, wait, run, until


def cumulative(histogram: dict[str, int]) -> list[tuple[str, float]]:
    """Our counts by bucket, as Prometheus has them: how many up to each edge, in seconds."""
    counts = {int(bucket): count for bucket, count in histogram.items()}
    upto = [(edge, float(sum(n for bucket, n in counts.items() if bucket <= last))) for last, edge in EDGES]
    return [*upto, ("+Inf", float(sum(counts.values())))]


def breakers() -> Iterable[Metric]:
    """The gates of the partners; none where the broker can't be asked."""
    up = gauge("broker_up", "Whether the broker answered this scrape")
    state = gauge("breaker_state", "1 for the state that it is in: closed, open, half-open", "partner", "state")
    open_ = gauge("breaker_open_seconds", "Since it opened, half-open included; 0 while it is closed", "partner")
    found = breaker.states()
    for gate in found or ():
        for name in "closed", "open", "half-open":
            state.add_metric([gate["partner"], name], float(gate["state"] == name))
        age = datetime.now(UTC) - datetime.fromisoformat(gate["since"]) if gate["state"] != "closed" else None
        open_.add_metric([gate["partner"]], max(0.0, age.total_seconds()) if age else 0.0)
    up.add_metric([], float(found is not None or broker.answers()))
    return up, state, open_
