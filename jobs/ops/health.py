"""The first page: is the back room healthy? It reads live work by partial indexes, and the tables of minutes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs import breaker, figures, history
from jobs.history import Level
from jobs.ledger import rows
from jobs.models import Pause, QueueMinute
from jobs.ops.access import looks
from jobs.ops.charts import SPANS, charts, seconds
from jobs.rescue import SILENCE

TASKS_SPAN = 3600  # seconds over which tasks are counted
LOOK_BACK = timedelta(minutes=10)  # for the forecast
LATE = 120  # seconds after which the oldest job of a queue is worth a word
SAMPLED = timedelta(seconds=60 + history.SETTLING)  # after the minute's begin


@dataclass(frozen=True)
class Queue:
    """A queue's line on the page."""

    name: str
    level: Level
    per_minute: float
    forecast: str
    workers: int
    pause: Pause | None


@dataclass(frozen=True)
class Task:
    """A task's line."""

    name: str
    ended: figures.Ended
    pause: Pause | None


@dataclass(frozen=True)
class Worker:
    """A worker's line; a silent one is shown for a minute."""

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
    """A dispatcher's or a beat's line."""

    name: str
    role: str
    started_at: datetime
    seen_s: float

    @property
    def alive(self) -> bool:
        return self.seen_s < SILENCE


@dataclass
class Health:
    """All that the page says."""

    now: datetime
    queues: list[Queue]
    tasks: list[Task]
    paused: dict[str, Pause]
    workers: list[Worker]
    processes: list[Process]
    schedules: list[dict[str, Any]]
    partners: list[dict[str, Any]] | None  # None: the broker, which keeps their gates, can't be asked
    troubles: list[str] = field(default_factory=list)


def look() -> Health:
    """The back room now."""
    now = timezone.now()
    workers = [Worker(name, queues.split(","), *more) for name, queues, *more in rows(WORKERS)]
    processes = [Process(*row) for row in rows(PROCESSES)]
    paused = {pause.what: pause for pause in Pause.objects.all()}
    span, ended = figures.minutes(TASKS_SPAN)
    health = Health(
        now=now,
        queues=queues_now(now, ended, workers, paused),
        tasks=tasks(figures.by("task", ended, span), paused),
        paused=paused,
        workers=workers,
        processes=processes,
        schedules=schedules(now),
        partners=partners(),
    )
    health.troubles = list(troubles(health))
    return health


WORKERS = """
SELECT name, queues, pool, memory, started_at, extract(epoch FROM clock_timestamp() - seen_at)::float,
       (SELECT count(*) FROM jobs_job WHERE state = 'running' AND worker = name)
FROM jobs_worker ORDER BY name
"""

PROCESSES = """
SELECT name, role, started_at, extract(epoch FROM clock_timestamp() - seen_at)::float
FROM jobs_process ORDER BY role DESC, name
"""


def queues_now(
    now: datetime, ended: Iterable[figures.TaskMinute], workers: list[Worker], paused: dict[str, Pause]
) -> list[Queue]:
    """Every queue that a worker could know, and any other that has jobs."""
    levels = history.levels()
    begin = (now - timedelta(seconds=figures.WINDOW)).replace(second=0, microsecond=0)
    recent = figures.by("queue", (entry for entry in ended if entry.minute >= begin), (now - begin).total_seconds())
    samples: dict[str, list[tuple[datetime, int]]] = {}
    for entry in QueueMinute.objects.filter(minute__gt=now - LOOK_BACK, depth__isnull=False).order_by("minute"):
        samples.setdefault(entry.queue, []).append((entry.minute + SAMPLED, entry.depth or 0))
    found = []
    for name in sorted({*(queue.name for queue in current_app.amqp.queues.values()), *levels}):
        level, pause = levels.get(name, Level(name)), paused.get(f"queue:{name}")
        found.append(
            Queue(
                name,
                level,
                recent[name].per_minute if name in recent else 0.0,
                "paused" if pause else forecast(level.depth, samples.get(name, []), now),
                sum(worker.alive and name in worker.queues for worker in workers),
                pause,
            )
        )
    return found


def tasks(ended: dict[str, figures.Ended], paused: dict[str, Pause]) -> list[Task]:
    """Every task of which something ended, or that is paused."""
    names = {*ended, *(pause.name for pause in paused.values() if pause.kind == "task")}
    return [
        Task(name, ended.get(name) or figures.Ended(TASKS_SPAN), paused.get(f"task:{name}")) for name in sorted(names)
    ]


def partners() -> list[dict[str, Any]] | None:
    """Each partner's breaker and rate, with `since` as a moment."""
    found = breaker.states()
    return found and [gate | {"since": gate["since"] and datetime.fromisoformat(gate["since"])} for gate in found]


def forecast(depth: int, samples: list[tuple[datetime, int]], now: datetime) -> str:
    """When a queue will be empty, if it goes on as it did since it was fullest."""
    if not depth:
        return "empty"
    if not samples:
        return "not known yet"
    at, most = max(samples, key=lambda sample: (sample[1], sample[0]))
    if most <= depth or at >= now:
        return "growing"
    empty = now + (now - at) * (depth / (most - depth))
    if empty - now > timedelta(days=1):
        return "in over a day"
    return f"empty at {empty:%H:%M}"


def schedules(now: datetime) -> list[dict[str, Any]]:
    """Each schedule with its last and its next run, as beat reckons them; a disabled one has no next."""
    found = []
    for entry in PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked").order_by("name"):
        last = entry.last_run_at
        next_ = None
        if entry.enabled:
            next_ = now + entry.schedule.remaining_estimate(last or now)
        found.append({"name": entry.name, "task": entry.task, "last": last, "next": next_, "enabled": entry.enabled})
    return found


def troubles(health: Health) -> Iterable[str]:
    """What a person should know at a glance, the worst first."""
    for role, then in ("dispatcher", "retries and delayed jobs stand still"), ("beat", "no schedule fires"):
        if not any(process.alive for process in health.processes if process.role == role):
            yield f"No {role} is alive: {then}."
    for queue in health.queues:
        if not queue.workers:
            yield f"No worker serves the queue {queue.name}."
    for queue in health.queues:
        if queue.level.oldest_s > LATE and not queue.pause:
            yield f"The oldest job on {queue.name} has been due for {seconds(queue.level.oldest_s)}."
    if health.partners is None:
        yield "The broker does not answer: jobs are published when it is back."
    for gate in health.partners or ():
        if gate["state"] != "closed":
            yield f"The breaker of {gate['partner']} is {gate['state']}: its jobs wait and use no attempt."
    for pause in health.paused.values():
        yield f"The {pause.kind} {pause.name} is paused, by {pause.who}: {pause.why}"
    if dead := sum(queue.level.dead for queue in health.queues):
        yield f"{dead} dead letter{'' if dead == 1 else 's'} wait for a decision."


@looks
def page(request: HttpRequest) -> HttpResponse:
    """The page; for htmx only the part that changes every few seconds."""
    context = {"health": look(), "tab": "health"}
    if request.headers.get("HX-Request"):
        return render(request, "ops/health_part.html", context)
    return render(request, "ops/health.html", context | chart_context(request))


@looks
def history_part(request: HttpRequest) -> HttpResponse:
    """The charts alone, for htmx."""
    return render(request, "ops/_charts.html", chart_context(request))


def chart_context(request: HttpRequest) -> dict[str, Any]:
    span = SPANS.get(request.GET.get("span", ""), SPANS["hour"])
    return {"spans": SPANS, "span": span, "charts": charts(span, datetime.now(UTC))}
