"""Acting on jobs: first a preview of what will happen, then the deed. Both are for operators only."""

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
from backroom.ops.models import AuditEntry
from backroom.ops.pages import dead
from backroom.ops.pages.access import acts, looks

AT_MOST = 10_000  # jobs in one deed
SLOWEST = 1.0  # a minute: at that rate so many take a week
SHOWN = 20
WHY_LIMIT = 200

# What a verb may be done to.
VERBS = {
    "replay": (State.DEAD, State.CANCELLED),
    "cancel": (State.DEAD, State.READY, State.WAITING),
}

FOLLOWERS = """
WITH RECURSIVE chosen AS (
    SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[])
    UNION SELECT child.id FROM backroom_job child JOIN chosen ON child.after_id = chosen.id
)
SELECT count(*) FROM chosen JOIN backroom_job USING (id) WHERE state = ANY(%s) AND id <> ALL(%s::uuid[])
"""


@dataclass(frozen=True)
class Deed:
    """What someone wants to do to which jobs: `ids`, or a group of dead letters as it was at `until`."""

    verb: str
    ids: list[str]
    task: str
    cause: str
    until: datetime
    per_minute: float
    why: str

    @property
    def chosen(self) -> list[str]:
        """The jobs as they are now, some of which may be beyond the verb by now."""
        if self.task:
            return dead.members(self.task, self.cause, self.until, AT_MOST)
        return self.ids

    @property
    def apart(self) -> float:
        """Seconds."""
        return 60 / self.per_minute if self.per_minute else 0.0

    def do(self, who: str) -> list[str]:
        """Do it; the ids of the jobs that it changed."""
        if self.verb == "replay":
            return audit_log.replay(self.chosen, who, self.why, self.apart)
        return audit_log.cancel(self.chosen, who, self.why)

    @property
    def back(self) -> str:
        """The page to return to."""
        return reverse("ops:dead") if self.task or len(self.ids) != 1 else reverse("ops:job", args=self.ids)


def asked(given: QueryDict) -> Deed | None:
    """The deed that a form describes; None if it makes no sense."""
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
    return Deed(verb, ids, task, cause, until, per_minute, given.get("why", "").replace("\x00", "").strip()[:WHY_LIMIT])


@acts
def act(request: HttpRequest) -> HttpResponse:
    """GET, or POST with step=preview: what would happen. POST with step=do: it happens."""
    deed = asked(request.POST if request.method == "POST" else request.GET)
    if deed is None:
        messages.error(request, "Choose at least one job, and a rate of one a minute or more.")
        return redirect("ops:dead")
    if request.method == "POST" and request.POST.get("step") == "do":
        if deed.why:
            return _done(request, deed)
        messages.error(request, "Say why: the next person will want to know.")
    return render(request, "ops/preview.html", {"tab": "dead", "deed": deed, **preview(deed)})


def _done(request: HttpRequest, deed: Deed) -> HttpResponse:
    done = deed.do(request.user.get_username())
    if done:
        messages.success(request, f"{len(done)} job{pluralize(len(done))} {past(deed.verb)}.")
    else:
        messages.warning(request, "Nothing was left to do: somebody, or the back room, was faster.")
    return redirect(deed.back)


def past(verb: str) -> str:
    """The verb as something that was done."""
    return {"replay": "replayed", "cancel": "cancelled"}[verb]


def preview(deed: Deed) -> dict[str, Any]:
    """What the deed would do if it were done now."""
    ids = deed.chosen
    fit = Job.objects.filter(id__in=ids, state__in=VERBS[deed.verb]).order_by("finished_at", "id")
    count = fit.count()
    behind = [State.WAITING] if deed.verb == "replay" else VERBS["cancel"]
    ((followers,),) = rows(FOLLOWERS, ids, list(behind), ids)
    return {
        "count": count,
        "unfit": len(ids) - count,
        "jobs": fit[:SHOWN],
        "more": max(0, count - SHOWN),
        "followers": followers,
        "last": timezone.now() + timedelta(seconds=deed.apart * max(0, count - 1)) if deed.apart else None,
        "full": len(ids) == AT_MOST,
        "paused": standing_still(fit) if deed.verb == "replay" else [],
    }


def standing_still(jobs: QuerySet[Job]) -> list[Pause]:
    """The pauses in which these jobs would wait."""
    where = jobs.order_by().values_list("queue", "task").distinct()
    whats = {what for queue, task in where for what in (f"queue:{queue}", f"task:{task}")}
    return list(Pause.objects.filter(what__in=whats).order_by("what"))


@looks
def recorded(request: HttpRequest) -> HttpResponse:
    """What people did, the latest first."""
    before = request.GET.get("before", "")
    found = AuditEntry.objects.order_by("-id")
    if before.isdecimal() and len(before) < 18:
        found = found.filter(id__lt=int(before))
    actions = list(found[:51])
    more = urlencode({"before": actions[49].id}) if len(actions) > 50 else ""
    return render(request, "ops/audit.html", {"tab": "actions", "actions": actions[:50], "more": more})
