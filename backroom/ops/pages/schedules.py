"""Run, pause or resume a schedule: a preview, then the change."""

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from backroom.ops import audit_log, schedules
from backroom.ops.audit_log import REASON_NEEDED
from backroom.ops.pages.access import acts
from backroom.runtime import slots
from backroom.runtime.duplicates import Duplicate

EFFECTS = {
    "pause": [
        "Its slots enqueue nothing until it is resumed. A restart does not resume it.",
        "Jobs that it has enqueued run.",
    ],
    "resume": ["Its next slot enqueues a job. The slots of the pause do not."],
}


@acts
def run(request: HttpRequest, id: int) -> HttpResponse:
    """GET: the preview. POST: the job."""
    entry = get_object_or_404(schedules.entries(), id=id)
    try:
        call = slots.call(entry)
    except slots.UNFIT as error:
        messages.error(request, f"{entry.name} can't run: {error}")
        return redirect("ops:health")
    if request.method == "POST":
        if why := audit_log.reason(request.POST.get("why", "")):
            try:
                job, new = audit_log.run(entry.name, call, request.user.get_username(), why)
            except Duplicate as error:
                job, new = error.job_id, False
            if new:
                messages.success(request, f"{entry.name} runs now.")
            else:
                messages.warning(request, "Nothing was enqueued: this is the job with its key or name.")
            return redirect("ops:job", job)
        messages.error(request, REASON_NEEDED)
    context = {"tab": "health", "entry": entry, "call": call, "args": json.dumps(call.args)}
    return render(request, "ops/run.html", context)


@acts
def switch(request: HttpRequest, id: int, verb: str) -> HttpResponse:
    """GET: the preview. POST: the change."""
    entry = get_object_or_404(schedules.entries(), id=id)
    if request.method == "POST":
        if why := audit_log.reason(request.POST.get("why", "")):
            if audit_log.switch(entry.name, verb == "resume", request.user.get_username(), why):
                messages.success(request, f"Schedule {entry.name} {verb}d.")
            elif verb == "resume" and slots.over(entry):
                messages.warning(request, f"{entry.name} is not resumed: its only time is over. Run it now instead.")
            else:
                messages.warning(request, f"Schedule {entry.name} is {audit_log.ALREADY[verb]}.")
            return redirect("ops:health")
        messages.error(request, REASON_NEEDED)
    context = {
        "tab": "health",
        "question": f"{verb.title()} schedule {entry.name}?",
        "effects": EFFECTS[verb],
        "command": verb.title(),
        "back": reverse("ops:health"),
    }
    return render(request, "ops/confirm.html", context)
