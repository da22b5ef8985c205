"""The back room's metrics for Prometheus. Each scrape reads the database and the broker, so any web process answers for
all machines, and a restart resets nothing.

Counters come from the totals, to which a dispatcher or watcher adds each minute ten seconds after its end
(backroom/ops/rollups.py); the purge of old rows does not lower them. docs/signals.md lists all metrics.
"""

import logging
from collections.abc import Iterable, Iterator

from django.db import Error, transaction
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from backroom.ledger import db_errors
from backroom.ledger.sql import rows
from backroom.ops import disks, stats
from backroom.ops.levels import MEASURED, STATES
from backroom.ops.models import TaskTotal
from backroom.ops.rollups import COUNTS
from backroom.ops.rules import BY_NAME, RULES

log = logging.getLogger(__name__)

TIMEOUT = 2  # seconds for each statement: a scrape must not overload a slow database
# Every second edge of the buckets of rollups.py, in seconds: each twice the one before, up to an hour.
EDGES = [(bucket, floatToGoString(2 ** (bucket / 2) / 1000)) for bucket in range(0, 45, 2)]

ALERTS = (
    "SELECT rule, count(*) FROM backroom_ops_alert WHERE fired_at IS NOT NULL AND recovered_at IS NULL GROUP BY rule"
)
COUNTED_UNTIL = "SELECT extract(epoch FROM max(minute) + interval '1 minute')::float FROM backroom_ops_queueminute"
TAKEN = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('backroom_foreignmessage', 'id')::regclass), 0)"


def gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"backroom_{name}", help, labels=labels)


class BackRoom(Collector):
    """Reads all metrics anew at each scrape."""

    def collect(self) -> Iterator[Metric]:
        """If the database or the broker is down, a gauge is 0 and the metrics that need it are missing."""
        broker = stats.read_broker()
        up = gauge("ledger_up", "Whether the ledger could be read for this scrape, and takes writes")
        try:
            with transaction.atomic():
                rows("SELECT set_config('statement_timeout', %s, true)", f"{TIMEOUT}s")
                now = stats.snapshot(state=broker, limit=MEASURED)
                found = [*queues(now), *workers(now), *processes(now), *pauses(now), foreign(), alerts(), *totals()]
        except Error as error:
            if not db_errors.is_outage(error):
                raise
            log.warning("the ledger can't be read for a scrape: %s", db_errors.summary(error))
            db_errors.close_connection()
            found = []
        up.add_metric([], float(bool(found) and not now.read_only))
        return iter([up, full_disks(), *found, *breakers(broker), *backlogs(broker)])


def full_disks() -> Metric:
    full = gauge("disk_full", "Whether the disk of this machine has hardly any room", "folder")
    for folder, free in disks.full().items():
        full.add_metric([folder], float(bool(free)))
    return full


def queues(now: stats.Snapshot) -> Iterable[Metric]:
    """Depth and ages of each queue, empty ones too, and the objective that the alert rule holds it to."""
    jobs = gauge(
        "queue_jobs", f"Jobs in each state, counted to {MEASURED:,}; due are those to be published", "queue", "state"
    )
    oldest = gauge("queue_oldest_seconds", "Time for which the oldest job that could run has been due", "queue")
    objective = gauge("queue_objective_seconds", "Time for which a job may be due before an alert", "queue")
    longest = gauge("queue_longest_run_seconds", "Time for which the longest of the running jobs has run", "queue")
    serving = gauge("queue_workers", "Live workers that serve it", "queue")
    for queue in now.queues:
        for state in STATES:
            jobs.add_metric([queue.name, state], getattr(queue.level, state))
        oldest.add_metric([queue.name], queue.level.oldest_s)
        longest.add_metric([queue.name], queue.level.longest_run_s)
        objective.add_metric([queue.name], BY_NAME["queue-late"].limit(queue.name))
        if queue.declared:
            serving.add_metric([queue.name], queue.workers)
    return jobs, oldest, objective, longest, serving


def workers(now: stats.Snapshot) -> Iterable[Metric]:
    """By node name, which a restarted worker keeps. Of two with one name the one seen last counts: Prometheus refuses a
    scrape that has a series twice."""
    seen = gauge("worker_seen_seconds", "Time since its last heartbeat; one is sent every two seconds", "worker")
    pool = gauge("worker_pool_size", "How many jobs it runs at a time", "worker")
    busy = gauge("worker_busy", "Jobs it is running", "worker")
    memory = gauge("worker_memory_bytes", "Of its main process and children, shared memory counted once", "worker")
    newest = sorted(now.workers, key=lambda worker: worker.seen_s, reverse=True)
    for name, worker in {each.name.partition("/")[0]: each for each in newest}.items():
        seen.add_metric([name], worker.seen_s)
        busy.add_metric([name], worker.busy)
        for family, value in (pool, worker.pool), (memory, worker.memory):
            if value is not None:  # not every platform reports it
                family.add_metric([name], value)
    return seen, pool, busy, memory


def processes(now: stats.Snapshot) -> Iterable[Metric]:
    """Dispatchers, beats and watchers."""
    alive = gauge("processes", "How many are alive", "role")
    seen = gauge("process_seen_seconds", "Time since the newest heartbeat of any of them in the last hour", "role")
    for role in "dispatcher", "beat", "watcher":
        found = [process for process in now.processes if process.role == role]
        alive.add_metric([role], sum(process.alive for process in found))
        if found:
            seen.add_metric([role], now.silent_s(role))
    return alive, seen


def pauses(now: stats.Snapshot) -> Iterable[Metric]:
    paused = gauge("queue_paused", "Whether it is paused", "queue")
    tasks = gauge("paused_tasks", "How many tasks are paused")
    for queue in now.queues:
        if queue.declared:
            paused.add_metric([queue.name], float(queue.pause is not None))
    tasks.add_metric([], sum(pause.kind == "task" for pause in now.pauses.values()))
    return paused, tasks


def foreign() -> Metric:
    """The table's ids count them, as it keeps the newest for a while."""
    ((count,),) = rows(TAKEN)
    taken = CounterMetricFamily("backroom_foreign_messages", "Messages in the queues that were no job's, taken out")
    taken.add_metric([], count)
    return taken


def alerts() -> Metric:
    fired = gauge("alerts", "Queues, tasks or partners for which it has fired and not recovered", "rule")
    counts = dict(rows(ALERTS))
    for rule in RULES:
        fired.add_metric([rule.name], counts.get(rule.name, 0))
    return fired


def totals() -> Iterable[Metric]:
    """All that ever ended, up to the last minute that is written."""
    labels = ["task", "queue"]
    attempts = CounterMetricFamily(
        "backroom_job_attempts", "Attempts that ended: succeeded, retried, dead", labels=[*labels, "outcome"]
    )
    expired = CounterMetricFamily("backroom_job_expired", "Jobs cancelled as they had not begun in time", labels=labels)
    wait = HistogramMetricFamily("backroom_job_wait_seconds", "From due to start", labels=labels)
    run = HistogramMetricFamily("backroom_job_run_seconds", "From start to end of an attempt", labels=labels)
    until = gauge("job_counted_until_timestamp_seconds", "End of the newest minute that the counters include")
    for total in TaskTotal.objects.order_by("task", "queue"):
        values = [total.task, total.queue]
        for outcome in COUNTS:
            attempts.add_metric([*values, outcome], getattr(total, outcome))
        expired.add_metric(values, total.expired)
        wait.add_metric(values, cumulative(total.waits), total.wait_s)
        run.add_metric(values, cumulative(total.runs), total.run_s)
    ((last,),) = rows(COUNTED_UNTIL)
    if last:
        until.add_metric([], last)
    return attempts, expired, wait, run, until


def cumulative(histogram: dict[str, int]) -> list[tuple[str, float]]:
    """Our counts by bucket in Prometheus' form: the number of times up to each edge, in seconds."""
    counts = {int(bucket): count for bucket, count in histogram.items()}
    upto = [(edge, float(sum(n for bucket, n in counts.items() if bucket <= last))) for last, edge in EDGES]
    return [*upto, ("+Inf", float(sum(counts.values())))]


def breakers(broker: stats.Broker) -> Iterable[Metric]:
    up = gauge("broker_up", "Whether the broker takes messages")
    problem = gauge("broker_problem", "1, with the reason, while the broker takes no messages", "problem")
    state = gauge("breaker_state", "1 for its current state: closed, open, half-open", "partner", "state")
    open_ = gauge("breaker_open_seconds", "Since it opened, half-open included; 0 while it is closed", "partner")
    failing = gauge("partner_failing_seconds", "For which every call has failed; 0 after a success", "partner")
    for gate in broker.partners or ():
        for name in "closed", "open", "half-open":
            state.add_metric([gate["partner"], name], float(gate["state"] == name))
        open_.add_metric([gate["partner"]], stats.open_s(gate))
        failing.add_metric([gate["partner"]], stats.failing_s(gate))
    up.add_metric([], float(not broker.problem))
    if broker.problem:
        problem.add_metric([broker.problem], 1)
    return up, problem, state, open_, failing


def backlogs(broker: stats.Broker) -> Iterable[Metric]:
    """Of each queue in BACKROOM_QUEUE_DEPTHS, while the broker answers."""
    refuses = gauge("queue_refuses", "Whether it refuses requests the jobs of tasks with shed=True", "queue")
    refused = CounterMetricFamily(
        "backroom_queue_refused_jobs", "Jobs that it refused since the broker was last empty", labels=["queue"]
    )
    for name, backlog in broker.backlogs.items():
        refuses.add_metric([name], float(backlog.full))
        refused.add_metric([name], backlog.refused)
    return refuses, refused
