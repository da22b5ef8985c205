"""One snapshot of the back room: processes, queues, partners, and the jobs that ended lately.

The overview page, /metrics, `manage.py jobs`, the alert rules and the lab read it. It uses partial indexes and the
tables of minutes; no statement scans the ledger.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from celery import current_app

from backroom.ledger.models import Pause
from backroom.ledger.sql import PARKED, rows
from backroom.observe.models import ForeignMessage
from backroom.ops import batches, rates
from backroom.ops.lanes import Lane, waiting
from backroom.ops.levels import SHOWN, Level, levels
from backroom.ops.models import TaskMinute
from backroom.ops.running import Running, running
from backroom.outbound import breaker
from backroom.runtime import backpressure, broker, heartbeat, scripts
from backroom.runtime.batch import Progress, overview

# An error of a partner begins with its name (backroom/outbound).
WAITING_FOR = """
SELECT task, count(*) FROM backroom_job WHERE state = 'waiting' AND claims > 0 AND error ~ %s
GROUP BY task ORDER BY task
"""
# The order makes the planner use the index of waiting jobs, whatever the statistics say.
NOW = f"""
SELECT clock_timestamp(), current_setting('transaction_read_only') = 'on',
       EXISTS (SELECT FROM backroom_batch WHERE ended_at IS NULL),
       (SELECT true FROM backroom_job WHERE state = 'waiting' AND run_at >= {PARKED} ORDER BY run_at LIMIT 1) IS TRUE
"""  # noqa: S608 - PARKED stands in sql.py
FOREIGN_SHOWN = 20
BUSY = "SELECT worker, count(*) FROM backroom_job WHERE state = 'running' GROUP BY worker"


@dataclass(frozen=True)
class Process(heartbeat.Process):
    """A worker, dispatcher, beat or watcher, and the number of jobs that a worker runs."""

    busy: int


@dataclass(frozen=True)
class Queue:
    """A queue, its jobs and its number of live workers. One that is not `declared` in the settings holds leftovers."""

    name: str
    level: Level
    workers: int
    pause: Pause | None
    declared: bool = True

    @property
    def needs_worker(self) -> bool:
        """False for a queue that is not declared any more and holds dead letters only."""
        return self.declared or bool(self.level.depth or self.level.later or self.level.parked or self.level.running)


class Broker(NamedTuple):
    """`problem`: why it takes no messages; "" if it does. `partners`: each partner's circuit breaker and rate, with
    `since` as a datetime; None if their server is down, or there is none. `backlogs`: of each queue that may refuse
    jobs."""

    problem: str
    partners: list[dict[str, Any]] | None
    backlogs: dict[str, backpressure.Backlog] = {}

    @property
    def why_unknown(self) -> str:
        """Why `partners` is None, in a phrase."""
        if not scripts.url():
            return "only Redis and Valkey hold them"
        if not scripts.in_broker():
            return "BACKROOM_REDIS_URL, which holds them, does not answer"
        if self.problem:
            return f"the broker, which holds them, fails: {self.problem}"
        return "the broker takes messages again since a moment ago"


@dataclass(frozen=True)
class Snapshot:
    """The back room at one moment. `minutes` holds what ended in the seconds before it, one row for each minute."""

    now: datetime
    queues: list[Queue]
    processes: list[Process]
    pauses: dict[str, Pause]
    broker: Broker
    minutes: list[TaskMinute]
    read_only: bool = False  # the database, as a replica or by its settings
    batched: bool = False  # whether a batch is open
    parked: bool = False  # whether a job waits for a place in its lane

    @cached_property
    def running(self) -> list[Running]:
        """The jobs that have run for longest. Read when first used: /metrics and the rules do without them."""
        return running()

    @cached_property
    def foreign(self) -> list[ForeignMessage]:
        """The newest messages in the queues that were no job's."""
        return list(ForeignMessage.objects.order_by("-id")[:FOREIGN_SHOWN])

    @cached_property
    def batches(self) -> list[Progress]:
        """The newest open ones."""
        return overview(batches.SHOWN) if self.batched else []

    @cached_property
    def lanes(self) -> list[Lane]:
        """The first ones in which jobs are parked."""
        return waiting() if self.parked else []

    @property
    def workers(self) -> list[Process]:
        return [process for process in self.processes if process.role == "worker"]

    def silent_s(self, role: str, queue: str = "") -> float:
        """Seconds since the newest heartbeat of this role, and of a worker of this queue. Infinite without any."""
        found = (each for each in self.processes if each.role == role and (not queue or queue in each.queues))
        return min((process.seen_s for process in found), default=math.inf)

    def ended_by(self, name: str, span: float) -> dict[str, rates.Ended]:
        """What ended for each `task` or `queue` in the last `span` seconds, rounded up to full minutes."""
        begin = (self.now - timedelta(seconds=span)).replace(second=0, microsecond=0)
        recent = (minute for minute in self.minutes if minute.minute >= begin)
        return rates.by(name, recent, (self.now - begin).total_seconds())


def snapshot(span: float = 0, state: Broker | None = None, limit: int | None = SHOWN) -> Snapshot:
    """The back room now, with what ended in the last `span` seconds. Raises django.db.Error.

    `state`: of the broker, if the caller has read it already. `limit`: how far jobs are counted (levels.py).
    """
    ((now, read_only, batched, parked),) = rows(NOW)
    busy = dict(rows(BUSY))
    processes = [Process(**vars(seen), busy=busy.get(seen.name, 0)) for seen in heartbeat.read()]
    pauses = {pause.what: pause for pause in Pause.objects.order_by("what")}
    return Snapshot(
        now=now,
        queues=_queues(processes, pauses, limit),
        processes=processes,
        pauses=pauses,
        broker=state or read_broker(),
        minutes=rates.minutes(span, now) if span else [],
        read_only=read_only,
        batched=batched,
        parked=parked,
    )


def _queues(processes: list[Process], pauses: dict[str, Pause], limit: int | None) -> list[Queue]:
    """Each declared queue, and each other one that holds jobs."""
    found = levels(limit)
    declared = {queue.name for queue in current_app.amqp.queues.values()}
    return [
        Queue(
            name,
            found.get(name, Level(name)),
            sum(process.alive and name in process.queues for process in processes),
            pauses.get(f"queue:{name}"),
            name in declared,
        )
        for name in sorted(declared | found.keys())
    ]


def read_broker() -> Broker:
    """Whether the broker takes messages, and the partners' breakers that it keeps."""
    gates = breaker.states()
    for gate in gates or ():
        gate |= {name: gate[name] and datetime.fromisoformat(gate[name]) for name in ("since", "failing_since")}
    return Broker(broker.problem(), gates, backpressure.backlogs())


def failing_s(gate: dict[str, Any]) -> float:
    """Seconds for which every call of a partner has failed; 0 after a success."""
    return (datetime.now(UTC) - gate["failing_since"]).total_seconds() if gate["failing_since"] else 0.0


def waiting_for(partner: str) -> dict[str, int]:
    """Jobs by task that wait since a call of this partner failed or was held back."""
    return dict(rows(WAITING_FOR, rf"^\w+: (the )?{re.escape(partner)}\M"))


def open_s(gate: dict[str, Any]) -> float:
    """Seconds for which a breaker has been open, half-open included; 0 while it is closed."""
    if gate["state"] == "closed" or gate["since"] is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - gate["since"]).total_seconds())
