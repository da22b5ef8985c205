"""A campaign: its states, each changed by compare-and-set, and its fan-out, a slice at a time.

One job, `campaign-slice:<campaign>-<after>`, enqueues the next slice of mails as a batch, whose callback is the next
such job. It moves `after` in the same transaction. So the ledger holds one slice of a campaign, and a recipient has one
job even after the purge of old ones. While the campaign is not to be sent, its jobs snooze: that uses no attempt.
"""

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Lower, Now
from django.utils import timezone

from backroom import Call, Snooze, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import Job, State
from marketing import bulk_mail, content, subscriptions
from marketing.models import Campaign, Subscription
from marketing.subscriptions import PATIENT
from orders.models import Order, Status

SEND_SLICE = "marketing.send_slice"
LOOK = 60  # seconds between two looks of a paused campaign's jobs; a resume wakes those that wait
BEGUN = (Campaign.State.SENDING, Campaign.State.PAUSED)
SENT, SKIPPED = "sent", "skipped"


def recipients(campaign: Campaign) -> QuerySet[Subscription]:
    """Those who want the newsletter, and have bought the product if the campaign names one."""
    wanting = subscriptions.wanting("newsletter").order_by("pk")
    if campaign.bought_id is None:
        return wanting
    orders = Order.objects.filter(lines__product=campaign.bought_id, status=Status.PAID)
    return wanting.filter(Q(user__in=orders.values("user")) | Q(email__in=orders.values_list(Lower("email"))))


def schedule(id: int, at: datetime | None = None) -> bool:
    """Send a campaign at a time, or now; of a scheduled one, move the time. False if its time has come."""
    with transaction.atomic():
        unbegun = Q(state=Campaign.State.DRAFT) | Q(state=Campaign.State.SCHEDULED, send_at__gt=Now())
        if done := Campaign.objects.filter(unbegun, pk=id).update(state=Campaign.State.SCHEDULED, send_at=at or Now()):
            arguments = {"campaign": id, "after": 0}
            jobs = enqueue_all(Call(SEND_SLICE, arguments, "bulk", PATIENT.attempts, slice_key(id, 0)))
            operations.replay(jobs)
            operations.reschedule(ids=jobs)
        return bool(done)


def unschedule(id: int) -> bool:
    """Make a scheduled campaign a draft again. False if it has begun."""
    with transaction.atomic():
        done = _change(id, Campaign.State.DRAFT, Campaign.State.SCHEDULED)
        if done:
            operations.cancel(keys=[slice_key(id, 0)])
        return done


def pause(id: int) -> bool:
    """The mails that run are sent; the others wait."""
    return _change(id, Campaign.State.PAUSED, Campaign.State.SENDING)


def resume(id: int) -> bool:
    """Wake the jobs that wait. Race: one has just read "paused"; it looks again after LOOK seconds."""
    with transaction.atomic():
        return _change(id, Campaign.State.SENDING, Campaign.State.PAUSED) and _wake(id)


def cancel(id: int) -> bool:
    """Cancel the mails that have not begun; those that run are sent. The next slice counts, and ends it."""
    with transaction.atomic():
        done = _change(id, Campaign.State.CANCELLED, Campaign.State.SCHEDULED, *BEGUN)
        if done:
            unbegun = _mails(id).filter(state__in=[State.READY, State.WAITING])
            operations.cancel(ids=[str(job) for job in unbegun.values_list("id", flat=True)])
            _wake(id)
        return done


def _change(id: int, state: Campaign.State, *before: Campaign.State) -> bool:
    return bool(Campaign.objects.filter(pk=id, state__in=before).update(state=state))


def _wake(id: int) -> bool:
    slices = Job.objects.filter(key__startswith=f"campaign-slice:{id}-")
    asleep = (slices | _mails(id)).filter(state=State.WAITING, run_at__isnull=False)
    operations.reschedule(ids=[str(job) for job in asleep.values_list("id", flat=True)])
    return True


def _mails(id: int) -> QuerySet[Job]:
    return Job.objects.filter(key__startswith=f"campaign:{id}-")


def slice_key(id: int, after: int) -> str:
    return f"campaign-slice:{id}-{after}"


def next_slice(id: int, after: int) -> list[int]:
    """Count what became of the slice before, and move the cursor behind the next recipients, whose ids it returns: none
    at the end. For an atomic task. Raises Snooze while the campaign is not to be sent.

    Race: two run at once, as one's worker was taken for dead, or an old key was purged. The lock makes the other wait,
    and then its `after` is not the cursor.
    """
    campaign = Campaign.objects.select_for_update().filter(pk=id, after=after, ended_at=None).first()
    if campaign is None:
        return []
    _wait_until_it_is_time(campaign)
    campaign.sent, campaign.skipped, campaign.failed, _ = progress(campaign)
    found: list[int] = []
    if campaign.state != Campaign.State.CANCELLED:
        found = list(recipients(campaign).filter(pk__gt=after).values_list("pk", flat=True)[: settings.CAMPAIGN_SLICE])
        if campaign.state == Campaign.State.SCHEDULED:
            campaign.recipients = recipients(campaign).count()
        campaign.state = Campaign.State.SENDING if found else Campaign.State.SENT
    campaign.after = found[-1] if found else after
    campaign.ended_at = None if found else timezone.now()
    campaign.save(update_fields=["state", "recipients", "sent", "skipped", "failed", "after", "ended_at"])
    return found


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


class Progress(NamedTuple):
    sent: int
    skipped: int
    failed: int
    of: int

    @property
    def done(self) -> int:
        return self.sent + self.skipped + self.failed


def progress(campaign: Campaign) -> Progress:
    """What has become of the recipients: the counts of the slices that ended, and the jobs of the one that runs."""
    counts = {SENT: campaign.sent, SKIPPED: campaign.skipped, State.DEAD: campaign.failed}
    if campaign.ended_at is None:
        current = Job.objects.filter(key=slice_key(campaign.pk, campaign.after)).values("id")
        ended = Job.objects.filter(batch_id__in=current, state__in=[State.SUCCEEDED, State.DEAD])
        for state, result, number in ended.values_list("state", "result").annotate(Count("pk")).order_by():
            counts[result if state == State.SUCCEEDED else State.DEAD] += number
    done = Progress(counts[SENT], counts[SKIPPED], counts[State.DEAD], campaign.recipients)
    return done._replace(of=max(done.of, done.done))  # some subscribed since it began
