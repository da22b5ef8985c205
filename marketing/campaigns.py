"""A campaign: its states, each changed by compare-and-set, and its fan-out, a slice at a time.

One job, `campaign-slice:<campaign>-<after>`, enqueues the next slice of mails and the job of the slice behind it, and
moves `after` in the same transaction. It waits until each mail of the slice before was tried: the ledger holds one
untried slice at most. The cursor gives each recipient one job, even once old jobs are purged. It is no batch's
callback: that would wait for the retries of one full mailbox. While the campaign is not to be sent, its jobs snooze:
that uses no attempt.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac

from backroom import Call, Snooze, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job, State
from marketing import bulk_mail, content, subscriptions
from marketing.campaign_progress import SENT, SKIPPED, progress
from marketing.models import Campaign, Subscription
from marketing.subscriptions import PATIENT
from orders.models import Order, Status

SEND_SLICE, WAKE = "marketing.send_slice", "marketing.wake_campaign"
LANE = "campaign:{campaign}"
NEXT = 1  # seconds between two looks whether a slice was tried
LOOK = 60  # seconds between two looks of a paused campaign's jobs; a resume wakes them


def recipients(campaign: Campaign) -> QuerySet[Subscription]:
    """Those who want the newsletter, and have bought the product if the campaign names one: asked by an index for each.
    A list of all buyers outgrows PostgreSQL's memory, and is then read anew for each."""
    wanting = subscriptions.wanting("newsletter").order_by("pk")
    if campaign.bought_id is None:
        return wanting
    bought = Order.objects.filter(lines__product=campaign.bought_id, status=Status.PAID)
    by_account = bought.filter(user=OuterRef("user"))
    return wanting.filter(Exists(by_account) | Exists(bought.filter(email__iexact=OuterRef("email"))))


def schedule(id: int, at: datetime | None = None) -> bool:
    """Send a campaign at a time, or now; of a scheduled one, move the time. False if its time has come."""
    with transaction.atomic():
        unbegun = Q(state=Campaign.State.DRAFT) | Q(state=Campaign.State.SCHEDULED, send_at__gt=Now())
        if done := Campaign.objects.filter(unbegun, pk=id).update(state=Campaign.State.SCHEDULED, send_at=at or Now()):
            _enqueue_slice(Campaign.objects.get(pk=id))
        return bool(done)


def _enqueue_slice(campaign: Campaign) -> None:
    """The next one, to be run now, also if its job waits for a time, is dead, or was cancelled."""
    arguments = {"campaign": campaign.pk, "after": campaign.after}
    jobs = enqueue_all(Call(SEND_SLICE, arguments, "bulk", PATIENT.attempts, slice_key(campaign)))
    operations.replay(jobs)
    operations.reschedule(ids=jobs)


def version(campaign: Campaign) -> str:
    """Of what it says, and to whom. A person sends the one that they have seen."""
    return salted_hmac(TEMPLATE, f"{campaign.bought_id}\n{campaign.subject}\n{campaign.body}").hexdigest()


def unschedule(id: int) -> bool:
    """Make a scheduled campaign a draft again. False if it has begun."""
    with transaction.atomic():
        done = _change(id, Campaign.State.DRAFT, Campaign.State.SCHEDULED)
        if done:
            operations.cancel(keys=[slice_key(Campaign.objects.get(pk=id))])
        return done


def pause(id: int) -> bool:
    """The mails that run are sent; the others wait."""
    return _change(id, Campaign.State.PAUSED, Campaign.State.SENDING)


def resume(id: int) -> bool:
    """Wake the jobs that wait. Race: one has just read "paused" and is not asleep yet; it is woken a moment later."""
    with transaction.atomic():
        if done := _change(id, Campaign.State.SENDING, Campaign.State.PAUSED):
            wake(id)
            enqueue_all(Call(WAKE, {"campaign": id}, "bulk", PATIENT.attempts, run_after=timedelta(seconds=5)))
        return done


def cancel(id: int) -> bool:
    """Cancel the mails that have not begun; those that run are sent. The job of the next slice counts, and
    ends the campaign."""
    with transaction.atomic():
        before = Campaign.State.SCHEDULED, Campaign.State.SENDING, Campaign.State.PAUSED
        done = _change(id, Campaign.State.CANCELLED, *before)
        if done:
            operations.cancel(ids=[str(job) for job in _live(id).values_list("id", flat=True)])
            wake(id)
        return done


def _change(id: int, state: Campaign.State, *before: Campaign.State) -> bool:
    return bool(Campaign.objects.filter(pk=id, state__in=before).update(state=state))


def wake(id: int) -> None:
    """Let the jobs of a campaign that wait for a time run now, and its next slice, whatever became of its job."""
    if campaign := Campaign.objects.filter(pk=id, ended_at=None).first():
        _enqueue_slice(campaign)
    asleep = _live(id).filter(state=State.WAITING, run_at__isnull=False)
    operations.reschedule(ids=[str(job) for job in asleep.values_list("id", flat=True)])


def _live(id: int) -> QuerySet[Job]:
    """The mails that are not done, by the index of lanes."""
    return Job.objects.filter(lane=f"fair:{LANE.format(campaign=id)}", state__in=LIVE)


def slice_key(campaign: Campaign) -> str:
    return f"campaign-slice:{campaign.pk}-{campaign.after}"


def next_slice(id: int, after: int) -> list[int]:
    """Move the cursor behind the next recipients, and return their ids: none at the end, once no mail is left. For an
    atomic task. Raises Snooze while it is not time.

    Race: two run at once, as one's worker was taken for dead, or an old key was purged. The lock makes the other wait,
    and then its `after` is not the cursor.
    """
    campaign = Campaign.objects.select_for_update().filter(pk=id, after=after, ended_at=None).first()
    if campaign is None:
        return []
    _wait_until_it_is_time(campaign)
    _wait_for(_live(id).filter(attempts=0))
    found: list[int] = []
    left = recipients(campaign).filter(pk__gt=after)
    if campaign.state != Campaign.State.CANCELLED:
        found = list(left.values_list("pk", flat=True)[: settings.CAMPAIGN_SLICE])
    if campaign.state == Campaign.State.SCHEDULED:
        campaign.state, campaign.recipients = Campaign.State.SENDING, left.count()
    if found:
        campaign.after = found[-1]
    else:
        _end(campaign)
    campaign.save()
    return found


def _wait_for(mails: QuerySet[Job]) -> None:
    if mails.exists():
        raise Snooze(NEXT, "the mails before are not done")


def _end(campaign: Campaign) -> None:
    """Its counts outlive its jobs, which are purged."""
    _wait_for(_live(campaign.pk))
    campaign.sent, campaign.skipped, campaign.failed, _ = progress(campaign)
    campaign.ended_at = timezone.now()
    if campaign.state != Campaign.State.CANCELLED:
        campaign.state = Campaign.State.SENT


def _wait_until_it_is_time(campaign: Campaign) -> None:
    if campaign.state in (Campaign.State.DRAFT, Campaign.State.PAUSED):
        raise Snooze(LOOK, f"the campaign is {campaign.get_state_display()}")
    if campaign.state == Campaign.State.SCHEDULED and campaign.send_at:
        seconds = (campaign.send_at - timezone.now()).total_seconds()
        if seconds > 0:
            raise Snooze(seconds, "the campaign has a time")


def send(id: int, subscription: int) -> str:
    """Send one mail of a campaign, if its reader has not left. Raises Snooze while the campaign is paused, and what
    bulk_mail.send does."""
    campaign = Campaign.objects.get(pk=id)
    if campaign.state == Campaign.State.PAUSED:
        raise Snooze(LOOK, "the campaign is paused")
    reader = subscriptions.reader(subscription, "newsletter")
    if reader is None or campaign.state == Campaign.State.CANCELLED:
        return SKIPPED
    key = f"campaign:{id}-{subscription}"
    bulk_mail.send(key, reader, "newsletter", campaign.subject, TEMPLATE, context(campaign))
    return SENT


TEMPLATE = "marketing/mail/campaign"


def context(campaign: Campaign) -> dict[str, str]:
    return {"subject": campaign.subject, "html": content.html(campaign.body), "text": content.text(campaign.body)}
