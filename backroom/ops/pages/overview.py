"""The overview page: alerts first, then queues, running jobs, charts, tasks, processes, schedules and partners."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ledger.models import Pause
from backroom.ops import rates, rollups, rules, schedules
from backroom.ops.models import QueueMinute
from backroom.ops.pages import alerts
from backroom.ops.pages.access import looks
from backroom.ops.pages.charts import SPANS, Span, charts
from backroom.ops.stats import Queue, Snapshot, snapshot
from backroom.runtime.app import CELERYS

HOUR = SPANS["hour"]
LOOK_BACK = timedelta(minutes=10)  # for the forecast
SAMPLED = timedelta(seconds=60 + rollups.SETTLING)  # from a minute's begin to its sample


@dataclass(frozen=True)
class QueueLine:
    queue: Queue
    per_minute: float
    forecast: str
    refuses: bool  # jobs of tasks with shed=True


@dataclass(frozen=True)
class TaskLine:
    name: str
    ended: rates.Ended
    pause: Pause | None


@looks
def page(request: HttpRequest) -> HttpResponse:
    """The page; for htmx only the part that refreshes every five seconds."""
    part = bool(request.headers.get("HX-Request"))
    now = snapshot(rules.WINDOW if part else HOUR.seconds)
    wrong, known = alerts.lines(rules.findings(now)), schedules.lines()
    context = {
        "tab": "health",
        "now": now,
        "alerts": wrong,
        "notes": list(rules.notes(now, [line.rule.name for line in wrong], known or ())),
        "queues": list(queues(now)),
        "schedules": known,
        "part": part,
    }
    if part:
        return render(request, "ops/overview_part.html", context)
    return render(request, "ops/overview.html", context | chart_context(request) | task_context(request, now))


def queues(now: Snapshot) -> Iterable[QueueLine]:
    """Each queue with its throughput and its forecast."""
    recent = now.ended_by("queue", rates.WINDOW)
    samples: dict[str, list[tuple[datetime, int]]] = {}
    for entry in QueueMinute.objects.filter(minute__gt=now.now - LOOK_BACK, depth__isnull=False).order_by("minute"):
        samples.setdefault(entry.queue, []).append((entry.minute + SAMPLED, entry.depth or 0))
    for queue in now.queues:
        per_minute = recent[queue.name].per_minute if queue.name in recent else 0.0
        backlog = now.broker.backlogs.get(queue.name)
        forecast = drains(queue, samples.get(queue.name, []), now.now)
        yield QueueLine(queue, per_minute, forecast, refuses=backlog is not None and backlog.full)


def tasks(ended: dict[str, rates.Ended], span: float, pauses: Iterable[Pause]) -> Iterable[TaskLine]:
    """Each task that is paused or had attempts that ended, but for Celery's own."""
    paused = {pause.name: pause for pause in pauses if pause.kind == "task"}
    for name in sorted(ended.keys() | paused.keys()):
        if not name.startswith(CELERYS):
            yield TaskLine(name, ended.get(name) or rates.Ended(span), paused.get(name))


def drains(queue: Queue, samples: list[tuple[datetime, int]], now: datetime) -> str:
    """When the queue will be empty, or why that is unknown."""
    if queue.pause:
        return "paused"
    if queue.level.depth and not queue.workers:
        return "no worker"
    if queue.level.parked:  # they come in as others end
        return "jobs are parked"
    if queue.level.deeper and samples:  # the count has stopped, and a minute's row counts further
        now, depth = samples[-1]
        return forecast(depth, samples, now)
    return forecast(queue.level.depth, samples, now)


def forecast(depth: int, samples: list[tuple[datetime, int]], now: datetime) -> str:
    """When a queue will be empty, at its rate since it was fullest."""
    if not depth:
        return "empty"
    if not samples:
        return "not known yet"
    at, most = max(samples, key=lambda sample: (sample[1], sample[0]))
    if most <= depth or at >= now:
        return "growing" if depth > min(least for _, least in samples) else "not moving"
    empty = now + (now - at) * (depth / (most - depth))
    if empty - now > timedelta(days=1):
        return "in over a day"
    return f"empty at {empty:%H:%M}"


@looks
def history_part(request: HttpRequest) -> HttpResponse:
    """The charts, for htmx."""
    return render(request, "ops/_charts.html", chart_context(request))


@looks
def tasks_part(request: HttpRequest) -> HttpResponse:
    """The tasks' figures, for htmx."""
    return render(request, "ops/_tasks.html", task_context(request))


def chart_context(request: HttpRequest) -> dict[str, Any]:
    span = chosen(request)
    return {"spans": SPANS, "span": span, "charts": charts(span, datetime.now(UTC))}


def task_context(request: HttpRequest, now: Snapshot | None = None) -> dict[str, Any]:
    """`now`: with what ended in the last hour, if the caller has read it already."""
    span, at = chosen(request), datetime.now(UTC)
    if span is HOUR:
        entries: Iterable[Any] = now.minutes if now else rates.minutes(span.seconds, at)
    else:
        entries = rates.hours(span.seconds, at)
    pauses = now.pauses.values() if now else Pause.objects.all()
    lines = tasks(rates.by("task", entries, span.seconds), span.seconds, pauses)
    return {"spans": SPANS, "span": span, "tasks": list(lines)}


def chosen(request: HttpRequest) -> Span:
    return SPANS.get(request.GET.get("span", ""), HOUR)
