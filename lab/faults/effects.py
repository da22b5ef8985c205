"""Orders in, effects out, lost, twice: one shop's orders from some number on, against the partners' own records.

The judging is the audit's (orders/audit.py). Where there is no ledger nobody can say what is still to come but the
broker and the workers, so they are asked which orders they still have in hand (naive/pending.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
from celery.exceptions import CeleryError
from django.utils import timezone

from lab.faults.naive import pending as quiet
from orders import audit
from orders.books import OrderState
from orders.models import Order, Status
from stack.processes import QUEUES

NET = "orders.settle_payment"  # of an order that is settled, it does nothing
ON_ITS_WAY = timedelta(seconds=3)  # for which a message may be seen by nobody


@dataclass
class Tally:
    """What became of some orders. `busy`: those of which something is still to come."""

    orders: int = 0
    expected: int = 0
    found: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    twice: list[dict[str, Any]] = field(default_factory=list)
    busy: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is still to come, and nothing is missing or too much."""
        return not (self.busy or self.lost or self.twice) and self.found >= self.expected


def of(numbers: Sequence[int], since: datetime, until: datetime | None = None, broker: str = "") -> Tally:
    """The tally of these orders, and of what happened between two times that is about no order. `broker` is its address
    where a naive shop is at work. Raises audit.PartnersSilent and django.db.Error."""
    ours, theirs, known = audit.look(numbers, since)
    if broker:
        mark_busy(ours, broker)
    mine = []
    for row in theirs:
        number, at = audit.number_of(row), datetime.fromisoformat(row["at"])
        if number in ours if number else since <= at and (until is None or at < until):
            mine.append(row)
    report = audit.Report()
    audit.compare(report, ours, mine, known)
    return Tally(
        report.orders,
        report.effects_expected,
        report.effects_found,
        report.lost + report.stray,
        report.duplicated,
        report.unfinished,
    )


def mark_busy(ours: dict[int, OrderState], broker: str) -> None:
    """Without a ledger: an order is unfinished as long as a message about it is in hand, or may be on its way."""
    young = timezone.now() - ON_ITS_WAY
    try:
        found = quiet.in_hand(broker, len(QUEUES))
        held = [(one.task, one.arguments.get("number")) for one in (*found.queued, *found.held)]
    except (redis.RedisError, CeleryError, OSError):
        held = [("", number) for number in ours]  # nobody can tell
    placed = {number for number, order in ours.items() if order.status == Status.PLACED}
    busy = {number for task, number in held if task != NET or number in placed}
    for number, order in ours.items():
        if number in busy or (order.paid_at and order.paid_at > young):
            order.moved = True


def newest() -> int:
    """The number of the latest order."""
    return Order.objects.order_by("number").values_list("number", flat=True).last() or 0


def since(number: int) -> list[int]:
    """The numbers of all orders after this one."""
    return list(Order.objects.filter(number__gt=number).order_by("number").values_list("number", flat=True))


def keys_of(findings: Sequence[dict[str, Any]], most: int = 4) -> str:
    """The keys of findings, for people."""
    keys = [str(finding["key"]) for finding in findings]
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
