"""What the payment gateway reports, in whatever order, and what becomes of it: orders/ordering/payment_events.py."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from backroom import enqueue_all
from backroom.inbound.webhooks import Event, Unreadable
from backroom.ledger.models import Job
from orders import payments
from orders.follow_ups import SETTLE
from orders.models import Order, PaymentEvent, Status
from orders.ordering import payment_events
from orders.ordering.payment_events import REQUEST
from tests.integration.buying import attempt, live_keys
from tests.integration.paid_orders import paid_order

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def placed(age: timedelta = timedelta(seconds=30), **changes: Any) -> Order:
    """An order whose request died, with its safety net in an hour."""
    order = paid_order(**{"status": Status.PLACED, "paid_at": None} | changes)
    Order.objects.filter(pk=order.pk).update(created_at=Now() - age)
    enqueue_all(SETTLE.call(order.number, run_after=HOUR))
    order.refresh_from_db()
    return order


def report(of: Order | int, kind: str = "authorized", id: str = "", **data: Any) -> None:
    """What the gateway's webhook has, once verified."""
    number = of if isinstance(of, int) else of.number
    fields = {"order": str(number), "authorization": "auth_1"} | data
    payment_events.record(Event(id or f"evt-{kind}-{number}", f"payment.{kind}", timezone.now(), fields))


def seconds_left(order: Order) -> float:
    """Until its payment's job runs."""
    return (Job.objects.get(key=f"settle:{order.number}").run_at - timezone.now()).total_seconds()


def test_an_order_whose_request_died_is_paid_by_the_gateways_own_answer(partners):
    order = placed()
    assert payments.authorize(order.number, order.total, order.currency, "demo-approve") == payments.APPROVED
    report(order)
    assert seconds_left(order) <= 0
    attempt(f"settle:{order.number}")
    assert Order.objects.get().status == Status.PAID


def test_a_report_is_not_believed(partners):
    order = placed()
    report(order)
    attempt(f"settle:{order.number}")  # the gateway has no payment
    assert Order.objects.get().status == Status.CANCELLED


def test_the_request_of_a_new_order_has_its_time_first():
    order = placed(age=timedelta())
    report(order)
    assert 0 < seconds_left(order) <= REQUEST.total_seconds()


def test_a_repeated_report_changes_nothing():
    order = placed()
    report(order)
    Job.objects.update(run_at=Now() + HOUR)
    report(order)
    assert seconds_left(order) > 60
    report(order, id="evt-another")
    assert seconds_left(order) <= 0
    assert PaymentEvent.objects.count() == 2


@pytest.mark.parametrize("kind", ["captured", "refunded"])
def test_other_reports_are_stored_for_staff_and_wake_no_job(kind, admin_client):
    order = placed()
    report(order, kind)
    assert seconds_left(order) > 60
    page = admin_client.get(f"/admin/orders/order/{order.number}/change/").content.decode()
    assert "reports of the payment gateway" in page.lower()
    assert kind in page


@pytest.mark.parametrize("status", [Status.PAID, Status.DECLINED, Status.CANCELLED])
def test_a_late_report_of_an_order_whose_payment_is_settled_is_stored_only(status):
    order = paid_order(status=status)
    report(order)
    assert PaymentEvent.objects.get().order == order
    assert Order.objects.get().status == status
    assert live_keys(order.number) == set()


def test_reports_in_any_order_are_all_kept():
    order = placed()
    for kind in ("refunded", "captured", "authorized"):
        report(order, kind)
    assert set(PaymentEvent.objects.values_list("kind", flat=True)) == {"refunded", "captured", "authorized"}


def test_a_report_of_an_unknown_order_or_type_is_no_error_and_one_without_a_number_is_refused():
    report(987_654_321)
    report(placed(), "disputed")
    assert not PaymentEvent.objects.exists()
    for number in (None, 1001, "0", "1e3", "1" * 19):
        with pytest.raises(Unreadable):
            report(1, order=number)


def post(client: Client, body: Any, secret: str) -> int:
    """A request of the gateway, signed now."""
    sent, now = json.dumps(body), datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", now, sent),
    }
    return client.post("/webhooks/payments", sent, content_type="application/json", headers=headers).status_code


def test_only_the_gateway_reports():
    order, client = placed(), Client(enforce_csrf_checks=True)
    body = {"type": "payment.authorized", "timestamp": "2026-11-26T10:00:00Z", "data": {"order": str(order.number)}}
    assert post(client, body, settings.WEBHOOK_SECRETS["warehouse"]) == 401
    assert not PaymentEvent.objects.exists()
    own = settings.WEBHOOK_SECRETS["payments"]
    assert [post(client, body, own) for _ in range(2)] == [204, 204]
    assert PaymentEvent.objects.get().at == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert client.get("/webhooks/payments").status_code == 405
