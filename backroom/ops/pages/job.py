"""One job: its arguments, attempts, errors and times, what came before and comes after it, and who did what to it."""

import json
import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ledger.models import LIVE, Attempt, Job, State
from backroom.ledger.sql import rows
from backroom.observe.models import Progress
from backroom.ops.models import AuditEntry
from backroom.ops.pages.access import looks
from backroom.runtime.conf import conf

CHAIN = """
WITH RECURSIVE before AS (
    SELECT id, after_id, 0 AS place FROM backroom_job WHERE id = %s
    UNION ALL SELECT job.id, job.after_id, place - 1 FROM backroom_job job JOIN before ON job.id = before.after_id
), after AS (
    SELECT id, 0 AS place FROM backroom_job WHERE id = %s
    UNION ALL SELECT job.id, place + 1 FROM backroom_job job JOIN after ON job.after_id = after.id
)
SELECT id FROM (SELECT id, place FROM before UNION SELECT id, place FROM after) chain ORDER BY place, id LIMIT 100
"""


def chain(job: Job) -> list[Job]:
    """The job with all that it waits for and all that waits for it, in turn; alone if there is nothing."""
    ids = [id for (id,) in rows(CHAIN, job.id, job.id)]
    found = Job.objects.in_bulk(ids)
    return [found[id] for id in ids if id in found]


def found_or_404(id: uuid.UUID) -> Job:
    """The job of this id. Raises Http404."""
    job = Job.objects.filter(id=id).first()
    if job is None:
        raise Http404("no such job, or it was purged")
    return job


@looks
def page(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """All that is known of a job."""
    job = found_or_404(id)
    return render(request, "ops/job.html", {"tab": "jobs", **told(job)})


def context(job: Job) -> dict[str, str]:
    """Where it comes from, by the ids with which its log lines and spans are found. The trace's id is the second part
    of W3C's traceparent (00-trace-span-flags)."""
    named = {"request_id": "Request", "order": "Order", "traceparent": "Trace"}
    found = {named.get(name, name): str(value) for name, value in job.context.items()}
    if "Trace" in found:
        found["Trace"] = found["Trace"].removeprefix("00-").partition("-")[0]
    return found


JOURNALS_SHOWN = 50  # the newest


def journals(job: Job) -> list[Progress]:
    """What its attempts told, in turn."""
    return list(Progress.objects.filter(job_id=job.id).order_by("-claim")[:JOURNALS_SHOWN])[::-1]


def told(job: Job) -> dict[str, Any]:
    steps, said = chain(job), journals(job)
    current = said[-1] if said and said[-1].claim == job.claims and job.state == State.RUNNING else None
    due = job.run_at or job.created_at
    ended = job.finished_at if job.state == State.SUCCEEDED else None
    return {
        "job": job,
        "args": json.dumps(job.args, indent=2, ensure_ascii=False),
        "result": None if job.result is None else json.dumps(job.result, indent=2, ensure_ascii=False),
        "attempts": Attempt.objects.filter(job_id=job.id).order_by("id")[:300],
        "chain": steps if len(steps) > 1 else [],
        "gone": job.after_id and not any(step.id == job.after_id for step in steps),
        "journals": said,
        "current": current,
        "blocked": job.blocked(steps),
        "live": job.state in LIVE,
        "wait_ms": (job.started_at - due).total_seconds() * 1000 if job.started_at and ended else None,
        "run_ms": (ended - job.started_at).total_seconds() * 1000 if job.started_at and ended else None,
        "flower": f"{conf.FLOWER_URL}/task/{job.id}",
        "context": context(job),
        "actions": AuditEntry.objects.filter(jobs__contains=[job.id]).order_by("-id")[:20],
    }
