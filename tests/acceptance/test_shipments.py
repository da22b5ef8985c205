"""A parcel, from the warehouse's webhooks over a real web process to the customer's mailbox."""

from datetime import timedelta

import pytest
import urllib3
from django.utils import timezone

from backroom.ledger.models import Job
from lab.faults import effects as judged
from notifications.models import Notice
from orders.models import Order, ShipmentEvent
from tests.acceptance.conftest import effects, fault, in_state
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def test_repeated_disordered_and_forged_reports_notify_the_customer_once(house, partners):
    urllib3.request("PUT", f"{partners}/webhooks", json={"url": house.site})
    fault(partners, "warehouse", webhook_repeat=True, webhook_forge=True)
    begin = timezone.now()
    number = int(house.order().json()["number"])
    until(in_state(f"label:{number}", "succeeded"))
    for kind in ("delivered", "shipped"):
        events = f"{partners}/warehouse/shipments/{number}/events"
        at = {"shipped": begin, "delivered": begin + timedelta(seconds=1)}[kind].isoformat()
        assert urllib3.request("POST", events, json={"type": f"shipment.{kind}", "at": at}).status == 202
        until(in_state(f"mail:{kind}:{number}", "succeeded"))
    assert [each["count"] for each in effects(partners, f"delivered:{number}")] == [1]
    assert effects(partners, f"shipped:{number}") == []  # it had arrived
    assert Notice.objects.get(key=f"shipped:{number}").state == Notice.State.UNWANTED
    order = Order.objects.get(number=number)
    assert order.created_at == order.shipped_at < order.delivered_at  # no parcel leaves before its order
    assert ShipmentEvent.objects.filter(order=number).count() == 2
    assert Job.objects.get(key=f"review:{number}").run_at > begin + timedelta(days=6)
    until(lambda: judged.count([number], begin).complete, what=f"{judged.count([number], begin)}")


def test_a_stranger_is_refused_whatever_they_send(house):
    address = f"{house.site}/webhooks/warehouse"
    headers = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    for body, status in ((b"{}", 401), (b"\xff", 400)):
        assert urllib3.request("POST", address, body=body, headers=headers).status == status
