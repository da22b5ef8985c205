"""Counts of expected, found, lost and duplicated effects of some orders, from the partners' own records.

orders/reconciliation/audit.py compares. Without a ledger, only the broker and the workers hold the work still
to do, so their messages decide which orders are unfinished.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from lab.faults.naive import pending
from orders.models import Status
from orders.reconciliation import audit
from orders.reconciliation.expected import OrderState
from stack.processes import QUEUES

SAFETY_NET = "orders.settle_payment"  # does nothing for a settled order
IN_FLIGHT = timedelta(seconds=3)  # for which neither broker nor worker may show a message


@dataclass
class Counts:
    """The effects of some orders. `unfinished` orders still have work to do."""

    orders: int = 0
    expected: int = 0
    found: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    twice: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    @property
    def complete(self) -> bool:
        """Whether each expected effect happened once."""
        return not (self.unfinished or self.lost or self.twice) and self.found >= self.expected


def count(numbers: Sequence[int], since: datetime, until: datetime | None = None, broker: str = "") -> Counts:
    """The counts of these orders, and of effects between two times that belong to no order.

    `broker` is the address of the broker of a shop without a ledger. Raises audit.PartnersSilent and django.db.Error.
    """
    ours, theirs, known = audit.look(numbers, since)
    if broker:
        mark_unfinished(ours, broker)
    mine = []
    for row in theirs:
        number, at = audit.number_of(row), datetime.fromisoformat(row["at"])
        if number in ours if number else since <= at and (until is None or at < until):
            mine.append(row)
    report = audit.Report()
    audit.compare(report, ours, mine, known)
    lost, twice = report.lost + report.unexpected, report.duplicated
    return Counts(report.orders, report.effects_expected, report.effects_found, lost, twice, report.unfinished)


def mark_unfinished(ours: dict[int, OrderState], broker: str) -> None:
    """Without a ledger, mark the orders with a message in the broker, at a worker, dead or alive, or in flight."""
    young = timezone.now() - IN_FLIGHT
    try:
        found = pending.messages(broker, len(QUEUES))
        held = [(one.task, one.arguments.get("number")) for messages in found for one in messages]
    except pending.UNREADABLE:
        held = [("", number) for number in ours]  # the broker is away, so any order may have a message
    placed = {number for number, order in ours.items() if order.status == Status.PLACED}
    busy = {number for task, number in held if task != SAFETY_NET or number in placed}
    for number, order in ours.items():
        if number in busy or (order.paid_at and order.paid_at > young):
            order.moved = True


def keys_of(findings: Sequence[dict[str, Any]], most: int = 4) -> str:
    """The keys of findings as text, at most `most` of them."""
    keys = [str(finding["key"]) for finding in findings]
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
