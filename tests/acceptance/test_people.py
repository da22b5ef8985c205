"""A person waits for a mail while thousands of a campaign wait, with real workers, dispatcher and mail server."""

from collections.abc import Callable, Iterator

import pytest

from lab.faults import people
from marketing import campaign_progress, campaigns
from marketing.models import Campaign
from tests.acceptance.conftest import MAIL_RATE, Cluster, effects
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
READERS = 10_000


@pytest.fixture
def send(house: Cluster) -> Iterator[Callable[[int], Campaign]]:
    """Sends a campaign to this many new readers. The rest of it is cancelled in the end."""
    sent = Campaign(subject="Everything green", body="Everything green is in season.")

    def begin(readers: int) -> Campaign:
        people.subscribe(readers)
        sent.save()
        campaigns.schedule(sent.pk)
        return sent

    yield begin
    campaigns.cancel(sent.pk)
    until(Campaign.objects.filter(pk=sent.pk, ended_at__isnull=False).exists)
    people.remove()


def done(campaign: Campaign) -> int:
    return campaign_progress.progress(Campaign.objects.get(pk=campaign.pk)).done


@pytest.mark.slow
def test_the_mail_of_a_reset_passes_ten_thousand_of_a_campaign(house: Cluster, partners: str, send):
    campaign = send(READERS)
    until(lambda: done(campaign), what="the campaign's first mail")
    for _ in range(3):
        key = people.forget_password(house.site, people.join())
        until(lambda key=key: effects(partners, key), what="the mail of the reset")
    assert done(campaign) < READERS / 20, f"the resets waited for {done(campaign)} mails, at {MAIL_RATE:g} a second"
