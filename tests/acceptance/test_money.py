"""An order's money with real processes: killed while it is being taken, and cancelled meanwhile."""

import pytest
import urllib3

from orders.models import Order, Status
from orders.ordering import cancellation, settlement
from tests.acceptance.conftest import Cluster, effects, fault, in_state, job
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def money(partners: str, number: int) -> dict[str, int]:
    """What really happened to the money, by the gateway's own records."""
    found = urllib3.request("GET", f"{partners}/effects?partner=payments&order={number}").json()["effects"]
    return {effect["kind"]: effect["count"] for effect in found}


def capture_on_its_way(house: Cluster, partners: str) -> int:
    """The number of an order whose capture the gateway has heard of and will do in eight seconds."""
    number = house.order(lines=[{"product": "whole-stall", "quantity": 1}]).json()["number"]
    until(lambda: job(f"capture:{number}").error.startswith("Snooze"), what="its capture sees that it is on hold")
    fault(partners, "payments", latency_ms=8000)
    assert settlement.release_hold(number)
    asked = f"{partners}/traffic"
    until(in_state(f"capture:{number}", "running"))
    until(lambda: urllib3.request("GET", asked).json()["payments"]["requests"] > 1, what="the capture at the gateway")
    fault(partners, "payments")
    return number


def test_a_worker_killed_while_it_takes_the_money_takes_it_once(house: Cluster, partners: str):
    number = capture_on_its_way(house, partners)
    house.kill("worker-default")
    house.start("worker-default")
    until(in_state(f"shipment:{number}", "succeeded"))
    assert job(f"capture:{number}").attempts == 2
    assert money(partners, number) == {"authorization": 1, "charge": 1}


@pytest.mark.parametrize("killed", ["the capture", "the refund"])
def test_an_order_cancelled_while_its_money_is_taken_has_it_back_once_whoever_is_killed(
    house: Cluster, partners: str, killed: str
):
    number = capture_on_its_way(house, partners)
    if killed == "the refund":
        fault(partners, "payments", latency_ms=2000)
    assert cancellation.cancel(number)
    if killed == "the refund":
        until(in_state(f"refund:{number}", "running"))
        fault(partners, "payments")
    house.kill("worker-default")
    house.start("worker-default")
    for kind in ("refund", "capture"):
        until(in_state(f"{kind}:{number}", "succeeded"), what=f"{kind} of {number}")
    how = {"voided": {"void": 1}, "refunded": {"charge": 1, "refund": 1}}[job(f"refund:{number}").result]
    assert money(partners, number) == {"authorization": 1} | how
    assert effects(partners, f"shipment:{number}") == []
    assert Order.objects.get(number=number).status == Status.CANCELLED
