"""Try, replay or cancel jobs: a preview first, then the change. And the audit log. Only operators change anything."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone

from backroom.conf import conf
from backroom.ledger.models import Job, Pause, State
from backroom.ledger.sql import rows
from backroom.ops import audit_log
from backroom.ops.audit_log import PAST, REASON_NEEDED, VERBS
from backroom.ops.models import AuditEntry
from backroom.ops.pages import dead, search
from backroom.ops.pages.access import acts, looks
from backroom.ops.pages.found import UNLISTED, members

AT_MOST = 10_000  # jobs in one change
SLOWEST = 1.0  # jobs per minute: AT_MOST jobs then take a week
JOBS_SHOWN = 20
SHOWN = 50  # entries of the audit log

FOLLOWERS = """
WITH RECURSIVE chosen AS (
    SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[])
    UNION SELECT child.id FROM backroom_job child JOIN chosen ON child.after_id = chosen.id
)
SELECT count(*) FROM chosen JOIN backroom_job USING (id) WHERE state = ANY(%s) AND id <> ALL(%s::uuid[])
"""


COMMANDS = {"replay": "Replay {}", "cancel": "Cancel {}", "try": "Try {} now", "end": "Cancel {} while running"}


@dataclass(frozen=True)
class Change:
    """A verb and its jobs, chosen one by one, as a group of dead letters, or by the search `found`. The preview fixes
    the ids; some jobs may have left the states of VERBS since then."""

    verb: str
    ids: list[str]
    task: str
    cause: str
    found: str
    per_minute: float
    why: str

    @property
    def apart(self) -> float:
        """Seconds between two jobs."""
        return 60 / self.per_minute if self.per_minute else 0.0

    def apply(self, who: str) -> list[str]:
        """Returns the ids of the changed jobs."""
        if self.verb in ("cancel", "end"):
            return audit_log.cancel(self.ids, who, self.why, running=self.verb == "end")
        again = audit_log.replay if self.verb == "replay" else audit_log.try_now
        return again(self.ids, who, self.why, self.apart)

    @property
    def back(self) -> str:
        alone = len(self.ids) == 1 and not (self.found or self.task)
        return reverse("ops:job", args=self.ids) if alone else back_from(self.found)

    def command(self, count: int) -> str:
        """ "Replay 3 jobs" """
        return COMMANDS[self.verb].format(f"{count} job{pluralize(count)}")


def back_from(found: str) -> str:
    """The search, or the page of dead letters."""
    return f"{reverse('ops:jobs')}?{found}" if found else reverse("ops:dead")


def requested(given: QueryDict) -> Change | None:
    """The change that a form describes; None if it is invalid."""
    try:
        ids = [str(uuid.UUID(id)) for id in " ".join(given.getlist("id")).split()[:AT_MOST]]
        per_minute = float(given.get("per_minute") or 0)
    except ValueError:
        return None
    verb, task, cause = (given.get(name, "").replace("\x00", "") for name in ("verb", "task", "cause"))
    found = search.read(QueryDict(given.get("found", ""))).address()
    if verb not in VERBS or not (ids or task or (found and "all" in given)):
        return None
    if per_minute and not SLOWEST <= per_minute <= 1e6:  # NaN is neither
        return None
    if "id" not in given:  # else these are fixed, even if they are none
        ids = chosen(verb, task, cause, found)
    return Change(verb, ids, task, cause, found, per_minute, audit_log.reason(given.get("why", "")))


def chosen(verb: str, task: str, cause: str, found: str) -> list[str]:
    """The ids of a group of dead letters, or of all that a search finds."""
    if task:
        return dead.members(task, cause, AT_MOST)
    return members(search.read(QueryDict(found)), verb, AT_MOST)


@acts
def act(request: HttpRequest) -> HttpResponse:
    """GET, or POST with step=preview: the preview. POST with step=do: the change."""
    given = request.POST if request.method == "POST" else request.GET
    change = requested(given)
    if change is None:
        messages.error(request, "Choose at least one job, and a rate of at least one per minute.")
        return redirect(back_from(search.read(QueryDict(given.get("found", ""))).address()))
    if request.method == "POST" and given.get("step") == "do":
        if change.why:
            return _apply(request, change)
        messages.error(request, REASON_NEEDED)
    return render(
        request, "ops/preview.html", {"tab": "jobs" if change.found else "dead", "change": change, **preview(change)}
    )


def _apply(request: HttpRequest, change: Change) -> HttpResponse:
    done = change.apply(request.user.get_username())
    if done:
        count, behind = audit_log.summary(change.ids, done)
        messages.success(request, f"{count} job{pluralize(count)}{behind} {PAST[change.verb]}.")
    else:
        messages.warning(request, "No job was changed: their states have changed meanwhile.")
    return redirect(change.back)


def preview(change: Change) -> dict[str, Any]:
    """What the change would do now."""
    ids = change.ids
    fit = (
        Job.objects.defer(*UNLISTED)
        .filter(audit_log.fits(change.verb), id__in=ids)
        .order_by("finished_at", "run_at", "id")
    )
    count = fit.count()
    cancels = change.verb in ("cancel", "end")
    behind = VERBS["cancel"] if cancels else [State.WAITING]
    ((followers,),) = rows(FOLLOWERS, ids, list(behind), ids)
    return {
        "command": change.command(count),
        "count": count,
        "unfit": len(ids) - count,
        "jobs": fit[:JOBS_SHOWN],
        "more": max(0, count - JOBS_SHOWN),
        "followers": followers,
        "last": timezone.now() + timedelta(seconds=change.apart * max(0, count - 1)) if change.apart else None,
        "full": len(ids) == AT_MOST,
        "paused": [] if cancels else pauses_of(fit),
        "cancels": cancels,
        "grace": conf.CANCEL_GRACE,
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
