"""Reads orders, with their jobs, documents and notices, for the audit and the reconciler."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from backroom.ledger.models import Job
from backroom.ops.blocked import blocked
from notifications.models import Notice
from orders import follow_ups
from orders.follow_ups import When
from orders.models import AccountingBatch, CreditNote, Invoice, Label, Order
from orders.reconciliation.expected import BOOKED, OrderState, key_pattern, kinds_of_jobs

REACHED = {When.SENT: "tracking", When.SHIPPED: "shipped_at", When.DELIVERED: "delivered_at"}  # an order's columns


def order_states(numbers: Sequence[int] | None = None) -> dict[int, OrderState]:
    """All orders, or these, with the states of their jobs. The orders are read first: jobs commit together with the
    status of their order, so an order that is read after the jobs could seem to have none."""
    some = _some(numbers)
    counted = {f"counted_{step.kind}": step.counted for step in follow_ups.FOLLOW_UPS if step.counted}
    fields = (
        "number", "status", "created_at", "paid_at", "sent_at", "ends_by_mail", "credited", "erased_at",
        *REACHED.values(),
    )  # fmt: skip
    orders = list(Order.objects.filter(**some).order_by("number").only(*fields).annotate(**counted))
    jobs: dict[int, list[Job]] = defaultdict(list)
    for job in _jobs(numbers):
        jobs[int(str(job.key).rpartition(":")[2])].append(job)
    documents = {
        "invoiced": _booked(Invoice, AccountingBatch.Series.INVOICES, some),
        "noted": _booked(CreditNote, AccountingBatch.Series.CREDIT_NOTES, some),
        "labelled": dict.fromkeys(Label.objects.filter(**some).values_list("pk", flat=True), False),
    }
    notices: dict[str, dict[str, Notice]] = defaultdict(dict)
    for notice in _notices(numbers):
        notices[notice.about][notice.key] = notice
    return {
        one.number: _state(
            one, jobs[one.number], counted, notices=notices[str(one.number)],
            booked=frozenset(BOOKED[name] for name, made in documents.items() if made.get(one.number)),
            **{name: one.number in made for name, made in documents.items()},
        )
        for one in orders
    }  # fmt: skip


def _booked(model: type[Invoice] | type[CreditNote], series: str, some: dict[str, Any]) -> dict[int, bool]:
    """The orders with such a document, and whether it was in a batch that was sent to accounting."""
    sent = AccountingBatch.objects.filter(
        series=series, first__lte=OuterRef("number"), last__gte=OuterRef("number"), sent_at__isnull=False
    )
    return dict(model.objects.filter(**some).values_list("pk", Exists(sent)))


def standing(numbers: Sequence[int] | None = None) -> dict[int, tuple[str, tuple[When, ...]]]:
    """The status of all orders, or of these, and what their parcels have reached."""
    rows = Order.objects.filter(**_some(numbers)).values_list("number", "status", *REACHED.values())
    return {number: (status, _reached(values)) for number, status, *values in rows}


def _some(numbers: Sequence[int] | None) -> dict[str, Any]:
    return {} if numbers is None else {"pk__in": numbers}


def _reached(values: Sequence[Any]) -> tuple[When, ...]:
    return tuple(when for when, value in zip(REACHED, values, strict=True) if value)


def _notices(numbers: Sequence[int] | None) -> QuerySet[Notice]:
    kinds = [step.kind for step in follow_ups.FOLLOW_UPS if step.notice]
    if numbers is None:
        return Notice.objects.filter(kind__in=kinds)
    return Notice.objects.filter(key__in=[f"{kind}:{number}" for number in numbers for kind in kinds])


def _jobs(numbers: Sequence[int] | None) -> QuerySet[Job]:
    if numbers is None:
        found = Job.objects.filter(key__regex=key_pattern())
    else:
        every = "SELECT kind || ':' || number FROM unnest(%s::text[]) kind, unnest(%s::bigint[]) number"
        found = Job.objects.filter(key__in=RawSQL(every, [kinds_of_jobs(), list(numbers)]))  # noqa: S611
    return found.annotate(why=Left("error", 300)).only("key", "state", "run_at", "after_id", "claims", "finished_at")


def _state(order: Order, jobs: list[Job], counted: Iterable[str], **found: Any) -> OrderState:
    return OrderState(
        number=order.number,
        status=order.status,
        jobs={str(job.key): "behind a dead letter" if blocked(job, jobs) else job.state for job in jobs},
        paid=order.paid_at is not None,
        sent=order.sent_at is not None,
        by_mail=order.ends_by_mail,
        credited=order.credited,
        erased=order.erased_at is not None,
        reached=_reached([getattr(order, column) for column in REACHED.values()]),
        rows={str(job.key): job for job in jobs},
        counted=frozenset(f"{name.removeprefix('counted_')}:{order.number}" for name in counted if vars(order)[name]),
        placed_at=order.created_at,
        paid_at=order.paid_at,
        sent_at=order.sent_at,
        **found,
    )
