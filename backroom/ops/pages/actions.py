"""Replay or cancel jobs: a preview first, then the change. And the audit log. Only operators change anything."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from backroom.ledger.models import Job, Pause, State
from backroom.ledger.sql import rows
from backroom.ops import audit_log
from backroom.ops.audit_log import PAST, VERBS
from backroom.ops.models import AuditEntry
from backroom.ops.pages import dead
from backroom.ops.pages.access import acts, looks

AT_MOST = 10_000  # jobs in one change
SLOWEST = 1.0  # jobs per minute: AT_MOST jobs then take a week
JOBS_SHOWN = 20
SHOWN = 50  # entries of the audit log
WHY_LIMIT = 200  # characters
REASON_NEEDED = "Enter a reason. The audit log keeps it."

FOLLOWERS = """
WITH RECURSIVE chosen AS (
    SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[])
    UNION SELECT child.id FROM backroom_job child JOIN chosen ON child.after_id = chosen.id
)
SELECT count(*) FROM chosen JOIN backroom_job USING (id) WHERE state = ANY(%s) AND id <> ALL(%s::uuid[])
"""


@dataclass(frozen=True)
class Change:
    """A verb and its jobs: `ids`, or a group of dead letters as it was at `until`."""

    verb: str
    ids: list[str]
    task: str
    cause: str
    until: datetime
    per_minute: float
    why: str

    @property
    def chosen(self) -> list[str]:
        """The ids of the jobs. Some may have left the states of VERBS meanwhile."""
        if self.task:
            return dead.members(self.task, self.cause, self.until, AT_MOST)
        return self.ids

    @property
    def apart(self) -> float:
        """Seconds between two jobs."""
        return 60 / self.per_minute if self.per_minute else 0.0

    def apply(self, who: str) -> list[str]:
        """Returns the ids of the changed jobs."""
        if self.verb == "replay":
            return audit_log.replay(self.chosen, who, self.why, self.apart)
        return audit_log.cancel(self.chosen, who, self.why)

    @property
    def back(self) -> str:
        return reverse("ops:dead") if self.task or len(self.ids) != 1 else reverse("ops:job", args=self.ids)


def requested(given: QueryDict) -> Change | None:
    """The change that a form describes; None if it is invalid."""
    try:
        ids = [str(uuid.UUID(id)) for id in given.getlist("id")[:AT_MOST]]
        per_minute = float(given.get("per_minute") or 0)
        until = parse_datetime(given.get("until") or "") or timezone.now()
    except ValueError:
        return None
    verb, task, cause = (given.get(name, "").replace("\x00", "") for name in ("verb", "task", "cause"))
    if verb not in VERBS or not (ids or task) or timezone.is_naive(until):
        return None
    if per_minute and not SLOWEST <= per_minute <= 1e6:  # NaN is neither
        return None
    why = given.get("why", "").replace("\x00", "").strip()[:WHY_LIMIT]
    return Change(verb, ids, task, cause, until, per_minute, why)


@acts
def act(request: HttpRequest) -> HttpResponse:
    """GET, or POST with step=preview: the preview. POST with step=do: the change."""
    change = requested(request.POST if request.method == "POST" else request.GET)
    if change is None:
        messages.error(request, "Choose at least one job, and a rate of at least one per minute.")
        return redirect("ops:dead")
    if request.method == "POST" and request.POST.get("step") == "do":
        if change.why:
            return _apply(request, change)
        messages.error(request, REASON_NEEDED)
    return render(request, "ops/preview.html", {"tab": "dead", "change": change, **preview(change)})


def _apply(request: HttpRequest, change: Change) -> HttpResponse:
    done = change.apply(request.user.get_username())
    if done:
        messages.success(request, f"{len(done)} job{pluralize(len(done))} {PAST[change.verb]}.")
    else:
        messages.warning(request, "No job was changed: their states have changed meanwhile.")
    return redirect(change.back)


def preview(change: Change) -> dict[str, Any]:
    """What the change would do now."""
    ids = change.chosen
    fit = Job.objects.filter(id__in=ids, state__in=VERBS[change.verb]).order_by("finished_at", "id")
    count = fit.count()
    behind = [State.WAITING] if change.verb == "replay" else VERBS["cancel"]
    ((followers,),) = rows(FOLLOWERS, ids, list(behind), ids)
    return {
        "count": count,
        "unfit": len(ids) - count,
        "jobs": fit[:JOBS_SHOWN],
        "more": max(0, count - JOBS_SHOWN),
        "followers": followers,
        "last": timezone.now() + timedelta(seconds=change.apart * max(0, count - 1)) if change.apart else None,
        "full": len(ids) == AT_MOST,
        "paused": pauses_of(fit) if change.verb == "replay" else [],
    }


def pauses_of(jobs: QuerySet[Job]) -> list[Pause]:
    """The pauses that hold these jobs back."""
    where = jobs.order_by().values_list("queue", "task").distinct()
    whats = {what for queue, task in where for what in (f"queue:{queue}", f"task:{task}")}
    return list(Pause.objects.filter(what__in=whats).order_by("what"))


@looks
def recorded(request: HttpRequest) -> HttpResponse:
    """The audit log, the newest entry first."""
    before = request.GET.get("before", "")
    found = AuditEntry.objects.order_by("-id")
    if before.isdecimal() and len(before) < 18:
        found = found.filter(id__lt=int(before))
    entries = list(found[: SHOWN + 1])
    more = urlencode({"before": entries[SHOWN - 1].id}) if len(entries) > SHOWN else ""
    return render(request, "ops/audit.html", {"tab": "actions", "entries": entries[:SHOWN], "more": more})
