"""Webhooks out: events in the transaction of their cause, signed, retried for two days, and the end of an endpoint."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import transaction
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from backroom.ledger import rescue
from backroom.ledger.models import Job, State
from backroom.outbound import breaker, strangers
from notifications import retention
from notifications.endpoints import sending, transitions
from notifications.endpoints.events import emit, send_test
from notifications.endpoints.jobs import SCHEDULE
from notifications.endpoints.models import Attempt, Delivery, Endpoint, Event
from notifications.models import Notice
from tests.integration.accounts import account, fresh
from tests.integration.buying import all_at_once, attempt
from tests.integration.endpoints import a_client, a_receiver, an_endpoint, announce, send, used_up  # noqa: F401 - fixtures
from tests.integration.mailbox import serving
from tests.integration.receiver import reply
from tests.waiting import until

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


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
