"""What the warehouse reports of a parcel, in whatever order, and what becomes of it: the table in
orders/ordering/shipments.py, the notices, the page, the label, and what audit and reconciler make of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from backroom import enqueue_all
from backroom.inbound.webhooks import Event, Unreadable
from backroom.ledger.models import Job, State
from notifications import push, transitions
from notifications.models import Channel, Contact, Notice, PushSubscription
from orders.follow_ups import ERASE, FOLLOW_UPS
from orders.fulfilment import notices
from orders.models import Label, Order, Repair, ShipmentEvent, Status
from orders.ordering import cancellation, correction, shipments
from orders.reconciliation import audit, reconcile
from tests.integration import mailbox as smtp
from tests.integration.buying import all_at_once, attempt, buy, effects, product
from tests.integration.paid_orders import attempted, job_of, paid_order
from tests.integration.staff import customer, text

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
PARCEL = ["invoice", "receipt", "fraud", "capture", "shipment", "label", "analytics", "loyalty", "recommendations"]


def underway(**changes: Any) -> Order:
    """A paid order, two days old, whose shipment was requested."""
    order = paid_order(**{"sent_at": timezone.now() - 40 * HOUR, "tracking": "BR0123456789"} | changes)
    Order.objects.filter(pk=order.pk).update(created_at=Now() - 2 * timedelta(days=1))
    order.refresh_from_db()
    return order


def report(of: Order | int, kind: str, ago: timedelta = HOUR, id: str = "", **data: Any) -> None:
    """What the warehouse's webhook has, once verified."""
    number = of if isinstance(of, int) else of.number
    at = timezone.now() - ago
    fields = {"order": str(number), "tracking": "BR0123456789"} | data
    shipments.record(Event(id or f"evt-{kind}-{number}-{at.timestamp()}", f"shipment.{kind}", at, fields))


def enqueued(order: Order) -> set[str]:
    """The kinds of its jobs."""
    return {key.partition(":")[0] for key in Job.objects.values_list("key", flat=True) if str(order.number) in str(key)}


ALL = {"shipped", "delivered", "review"}
EARLIER, LATER = timedelta(hours=5), timedelta(hours=1)
# What the order is, the reports in their order (kind and how long ago), which reports are stored, the columns that
# have a time, and the jobs.
CASES: dict[str, tuple[dict, list[tuple[str, timedelta]], int, set[str], set[str]]] = {
    "shipped": ({}, [("shipped", EARLIER)], 1, {"shipped_at"}, {"shipped"}),
    "both": ({}, [("shipped", EARLIER), ("delivered", LATER)], 2, {"shipped_at", "delivered_at"}, ALL),
    "wrong order": ({}, [("delivered", LATER), ("shipped", EARLIER)], 2, {"shipped_at", "delivered_at"}, ALL),
    "delivered only": ({}, [("delivered", LATER)], 1, {"delivered_at"}, {"delivered", "review"}),
    "shipped under two ids": ({}, [("shipped", EARLIER), ("shipped", LATER)], 2, {"shipped_at"}, {"shipped"}),
    "cancelled after the request": ({"status": Status.CANCELLED}, [("shipped", LATER)], 1, {"shipped_at"}, set()),
    "cancelled before": (
        {"status": Status.CANCELLED, "sent_at": None}, [("shipped", LATER), ("delivered", LATER)], 2, set(), set()
    ),
    "never requested": ({"sent_at": None, "tracking": ""}, [("delivered", LATER)], 1, set(), set()),
    "declined": ({"status": Status.DECLINED, "sent_at": None}, [("delivered", LATER)], 1, set(), set()),
    "erased": (
        {"erased_at": datetime(2026, 1, 1, tzinfo=UTC), "email": ""}, [("delivered", LATER)], 1, {"delivered_at"}, set()
    ),
    "of another type": ({}, [("lost", LATER)], 0, set(), set()),
}  # fmt: skip


def test_a_parcel_that_leaves_wakes_the_erasure_that_waited_for_it():
    order = underway()
    enqueue_all(ERASE.call(order.number, run_after=timedelta(days=1)))
    waiting = Job.objects.filter(key=f"erase:{order.number}", run_at__gt=Now())
    assert waiting.exists()
    report(order, "shipped")
    assert not waiting.exists()


@pytest.mark.parametrize(("order", "reports", "stored", "columns", "jobs"), CASES.values(), ids=CASES)
def test_each_case_of_the_table(order, reports, stored, columns, jobs):
    found = underway(**order)
    for kind, ago in reports * 2:  # each comes twice
        report(found, kind, ago, id=f"{kind}{ago.seconds}")
    assert ShipmentEvent.objects.count() == stored
    found.refresh_from_db()
    assert {name for name in ("shipped_at", "delivered_at") if getattr(found, name)} == columns
    assert enqueued(found) == jobs


def test_the_earliest_of_two_times_holds_whichever_comes_first():
    first, second = underway(), underway()
    for order, agos in ((first, (EARLIER, LATER)), (second, (LATER, EARLIER))):
        for ago in agos:
            report(order, "delivered", ago)
        order.refresh_from_db()
        assert abs(order.delivered_at - (timezone.now() - EARLIER)) < timedelta(minutes=5)
        assert Job.objects.filter(key=f"delivered:{order.number}").count() == 1


def test_a_time_before_the_order_or_after_now_is_not_believed():
    old, young = underway(), underway()
    report(old, "delivered", timedelta(days=700_000))
    report(young, "delivered", -timedelta(days=700_000))
    for order in old, young:
        order.refresh_from_db()
    assert old.delivered_at == old.created_at
    assert abs(young.delivered_at - timezone.now()) < timedelta(minutes=5)
    assert young.link_lasts_from == young.delivered_at


def test_an_order_that_does_not_exist_is_known_to_nobody_and_no_error():
    report(987_654_321, "shipped")
    report(10**17, "shipped")
    assert not ShipmentEvent.objects.exists()


@pytest.mark.parametrize("number", [None, 1001, "", "0", "-1", "1e3", "\uff19", "1" * 19, "1001 ", ["1001"]], ids=repr)
def test_a_report_without_an_orders_number_is_refused(number):
    with pytest.raises(Unreadable):
        report(1, "shipped", order=number)


def test_a_report_brings_the_tracking_number_that_a_job_that_died_did_not_keep_and_so_the_label():
    order, other = underway(tracking=""), underway(tracking="")
    report(order, "shipped")
    report(other, "shipped", tracking=f"{'x' * 41}")
    order.refresh_from_db()
    other.refresh_from_db()
    assert (order.tracking, other.tracking) == ("BR0123456789", "")
    assert (enqueued(order), enqueued(other)) == ({"shipped", "label"}, {"shipped"})


@pytest.mark.django_db(transaction=True)
def test_reports_at_the_same_moment_are_stored_once_each_and_enqueue_once():
    order = underway()
    calls = [lambda kind=kind, id=id: report(order, kind, HOUR, id) for kind in ("shipped", "delivered")
             for id in (f"{kind}-1", f"{kind}-1", f"{kind}-2")]  # fmt: skip
    assert all_at_once(*calls) == [None] * 6
    assert ShipmentEvent.objects.count() == 4
    assert Job.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_cancellation_at_the_moment_of_the_report_leaves_no_job_that_would_notify():
    for number in range(4):
        order = underway()
        both = (lambda order=order: cancellation.cancel(order.number), lambda order=order: report(order, "shipped"))
        assert all_at_once(*both) == [True, None]
        states = set(Job.objects.filter(key=f"shipped:{order.number}").values_list("state", flat=True))
        assert states <= {State.CANCELLED}, number


# The webhook


def post(client: Client, body: Any, secret: str = "") -> int:
    """A request of the warehouse, signed now."""
    sent = body if isinstance(body, str) else json.dumps(body)
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret or settings.WEBHOOK_SECRETS["warehouse"]).sign("evt_1", now, sent),
    }
    return client.post("/webhooks/warehouse", sent, content_type="application/json", headers=headers).status_code


def test_the_webhook_answers_204_for_what_is_right_or_known_and_refuses_the_rest():
    order, client = underway(), Client(enforce_csrf_checks=True)
    body = {"type": "shipment.delivered", "timestamp": "2026-11-26T10:00:00Z", "data": {"order": str(order.number)}}
    assert post(client, body, settings.WEBHOOK_SECRETS["sms"]) == 401
    assert post(client, body | {"data": {"order": order.number}}) == 400
    assert not ShipmentEvent.objects.exists()
    assert [post(client, body) for _ in range(2)] == [204, 204]
    assert ShipmentEvent.objects.get().at == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert enqueued(order) == {"delivered", "review"}
    assert client.get("/webhooks/warehouse").status_code == 405


def test_the_jobs_of_a_report_belong_to_the_order_on_the_operations_pages(admin_client):
    order = underway()
    report(order, "shipped")
    attempt(f"shipped:{order.number}")
    job = Job.objects.get(key=f"mail:shipped:{order.number}")
    assert f"/admin/orders/order/{order.number}/change/" in admin_client.get(f"/ops/jobs/{job.id}/").content.decode()


# The notices


@pytest.fixture
def mailbox(settings):
    with smtp.serving(settings) as mailbox:
        yield mailbox


def notify(order: Order, kind: str) -> str:
    """Run the jobs of a notice; returns its state."""
    attempt(f"{kind}:{order.number}")
    attempt(f"mail:{kind}:{order.number}")
    return Notice.objects.get(key=f"{kind}:{order.number}").state


def test_a_guest_is_mailed_when_the_parcel_leaves_and_when_it_arrives(mailbox):
    order = underway(arrives_on="2030-05-06")
    report(order, "shipped", EARLIER)
    assert notify(order, "shipped") == Notice.State.ACCEPTED
    report(order, "delivered", LATER)
    assert notify(order, "delivered") == Notice.State.ACCEPTED
    shipped, delivered = mailbox.mails
    day = f"{Order.objects.get().shipped_at:%A, %-d %B}"
    for mail, parts in ((shipped, ["BR0123456789", day, "Monday, 6 May", "Gdynia"]), (delivered, ["Reply to this"])):
        assert (mail["To"], mail["X-Order"]) == ("Kawiarnia@example.com", str(order.number))
        for kind in ("plain", "html"):
            body = mail.get_body((kind,)).get_content()
            for part in (*parts, "Kawiarnia Łąka", f"{settings.SITE_URL}/orders/{order.number}/?token={order.token}"):
                assert part in body, f"{part} not in {body}"


@pytest.mark.parametrize(
    "change",
    [
        {"delivered_at": datetime(2026, 11, 26, tzinfo=UTC)},
        {"status": Status.CANCELLED},
        {"erased_at": datetime(2026, 11, 26, tzinfo=UTC), "email": ""},
        {"shipped_at": datetime(2020, 11, 26, tzinfo=UTC)},
    ],
    ids=str,
)
def test_nothing_is_sent_that_is_no_longer_wanted_when_its_turn_comes(mailbox, change):
    order = underway()
    report(order, "shipped")
    Order.objects.filter(pk=order.pk).update(**change)
    assert notify(order, "shipped") == Notice.State.UNWANTED
    assert not mailbox.mails


@pytest.mark.parametrize("kind", [notices.shipped, notices.delivered], ids=["shipped", "delivered"])
def test_the_short_text_fits_an_sms_and_names_nobody(kind):
    number = 99_999_999_999
    order = underway(number=number, shipped_at=timezone.now(), tracking="B" * 40)
    if kind is notices.delivered:
        Order.objects.update(delivered_at=timezone.now())
    message = kind(str(number), None)
    assert len(message.short) <= 140
    assert order.name not in message.short + message.url
    assert order.token not in message.short + message.url


def test_a_link_that_has_ended_is_a_new_one_in_the_notice():
    order = underway(sent_at=timezone.now() - timedelta(days=100))
    Order.objects.update(created_at=timezone.now() - timedelta(days=101), delivered_at=None)
    report(order, "shipped")
    message = notices.shipped(str(order.number), None)
    assert order.token not in message.context["url"]
    assert Order.objects.get().admits(message.context["url"].partition("token=")[2])


# The customer's page


def test_the_page_says_when_it_was_shipped_and_when_it_was_delivered(client):
    order = underway(sent_at=timezone.now(), arrives_on="2030-05-06")
    job_of("invoice", order.number)
    page = client.get(order.get_absolute_url())
    assert page.context["poll_every"] == 10
    assert "We will let you know when your order ships." in text(page)
    assert f"Order {order.number} is confirmed" in text(page)
    report(order, "shipped", timedelta())
    attempt(f"shipped:{order.number}")
    seen = text(client.get(order.timeline_url))  # the part that replaces itself
    order.refresh_from_db()
    assert f"Shipped on {order.shipped_at:%A, %-d %B} , tracking number BR0123456789" in seen
    assert "Expected by Monday, 6 May" in seen
    assert f"Order {order.number} is on its way" in seen
    report(order, "delivered", timedelta())
    page = client.get(order.get_absolute_url())
    seen = text(page)
    order.refresh_from_db()
    assert f"Delivered on {order.delivered_at:%A, %-d %B}" in seen
    assert f"Order {order.number} was delivered" in seen
    assert "This order is complete." in seen
    for gone in ("Shipped on", "Expected by", "We will let you know", "our server took"):
        assert gone not in seen
    assert page.context["poll_every"] is None
    whole = client.get(f"{order.get_absolute_url()}&whole=1").context["rows"]
    # The request for a review is of another day.
    assert [row.kind for row in whole] == ["invoice", "shipped", "delivered"]


def test_a_page_does_not_ask_for_days_and_a_cancelled_order_says_what_to_do(client):
    order = underway()
    assert client.get(order.get_absolute_url()).context["poll_every"] is None
    cancelled = underway(status=Status.CANCELLED)
    assert "please refuse it" in text(client.get(cancelled.get_absolute_url()))
    report(cancelled, "delivered")
    assert "Please send it back." in text(client.get(cancelled.get_absolute_url()))


# The label


def labelled(order: Order) -> bool:
    job = job_of("label", order.number)
    assert job.state == State.SUCCEEDED, job.error
    return Label.objects.filter(order=order).exists()


def test_a_label_is_made_once_and_not_for_a_cancelled_or_erased_order():
    order = underway()
    Label.objects.create(order=order, pdf=b"the first")
    assert labelled(order)
    assert bytes(Label.objects.get().pdf) == b"the first"
    assert not labelled(underway(status=Status.CANCELLED))
    assert not labelled(underway(erased_at=timezone.now()))


def test_staff_download_the_label_and_see_the_reports(admin_client, client):
    order = underway()
    address = f"/admin/orders/order/{order.number}/label.pdf"
    assert admin_client.get(address).status_code == 404
    assert labelled(order)
    report(order, "shipped")
    page = admin_client.get(f"/admin/orders/order/{order.number}/change/").content.decode()
    assert address in page
    assert "BR0123456789" in page
    assert "reports of the warehouse" in page.lower()
    answer = admin_client.get(address)
    assert (answer.status_code, answer["Content-Type"], answer.content[:5]) == (200, "application/pdf", b"%PDF-")
    for stranger in (client, customer()):
        assert stranger.get(address).status_code == 302
    User.objects.create(username="new", is_staff=True)
    client.force_login(User.objects.get(username="new"))
    assert client.get(address).status_code == 403


# Audit and reconciler


@pytest.fixture
def sold(partners) -> Order:
    """An order with all its effects, whose parcel the warehouse accepted."""
    product(stock=9)
    order = buy()
    for kind in PARCEL:
        attempt(f"{kind}:{order.number}")
    order.refresh_from_db()
    return order


def test_the_warehouses_number_is_kept_and_the_label_made(sold):
    assert sold.tracking.startswith("BR")
    assert Label.objects.filter(order=sold).exists()
    report = audit.run()
    assert (report.clean, report.unfinished, report.effects_expected, report.effects_found) == (True, 0, 8, 8), report


def test_a_notice_by_mail_is_expected_once_the_parcel_is_reported(sold):
    report(sold, "shipped")
    found = audit.run()
    assert (found.clean, found.unfinished) == (True, 1)
    attempt(f"shipped:{sold.number}")
    found = audit.run()
    assert (found.clean, found.unfinished, audit.still_busy()) == (True, 1, 1)
    attempt(f"mail:shipped:{sold.number}")
    found = audit.run()
    assert (found.clean, found.unfinished, found.effects_expected) == (True, 0, 9), found
    report(sold, "delivered")
    notify(sold, "delivered")
    found = audit.run()
    assert (found.clean, found.unfinished, found.effects_expected, audit.still_busy()) == (True, 0, 10, 0), found


@pytest.fixture
def person(sold, partners) -> User:
    """The account that the order belongs to, with a phone and a browser."""
    user = User.objects.create(username="person", email=sold.email)
    browser = urllib3.request(
        "POST", f"{partners}/push/subscriptions", json={"applicationServerKey": push.public_key()}
    ).json()
    PushSubscription.objects.create(user=user, **browser)
    Contact.objects.create(user=user, phone="+353861234567")
    Order.objects.update(user=user)
    return user


@pytest.mark.parametrize("channel", Channel.values)
def test_a_notice_counts_by_the_channel_that_the_customer_chose(sold, person, channel):
    Contact.objects.update(channel=channel)
    report(sold, "shipped")
    attempt(f"shipped:{sold.number}")
    attempt(f"{channel}:shipped:{sold.number}")
    found = audit.run()
    assert (found.clean, found.unfinished, found.effects_expected, found.effects_found) == (True, 0, 9, 9), found
    assert effects(key=f"shipped:{sold.number}") == {f"{channel}/shipped shipped:{sold.number}": 1}


def test_mail_that_takes_over_counts_beside_the_failed_sms(sold, person):
    Contact.objects.update(channel=Channel.SMS)
    report(sold, "shipped")
    attempt(f"shipped:{sold.number}")
    attempt(f"sms:shipped:{sold.number}")
    transitions.fall_back(Notice.objects.get())  # as the provider's receipt says
    assert audit.run().unfinished == 1
    attempt(f"mail:shipped:{sold.number}")
    found = audit.run()
    assert (found.clean, found.unfinished, found.effects_expected, found.effects_found) == (True, 0, 9, 9), found
    assert len(effects(key=f"shipped:{sold.number}")) == 2


def test_an_order_that_is_reported_while_the_audit_reads_is_left_to_the_next(sold, monkeypatch):
    records = audit.their_records

    def behind_the_first_look(since=None):
        report(sold, "shipped")
        notify(sold, "shipped")
        return records(since)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "their_records", behind_the_first_look)
        found = audit.run()
    assert (found.clean, found.unfinished) == (True, 1), found


def test_a_report_of_a_parcel_that_was_never_requested_is_a_finding(sold):
    other = paid_order(status=Status.DECLINED, paid_at=None)
    report(other, "delivered")
    (row,) = audit.run().unexpected
    assert (row["partner"], row["kind"], row["key"]) == ("warehouse", "delivered", f"delivered:{other.number}")


def work() -> None:
    """Run all that is due, until nothing is."""
    while ready := list(Job.objects.filter(state=State.READY).values_list("pk", flat=True)):
        for id in ready:
            attempted(str(id))


@pytest.mark.parametrize("lost", ["label:{}", "shipped:{}", "mail:shipped:{}", "delivered:{}", "review:{}"])
def test_a_job_whose_row_was_deleted_is_there_again_and_all_is_done_once(sold, lost):
    key = lost.format(sold.number)
    Label.objects.all().delete()
    Job.objects.filter(key=f"label:{sold.number}").update(state=State.READY)
    report(sold, "shipped", EARLIER)
    if key.startswith("mail:"):
        attempt(f"shipped:{sold.number}")
    if key.startswith(("delivered:", "review:")):
        report(sold, "delivered", LATER)
    Job.objects.filter(key=key).delete()
    work()
    Order.objects.update(created_at=Now() - HOUR)
    (repair,) = reconcile.run().repairs
    assert (repair.key, repair.act) == (key, Repair.Act.ENQUEUED)
    work()
    assert Job.objects.filter(key=key).exists()
    found = audit.run()
    assert (found.clean, found.unfinished) == (True, 0), found
    assert set(effects().values()) == {1}
    assert reconcile.run().repairs == []


def test_staff_read_of_a_parcel_that_was_accepted_and_never_reported(sold):
    Order.objects.update(created_at=Now() - 50 * HOUR, sent_at=Now() - 47 * HOUR)
    assert reconcile.run().reports == []
    Order.objects.update(sent_at=Now() - 49 * HOUR)
    (finding,) = reconcile.run().reports
    assert finding.why == "the warehouse has not reported its parcel for 2 days"
    report(sold, "delivered")
    work()
    assert audit.run().clean


def test_an_order_of_a_release_that_made_no_labels_misses_nothing(sold):
    Order.objects.update(tracking="", created_at=Now() - HOUR)
    Label.objects.all().delete()
    Job.objects.filter(key=f"label:{sold.number}").delete()
    assert audit.run().clean
    assert reconcile.run().repairs == []


def test_every_follow_up_of_a_report_is_stopped_by_a_cancellation():
    assert {step.kind for step in FOLLOW_UPS if step.kind in (*ALL, "label")} == {*ALL, "label"}
    order = underway()
    report(order, "shipped", EARLIER)
    report(order, "delivered", LATER)
    cancellation.cancel(order.number)
    assert set(Job.objects.filter(key__in=[f"{kind}:{order.number}" for kind in ALL]).values_list("state")) == {
        (State.CANCELLED,)
    }


def test_mails_of_notices_that_failed_are_sent_again_to_a_corrected_address(mailbox):
    order = underway()
    report(order, "shipped")
    mailbox.answers["RCPT"] = "550 no such mailbox"
    assert notify(order, "shipped") == Notice.State.FAILED
    mailbox.answers.clear()
    assert correction.correct_email(order.number, "right@example.com")
    attempt(f"mail:shipped:{order.number}")
    assert Notice.objects.get().state == Notice.State.ACCEPTED
    assert mailbox.mails[0]["To"] == "right@example.com"
