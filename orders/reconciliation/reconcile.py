"""The reconciler: compares orders with their jobs and with the partners' records, and puts right what is missing, such
as an enqueue that a bug forgot, or a row that somebody deleted.

It looks twice. First at all orders of the window, without a lock: our books, then the partners' records. Then again at
each order that misses something, with its row locked; what both looks find is mended in that transaction, together with
the row that says so. Each mending is a compare-and-set or goes by key, so any number of reconcilers may run, beside
all else. What can't be mended, or must not, is reported to staff, once.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars

from backroom import Retry, enqueue_all, progress, task
from backroom.ledger import operations
from orders import tasks
from orders.models import Order, Repair
from orders.reconciliation import audit
from orders.reconciliation.discrepancies import MENDABLE, Gap, believe, gaps_of, missing_jobs
from orders.reconciliation.expected import Effect, OrderState, our_books

log = logging.getLogger(__name__)

AGE = timedelta(minutes=5)  # of the youngest orders that it looks at: younger ones are in other hands
WINDOW = timedelta(days=3)  # and of the oldest; or half of the time for which the ledger remembers, if that is less
LIMIT = 100  # orders mended in one run: a mistake of ours must not become a storm

Act = Repair.Act


@dataclass
class Outcome:
    """What a run did: repairs, and reports of what a person must see to. `left`: orders for the next run to mend."""

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


def run(limit: int = LIMIT, dry_run: bool = False) -> Outcome:
    """Reconcile the orders of the window, mending at most `limit`. Raises orders.audit.PartnersSilent, and has done
    nothing then. A dry run does it all and takes it back."""
    window = min(WINDOW, timedelta(days=settings.BACKROOM_RETENTION_DAYS) / 2)
    orders = Order.objects.filter(created_at__range=(Now() - window, Now() - AGE)).order_by("number")
    numbers = list(orders.values_list("number", flat=True))
    redone = _redone(orders)  # before the look: what another reconciler has run again since is not in vain yet
    ours, theirs, known = audit.look(numbers, datetime.now(UTC) - window - audit.SKEW)
    found = _by_order(theirs)
    gaps = {number: gaps_of(order, found[number]) for number, order in ours.items() if not order.moved}
    blank = [number for number in gaps if ours[number].paid and not found[number]]
    doubts = believe(gaps, blank, _last_mail(theirs), redone)
    outcome = Outcome(orders=len(ours))
    for number in progress([number for number, each in gaps.items() if any(gap.act in MENDABLE for gap in each)]):
        if limit > 0:
            outcome.repairs += mend(number, gaps[number], found[number], dry_run)
        limit -= 1
        del gaps[number]  # the next run looks at it again
    outcome.left = max(0, -limit)
    outcome.reports = [_repair(None, gap, today=True) for gap in doubts]
    outcome.reports += _for_a_person(gaps, ours, theirs, known)
    if not dry_run:
        Repair.objects.bulk_create(outcome.reports, ignore_conflicts=True)  # what is there was mailed before
        tell()
    return outcome


def mend(number: int, gaps: list[Gap], found: set[Effect], dry_run: bool = False) -> list[Repair]:
    """Mend those gaps of an order that a second look finds, too. An order that somebody is changing at this moment is
    left to the next run."""
    with bound_contextvars(order=number), transaction.atomic():
        if not Order.objects.select_for_update(skip_locked=True, no_key=True).filter(number=number):
            return []
        order = our_books([number])[number]
        again = [gap for gap in gaps_of(order, found) if gap in gaps]
        if calls := missing_jobs(order, {gap.key for gap in again if gap.act == Act.ENQUEUED}):
            enqueue_all(*calls)
        repairs = [_repair(number, gap) for gap in again if _mend(order, gap)]
        for repair in repairs:
            log.warning("%s%s: %s", "would be done: " * dry_run, repair, repair.why)
        Repair.objects.bulk_create(repairs)
        if dry_run:
            transaction.set_rollback(True)
    return repairs


def _mend(order: OrderState, gap: Gap) -> bool:
    """Mend one gap; False if somebody was faster, or it is not for us. Missing jobs are enqueued already, by chain."""
    if gap.act == Act.REDONE:
        return operations.rerun(str(order.rows[gap.key].id), gap.claims, gap.why)
    if gap.act == Act.FREED and gap.parent:
        return operations.relink(str(order.rows[gap.key].id), gap.parent)
    if gap.act == Act.FREED:
        return operations.relink(str(order.rows[gap.key].id), None)
    return gap.act == Act.ENQUEUED


def tell() -> None:
    """Have staff mailed what they were not told yet. Of two who do so at once, each takes rows of its own."""
    with transaction.atomic():
        untold = Repair.objects.select_for_update(skip_locked=True).filter(mail=None).order_by("id")
        if ids := list(untold.values_list("id", flat=True)):
            Repair.objects.filter(id__in=ids).update(mail=ids[0])
            tasks.mail_repairs.enqueue(ids[0])


def _by_order(theirs: Iterable[dict[str, Any]]) -> dict[int, set[Effect]]:
    found: dict[int, set[Effect]] = defaultdict(set)
    for row in theirs:
        if number := audit.number_of(row):
            found[number].add(Effect(row["partner"], row["kind"], row["key"]))
    return found


def _last_mail(theirs: Iterable[dict[str, Any]]) -> datetime | None:
    return max((datetime.fromisoformat(row["at"]) for row in theirs if row["partner"] == "mail"), default=None)


def _redone(orders: QuerySet[Order]) -> set[str]:
    """The keys of jobs of these orders that were run again before."""
    return set(Repair.objects.filter(act=Act.REDONE, order__in=orders).values_list("key", flat=True))


def _for_a_person(
    gaps: dict[int, list[Gap]], ours: dict[int, OrderState], theirs: list[dict[str, Any]], known: set[int]
) -> list[Repair]:
    """What nobody here can mend: gaps of that kind, and whatever else an audit of these orders finds."""
    report = audit.Report()
    audit.compare(report, ours, theirs, known)
    reports = [_repair(number, gap) for number, each in gaps.items() for gap in each if gap.act == Act.REPORTED]
    judged = {gap.key for each in gaps.values() for gap in each}
    for row in (*report.lost, *report.duplicated, *report.stray):
        number = audit.number_of({"order": row["key"].partition(":")[2]})
        if (number in ours and number not in gaps) or row["key"] in judged:
            continue
        gap = Gap(Act.REPORTED, row["key"], f"{row['partner']}/{row['kind']}: {row['why']}")
        reports.append(_repair(number if number in known else None, gap))
    return reports


def _repair(number: int | None, gap: Gap, today: bool = False) -> Repair:
    once = {Act.REPORTED: f"{gap.key} {datetime.now(UTC):%F}" if today else f"{gap.key} {gap.why}"}
    return Repair(order_id=number, key=gap.key, act=gap.act, why=gap.why, once=once.get(Act(gap.act)))


@task(name="orders.reconcile", queue="bulk", retry=Retry(attempts=3))
def reconcile() -> dict[str, Any]:
    """What is missing is put right, what can't be is reported."""
    try:
        outcome = run()
    except audit.PartnersSilent as error:
        log.warning("nothing was reconciled: %s", error)  # the next slot tries again; jobs in between would pile up
        return {"silent": str(error)}
    counts = {"orders": outcome.orders, "left": outcome.left}
    counts |= {"repaired": len(outcome.repairs), "for a person": len(outcome.reports)}
    log.info("reconciled: %s", counts)
    return counts
