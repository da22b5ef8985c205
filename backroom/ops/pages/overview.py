"""The first page: is the back room healthy? What is wrong stands first, by the rules of backroom/ops/rules.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from backroom.ledger.models import Pause
from backroom.ops import rates, rollups, rules, stats
from backroom.ops.models import QueueMinute
from backroom.ops.pages import alerts
from backroom.ops.pages.access import looks
from backroom.ops.pages.charts import SPANS, charts
from backroom.ops.running import running
from backroom.ops.stats import Health

TASKS_SPAN = 3600  # seconds over which tasks are counted
LOOK_BACK = timedelta(minutes=10)  # for the forecast
SAMPLED = timedelta(seconds=60 + rollups.SETTLING)  # after the minute's begin


@dataclass(frozen=True)
class QueueLine:
    """A queue's line on the page."""

    queue: stats.Queue
    per_minute: float
    forecast: str


@dataclass(frozen=True)
class TaskLine:
    """A task's line."""

    name: str
    ended: rates.Ended
    pause: Pause | None


@looks
def page(request: HttpRequest) -> HttpResponse:
    """The page; for htmx only the part that changes every few seconds."""
    now = stats.look(TASKS_SPAN)
    context = {
        "tab": "health",
        "health": now,
        "alerts": alerts.lines(rules.findings(now)),
        "notes": list(rules.notes(now)),
        "queues": list(queues(now)),
        "tasks": list(tasks(now)),
        "running": running(),
        "schedules": list(schedules(now.now)),
    }
    if request.headers.get("HX-Request"):
        return render(request, "ops/overview_part.html", context)
    return render(request, "ops/overview.html", context | chart_context(request))


def queues(now: Health) -> Iterable[QueueLine]:
    """Each queue with its rate and its forecast."""
    recent = now.ended_by("queue", rates.WINDOW)
    samples: dict[str, list[tuple[datetime, int]]] = {}
    for entry in QueueMinute.objects.filter(minute__gt=now.now - LOOK_BACK, depth__isnull=False).order_by("minute"):
        samples.setdefault(entry.queue, []).append((entry.minute + SAMPLED, entry.depth or 0))
    for queue in now.queues:
        per_minute = recent[queue.name].per_minute if queue.name in recent else 0.0
        yield QueueLine(queue, per_minute, drains(queue, samples.get(queue.name, []), now.now))


def tasks(now: Health) -> Iterable[TaskLine]:
    """Every task of which something ended, or that is paused."""
    ended = now.ended_by("task", TASKS_SPAN)
    for name in sorted({*ended, *(pause.name for pause in now.paused.values() if pause.kind == "task")}):
        yield TaskLine(name, ended.get(name) or rates.Ended(TASKS_SPAN), now.paused.get(f"task:{name}"))


def drains(queue: stats.Queue, samples: list[tuple[datetime, int]], now: datetime) -> str:
    """The forecast, where there can be one."""
    if queue.pause:
        return "paused"
    if queue.level.depth and not queue.workers:
        return "nobody serves it"
    return forecast(queue.level.depth, samples, now)


def forecast(depth: int, samples: list[tuple[datetime, int]], now: datetime) -> str:
    """When a queue will be empty, if it goes on as it did since it was fullest."""
    if not depth:
        return "empty"
    if not samples:
        return "not known yet"
    at, most = max(samples, key=lambda sample: (sample[1], sample[0]))
    if most <= depth or at >= now:
        return "growing" if depth > min(least for _, least in samples) else "standing still"
    empty = now + (now - at) * (depth / (most - depth))
    if empty - now > timedelta(days=1):
        return "in over a day"
    return f"empty at {empty:%H:%M}"


def schedules(now: datetime) -> Iterable[dict[str, Any]]:
    """Each schedule with its last and its next run, as beat reckons them; a disabled one has no next."""
    for entry in PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked").order_by("name"):
        last = entry.last_run_at
        next_ = None
        if entry.enabled:
            left = entry.schedule.remaining_estimate(last or now)
            next_ = timezone.now() + left  # a clock read after Celery's: the slot of 01:00 is never shown as 00:59
        yield {"name": entry.name, "task": entry.task, "last": last, "next": next_, "enabled": entry.enabled}


@looks
def history_part(request: HttpRequest) -> HttpResponse:
    """The charts alone, for htmx."""
    return render(request, "ops/_charts.html", chart_context(request))


def chart_context(request: HttpRequest) -> dict[str, Any]:
    span = SPANS.get(request.GET.get("span", ""), SPANS["hour"])
    return {"spans": SPANS, "span": span, "charts": charts(span, datetime.now(UTC))}
