"""The reconciler: repairs discrepancies between orders, their jobs and the partners' records, such as a deleted row.

It looks twice. First at all orders of the window, without a lock. Then at each order with a discrepancy, with its row
locked: what both looks find is repaired in that transaction, with a row that records it. Each repair is a
compare-and-set or goes by key, so any number of reconcilers may run. Staff get a mail about the rest, once.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars

from backroom import enqueue_all, progress
from backroom.ledger import operations
from orders.models import Order, Repair
from orders.reconciliation import audit
from orders.reconciliation.discrepancies import REPAIRABLE, Discrepancy, discrepancies_of, doubt, missing_jobs
from orders.reconciliation.expected import Effect, OrderState
from orders.reconciliation.states import order_states

log = logging.getLogger(__name__)

AGE = timedelta(minutes=5)  # younger orders are still on their way
WINDOW = timedelta(days=3)  # older orders are done; at most half of the ledger's retention
LIMIT = 100  # orders repaired in one run: a bug must not cause a storm of jobs

Act = Repair.Act


@dataclass
class Outcome:
    """The repairs of a run, and the reports for staff. `left`: orders for the next run to repair."""

    orders: int = 0
    left: int = 0
    repairs: list[Repair] = field(default_factory=list)
    reports: list[Repair] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        listed = {
            name: [{"order": each.order_id, "key": each.key, "act": each.act, "why": each.why} for each in rows]
            for name, rows in (("repairs", self.repairs), ("reports", self.reports))
        }
        return {"orders": self.orders, "left": self.left, **listed}


def run(limit: int = LIMIT, dry_run: bool = False, age: timedelta = AGE) -> Outcome:
    """Reconcile the orders of the window and repair at most `limit`. Raises audit.PartnersSilent before any change.
    A dry run rolls every repair back. It leaves out orders younger than `age`."""
    window = min(WINDOW, timedelta(days=settings.BACKROOM_RETENTION_DAYS) / 2)
    orders = Order.objects.filter(created_at__range=(Now() - window, Now() - age)).order_by("number")
    numbers = list(orders.values_list("number", flat=True))
    redone = _redone(orders)  # before the look: a job that another reconciler reruns now may still leave its effect
    ours, theirs, known = audit.look(numbers, datetime.now(UTC) - window - audit.SKEW)
    records = _by_order(theirs)
    found = {number: discrepancies_of(order, records[number]) for number, order in ours.items() if not order.moved}
    blank = [number for number in found if ours[number].paid and not records[number]]
    doubts = doubt(found, blank, _last_mail(theirs), redone)
    outcome = Outcome(orders=len(ours))
    for number in progress([number for number, each in found.items() if any(one.act in REPAIRABLE for one in each)]):
        if limit > 0:
            outcome.repairs += repair(number, found[number], records[number], dry_run)
        limit -= 1
        del found[number]  # the next run looks at it again
    outcome.left = max(0, -limit)
    outcome.reports = [_row(None, one, today=True) for one in doubts]
    outcome.reports += _for_staff(found, ours, theirs, known)
    if not dry_run:
        Repair.objects.bulk_create(outcome.reports, ignore_conflicts=True)  # one that exists was mailed before
        mail_staff()
    return outcome


def repair(number: int, seen: list[Discrepancy], found: set[Effect], dry_run: bool = False) -> list[Repair]:
    """Repair the discrepancies that a second look finds, too. An order whose row is locked is left to the next run."""
    with bound_contextvars(order=number), transaction.atomic():
        if not Order.objects.select_for_update(skip_locked=True, no_key=True).filter(number=number):
            return []
        order = order_states([number])[number]
        again = [one for one in discrepancies_of(order, found) if one in seen]
        if calls := missing_jobs(order, {one.key for one in again if one.act == Act.ENQUEUED}):
            enqueue_all(*calls)
        repairs = [_row(number, one) for one in again if _repair_one(order, one)]
        for each in repairs:
            log.warning("%s%s: %s", "dry run: " * dry_run, each, each.why)
        Repair.objects.bulk_create(repairs)
        if dry_run:
            transaction.set_rollback(True)
    return repairs


def _repair_one(order: OrderState, one: Discrepancy) -> bool:
    """False if another process was first, or staff must act. Missing jobs are enqueued before, in their chains."""
    if one.act == Act.REDONE:
        return operations.rerun(str(order.rows[one.key].id), one.claims, one.why)
    if one.act == Act.FREED:
        return operations.relink(str(order.rows[one.key].id), one.parent or None)
    return one.act == Act.ENQUEUED


def mail_staff() -> None:
    """Enqueue a mail about all rows that were not mailed yet. Concurrent calls each lock rows of their own."""
    with transaction.atomic():
        fresh = Repair.objects.select_for_update(skip_locked=True).filter(mail=None).order_by("id")
        if ids := list(fresh.values_list("id", flat=True)):
            Repair.objects.filter(id__in=ids).update(mail=ids[0])
            current_app.send_task("orders.mail_repairs", [ids[0]])


def _by_order(theirs: Iterable[dict[str, Any]]) -> dict[int, set[Effect]]:
    found: dict[int, set[Effect]] = defaultdict(set)
    for row in theirs:
        if number := audit.number_of(row):
            found[number].add(Effect(row["partner"], row["kind"], row["key"]))
    return found


def _last_mail(theirs: Iterable[dict[str, Any]]) -> datetime | None:
    return max((datetime.fromisoformat(row["at"]) for row in theirs if row["partner"] == "mail"), default=None)


def _redone(orders: QuerySet[Order]) -> set[str]:
    """The keys of jobs of these orders that ran again before."""
    return set(Repair.objects.filter(act=Act.REDONE, order__in=orders).values_list("key", flat=True))


def _for_staff(
    found: dict[int, list[Discrepancy]], ours: dict[int, OrderState], theirs: list[dict[str, Any]], known: set[int]
) -> list[Repair]:
    """The discrepancies without a repair, and all other findings of an audit of these orders."""
    report = audit.Report()
    audit.compare(report, ours, theirs, known)
    reports = [_row(number, one) for number, each in found.items() for one in each if one.act == Act.REPORTED]
    judged = {one.key for each in found.values() for one in each}
    for row in (*report.lost, *report.duplicated, *report.unexpected):
        number = audit.number_of({"order": row["key"].partition(":")[2]})
        if (number in ours and number not in found) or row["key"] in judged:
            continue
        one = Discrepancy(Act.REPORTED, row["key"], f"{row['partner']}/{row['kind']}: {row['why']}")
        reports.append(_row(number if number in known else None, one))
    return reports


def _row(number: int | None, one: Discrepancy, today: bool = False) -> Repair:
    """Its row. A report is unique by its reason, or by its day."""
    once = f"{one.key} {datetime.now(UTC):%F}" if today else f"{one.key} {one.why}"
    reported = one.act == Act.REPORTED
    return Repair(order_id=number, key=one.key, act=one.act, why=one.why, once=once if reported else None)


def reconcile() -> dict[str, Any]:
    """Run as a job; returns its counts. Partners that do not answer are left to the next slot: retries of many slots
    would pile up."""
    try:
        outcome = run()
    except audit.PartnersSilent as error:
        log.warning("nothing was reconciled: %s", error)
        return {"silent": str(error)}
    counts = {"orders": outcome.orders, "left": outcome.left}
    counts |= {"repaired": len(outcome.repairs), "for a person": len(outcome.reports)}
    log.info("reconciled: %s", counts)
    return counts
