"""Invoices and credit notes for the accounting partner, every night: in batches, each under one key.

The watermark of a series is the last number of its newest batch. It misses no document: a series has no gaps, and its
numbers are committed in their order (documents.py). A batch names its numbers, and its documents never change. So a
repeated request is the same one, and the partner books it once.

Limit: documents of a release without such numbers are not sent.
"""

from typing import Any

from django.db.models import Max
from django.db.models.functions import Now

from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import Partner
from orders.documents import CreditNote, Invoice
from orders.fulfilment.vat import breakdown
from orders.models import AccountingBatch

SIZE = 500  # documents of a batch
SERIES: dict[str, type[Invoice] | type[CreditNote]] = {
    AccountingBatch.Series.INVOICES: Invoice,
    AccountingBatch.Series.CREDIT_NOTES: CreditNote,
}
partner = Partner("accounting", timeout=(1, 30))


def plan() -> list[int]:
    """Put the new documents into batches, in the caller's transaction; returns the ids of all batches to send, also
    those of earlier nights: their jobs have the same keys.

    Race: two plan at once. Of two batches that begin with one number, the second violates the unique constraint.
    """
    for series in SERIES:
        while numbers := _new(series):
            AccountingBatch.objects.create(series=series, first=numbers[0], last=numbers[-1])
    return list(AccountingBatch.objects.filter(sent_at=None).order_by("pk").values_list("pk", flat=True))


def _new(series: str) -> list[int]:
    """The numbers of the next batch of a series."""
    batches = AccountingBatch.objects.filter(series=series)
    watermark = batches.aggregate(last=Max("last"))["last"] or 0
    documents = SERIES[series].objects.filter(number__gt=watermark).order_by("number")
    return [number for number in documents.values_list("number", flat=True)[:SIZE] if number]


def send(batch_id: int) -> None:
    """Send a batch. Raises what Partner.post does, and PartnerUnavailable if the partner says that it took another
    number of documents."""
    batch = AccountingBatch.objects.get(pk=batch_id)
    documents = SERIES[batch.series].objects.filter(number__range=(batch.first, batch.last)).order_by("number")
    booked = [_entry(each) for each in documents.select_related("order").prefetch_related("order__lines").defer("pdf")]
    body = {"series": batch.series, "documents": booked}
    answer = partner.post("/accounting/batches", body, key=f"accounting:{batch.pk}")
    if answer.get("documents") != len(booked):
        raise PartnerUnavailable(f"accounting took other documents than the {len(booked)} of {batch}")
    AccountingBatch.objects.filter(pk=batch.pk, sent_at=None).update(sent_at=Now())


def _entry(document: Invoice | CreditNote) -> dict[str, Any]:
    """A document as the partner books it: sums, and nothing about the person."""
    order = document.order
    return {
        "number": document.label,
        "order": str(order.number),
        "date": f"{document.created_at:%F}",
        "currency": order.currency,
        "gross": f"{order.total:.2f}",
        "taxes": [
            {"rate": tax.per_cent, "net": f"{tax.net:.2f}", "vat": f"{tax.vat:.2f}"}
            for tax in breakdown(order.amounts())
        ],
    }
