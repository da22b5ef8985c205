"""Cancel a batch: a preview, then the change. The page of its callback, the job of its id, shows the batch."""

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse

from backroom.ops import audit_log, batches
from backroom.ops.audit_log import REASON_NEEDED
from backroom.ops.formats import grouped
from backroom.ops.pages.access import acts
from backroom.ops.pages.job import found_or_404


@acts
def cancel(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """GET: the preview. POST: the change."""
    batch = batches.of(found_or_404(id))
    if batch is None:
        raise Http404("no such batch")
    if batch.ended_at:
        messages.warning(request, "This batch has ended.")
        return redirect("ops:job", id)
    if request.method == "POST":
        if why := audit_log.reason(request.POST.get("why", "")):
            done = audit_log.cancel_batch(batch.id, request.user.get_username(), why)
            messages.success(request, f"{grouped(len(done))} job{pluralize(len(done))} cancelled.")
            return redirect("ops:job", id)
        messages.error(request, REASON_NEEDED)
    context = {
        "tab": "jobs",
        "question": f"Cancel batch {batch}?",
        "effects": [
            f"{grouped(batch.succeeded)} of {grouped(batch.total)} members have succeeded. They stay.",
            "Running members finish. All others are cancelled, dead letters too, and the callback with them.",
            "Jobs that wait for one of these are cancelled.",
        ],
        "command": "Cancel batch",
        "back": reverse("ops:job", args=[id]),
    }
    return render(request, "ops/confirm.html", context)
