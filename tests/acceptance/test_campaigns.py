"""A campaign with real workers and two dispatchers: the mail server fails, workers die, staff pause and resume it."""

from collections.abc import Iterator

import pytest
import urllib3

from backroom.ledger.models import Job
from marketing import campaigns, subscriptions
from marketing.models import Campaign, Subscription
from tests.acceptance.conftest import Cluster, fault
from tests.integration.subscribing import subscriber
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
READERS, SLICE, KILLS, LEAVERS = 10_000, 500, 5, 5
FAST = {"MAIL_RATE": "1000", "CAMPAIGN_RATE": "1000", "CAMPAIGN_SLICE": str(SLICE)}


@pytest.fixture
def two_dispatchers(house: Cluster) -> Iterator[Cluster]:
    """The house with another dispatcher, and later with its usual worker again."""
    house.start("dispatcher-2")
    yield house
    house.kill("dispatcher-2")
    house.kill("worker-bulk")
    Job.objects.filter(key__startswith="campaign").delete()  # later tests count jobs
    Subscription.objects.all().delete()


def mailed(partners: str) -> dict[str, int]:
    """How many mails each recipient of a campaign got, by key."""
    found = urllib3.request("GET", f"{partners}/effects?partner=mail", timeout=60).json()["effects"]
    return {effect["key"]: effect["count"] for effect in found if effect["kind"] == "campaign"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_subscriber_gets_one_mail_though_mails_fail_and_workers_die_and_the_campaign_is_paused(
    two_dispatchers: Cluster, partners: str
):
    house = two_dispatchers
    house.kill("worker-bulk")
    house.start("worker-bulk", **FAST)
    fault(partners, "mail", error_rate=0.2)
    ids = [subscriber().pk for _ in range(READERS)]
    leavers, stayers = ids[-LEAVERS:], ids[:-LEAVERS]
    campaign = Campaign.objects.create(subject="Spring", body="Rhubarb")
    campaigns.schedule(campaign.pk)
    jobs = Job.objects.filter(task="marketing.mail_campaign", args__campaign=campaign.pk)
    for kill in range(KILLS):
        until(lambda kill=kill: len(mailed(partners)) > (kill + 1) * READERS // (KILLS + 2), 900)
        house.kill("worker-bulk")
        house.start("worker-bulk", **FAST)
    campaigns.pause(campaign.pk)
    until(lambda: not jobs.filter(state="running").exists())
    for reader in Subscription.objects.filter(pk__in=leavers):
        link = subscriptions.unsubscribe_url(reader, "newsletter").partition("/newsletter")[2]
        assert urllib3.request("POST", f"{house.site}/newsletter{link}", retries=False).status == 200
    assert jobs.filter(attempts=0).count() <= SLICE
    campaigns.resume(campaign.pk)
    until(lambda: Campaign.objects.filter(pk=campaign.pk, state="sent").exists(), 1800)
    sent = mailed(partners)
    assert sent.keys() == {f"campaign:{campaign.pk}-{id}" for id in stayers}
    # The limit of SMTP: each of the two children may have died between the server's "accepted" and the commit.
    assert sum(sent.values()) - len(stayers) <= 2 * KILLS
    campaign.refresh_from_db()
    assert (campaign.sent, campaign.failed) == (len(stayers), 0)
