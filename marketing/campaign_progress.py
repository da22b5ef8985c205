"""What has become of a campaign's recipients: counted out of its jobs, and kept once it has ended."""

from typing import NamedTuple

from django.db.models import Count

from backroom.ledger.models import Job, State
from marketing.models import Campaign

SENT, SKIPPED = "sent", "skipped"  # the results of a mail's job


class Progress(NamedTuple):
    sent: int
    skipped: int
    failed: int
    of: int

    @property
    def done(self) -> int:
        return self.sent + self.skipped + self.failed


def progress(campaign: Campaign) -> Progress:
    """What has become of the recipients; the counts of one that has ended are kept. The limit: of one that is paused
    for longer than JOBS_RETENTION_DAYS, the oldest mails are not counted."""
    if campaign.ended_at:
        done = Progress(campaign.sent, campaign.skipped, campaign.failed, 0)
        return done._replace(of=campaign.recipients if campaign.state == Campaign.State.CANCELLED else done.done)
    mails = Job.objects.filter(key__startswith=f"campaign:{campaign.pk}-", state__in=[State.SUCCEEDED, State.DEAD])
    found = mails.values_list("state", "result").annotate(Count("pk")).order_by()
    counts = {result if state == State.SUCCEEDED else State.DEAD: number for state, result, number in found}
    done = Progress(counts.get(SENT, 0), counts.get(SKIPPED, 0), counts.get(State.DEAD, 0), campaign.recipients)
    return done._replace(of=max(done.of, done.done))  # some subscribed since it began
