"""Pause or resume a queue or a task: a preview, then the change."""

from celery import current_app
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from backroom.ledger.models import LIVE, Job, Pause, State
from backroom.ops import audit_log, known
from backroom.ops.audit_log import REASON_NEEDED
from backroom.ops.pages.access import acts


def named(what: str) -> Pause:
    """The pause of this queue or task, unsaved if it is not paused. Raises Http404 for an unknown one."""
    whats = {f"queue:{queue}" for queue in current_app.amqp.queues} | {f"task:{task}" for task in known.tasks()}
    paused = Pause.objects.filter(what=what).first()
    if paused is None and what not in whats:
        raise Http404("no such queue or task")
    return paused or Pause(what=what)


@acts
def page(request: HttpRequest, verb: str) -> HttpResponse:
    """GET: the preview. POST: the change."""
    pause = named((request.POST if request.method == "POST" else request.GET).get("what", "").replace("\x00", ""))
    if bool(pause.who) is (verb == "pause"):
        messages.warning(request, f"{pause.kind.title()} {pause.name} is {audit_log.ALREADY[verb]}.")
        return redirect("ops:health")
    if request.method == "POST":
        if why := audit_log.reason(request.POST.get("why", "")):
            change = audit_log.pause if verb == "pause" else audit_log.resume
            if change(pause.what, request.user.get_username(), why):
                messages.success(request, f"{pause.kind.title()} {pause.name} {verb}d.")
            else:
                messages.warning(request, f"{pause.kind.title()} {pause.name} is {audit_log.ALREADY[verb]}.")
            return redirect("ops:health")
        messages.error(request, REASON_NEEDED)
    its = Job.objects.filter(**{pause.kind: pause.name})
    count = {state: its.filter(state=state).count() for state in LIVE}  # each by its own partial index
    context = {
        "tab": "health",
        "verb": verb,
        "pause": pause,
        "waiting": count[State.READY] + count[State.WAITING],
        "running": count[State.RUNNING],
    }
    return render(request, "ops/pause.html", context)
