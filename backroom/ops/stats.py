"""The back room now: who is at work, what waits, what ended lately, how the partners are.

The operations page shows it and the rules (backroom/ops/rules.py) judge it. It reads live work by partial indexes, and the
tables of minutes; never the ledger from end to end.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.utils import timezone

from backroom.ledger.models import Pause
from backroom.ledger.rescue import SILENCE
from backroom.ledger.sql import rows
from backroom.ops import rates, rollups
from backroom.ops.models import TaskMinute
from backroom.ops.rollups import Level
from backroom.outbound import breaker
from backroom.runtime import broker

# Seconds without a sign of life after which a process is taken for silent. A watcher gives its sign after a round, and
# that may take 45 s while a mail server hangs.
SILENT = {"dispatcher": SILENCE, "beat": SILENCE, "watcher": 60}


@dataclass(frozen=True)
class Worker:
    """A worker; a silent one is remembered for a minute."""

    name: str
    queues: list[str]
    pool: int | None
    memory: int | None
    started_at: datetime
    seen_s: float
    busy: int

    @property
    def alive(self) -> bool:
        return self.seen_s < SILENCE


@dataclass(frozen=True)
class Process:
    """A dispatcher, a beat or a watcher; a silent one is remembered for an hour, or until it has a successor on its
    machine."""

    name: str
    role: str
    started_at: datetime
    seen_s: float

    @property
    def alive(self) -> bool:
        return self.seen_s < SILENT[self.role]


@dataclass(frozen=True)
class Queue:
    """A queue, and who serves it."""

    name: str
    level: Level
    served_by: list[Worker]
    pause: Pause | None
    declared: bool = True

    @property
    def wanted(self) -> bool:
        """Whether somebody should serve it: of a queue that is declared no more, dead letters may be left."""
        return self.declared or bool(self.level.depth or self.level.later or self.level.running)

    @property
    def workers(self) -> int:
        """How many that live."""
        return sum(worker.alive for worker in self.served_by)

    @property
    def silent_s(self) -> float:
        """Since one of its workers was last seen; infinite where none is remembered."""
        return min((worker.seen_s for worker in self.served_by), default=math.inf)


@dataclass(frozen=True)
class Health:
    """All of it, at one moment."""

    now: datetime
    queues: list[Queue]
    workers: list[Worker]
    processes: list[Process]
    paused: dict[str, Pause]
    partners: list[dict[str, Any]] | None  # None: the broker, which keeps their gates, can't be asked, or keeps none
    broker: bool  # whether it answers
    minutes: list[TaskMinute]

    def silent_s(self, role: str) -> float:
        """Since a process of this role was last seen; infinite where none is remembered."""
        return min((process.seen_s for process in self.processes if process.role == role), default=math.inf)

    def ended_by(self, name: str, span: float) -> dict[str, rates.Ended]:
        """What ended for each `task` or `queue` in the last `span` seconds, and to the full minute a little before."""
        begin = (self.now - timedelta(seconds=span)).replace(second=0, microsecond=0)
        recent = (entry for entry in self.minutes if entry.minute >= begin)
        return rates.by(name, recent, (self.now - begin).total_seconds())


def look(span: float) -> Health:
    """The back room now, with what ended in the last `span` seconds. Errors of the database pass through."""
    workers = [Worker(name, queues.split(","), *more) for name, queues, *more in rows(WORKERS)]
    paused = {pause.what: pause for pause in Pause.objects.all()}
    gates = partners()
    return Health(
        now=timezone.now(),
        queues=_queues(workers, paused),
        workers=workers,
        processes=[Process(*row) for row in rows(PROCESSES)],
        paused=paused,
        partners=gates,
        broker=gates is not None or broker.answers(),
        minutes=rates.minutes(span)[1],
    )


WORKERS = """
SELECT name, queues, pool, memory, started_at, extract(epoch FROM clock_timestamp() - seen_at)::float,
       (SELECT count(*) FROM backroom_job WHERE state = 'running' AND worker = name)
FROM backroom_heartbeat WHERE role = 'worker' ORDER BY name
"""

PROCESSES = """
SELECT name, role, started_at, extract(epoch FROM clock_timestamp() - seen_at)::float
FROM backroom_heartbeat gone WHERE role <> 'worker' AND NOT EXISTS (
    SELECT FROM backroom_heartbeat successor WHERE successor.role = gone.role AND successor.started_at > gone.seen_at
    AND split_part(successor.name, '/', 1) = split_part(gone.name, '/', 1)
) ORDER BY role DESC, name
"""


def _queues(workers: list[Worker], paused: dict[str, Pause]) -> list[Queue]:
    """Every queue that a worker could know, and any other that has jobs."""
    levels = rollups.levels()
    declared = {queue.name for queue in current_app.amqp.queues.values()}
    return [
        Queue(
            name,
            levels.get(name, Level(name)),
            [worker for worker in workers if name in worker.queues],
            paused.get(f"queue:{name}"),
            name in declared,
        )
        for name in sorted(declared | levels.keys())
    ]


def partners() -> list[dict[str, Any]] | None:
    """Each partner's breaker and rate, with `since` as a moment."""
    found = breaker.states()
    return found and [gate | {"since": gate["since"] and datetime.fromisoformat(gate["since"])} for gate in found]
