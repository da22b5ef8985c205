"""Replay a dead letter with other arguments. They must fit the task, and must not change the job's key or lane."""

import json
import uuid
from typing import Any

from celery import current_app
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from backroom.ledger.models import Job, State
from backroom.ops import audit_log, known
from backroom.ops.audit_log import REASON_NEEDED
from backroom.ops.pages.access import acts
from backroom.ops.pages.job import found_or_404
from backroom.runtime import argument_types
from backroom.runtime.call import Call
from backroom.runtime.storable import check_arguments


def read(job: Job, text: str) -> dict[str, Any]:
    """The arguments that the form holds. Raises ValueError with a sentence for the page."""
    try:
        args = json.loads(text, parse_constant=_reject)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is no valid JSON: {error}.") from error
    except RecursionError as error:
        raise ValueError("The arguments are nested too deep.") from error
    if not isinstance(args, dict):
        raise ValueError("The arguments must be a JSON object: names with values.")
    try:
        check_arguments(args)
    except ValueError as error:
        raise ValueError(f"These arguments can't be stored: {error}.") from error
    check_task(job, args)
    return args


def check_task(job: Job, args: dict[str, Any]) -> None:
    """Raises ValueError for arguments that don't fit the job's task, or change the job's key or lane."""
    known.load_tasks()
    task = current_app.tasks.get(job.task)
    if task is None or not hasattr(task, "call"):
        raise ValueError(f"There is no task {job.task} in this release, so its arguments can't be checked.")
    try:
        argument_types.check(job.task, args)
        new = task.call(**args)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The arguments don't fit: {error}.") from error
    try:
        now = _names(task.call(**job.args))
    except (TypeError, ValueError):  # its present arguments don't fit either, which may be why they are edited
        now = {"key": task.job_key and job.key, "lane": task.job_lane and job.lane}
    for what, name in _names(new).items():
        its = getattr(job, what)
        if now[what] == its != name:
            raise ValueError(
                f"These arguments give the {what} {name}, but the job's {what} is {its}."
                " Enqueue a new job for another effect."
            )


def _names(call: Call) -> dict[str, str | None]:
    return {"key": call.key, "lane": call.lane.name if call.lane else None}


def _reject(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}.")


@acts
def page(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """GET: the form. POST: the replay."""
    job = found_or_404(id)
    if job.state not in (State.DEAD, State.CANCELLED):
        messages.error(request, f"This job is {job.state}. Only dead and cancelled jobs can be edited.")
        return redirect("ops:job", id)
    text, problem = json.dumps(job.args, indent=2, ensure_ascii=False), ""
    if request.method == "POST":
        text, why = request.POST.get("args", ""), audit_log.reason(request.POST.get("why", ""))
        try:
            args = read(job, text)
            if not why:
                raise ValueError(REASON_NEEDED)
        except ValueError as error:
            problem = str(error)
        else:
            if audit_log.edit(str(id), args, request.user.get_username(), why):
                messages.success(request, "Job replayed with the new arguments.")
            else:
                messages.warning(request, "The job was not changed: its state has changed meanwhile.")
            return redirect("ops:job", id)
    context = {"tab": "dead", "job": job, "text": text, "problem": problem}
    return render(request, "ops/edit.html", context, status=422 if problem else 200)
