"""The page "Your data": the export and the deletion of an account, and how far they are."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import authenticate, logout
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts import data_requests, erasure, exports
from accounts.access import customer_required
from accounts.models import DataExport
from backroom.inbound import limits
from backroom.ledger.models import LIVE, Job, State
from backroom.observe.models import Progress

FORM = ["GET", "HEAD", "POST"]


@require_http_methods(FORM)
@customer_required
def data(request: HttpRequest) -> HttpResponse:
    """The page. A POST starts an export."""
    if request.method == "POST":
        limits.take(request, exports_by_account=str(request.user.pk))
        data_requests.export(cast(User, request.user))
        return redirect("accounts:data")
    return render(request, "accounts/data.html", _export_context(request))


@require_safe
@customer_required
def progress(request: HttpRequest) -> HttpResponse:
    """The part of the page that updates itself."""
    return render(request, "accounts/_export.html", _export_context(request))


def _export_context(request: HttpRequest) -> dict[str, Any]:
    export = DataExport.objects.filter(user=request.user.pk).defer("file").first()
    jobs = {job.key: job for job in Job.objects.filter(key__in=data_requests.keys(export))} if export else {}
    states = {job.state for job in jobs.values()}
    made = jobs.get(f"export:{export.pk}") if export else None
    return {
        "export": export,
        "running": bool(states & set(LIVE)) and State.DEAD not in states,
        "failed": State.DEAD in states,
        "sending": made is not None and made.state == State.SUCCEEDED,
        "reported": Progress.objects.filter(job_id=made.pk).order_by("-claim").first() if made else None,
    }


@require_safe
@customer_required
def export(request: HttpRequest) -> HttpResponse:
    """The document, by the link of the mail. A link that is forged, too old or another person's is the same 404."""
    found = exports.opened(request.GET.get("token", ""), request.user.pk)
    if found is None:
        raise Http404("No export of this person has this link.")
    headers = {"Content-Disposition": 'attachment; filename="my-data.json"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(bytes(found.file), content_type="application/json", headers=headers)


@require_http_methods(FORM)
@customer_required
def delete(request: HttpRequest) -> HttpResponse:
    """The question for the password, and the deletion. Attempts count as attempts to sign in."""
    user = cast(User, request.user)
    if request.method != "POST":
        return render(request, "accounts/delete.html")
    if authenticate(request, email=user.email, password=request.POST.get("password", "")) != user:
        return render(request, "accounts/delete.html", {"error": "This is not your password."}, status=422)
    data_requests.erase(user.email, user, f"account {user.pk}, itself")
    logout(request)
    messages.success(request, "Your account is closed.")
    return redirect(erasure.path(user.pk))


@require_safe
def deletion(request: HttpRequest) -> HttpResponse:
    """How far the deletion is: the page, or for htmx the part that updates itself."""
    found = erasure.deletion(request.GET.get("token", ""))
    if found is None:
        raise Http404("No deletion has this link.")
    template = "accounts/_deletion.html" if request.headers.get("HX-Request") else "accounts/deletion.html"
    return render(request, template, {"deletion": found})
