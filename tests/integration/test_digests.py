"""The daily digest: whose midnight it is, which products are news, and one mail a day whatever runs twice."""

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from backroom import testing
from backroom.ledger.models import Job
from catalog.models import Product
from marketing import digests
from marketing.models import Subscription
from marketing.tasks import enqueue_digests, send_digest
from tests.integration.buying import all_at_once, product

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_pace(settings) -> None:
    settings.BACKROOM_PARTNER_RATES = {}


def zone_at(hour: int) -> str:
    """A zone in which it is this hour now: the test's clock is the real one."""
    east = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-east:+d}" if east else "Etc/GMT"


def subscribe(name: str = "reader", **changes) -> Subscription:
    values = {"digest": True, "confirmed_at": Now(), "time_zone": zone_at(2)}
    return Subscription.objects.create(email=f"{name}@example.com", **values | changes)


def today(zone: str) -> date:
    return datetime.now(ZoneInfo(zone)).date()


def news_of(zone: str, days: int = 1) -> Product:
    """A product that was added this number of local days ago."""
    figs = product("figs")
    noon = digests.first_instant(ZoneInfo(zone), today(zone) - days * DAY) + timedelta(hours=12)
    Product.objects.filter(pk=figs.pk).update(added_at=noon)
    return figs


def test_a_scan_enqueues_those_whose_day_has_begun_and_no_others():
    due = subscribe("due")
    subscribe("noon", time_zone=zone_at(9))
    subscribe("unconfirmed", confirmed_at=None)
    subscribe("without", digest=False)
    subscribe("done", digest_on=today(zone_at(2)))
    assert enqueue_digests() == 1
    (job,) = testing.enqueued(send_digest)
    assert job.key == f"digest:{due.pk}-{today(due.time_zone):%Y%m%d}"


def test_the_next_scan_and_one_after_a_purge_of_the_jobs_enqueue_no_second():
    subscribe()
    assert [enqueue_digests(), enqueue_digests()] == [1, 0]
    Job.objects.all().delete()
    assert enqueue_digests() == 0


def test_a_change_of_the_zone_to_where_the_day_comes_again_brings_no_second():
    subscribe()
    enqueue_digests()
    Subscription.objects.update(time_zone=zone_at(0))
    assert enqueue_digests() == 0


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
    news_of(reader.time_zone)
    yesterday = digests.first_instant(ZoneInfo(reader.time_zone), today(reader.time_zone)) - timedelta(hours=1)
    product("pears")
    Product.objects.filter(slug="pears").update(added_at=timezone.now() - 9 * DAY, was=Decimal(5), offered_at=yesterday)
    product("plums")
    Product.objects.filter(slug="plums").update(added_at=yesterday, stock=0)
    product("quinces")  # they are tomorrow's news
    enqueue_digests()
    testing.run_jobs()
    (mail,) = mailoutbox
    assert mail.extra_headers["Message-ID"].startswith(f"<digest.{reader.pk}-")
    assert mail.body.index("New products") < mail.body.index("Figs") < mail.body.index("Offers")
    assert "Pears  €2.40 / kg, instead of €5.00" in mail.body
    assert "/products/pears/" in mail.body
    assert "Plums" not in mail.body
    assert "Quinces" not in mail.body
    assert "/newsletter/unsubscribe/digest/" in mail.extra_headers["List-Unsubscribe"]


def test_without_news_there_is_no_mail(mailoutbox):
    reader = subscribe()
    news_of(reader.time_zone, days=3)
    enqueue_digests()
    (job,) = testing.run_jobs()
    assert (job.state, mailoutbox) == ("succeeded", [])


def test_the_news_of_days_that_were_left_out_are_in_the_next_digest(mailoutbox):
    reader = subscribe(digest_on=today(zone_at(2)) - 4 * DAY)
    news_of(reader.time_zone, days=3)
    enqueue_digests()
    testing.run_jobs()
    assert len(mailoutbox) == 1


@pytest.mark.parametrize(
    "meanwhile",
    [{"digest": False}, {"time_zone": zone_at(9)}, {"time_zone": zone_at(23)}],
    ids=["unsubscribed", "too late", "another day"],
)
def test_whether_it_is_still_wanted_is_decided_when_it_is_sent(mailoutbox, meanwhile):
    reader = subscribe()
    news_of(reader.time_zone)
    enqueue_digests()
    Subscription.objects.update(**meanwhile)
    testing.run_jobs()
    assert mailoutbox == []
