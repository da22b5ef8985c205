"""A dead letter with other arguments. They must fit the task, and must not make it another effect."""

import json
import uuid
from typing import Any

from celery import current_app
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from backroom.ledger.models import Job, State
from backroom.ops import audit_log
from backroom.ops.pages.access import acts
from backroom.ops.pages.actions import WHY_LIMIT
from backroom.ops.pages.job import found_or_404
from backroom.ops.pages.search import load_tasks
from backroom.runtime.enqueue import check_arguments


def read(job: Job, text: str) -> dict[str, Any]:
    """The arguments that someone typed for this job. Raises ValueError, with what is wrong in words."""
    try:
        args = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"That is no JSON: {error}.") from error
    except RecursionError as error:
        raise ValueError("These are nested too deep.") from error
    if not isinstance(args, dict):
        raise ValueError("The arguments are an object: names with values.")
    try:
        check_arguments(args)
    except ValueError as error:
        raise ValueError(f"These arguments can't be kept: {error}.") from error
    load_tasks()
    task = current_app.tasks.get(job.task)
    if task is None or not hasattr(task, "parameters"):
        raise ValueError(f"No task is named {job.task} here, so nobody can say whether these fit.")
    try:
        task.parameters.bind(**args)
        key = _key(task, args)
    except (TypeError, KeyError) as error:
        raise ValueError(f"They don't fit {job.task}{task.parameters}: {error}.") from error
    try:
        declared = _key(task, job.args) == job.key
    except (TypeError, KeyError):  # what it has does not fit either: that may be why it is edited
        declared = task.job_key is not None
    if declared and job.key != key:
        raise ValueError(f"These make it {key}, and this job is {job.key}: enqueue another job for another effect.")
    return args


def _key(task: Any, args: Any) -> str | None:
    return task.job_key.format(**args) if task.job_key else None


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}.")


@acts
def page(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """The form, and on POST the replay with what it says."""
    job = found_or_404(id)
    if job.state not in (State.DEAD, State.CANCELLED):
        messages.error(request, f"It is {job.state}: only dead or cancelled jobs are edited.")
        return redirect("ops:job", id)
    text, problem = json.dumps(job.args, indent=2, ensure_ascii=False), ""
    if request.method == "POST":
        text, why = request.POST.get("args", ""), request.POST.get("why", "").replace("\x00", "").strip()[:WHY_LIMIT]
        try:
            args = read(job, text)
            if not why:
                raise ValueError("Say why: the next person will want to know.")
        except ValueError as error:
            problem = str(error)
        else:
            if audit_log.edit(str(id), args, request.user.get_username(), why):
                messages.success(request, "Replayed with these arguments.")
            else:
                messages.warning(request, "Nothing was left to do: somebody was faster.")
            return redirect("ops:job", id)
    context = {"tab": "dead", "job": job, "text": text, "problem": problem}
    return render(request, "ops/edit.html", context, status=422 if problem else 200)
