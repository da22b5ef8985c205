"""A partner in trouble, as the whole fleet of real processes treats it: it is left alone, and then comes its due.

The full size is `make outage`: 2,000 mails and a minute's outage. With MAIL_RATE in the environment they drain at
another rate than ten a second.
"""

import time
from datetime import datetime

import pytest
import urllib3
from django.db.models import Sum
from django.utils import timezone

from backroom import enqueue_all
from backroom.ledger.models import Job
from backroom.outbound import breaker
from orders.models import Invoice, Order, Status
from tests.acceptance.conftest import MAIL_RATE, Cluster, fault
from tests.integration.paid_orders import call_of
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def receipts_to_send(count: int) -> list[str]:
    """Creates `count` paid orders with invoices and enqueues their receipts. Returns the keys of these jobs."""
    customer = {"email": "a@example.org", "name": "A", "address": "1 Road", "city": "Cork", "postcode": "T12"}
    paid = {"status": Status.PAID, "paid_at": timezone.now(), "total": 1, "currency": "EUR", "fingerprint": "0" * 64}
    orders = Order.objects.bulk_create(Order(**customer, **paid, country="IE") for _ in range(count))
    Invoice.objects.bulk_create(Invoice(order=order, pdf=b"%PDF-1.7") for order in orders)
    enqueue_all(*(call_of("receipt", order.number) for order in orders))
    return [f"receipt:{order.number}" for order in orders]


def mail() -> dict:
    return next(state for state in breaker.states() if state["partner"] == "mail")


def traffic(partners: str) -> dict[str, int]:
    return urllib3.request("GET", f"{partners}/traffic").json()["mail"]


@pytest.mark.parametrize(
    ("mails", "outage"),
    [(40, 3), pytest.param(2000, 60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
def test_mails_wait_out_an_outage_unasked_and_then_drain_at_the_allowed_rate(
    house: Cluster, partners: str, mails: int, outage: float
):
    fault(partners, "mail", down=True)
    keys = receipts_to_send(mails)
    jobs = Job.objects.filter(key__in=keys)
    until(lambda: mail()["state"] == "open", what="the breaker opens")
    time.sleep(outage)
    asked, looked = traffic(partners)["connections"], jobs.aggregate(Sum("claims"))["claims__sum"]
    assert asked < (50 if outage >= 60 else 15)
    assert not jobs.filter(state="waiting").exclude(attempts=0).exists(), "no attempt is burnt"

    fault(partners, "mail")
    try:
        until(lambda: not jobs.exclude(state="succeeded").exists(), breaker.LONGEST + 60 + 1.25 * mails / MAIL_RATE)
    finally:
        print(f"\n{mails - jobs.exclude(state='succeeded').count()} of {mails} mails are sent")
    assert not jobs.exclude(attempts=1).exists()
    sent = all_effects(partners, keys)
    assert [effect["count"] for effect in sent] == [1] * mails, "each mail once"
    moments = sorted(datetime.fromisoformat(effect["at"]).timestamp() for effect in sent)
    took = moments[-1] - moments[0]
    claims = jobs.aggregate(Sum("claims"))["claims__sum"]
    print(
        f"\n{mails} mails, down for {outage} s: {asked} connections meanwhile; then drained in {took:.1f} s,"
        f" {(mails - 1) / took:.1f} a second of {MAIL_RATE} allowed; claims a job: {looked / mails:.2f} by the end of"
        f" the outage, {claims / mails:.2f} in all"
    )
    if outage >= 60:  # which has the machine to itself
        assert (mails - 1) / took > 0.8 * MAIL_RATE
    # The gates let all pass for a second if a busy broker is too slow once.
    assert mails <= MAIL_RATE * (took + breaker.BURST + 1) + 2
    assert mail()["state"] == "closed"


def all_effects(partners: str, keys: list[str]) -> list[dict]:
    wanted = set(keys)
    found = urllib3.request("GET", f"{partners}/effects?partner=mail", timeout=60).json()["effects"]
    return [effect for effect in found if effect["key"] in wanted]
