"""The daily digest: whose midnight it is, which products are news, and one mail a day whatever runs twice."""

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db.models.functions import Now

from backroom import testing
from backroom.ledger.models import Job
from catalog.models import Product
from marketing import digests
from marketing.models import Subscription
from marketing.tasks import enqueue_digests, send_digest
from notifications.models import Bounce
from tests.integration.buying import all_at_once, product

pytestmark = pytest.mark.django_db

TODAY = date(2027, 1, 5)  # in Dublin, whose midnight was half an hour ago
NOW = datetime(2027, 1, 5, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def clock(monkeypatch, settings) -> SimpleNamespace:
    """The clock of the digests. At another hour, other zones would be due."""
    settings.BACKROOM_PARTNER_RATES = {}
    clock = SimpleNamespace(time=NOW)
    monkeypatch.setattr(digests, "timezone", SimpleNamespace(now=lambda: clock.time))
    return clock


def subscribe(name: str = "reader", **changes) -> Subscription:
    return Subscription.objects.create(
        email=f"{name}@example.com", **{"digest": True, "confirmed_at": Now(), **changes}
    )


def news_of(days: int = 1, slug: str = "figs", **changes) -> None:
    """A product that was added at noon, this number of days ago."""
    noon = datetime(2027, 1, 5, 12, tzinfo=UTC) - days * DAY
    Product.objects.filter(pk=product(slug).pk).update(**{"added_at": noon, **changes})


def test_a_scan_enqueues_those_whose_day_has_begun_and_no_others():
    due = subscribe("due")
    subscribe("late", time_zone="Asia/Kathmandu")  # it is a quarter past six there
    subscribe("evening", time_zone="America/New_York")
    subscribe("unconfirmed", confirmed_at=None)
    subscribe("without", digest=False)
    subscribe("done", digest_on=TODAY)
    assert enqueue_digests() == 1
    (job,) = testing.enqueued(send_digest)
    assert job.key == f"digest:{due.pk}-20270105"


def test_a_zone_whose_subscribers_bounced_is_not_scanned_again_and_again():
    Bounce.objects.create(address=subscribe("bounced", time_zone="Europe/Lisbon").email)
    assert list(digests.zones(NOW)) == []


def test_the_next_scan_and_one_after_a_purge_of_the_jobs_enqueue_no_second():
    subscribe()
    assert [enqueue_digests(), enqueue_digests()] == [1, 0]
    Job.objects.all().delete()
    assert enqueue_digests() == 0


def test_a_change_of_the_zone_to_where_the_day_comes_again_brings_no_second(clock):
    subscribe()
    enqueue_digests()
    Subscription.objects.update(time_zone="America/New_York")
    clock.time = NOW + timedelta(hours=5)  # half past midnight there
    assert enqueue_digests() == 0
    clock.time += DAY
    assert enqueue_digests() == 1


def test_a_zone_that_tzdata_dropped_is_logged_and_holds_up_no_other(caplog):
    subscribe("lost", time_zone="Atlantis/Poseidonis")
    subscribe("broken", time_zone="")
    subscribe("due")
    with caplog.at_level(logging.WARNING, "marketing.digests"):
        assert enqueue_digests() == 1
    assert "Atlantis/Poseidonis" in caplog.text


def test_a_zone_with_many_subscribers_is_enqueued_in_slices(monkeypatch):
    monkeypatch.setattr(digests, "SLICE", 2)
    readers = [subscribe(f"r{number}").pk for number in range(5)]
    assert enqueue_digests() == 5
    assert [job.args["subscription"] for job in testing.enqueued(send_digest)] == readers


@pytest.mark.django_db(transaction=True)
def test_two_scans_at_once_enqueue_each_digest_once():
    for number in range(20):
        subscribe(f"r{number}")
    assert sum(all_at_once(enqueue_digests.run, enqueue_digests.run)) == 20
    assert Job.objects.count() == 20


def test_a_digest_shows_what_is_new_and_the_new_offers(mailoutbox):
    reader = subscribe()
    news_of(1)
    news_of(9, "pears", was=Decimal(5), offered_at=NOW - timedelta(hours=1))
    news_of(1, "plums", stock=0)
    news_of(0, "quinces")
    enqueue_digests()
    testing.run_jobs()
    (mail,) = mailoutbox
    assert mail.extra_headers["Message-ID"].startswith(f"<digest.{reader.pk}-20270105@")
    assert mail.body.index("New products") < mail.body.index("Figs") < mail.body.index("Offers")
    assert "Pears  €2.40 / kg, instead of €5.00" in mail.body
    assert "/products/pears/" in mail.body
    assert "Plums" not in mail.body
    assert "Quinces" not in mail.body, "they are tomorrow's news"
    assert "/newsletter/unsubscribe/digest/" in mail.extra_headers["List-Unsubscribe"]


def test_without_news_there_is_no_mail(mailoutbox):
    subscribe()
    news_of(3)
    enqueue_digests()
    (job,) = testing.run_jobs()
    assert (job.state, mailoutbox) == ("succeeded", [])


def test_the_news_of_days_that_were_left_out_are_in_the_next_digest(mailoutbox):
    subscribe(digest_on=TODAY - 4 * DAY)
    news_of(3)
    enqueue_digests()
    testing.run_jobs()
    assert len(mailoutbox) == 1


def test_the_news_of_a_digest_that_came_too_late_are_in_the_next_one(mailoutbox, clock):
    subscribe(digest_on=TODAY - DAY)
    news_of(1)
    enqueue_digests()
    clock.time = NOW + timedelta(hours=7)
    testing.run_jobs()
    assert (mailoutbox, enqueue_digests()) == ([], 0)
    clock.time = NOW + DAY
    enqueue_digests()
    testing.run_jobs()
    assert ["Figs" in mail.body for mail in mailoutbox] == [True]


@pytest.mark.parametrize(
    ("change", "hours"),
    [
        ({"digest": False}, 0),
        ({}, 6),
        ({"time_zone": "America/New_York"}, 0),
        ({"time_zone": "Pacific/Kiritimati"}, 10),
    ],
    ids=["unsubscribed", "too late", "moved to where it is the day before", "moved to where it is the day after"],
)
def test_whether_it_is_still_wanted_is_decided_when_it_is_sent(mailoutbox, clock, change, hours):
    subscribe()
    news_of()
    enqueue_digests()
    Subscription.objects.update(**change)
    clock.time = NOW + timedelta(hours=hours)
    testing.run_jobs()
    assert mailoutbox == []
