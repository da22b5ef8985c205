"""The reconciler as a job among the others, in a real worker, on an order that real workers have at hand."""

import pytest
from django.db.models.functions import Now

from backroom.ledger.models import Job
from orders import tasks
from orders.models import Order, Repair, Status
from orders.ordering import settlement
from orders.reconciliation import audit
from tests.acceptance.conftest import Cluster, effects, in_state
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def test_deleted_jobs_are_enqueued_anew_and_their_effects_happen_once(house: Cluster, partners: str):
    number = house.order(lines=[{"product": "tote-bag", "quantity": 32}]).json()["number"]
    until(lambda: Order.objects.filter(number=number, status=Status.ON_HOLD))
    until(lambda: Job.objects.filter(key=f"capture:{number}", state="waiting", run_at__isnull=False))
    lost = Job.objects.filter(key__in=[f"capture:{number}", f"shipment:{number}"])
    assert lost.delete()[0] == 2
    settlement.release_hold(number)  # reschedules jobs whose rows are gone
    Order.objects.filter(number=number).update(created_at=Now() - audit.SKEW)
    tasks.reconcile.enqueue()
    until(in_state(f"shipment:{number}", "succeeded"))
    for key in ("capture", "shipment"):
        assert [effect["count"] for effect in effects(partners, f"{key}:{number}")] == [1], key
    assert Repair.objects.filter(order_id=number, act=Repair.Act.ENQUEUED).count() == 2
    mail = Repair.objects.filter(order_id=number).earliest("id").mail
    until(in_state(f"repairs:{mail}", "succeeded"))
    assert [effect["count"] for effect in effects(partners, f"repairs:{mail}")] == [1]
