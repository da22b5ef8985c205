"""A campaign's page for staff: preview, test mail, send now or at a time, progress, pause, resume, cancel."""

from collections.abc import Callable
from datetime import datetime, timedelta
from time import time
from typing import NamedTuple

from csp.decorators import csp_replace
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from backroom.ops import audit_log
from marketing import campaign_progress, campaigns, mails, tasks
from marketing.models import Campaign

State = Campaign.State
SEND = "marketing.send_campaign"
YEAR = timedelta(days=366)
AGAIN = 10  # seconds; a person gets one test mail in each


class Act(NamedTuple):
    """What staff do to a campaign in one of these states."""

    label: str
    verb: Callable[..., bool]
    past: str
    said: str
    states: tuple[Campaign.State, ...]


ACTS = {
    "send": Act("Send now", campaigns.schedule, "sent", "The campaign is on its way.", (State.DRAFT, State.SCHEDULED)),
    "schedule": Act(
        "Send at this time",
        campaigns.schedule,
        "scheduled",
        "The campaign is scheduled.",
        (State.DRAFT, State.SCHEDULED),
    ),
    "unschedule": Act(
        "Back to draft", campaigns.unschedule, "unscheduled", "The campaign is a draft again.", (State.SCHEDULED,)
    ),
    "pause": Act("Pause", campaigns.pause, "paused", "The campaign is paused.", (State.SENDING,)),
    "resume": Act("Resume", campaigns.resume, "resumed", "The campaign goes on.", (State.PAUSED,)),
    "cancel": Act(
        "Cancel",
        campaigns.cancel,
        "cancelled",
        "The campaign is cancelled.",
        (State.SCHEDULED, State.SENDING, State.PAUSED),
    ),
}


class TimeForm(forms.Form):
    """A time to come, in UTC."""

    at = forms.DateTimeField(
        label="Time (UTC)",
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages=dict.fromkeys(["required", "invalid"], "Enter a date and a time."),
    )

    def clean_at(self) -> datetime:
        at: datetime = self.cleaned_data["at"]
        if not timezone.now() < at < timezone.now() + YEAR:
            raise forms.ValidationError("Enter a time within a year from now.")
        return at


@require_safe
@permission_required("marketing.view_campaign", raise_exception=True)
def page(request: HttpRequest, id: int) -> HttpResponse:
    """It requests itself again every few seconds while the campaign goes on: `progress` reads each of its mails."""
    return _page(request, id, TimeForm())


def _page(request: HttpRequest, id: int, form: TimeForm) -> HttpResponse:
    campaign = get_object_or_404(Campaign.objects.select_related("bought"), pk=id)
    begins = campaign.state == State.SCHEDULED and campaign.send_at and campaign.send_at <= timezone.now()
    late = campaigns.schedule if begins else None
    acts = {name: act for name, act in ACTS.items() if campaign.state in act.states and act.verb is not late}
    context = {
        **admin.site.each_context(request),
        "title": campaign.subject,
        "opts": Campaign._meta,
        "campaign": campaign,
        "acts": acts if request.user.has_perm(SEND) else {},
        "form": form,
        "text": campaigns.context(campaign)["text"],
        "progress": campaign_progress.progress(campaign),
        "every": 2 + campaign.recipients // 20_000,
        "count": campaigns.recipients(campaign).count() if "send" in acts else 0,
        "version": campaigns.version(campaign),
        "asks": next((name for name in ("send", "cancel") if name in request.GET and name in acts), ""),
        "begins": begins,
    }
    return render(request, "admin/marketing/campaign/page.html", context, status=422 if form.errors else 200)


@require_safe
@permission_required("marketing.view_campaign", raise_exception=True)
@xframe_options_sameorigin
@csp_replace({"default-src": ["'none'"], "style-src": ["'unsafe-inline'"], "frame-ancestors": ["'self'"]})  # type: ignore[arg-type]
def mail(request: HttpRequest, id: int) -> HttpResponse:
    """The HTML part as it is mailed, for the page's frame: no script runs and nothing is loaded."""
    context = campaigns.context(get_object_or_404(Campaign, pk=id)) | mails.sample()
    return render(request, f"{campaigns.TEMPLATE}.html", context)


@require_POST
@permission_required(SEND, raise_exception=True)
def act(request: HttpRequest, id: int) -> HttpResponse:
    """A change and its entry in one transaction, so of two clicks one is logged. Race: another person saves a draft
    while this one reads its preview. The version tells, under the lock for which a save waits."""
    name = request.POST.get("act", "")
    if name not in ACTS:
        raise Http404
    form = TimeForm(request.POST)
    if name == "schedule" and not form.is_valid():
        return _page(request, id, form)
    when = {"at": form.cleaned_data["at"]} if name == "schedule" else {}
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update().filter(pk=id).first()
        if campaign is None:
            return _gone(request)
        unseen = ACTS[name].verb is campaigns.schedule and request.POST.get("version") != campaigns.version(campaign)
        if done := not unseen and ACTS[name].verb(id, **when):
            audit_log.note(ACTS[name].past, f"campaign {id}", request.user.get_username())
    if done:
        messages.success(request, ACTS[name].said)
    elif unseen:
        messages.warning(request, "The campaign was changed. Read it once more, then send it.")
    else:
        messages.warning(request, "Nothing was changed: the campaign is past that.")
    return redirect("admin:marketing_campaign_page", id)


def _gone(request: HttpRequest) -> HttpResponse:
    """Another person has deleted the draft that this one's window shows."""
    messages.warning(request, "This campaign was deleted.")
    return redirect("admin:marketing_campaign_changelist")


@require_POST
@permission_required("marketing.change_campaign", raise_exception=True)
def test(request: HttpRequest, id: int) -> HttpResponse:
    """Mail the campaign to the person who asks, and to no other address."""
    if not Campaign.objects.filter(pk=id).exists():
        return _gone(request)
    if getattr(request.user, "email", ""):
        tasks.mail_test.enqueue(id, request.user.pk, int(time() // AGAIN))
        messages.success(request, "A test mail is on its way to you.")
    else:
        messages.error(request, "Your staff account has no email address.")
    return redirect("admin:marketing_campaign_page", id)
