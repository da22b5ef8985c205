"""Webhooks out: events in the transaction of their cause, signed, retried for two days, kept, and replayed."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from backroom.ledger import lanes, rescue
from backroom.ledger.models import Job, State
from backroom.outbound import breaker, strangers
from notifications import personal_data, retention
from notifications.endpoints import sending, transitions
from notifications.endpoints.events import emit, send_test
from notifications.endpoints.forms import MOST
from notifications.endpoints.jobs import SCHEDULE
from notifications.endpoints.models import Attempt, Delivery, Endpoint, Event
from notifications.models import Notice
from orders.fulfilment import capture
from orders.models import Order
from orders.ordering import cancellation, checkout, settlement, shipments
from orders.ordering.basket import Wanted
from shop.environment import LIMITS
from tests.integration.accounts import account, fresh, sign_in, stranger
from tests.integration.buying import CUSTOMER, all_at_once, attempt, product
from tests.integration.mailbox import serving
from tests.integration.paid_orders import paid_order
from tests.integration.receiver import receiving, reply
from tests.waiting import until

pytestmark = pytest.mark.django_db
current_app.loader.import_default_modules()  # as a worker does

HOUR = timedelta(hours=1)


@pytest.fixture
def receiver(settings, monkeypatch):
    monkeypatch.setattr(strangers, "ANSWER", 0.25)
    with receiving() as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [receiver.allowed]
        settings.BACKROOM_PARTNER_RATES = {"endpoint": 1000}
        yield receiver


@pytest.fixture
def endpoint(receiver) -> Endpoint:
    return Endpoint.objects.create(user=account(fresh()), url=receiver.url)


def announce(endpoint: Endpoint, number: int = 1, type: str = "order.paid") -> Delivery:
    emit(endpoint.user_id, type, str(number), {"order": str(number)})
    return Delivery.objects.get(endpoint=endpoint, event__type=type, event__about=str(number))


def send(delivery: Delivery) -> Job:
    """One attempt, in its lane's place; the delivery and its endpoint are as they are then."""
    delivery.refresh_from_db()
    key = f"webhook:{delivery.pk}-{delivery.round}"
    Job.objects.filter(key=key, state=State.WAITING).update(state=State.READY, place=1)
    job = attempt(key)
    delivery.refresh_from_db()
    delivery.endpoint.refresh_from_db()
    return job


def used_up(delivery: Delivery) -> None:
    """As if its attempts but one had failed."""
    Job.objects.filter(key=f"webhook:{delivery.pk}-{delivery.round}").update(attempts=SCHEDULE.attempts - 1)


# Events


def test_an_event_and_its_jobs_are_of_the_transaction_of_their_cause_and_come_once(endpoint):
    other = Endpoint.objects.create(user=endpoint.user, url=endpoint.url, events=["order.shipped"])
    Endpoint.objects.create(user=endpoint.user, url=endpoint.url, state=Endpoint.State.OFF)
    Endpoint.objects.create(user=account(fresh()), url=endpoint.url)
    with transaction.atomic():
        announce(endpoint)
        transaction.set_rollback(True)
    assert not Event.objects.exists()
    for _ in range(2):
        announce(endpoint)
    announce(endpoint, type="order.shipped")
    sent = Delivery.objects.order_by("id").values_list("event__type", "endpoint")
    assert list(sent) == [("order.paid", endpoint.pk), ("order.shipped", endpoint.pk), ("order.shipped", other.pk)]
    assert Job.objects.filter(key__startswith="webhook:", queue="webhooks").count() == 3


def test_without_an_endpoint_that_chose_it_no_event_is_kept(endpoint):
    Endpoint.objects.update(events=["order.shipped"])
    emit(endpoint.user_id, "order.paid", "1", {})
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_that_is_deleted_meanwhile_breaks_no_order(endpoint):
    for round in range(5):
        one = Endpoint.objects.create(user=endpoint.user, url=endpoint.url)
        calls = [
            lambda round=round: emit(endpoint.user_id, "order.paid", str(round), {}),
            lambda one=one: transitions.delete(Endpoint.objects.filter(pk=one.pk)),
        ]
        assert [each for each in all_at_once(*calls) if isinstance(each, Exception)] == []
    assert Delivery.objects.filter(endpoint=endpoint).count() == 5


@pytest.mark.django_db(transaction=True)
def test_an_order_does_not_wait_while_an_endpoints_many_deliveries_are_deleted(endpoint):
    delivery, other = announce(endpoint), Endpoint.objects.create(user=endpoint.user, url=endpoint.url)
    deletes = partial(transitions.delete, Endpoint.objects.filter(pk=endpoint.pk))
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Delivery.objects.select_for_update().get(pk=delivery.pk)  # so the deletion takes long
            deleting = pool.submit(all_at_once, deletes)
            until(lambda: Endpoint.objects.filter(pk=endpoint.pk, state=Endpoint.State.OFF).exists())
            assert announce(other, 2)
        assert deleting.result() == [2]
    assert list(Endpoint.objects.all()) == [other]


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_and_the_answer_being_recorded_can_be_deleted_at_once(endpoint, receiver):
    deliveries = [announce(endpoint, number) for number in range(4)]
    calls = [lambda each=each: sending.send(each.pk, 1) for each in deliveries]
    mine = Endpoint.objects.filter(pk=endpoint.pk)
    assert [each for each in all_at_once(*calls, lambda: transitions.delete(mine)) if isinstance(each, Exception)] == []
    assert not Delivery.objects.exists()


# Deliveries


def test_a_delivery_is_signed_and_its_attempt_is_kept(endpoint, receiver):
    receiver.says = reply(200, b"thank\0you \xff")
    delivery = announce(endpoint)
    assert send(delivery).state == State.SUCCEEDED
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    headers = dict(re.findall(r"^(\S+): (.*)\r$", head.decode(), re.MULTILINE))
    Webhook(endpoint.secret).verify(body, headers)
    event = Event.objects.get()
    assert headers["webhook-id"] == event.pk
    assert json.loads(body) == {"type": "order.paid", "timestamp": event.at.isoformat(), "data": {"order": "1"}}
    assert delivery.state == Delivery.State.DELIVERED
    kept = Attempt.objects.get()
    assert (kept.status, kept.answer, kept.error) == (200, "thank\ufffdyou \ufffd", "")
    assert body.decode() in kept.request
    assert endpoint.secret not in kept.request


def test_for_a_day_after_a_change_both_secrets_sign(endpoint, receiver):
    former = endpoint.secret
    transitions.rotate(endpoint.pk)
    endpoint.refresh_from_db()
    now = datetime.now(UTC)
    assert endpoint.secrets(now) == [endpoint.secret, former]
    assert endpoint.secrets(now + 25 * HOUR) == [endpoint.secret]
    send(announce(endpoint))
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    headers = dict(re.findall(r"^(\S+): (.*)\r$", head.decode(), re.MULTILINE))
    for secret in (endpoint.secret, former):
        Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(Endpoint(url="").secret).verify(body, headers)


def test_a_second_change_of_the_secret_waits_until_the_former_one_ends(endpoint, client):
    former, page = endpoint.secret, f"/accounts/webhooks/{endpoint.pk}/"
    for _ in range(2):
        client.post(f"{page}rotate/")
    endpoint.refresh_from_db()
    assert endpoint.secrets(datetime.now(UTC)) == [endpoint.secret, former]
    assert b"End the old secret now" in client.get(page).content
    client.post(f"{page}forget/")
    client.post(f"{page}rotate/")
    second = endpoint.secret
    endpoint.refresh_from_db()
    assert endpoint.secrets(datetime.now(UTC)) == [endpoint.secret, second]
    Endpoint.objects.update(former_until=timezone.now())
    retention.purge()
    endpoint.refresh_from_db()
    assert (endpoint.former_secret, endpoint.former_until) == ("", None)


def test_a_receiver_that_is_down_for_two_hours_gets_its_event_by_the_fifth_attempt(endpoint, receiver):
    receiver.says = reply(503)
    delivery, down = announce(endpoint), timedelta()
    while down < 2 * HOUR:
        job = send(delivery)
        assert (job.state, delivery.state) == (State.WAITING, Delivery.State.WAITING)
        assert delivery.endpoint.failing_since
        down += job.run_at - timezone.now()  # the ledger's clock: no test sleeps
    assert (job.attempts, down < 3 * HOUR) == (4, True)
    receiver.says = reply(200)
    send(delivery)
    assert (delivery.state, delivery.endpoint.failing_since) == (Delivery.State.DELIVERED, None)
    assert list(delivery.attempts.values_list("status", flat=True)) == [503] * 4 + [200]
    assert len({re.search(rb"webhook-id: \S+", request)[0] for request in receiver.requests}) == 1


def test_the_waits_are_those_of_standard_webhooks():
    waits = [SCHEDULE.delay(attempt, 0.5) for attempt in range(1, SCHEDULE.attempts)]
    assert waits == [5, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 20))]
    assert 4.5 <= SCHEDULE.delay(1, 0) < SCHEDULE.delay(1, 0.999) <= 5.5


def test_after_the_last_attempt_it_has_failed_without_a_dead_letter(endpoint, receiver):
    receiver.says = reply(500)
    delivery = announce(endpoint)
    used_up(delivery)
    assert send(delivery).state == State.SUCCEEDED
    assert delivery.state == Delivery.State.FAILED
    assert delivery.endpoint.state == Endpoint.State.ACTIVE


def test_a_delivery_whose_last_attempt_was_cut_off_can_be_sent_again(endpoint, receiver, client):
    delivery = announce(endpoint)
    mine = Delivery.objects.filter(pk=delivery.pk)
    assert transitions.replay(mine) == 0  # its job goes on
    page = f"/accounts/webhooks/deliveries/{delivery.pk}/"
    assert b"Send again" not in client.get(page).content
    cut = {"state": State.RUNNING, "attempts": SCHEDULE.attempts, "worker": "killed", "place": 1}
    Job.objects.update(**cut, started_at=timezone.now() - HOUR)
    rescue.requeue_abandoned()
    assert Job.objects.get().state == State.DEAD
    assert b"Send again" in client.get(page).content
    assert transitions.replay(transitions.unsent(endpoint.pk, HOUR)) == 1
    send(delivery)
    assert delivery.state == Delivery.State.DELIVERED


@pytest.mark.parametrize("meanwhile", [Delivery.State.FAILED, Delivery.State.CANCELLED])
def test_an_answer_holds_whatever_another_attempt_or_the_endpoints_end_did_meanwhile(endpoint, receiver, meanwhile):
    delivery = announce(endpoint)
    Delivery.objects.update(state=meanwhile)
    with transaction.atomic():
        transitions.deliver(delivery)
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.DELIVERED


@pytest.mark.parametrize(
    ("says", "status", "error"),
    [
        (reply(302, headers="Location: http://127.0.0.1:9/\r\n"), 302, ""),
        (reply(404), 404, ""),
        (reply(500, b"oops"), 500, ""),
        (b"", None, "No whole answer came in time."),
        (b"nonsense\r\n\r\n", None, "The connection broke off."),
    ],
    ids=["redirects", "unknown", "fails", "hangs", "wrong"],
)
def test_whatever_is_no_2xx_is_kept_and_retried_and_the_ledger_has_no_address(endpoint, receiver, says, status, error):
    receiver.says = says
    delivery = announce(endpoint)
    job = send(delivery)
    assert (job.state, job.attempts) == (State.WAITING, 1)
    kept = Attempt.objects.get()
    assert (kept.status, kept.error) == (status, error)
    assert receiver.allowed not in job.error


def test_a_private_address_is_retried_and_never_called(endpoint, receiver, settings):
    settings.BACKROOM_STRANGERS_ALLOW = []
    Endpoint.objects.update(url=f"https://127.0.0.1:{receiver.port}/")
    delivery = announce(endpoint)
    assert send(delivery).state == State.WAITING
    assert Attempt.objects.get().error == strangers.NOT_PUBLIC
    assert receiver.connections == 0


def test_an_endpoint_that_asks_for_a_pause_is_tried_no_sooner(endpoint, receiver):
    receiver.says = reply(429, headers="Retry-After: 600\r\n")
    assert send(announce(endpoint)).run_at > timezone.now() + timedelta(seconds=590)


def test_while_the_breaker_is_open_no_attempt_is_used(endpoint, receiver):
    receiver.says = reply(500)
    deliveries = [announce(endpoint, number) for number in range(breaker.THRESHOLD + 1)]
    jobs = [send(delivery) for delivery in deliveries]
    assert [job.attempts for job in jobs] == [1] * breaker.THRESHOLD + [0]
    assert Attempt.objects.count() == breaker.THRESHOLD


def test_an_account_has_one_rate_however_many_endpoints_it_has(endpoint, receiver, settings):
    settings.BACKROOM_PARTNER_RATES = {"endpoint": 1 / 60}
    second = Endpoint.objects.create(user=endpoint.user, url=endpoint.url)
    other = Endpoint.objects.create(user=account(fresh()), url=endpoint.url)
    send_test(endpoint)
    send_test(second)
    send_test(other)
    jobs = [send(Delivery.objects.get(endpoint=each)) for each in (endpoint, second, other)]
    assert [(job.state, job.attempts) for job in jobs] == [("succeeded", 1), ("waiting", 0), ("succeeded", 1)]


# The end of an endpoint


def test_410_switches_an_endpoint_off_with_one_mail_and_cancels_what_waits(endpoint, receiver, settings):
    receiver.says = reply(410)
    delivery, other = announce(endpoint), announce(endpoint, 2)
    assert send(delivery).state == State.SUCCEEDED
    other.refresh_from_db()
    assert (delivery.state, other.state) == (Delivery.State.FAILED, Delivery.State.CANCELLED)
    assert delivery.endpoint.state == Endpoint.State.OFF
    assert Job.objects.get(key=f"webhook:{other.pk}-1").state == State.CANCELLED
    with serving(settings) as mailbox:
        attempt(f"mail:{Notice.objects.get().key}")
    (mail,) = mailbox.mails
    assert mail["To"] == endpoint.user.email
    assert f"/accounts/webhooks/{endpoint.pk}/" in mail.get_body(("plain",)).get_content()


def test_an_endpoint_that_works_again_by_then_gets_no_mail(endpoint, settings):
    transitions.switch_off(endpoint.pk)
    transitions.resume(endpoint.pk)
    attempt(f"mail:{Notice.objects.get().key}")
    assert Notice.objects.get().state == Notice.State.UNWANTED


def test_five_days_of_failures_switch_an_endpoint_off_and_a_hiccup_after_a_quiet_week_does_not(endpoint, receiver):
    receiver.says = reply(500)
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=6))
    delivery = announce(endpoint)
    send(delivery)
    assert delivery.endpoint.state == Endpoint.State.ACTIVE
    used_up(delivery)
    send(delivery)
    assert delivery.endpoint.state == Endpoint.State.OFF
    assert Notice.objects.get().kind == "endpoint_off"


def test_an_event_that_meets_a_switched_off_endpoint_is_cancelled(endpoint, receiver):
    delivery = announce(endpoint)
    Endpoint.objects.update(state=Endpoint.State.OFF)
    assert send(delivery).state == State.SUCCEEDED
    assert (delivery.state, receiver.requests) == (Delivery.State.CANCELLED, [])


# What its owner does


def test_a_paused_endpoint_keeps_its_events_and_a_resume_sends_them(endpoint, receiver):
    transitions.pause(endpoint.pk)
    delivery = announce(endpoint)
    job = send(delivery)
    assert (job.state, job.attempts, receiver.requests) == (State.WAITING, 0, [])
    assert job.run_at > timezone.now() + 23 * HOUR
    transitions.resume(endpoint.pk)
    job.refresh_from_db()
    assert job.run_at <= timezone.now()
    send(delivery)
    assert delivery.state == Delivery.State.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_two_clicks_replay_a_delivery_once_and_its_former_round_is_over(endpoint, receiver):
    delivery = announce(endpoint)
    send(delivery)
    mine = Delivery.objects.filter(pk=delivery.pk)
    assert sorted(all_at_once(*[lambda: transitions.replay(mine)] * 3)) == [0, 0, 1]
    Job.objects.filter(key=f"webhook:{delivery.pk}-1").update(state=State.READY)
    attempt(f"webhook:{delivery.pk}-1")
    assert len(receiver.requests) == 1
    assert send(delivery).key == f"webhook:{delivery.pk}-2"
    assert (delivery.state, len(receiver.requests)) == (Delivery.State.DELIVERED, 2)


def test_what_failed_since_a_time_is_replayed_and_nothing_else(endpoint, receiver):
    states = [Delivery.State.FAILED, Delivery.State.CANCELLED, Delivery.State.DELIVERED, Delivery.State.FAILED]
    deliveries = [announce(endpoint, number) for number in range(4)]
    for delivery, state in zip(deliveries, states, strict=True):
        Delivery.objects.filter(pk=delivery.pk).update(state=state)
    Delivery.objects.filter(pk=deliveries[3].pk).update(created_at=timezone.now() - 2 * HOUR)
    assert transitions.replay(transitions.unsent(endpoint.pk, HOUR)) == 2
    assert [bool(Delivery.objects.filter(pk=each.pk, round=2)) for each in deliveries] == [True, True, False, False]


@pytest.mark.parametrize(("in_order", "passes"), [(False, True), (True, False)])
def test_a_failed_event_holds_up_the_later_ones_only_strictly_in_order(endpoint, receiver, in_order, passes):
    Endpoint.objects.update(in_order=in_order)
    receiver.says = reply(500)
    first, second = announce(endpoint), announce(endpoint, 2)
    name = Job.objects.get(key=f"webhook:{first.pk}-1").lane
    assert [message.id for message in lanes.open_lanes([name])] == [
        str(Job.objects.get(key=f"webhook:{first.pk}-1").pk)
    ]
    send(first)
    lanes.open_lanes([name])
    assert (Job.objects.get(key=f"webhook:{second.pk}-1").state == State.READY) is passes


@pytest.mark.parametrize("in_order", [True, False])
def test_a_change_of_strictly_in_order_leaves_one_request_at_a_time_and_what_waits_first(endpoint, in_order):
    Endpoint.objects.update(in_order=not in_order)
    first = announce(endpoint)
    Endpoint.objects.update(in_order=in_order)
    announce(endpoint, 2)
    (lane,) = set(Job.objects.values_list("lane", flat=True))
    assert [message.id for _ in range(2) for message in lanes.open_lanes([lane])] == [
        str(Job.objects.get(key=f"webhook:{first.pk}-1").pk)
    ]


def test_a_test_event_goes_to_its_endpoint_alone_whatever_that_chose(endpoint, receiver):
    Endpoint.objects.create(user=endpoint.user, url=endpoint.url)
    Endpoint.objects.filter(pk=endpoint.pk).update(events=["order.paid"])
    send_test(endpoint)
    send(Delivery.objects.get())
    assert b'"type":"test"' in receiver.requests[0]


# Personal data, and the end of events


def test_an_export_has_the_endpoints_and_an_erasure_leaves_none(endpoint, receiver):
    delivery = announce(endpoint)
    found = personal_data.export(endpoint.user.email, endpoint.user)
    assert [each["url"] for each in found["endpoints"]] == [endpoint.url]
    assert endpoint.secret not in str(found)
    assert [each["about"] for each in found["events"]] == ["1"]
    assert personal_data.erase(endpoint.user.email, endpoint.user) == []
    assert [model.objects.count() for model in (Endpoint, Event, Delivery)] == [0, 0, 0]
    assert attempt(f"webhook:{delivery.pk}-1").state == State.SUCCEEDED
    assert receiver.requests == []


def test_events_are_kept_for_thirty_days(endpoint):
    announce(endpoint)
    Event.objects.update(at=timezone.now() - timedelta(days=31))
    announce(endpoint, 2)
    assert retention.purge() == 2
    assert list(Event.objects.values_list("about", flat=True)) == ["2"]


# The events of an order


def types(order: Order) -> list[tuple[str, str]]:
    found = Event.objects.filter(about=str(order.number)).order_by("at")
    return [(event.type.removeprefix("order."), event.data["status"]) for event in found]


def owned(endpoint: Endpoint, **values) -> Order:
    return paid_order(user=endpoint.user, sent_at=timezone.now() - HOUR, **values)


@pytest.mark.django_db(transaction=True)
def test_a_purchase_and_its_cancellation_are_events_of_the_account(endpoint, partners):
    product()
    order = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", user=endpoint.user_id)
    assert types(order) == [("placed", "placed"), ("paid", "paid")]
    cancellation.cancel(order.number)
    capture.refund(order.number)
    assert types(order)[2:] == [("cancelled", "cancelled")]  # the payment was only reserved: nothing is refunded
    declined = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-decline", user=endpoint.user_id)
    assert types(declined) == [("placed", "placed"), ("cancelled", "declined")]
    guest = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve")
    assert types(guest) == []


@pytest.mark.django_db(transaction=True)
def test_the_refund_of_a_captured_payment_is_an_event_once(endpoint, partners):
    product()
    order = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", user=endpoint.user_id)
    capture.capture(order.number)
    Order.objects.update(status="cancelled")
    for _ in range(2):
        capture.refund(order.number)
    assert types(order)[2:] == [("refunded", "cancelled")]


def test_a_parcel_is_two_events_whatever_it_is_reported_twice(endpoint):
    order = owned(endpoint)
    for column, when in [("shipped_at", "SHIPPED"), ("shipped_at", "SHIPPED"), ("delivered_at", "DELIVERED")]:
        shipments._change(order.number, column, shipments.When[when], timezone.now())
    assert types(order) == [("shipped", "paid"), ("delivered", "paid")]


def test_an_order_without_an_endpoint_or_of_an_erased_or_locked_customer_has_no_event(endpoint):
    assert settlement.mark_paid(owned(endpoint, status="placed", erased_at=timezone.now()).number)
    assert settlement.mark_paid(paid_order(status="placed", user=account(fresh())).number)
    User.objects.filter(pk=endpoint.user_id).update(is_active=False)
    assert settlement.mark_paid(owned(endpoint, status="placed").number)
    assert not Event.objects.exists()


# The pages


@pytest.fixture
def client(endpoint) -> Client:
    client = stranger()
    assert sign_in(client, endpoint.user.email).status_code == 302
    return client


def paths(endpoint: Endpoint, delivery: Delivery) -> list[str]:
    base = f"/accounts/webhooks/{endpoint.pk}/"
    acts = [f"{base}{act}/" for act in ("test", "pause", "resume", "rotate", "forget", "replay", "delete")]
    return [base, f"/accounts/webhooks/deliveries/{delivery.pk}/", *acts]


def test_another_persons_endpoint_is_like_an_unknown_one(endpoint, client):
    theirs = Endpoint.objects.create(user=account(fresh()), url=endpoint.url)
    for path in paths(theirs, announce(theirs)):
        assert client.post(path, {"url": endpoint.url}).status_code == 404
        assert client.get(path).status_code in (404, 405)
    theirs.refresh_from_db()
    assert (theirs.state, Delivery.objects.get().round) == (Endpoint.State.ACTIVE, 1)
    assert str(theirs.pk) not in re.findall(r"/webhooks/(\d+)/", client.get("/accounts/webhooks/").content.decode())


def test_a_guest_is_asked_to_sign_in_and_staff_are_refused(endpoint):
    staff = Client()
    staff.force_login(User.objects.create_superuser("boss"), "django.contrib.auth.backends.ModelBackend")
    for path in ["/accounts/webhooks/", *paths(endpoint, announce(endpoint))]:
        assert stranger().post(path).status_code in (302, 405)
        assert staff.post(path).status_code in (403, 405)
    assert Endpoint.objects.get().state == Endpoint.State.ACTIVE


def test_an_endpoint_is_added_changed_used_and_deleted_on_its_pages(endpoint, client, receiver):
    url = f"http://{receiver.allowed}/second?<b>"
    added = client.post("/accounts/webhooks/", {"url": url, "events": ["order.paid"], "in_order": "on"})
    mine = Endpoint.objects.latest("id")
    assert (added.status_code, added.url) == (302, f"/accounts/webhooks/{mine.pk}/")
    assert (mine.url, mine.events, mine.in_order) == (url, ["order.paid"], True)
    assert mine.secret != endpoint.secret
    assert mine.secret.encode() not in client.get("/accounts/webhooks/").content
    assert mine.secret.encode() in client.get(added.url).content
    client.post(added.url, {"url": url, "events": []})
    client.post(f"{added.url}test/")
    delivery = Delivery.objects.get()
    receiver.says = reply(500, b"<script>alert(1)</script>")
    send(delivery)
    assert b"hx-get" in client.get(added.url).content
    page = client.get(f"/accounts/webhooks/deliveries/{delivery.pk}/").content.decode()
    assert "Answer 500" in page
    assert "&lt;script&gt;alert(1)" in page
    Delivery.objects.update(state=Delivery.State.FAILED)
    for hours, rounds in ("", 1), ("999", 1), ("24", 2):
        client.post(f"{added.url}replay/", {"hours": hours})
        assert Delivery.objects.get().round == rounds
    Delivery.objects.update(state=Delivery.State.DELIVERED)
    client.post(f"/accounts/webhooks/deliveries/{delivery.pk}/")
    assert Delivery.objects.get().round == 3
    for act, state in ("pause", "paused"), ("resume", "active"):
        client.post(f"{added.url}{act}/")
        assert Endpoint.objects.get(pk=mine.pk).state == state
    client.post(f"{added.url}rotate/")
    assert Endpoint.objects.get(pk=mine.pk).secret != mine.secret
    assert client.post(f"{added.url}explode/").status_code == 404
    assert client.get(f"{added.url}delete/").status_code == 405
    assert client.post(f"{added.url}delete/").url == "/accounts/webhooks/"
    assert not Endpoint.objects.filter(pk=mine.pk).exists()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"url": ""}, "required"),
        ({"url": "http://example.com/"}, "begin with https"),
        ({"url": "https://127.0.0.1/"}, "public host"),
        ({"url": "https://example.com/", "events": "order.lost"}, "Select a valid choice"),
        ({"url": "https://example.com/\r\nX: y"}, "Enter a valid URL"),
        ({"url": "javascript:alert(1)"}, "Enter a valid URL"),
    ],
)
def test_a_wrong_field_is_said_beside_it_and_nothing_changes(endpoint, client, form, why):
    for path in ("/accounts/webhooks/", f"/accounts/webhooks/{endpoint.pk}/"):
        answer = client.post(path, form)
        assert answer.status_code == 422
        assert why in answer.content.decode()
    assert Endpoint.objects.get().url == endpoint.url


def test_a_changed_address_does_not_bring_back_an_endpoint_that_was_switched_off_meanwhile(
    endpoint, client, monkeypatch
):
    clean = strangers.check

    def meanwhile(url: str) -> None:
        Endpoint.objects.update(state=Endpoint.State.OFF)
        clean(url)

    monkeypatch.setattr(strangers, "check", meanwhile)
    assert client.post(f"/accounts/webhooks/{endpoint.pk}/", {"url": endpoint.url}).status_code == 302
    assert Endpoint.objects.get().state == Endpoint.State.OFF


def test_an_account_has_so_many_endpoints_and_acts_and_no_more(endpoint, client, settings):
    for _ in range(MOST):
        last = client.post("/accounts/webhooks/", {"url": "https://example.com/"})
    assert last.status_code == 422
    assert Endpoint.objects.count() == MOST
    settings.BACKROOM_LIMITS = dict.fromkeys(LIMITS, (1, 3600))
    acts = [f"/accounts/webhooks/{endpoint.pk}/{act}/" for act in ("test", "test", "resume")]
    assert [client.post(path).status_code for path in acts] == [302, 429, 429]
