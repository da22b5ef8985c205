"""Invoices and credit notes reach the accounting partner once each, in batches that survive any cut."""

import json

import pytest
import urllib3
from django.conf import settings
from django.db import IntegrityError, transaction

from backroom.ledger.models import LIVE, Job, State
from backroom.outbound import breaker
from orders import accounting
from orders.models import AccountingBatch, CreditNote, Invoice, Order
from orders.reconciliation import audit
from orders.tasks import plan_accounting, send_accounting_batch
from tests.integration.buying import all_at_once, attempt, effects, fault
from tests.integration.paid_orders import again, attempted, job_of, paid_order

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(partners: str, monkeypatch) -> None:
    monkeypatch.setattr(accounting, "SIZE", 2)


def invoiced(count: int, model: type = Invoice) -> list[Order]:
    orders = [paid_order() for _ in range(count)]
    for order in orders:
        model.objects.create(order=order, number=model.take_number(), pdf=b"%PDF")
    return orders


def night() -> list[Job]:
    """Plan the batches, and try each once."""
    assert attempted(plan_accounting.enqueue()).state == State.SUCCEEDED
    live = Job.objects.filter(task=send_accounting_batch.name, state__in=LIVE).order_by("id")
    return [attempt(key) for key in list(live.values_list("key", flat=True))]


def booked() -> dict[str, int]:
    return {key.partition(" ")[2]: count for key, count in effects(partner="accounting").items()}


def findings(which: str) -> list[str]:
    """The keys of an audit's findings about bookings."""
    return [row["key"] for row in getattr(audit.run(), which) if row["partner"] == "accounting"]


def test_each_document_is_booked_once_and_the_next_night_goes_on_behind_the_watermark():
    first, notes = invoiced(3), invoiced(1, CreditNote)
    assert [job.state for job in night()] == [State.SUCCEEDED] * 3
    ranges = AccountingBatch.objects.order_by("pk").values_list("series", "first", "last")
    assert list(ranges) == [("invoices", 1, 2), ("invoices", 3, 3), ("credit_notes", 1, 1)]
    expected = {f"booked-invoice:{order.number}": 1 for order in first}
    expected |= {f"booked-credit-note:{order.number}": 1 for order in notes}
    assert booked() == expected
    assert night() == []
    second = invoiced(1)
    assert len(night()) == 1
    assert booked() == expected | {f"booked-invoice:{second[0].number}": 1}


def test_a_batch_has_the_sums_of_each_document_by_rate_and_nothing_about_the_person():
    (order,) = invoiced(1)
    (job,) = night()
    assert job.state == State.SUCCEEDED, job.error
    (document,) = [accounting._entry(each) for each in Invoice.objects.all()]
    assert (document["number"], document["order"], document["gross"]) == ("INV-1", str(order.number), "4.80")
    assert document["taxes"] == [{"rate": "5", "net": "4.57", "vat": "0.23"}]
    for word in (order.name, order.email, order.address, order.city):
        assert word not in json.dumps(document, ensure_ascii=False)


def test_a_document_is_dated_as_it_is_printed():
    order = paid_order()
    job = job_of("invoice", order.number)
    assert job.state == State.SUCCEEDED, job.error
    assert abs((Invoice.objects.get().created_at - job.finished_at).total_seconds()) < 60


def test_a_document_without_a_number_of_its_series_is_not_sent():
    Invoice.objects.create(order=paid_order(), pdf=b"%PDF")
    assert night() == []


@pytest.mark.parametrize(
    "switches",
    [{"status": 429}, {"accept_then_fail": True}, {"truncate": True}, {"garbage": True}, {"error_rate": 1.0}],
    ids=str,
)
def test_a_batch_whose_answer_fails_is_sent_again_under_its_key(switches):
    (order,) = invoiced(1)
    fault("accounting", **switches)
    (job,) = night()
    assert job.state == State.WAITING
    assert AccountingBatch.objects.get().sent_at is None
    fault("accounting")
    breaker.reset()  # as if the time of a Retry-After were over
    job = again(job)
    assert job.state == State.SUCCEEDED, job.error
    assert AccountingBatch.objects.get().sent_at
    assert booked() == {f"booked-invoice:{order.number}": 1}


def test_a_batch_whose_job_was_deleted_has_one_again_the_next_night():
    (order,) = invoiced(1)
    assert attempted(plan_accounting.enqueue()).state == State.SUCCEEDED
    assert findings("lost") == []
    Job.objects.filter(task=send_accounting_batch.name).delete()
    assert findings("lost") == [f"accounting:{AccountingBatch.objects.get().pk}"]
    night()
    assert booked() == {f"booked-invoice:{order.number}": 1}
    assert findings("lost") == findings("unexpected") == []


def test_the_audit_finds_a_booking_that_is_lost_double_or_of_no_document(partners):
    (order,) = invoiced(1)
    key = f"booked-invoice:{order.number}"
    other = paid_order()
    night()
    assert [findings(each) for each in ("lost", "duplicated", "unexpected")] == [[], [], []]
    batch = {"series": "invoices", "documents": [accounting._entry(Invoice.objects.get())]}
    of_other = json.loads(json.dumps(batch).replace(str(order.number), str(other.number)))
    for name, body in (("accounting:again", batch), ("accounting:other", of_other)):
        url = f"{settings.BACKROOM_PARTNERS_URL}/accounting/batches"
        assert urllib3.request("POST", url, json=body, headers={"Idempotency-Key": name}).status == 201
    assert findings("duplicated") == [key]
    assert findings("unexpected") == [f"booked-invoice:{other.number}"]
    urllib3.request("POST", f"{partners}/reset")
    assert findings("lost") == [key]


@pytest.mark.django_db(transaction=True)
def test_two_plans_at_once_make_one_batch():
    invoiced(1)

    def plan() -> list[int]:
        with transaction.atomic():
            return accounting.plan()

    found = all_at_once(plan, plan, plan)
    (batch,) = AccountingBatch.objects.all()
    assert all(each == [batch.pk] or isinstance(each, IntegrityError) for each in found), found


def test_staff_see_the_batches(admin_client):
    invoiced(1)
    night()
    page = admin_client.get("/admin/orders/accountingbatch/").content.decode()
    assert "invoices" in page


def test_after_a_restore_no_number_comes_again(settings):
    """A restored database lacks the last documents, which were mailed and booked."""
    invoiced(1)
    settings.DOCUMENTS_FROM = 3
    invoiced(2)
    assert set(Invoice.objects.values_list("number", flat=True)) == {1, 3, 4}
    invoiced(1, CreditNote)
    assert CreditNote.objects.get().number == 3
