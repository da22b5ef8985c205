"""One job: arguments, attempts, errors, times, its chain, and its entries in the audit log."""

import json
import uuid
from typing import Any

from celery import current_app
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.module_loading import import_string

from backroom.conf import conf
from backroom.ledger.models import LIVE, Attempt, Job, State, Unique
from backroom.ledger.sql import rows
from backroom.observe.models import Progress
from backroom.ops import batches, lanes
from backroom.ops.blocked import blocked
from backroom.ops.models import AuditEntry
from backroom.ops.pages.access import looks
from backroom.ops.pages.found import UNLISTED
from backroom.ops.pages.keys import number_of, siblings
from backroom.ops.running import attempt

SHOWN = 50  # attempts, the newest: each has an error and log lines of up to 8,000 characters

# A batch's callback waits for itself.
CHAIN = """
WITH RECURSIVE before AS (
    SELECT id, after_id, 0 AS step FROM backroom_job WHERE id = %s
    UNION ALL SELECT job.id, job.after_id, step - 1 FROM backroom_job job JOIN before ON job.id = before.after_id
        AND job.id <> before.id
), after AS (
    SELECT id, 0 AS step FROM backroom_job WHERE id = %s
    UNION ALL SELECT job.id, step + 1 FROM backroom_job job JOIN after ON job.after_id = after.id AND job.id <> after.id
)
SELECT id FROM (SELECT id, step FROM before UNION SELECT id, step FROM after) chain ORDER BY step, id LIMIT 100
"""


def chain(job: Job) -> list[Job]:
    """The job with its predecessors and followers, in order; alone if it has none."""
    ids = [id for (id,) in rows(CHAIN, job.id, job.id)]
    found = Job.objects.in_bulk(ids)
    return [found[id] for id in ids if id in found]


def found_or_404(id: uuid.UUID) -> Job:
    """Raises Http404 for an unknown or purged job."""
    job = Job.objects.filter(id=id).first()
    if job is None:
        raise Http404("no such job, or it was purged")
    return job


@looks
def page(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """A live job's page refreshes itself."""
    job = found_or_404(id)
    links = import_string(conf.JOB_LINKS)(job, request.user) if conf.JOB_LINKS else []
    return render(request, "ops/job.html", {"tab": "jobs", "project_links": links, **context(job)})


def origin(job: Job) -> dict[str, str]:
    """The ids by which the job's log lines and spans are found. The trace id is the second part of W3C's traceparent
    (00-trace-span-flags)."""
    names = {"request_id": "Request", "order": "Order", "traceparent": "Trace"}
    found = {names.get(name, name): str(value) for name, value in job.context.items()}
    if "Trace" in found:
        found["Trace"] = found["Trace"].removeprefix("00-").partition("-")[0]
    return found


def unique(job: Job) -> Unique | None:
    """The declared name that it holds, if its task has one; one given by `using` can't be found by the job."""
    task = current_app.tasks.get(job.task)
    try:
        call = task.call(**job.args) if getattr(task, "job_unique", None) else None
    except (TypeError, ValueError):  # another release's arguments
        return None
    return Unique.objects.filter(name=call.unique.name, job_id=job.id).first() if call else None


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def context(job: Job) -> dict[str, Any]:
    steps = chain(job)
    number = number_of(job)
    reports = list(Progress.objects.filter(job_id=job.id).order_by("-claim")[:SHOWN])[::-1]
    newest = reports[-1] if reports else None
    due = job.run_at or job.created_at
    position, batch = lanes.position(job), batches.of(job)
    current = newest if newest and newest.claim == job.claims and job.state == State.RUNNING else None
    start, ended = job.started_at, job.finished_at if job.state == State.SUCCEEDED else None
    return {
        "job": job,
        "args": pretty(job.args),
        "result": None if job.result is None else pretty(job.result),
        "attempts": list(Attempt.objects.filter(job_id=job.id).order_by("-id")[:SHOWN])[::-1],
        "chain": steps if len(steps) > 1 else [],
        "number": number,
        "siblings": siblings(number) if number else [],
        "predecessor_purged": job.after_id and not any(step.id == job.after_id for step in steps),
        "reports": reports,
        "current": current,
        "running": attempt(job, current) if job.state == State.RUNNING else None,
        "blocked": blocked(job, steps),
        "position": position,
        "batch": batch,
        "gave_up": batches.gave_up(batch),
        "unique": unique(job),
        "batch_of": Job.objects.defer(*UNLISTED).filter(id=job.batch_id).first() if job.batch_id else None,
        "cursor": None if job.cursor is None else pretty(job.cursor),
        "live": job.state in LIVE,
        "wait_ms": (start - due).total_seconds() * 1000 if start and ended else None,
        "run_ms": (ended - start).total_seconds() * 1000 if start and ended else None,
        "flower": conf.FLOWER_URL and f"{conf.FLOWER_URL}/task/{job.id}",
        "origin": origin(job),
        "entries": AuditEntry.objects.filter(jobs__contains=[job.id]).order_by("-id")[:20],
    }
