"""The developer pages: a customer's webhook endpoints, their deliveries, each attempt. Another person's is 404."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import customer_required
from backroom.inbound import limits
from notifications.endpoints import events, transitions
from notifications.endpoints.forms import EndpointForm
from notifications.endpoints.models import Delivery, Endpoint

FORM = ["GET", "HEAD", "POST"]
PAGE = 20  # deliveries
FRESH = timedelta(minutes=1)  # for so long the page follows a delivery that waits
SPANS = {"1": "the last hour", "24": "the last day", "120": "the last 5 days", "720": "the last 30 days"}  # by hours


@require_http_methods(FORM)
@customer_required
def webhooks(request: HttpRequest) -> HttpResponse:
    """The endpoints, and the form of another one."""
    user = cast(User, request.user)
    form = EndpointForm(request.POST or None, instance=Endpoint(user=user))
    if request.method == "POST":
        _count(request)
        if form.is_valid():
            endpoint = form.save()
            messages.success(request, "The endpoint is added. Send a test event to see that it works.")
            return redirect("accounts:webhook", endpoint.pk)
    context = {"endpoints": user.endpoints.all(), "form": form}
    return render(request, "accounts/webhooks.html", context, status=422 if form.is_bound else 200)


@require_http_methods(FORM)
@customer_required
def webhook(request: HttpRequest, id: int) -> HttpResponse:
    """An endpoint with its deliveries. A POST changes its address and its events."""
    endpoint = get_object_or_404(Endpoint, pk=id, user=request.user.pk)
    form = EndpointForm(request.POST or None, instance=endpoint)
    if form.is_bound and form.is_valid():
        endpoint.save(update_fields=EndpointForm.Meta.fields)  # race: it is switched off now, and stays so
        messages.success(request, "The endpoint is saved.")
        return redirect("accounts:webhook", id)
    if form.is_bound:
        endpoint.refresh_from_db()  # the page shows what holds
    deliveries = endpoint.deliveries.select_related("event")
    page = Paginator(deliveries, PAGE).get_page(request.GET.get("page"))
    fresh = deliveries.filter(state=Delivery.State.WAITING, created_at__gt=timezone.now() - FRESH)
    context = {"endpoint": endpoint, "form": form, "page": page, "live": fresh.exists(), "spans": SPANS}
    context["both_sign"] = len(endpoint.secrets(timezone.now())) > 1
    return render(request, "accounts/webhook.html", context, status=422 if form.is_bound else 200)


@require_http_methods(FORM)
@customer_required
def delivery(request: HttpRequest, id: int) -> HttpResponse:
    """One event for one endpoint, with each attempt. A POST sends it again."""
    mine = Delivery.objects.filter(endpoint__user=request.user.pk, pk=id)
    found = get_object_or_404(mine.select_related("event", "endpoint"))
    if request.method == "POST":
        _count(request)
        _tell(request, transitions.replay(mine))
        return redirect("accounts:webhook_delivery", id)
    context = {"delivery": found, "attempts": found.attempts.all(), "stopped": transitions.stopped(mine).exists()}
    return render(request, "accounts/webhook_delivery.html", context)


@require_POST
@customer_required
def act(request: HttpRequest, id: int, act: str) -> HttpResponse:
    """One of ACTS, by its name in the address."""
    endpoint = get_object_or_404(Endpoint, pk=id, user=request.user.pk)
    if act not in ACTS:
        raise Http404("An endpoint has no such act.")
    ACTS[act](request, endpoint)
    return redirect("accounts:webhook", id) if act != "delete" else redirect("accounts:webhooks")


def _test(request: HttpRequest, endpoint: Endpoint) -> None:
    _count(request)
    events.send_test(endpoint)
    messages.success(request, "The test event is on its way. Below you see what becomes of it.")


def _pause(request: HttpRequest, endpoint: Endpoint) -> None:
    transitions.pause(endpoint.pk)
    messages.success(request, "The endpoint is paused. Its events wait, for up to 30 days.")


def _resume(request: HttpRequest, endpoint: Endpoint) -> None:
    _count(request)
    transitions.resume(endpoint.pk)
    messages.success(request, "The endpoint gets events again.")


def _rotate(request: HttpRequest, endpoint: Endpoint) -> None:
    _count(request)
    if transitions.rotate(endpoint.pk):
        messages.success(request, "The endpoint has a new secret. The old one signs, too, for 24 hours.")
    else:
        messages.warning(request, "The old secret still signs. End it first.")


def _forget(request: HttpRequest, endpoint: Endpoint) -> None:
    transitions.forget_former(Endpoint.objects.filter(pk=endpoint.pk))
    messages.success(request, "Only the new secret signs.")


def _delete(request: HttpRequest, endpoint: Endpoint) -> None:
    transitions.delete(Endpoint.objects.filter(pk=endpoint.pk))
    messages.success(request, "The endpoint is deleted. It gets no more events.")


def _replay(request: HttpRequest, endpoint: Endpoint) -> None:
    _count(request)
    hours = request.POST.get("hours", "")
    since = timedelta(hours=int(hours)) if hours in SPANS else timedelta()
    _tell(request, transitions.replay(transitions.unsent(endpoint.pk, since)))


ACTS: dict[str, Callable[[HttpRequest, Endpoint], Any]] = {
    "test": _test, "pause": _pause, "resume": _resume, "rotate": _rotate, "forget": _forget, "delete": _delete,
    "replay": _replay,
}  # fmt: skip


def _count(request: HttpRequest) -> None:
    limits.take(request, webhooks_by_account=str(request.user.pk))


def _tell(request: HttpRequest, sent: int) -> None:
    if sent:
        messages.success(request, f"{sent} event{'' if sent == 1 else 's'} will be sent again.")
    else:
        messages.warning(request, "There is nothing to send again.")
