"""The audit: the expected effects of each order (expected.py) against the partners' records.

`compare` is a pure function over two snapshots, ours and theirs. Ours is read first, so an order that changes in
between has more effects than expected, never fewer; it counts as unfinished.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import urllib3
from django.conf import settings

from backroom.ledger.models import LIVE, Job
from notifications.models import Channel
from orders import follow_ups
from orders.models import Order, Status
from orders.reconciliation import counts
from orders.reconciliation.expected import (
    MONEY,
    MONEY_KEPT,
    Effect,
    OrderState,
    key_pattern,
    keys_on_hold,
    message_kinds,
)
from orders.reconciliation.states import order_states, standing

TIMEOUT = 30  # seconds; the partners answer with their whole history
SKEW = timedelta(hours=1)  # the partners' clocks may differ from ours by this


class PartnersSilent(Exception):
    """The partners' records could not be read."""


@dataclass
class Report:
    """The findings of an audit. `lost`, `duplicated` and `unexpected` (no order causes it) should be empty."""

    orders: int = 0
    unfinished: int = 0
    effects_expected: int = 0
    effects_found: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    duplicated: list[dict[str, Any]] = field(default_factory=list)
    unexpected: list[dict[str, Any]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, whose key of the unexpected effects is "stray"."""
        return {"stray" if name == "unexpected" else name: value for name, value in vars(self).items()}


def run(since: datetime | None = None) -> Report:
    """Audit all orders; or the orders and effects since a time, and the own tables of all orders. Raises
    PartnersSilent."""
    return judge(*(look() if since is None else _look_since(since)))


def judge(ours: dict[int, OrderState], theirs: list[dict[str, Any]], known: set[int]) -> Report:
    """The report on the snapshots of `look`."""
    report = Report()
    compare(report, ours, theirs, known)
    for which, row in counts.findings(ours):
        getattr(report, which).append(row)
    return report


def _look_since(since: datetime) -> tuple[dict[int, OrderState], list[dict[str, Any]], set[int]]:
    """The partners' clocks may be behind ours: their records of these orders count, whatever their time."""
    numbers = list(Order.objects.filter(created_at__gte=since).values_list("number", flat=True))
    ours, theirs, known = look(numbers, since - SKEW)
    again = {(row["partner"], row["key"]) for row in their_records(since)}
    theirs = [row for row in theirs if number_of(row) in ours or (row["partner"], row["key"]) in again]
    return ours, theirs, known


def look(
    numbers: Sequence[int] | None = None, since: datetime | None = None
) -> tuple[dict[int, OrderState], list[dict[str, Any]], set[int]]:
    """Our tables, the partners' records and the numbers of existing orders, read in this order; of all orders or of
    these, and since a time. Raises PartnersSilent."""
    ours = order_states(numbers)
    theirs = their_records(since)
    if numbers is not None:
        numbers = list(ours.keys() | {number for row in theirs if (number := number_of(row))})
    now = standing(numbers)
    for order in ours.values():
        # Released, cancelled, sent or reported between the two reads.
        order.moved = (order.status, order.reached) != now.get(order.number)
    return ours, theirs, set(now)


def their_records(since: datetime | None = None) -> list[dict[str, Any]]:
    """The partners' effects, all or since a time. Raises PartnersSilent."""
    address = f"{settings.BACKROOM_PARTNERS_URL}/effects"
    fields = {"since": since.isoformat()} if since else None
    try:
        response = urllib3.request("GET", address, fields=fields, timeout=TIMEOUT, retries=False)
        if response.status != 200:
            raise PartnersSilent(f"{address} answered {response.status}.")
        return response.json()["effects"]
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as error:
        raise PartnersSilent(f"{address} gave no records ({type(error).__name__}). Is it running?") from error


def compare(report: Report, ours: dict[int, OrderState], theirs: list[dict[str, Any]], known: set[int]) -> None:
    """Fill in the report. `known`: the existing orders, some of them younger than `ours`."""
    found = {Effect(row["partner"], row["kind"], row["key"]): row for row in theirs}
    for order in ours.values():
        found |= {effect: {"count": 1, "order": str(order.number)} for effect in order.documents}
    for order in ours.values():
        report.orders += 1
        _compare_order(report, order, found)
    of_orders = message_kinds()
    for effect, row in found.items():
        if row["count"] > 1:
            report.duplicated.append(effect.finding(f"it happened {row['count']} times", count=row["count"]))
        if effect.partner not in Channel.values or effect.kind in of_orders:  # other messages are about no order
            _compare_effect(report, effect, number_of(row), ours, known)


def number_of(row: dict[str, Any]) -> int | None:
    """The order number in a record; None if it has none of ours."""
    text = str(row["order"])
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _compare_order(report: Report, order: OrderState, found: dict[Effect, dict[str, Any]]) -> None:
    report.effects_expected += len(order.expected)
    report.effects_found += sum(effect in found for effect in order.expected)
    if order.unfinished():
        report.unfinished += 1
        return
    if order.status == Status.PLACED:
        report.lost.append(Effect("orders", "settlement", f"settle:{order.number}").finding("no job settles it"))
    report.lost += [effect.finding(order.why_missing(effect)) for effect in order.expected if effect not in found]
    _judge_money(report, order, {kind for kind in MONEY if order.effect(kind) in found})


def _judge_money(report: Report, order: OrderState, had: set[str]) -> None:
    """Whether the effects on an order's payment fit its status and each other: a charge belongs to a paid order or was
    refunded, an authorization of an order that ended is captured or void, never both."""

    def unexpected(kind: str, why: str) -> None:
        report.unexpected.append(order.effect(kind).finding(why))

    if order.status in MONEY_KEPT:
        wrong = {"void": "it was voided, but the order is sold", "refund": "it was refunded, but the order is sold"}
        report.lost += [order.effect("authorization").finding(why) for kind, why in wrong.items() if kind in had]
        if order.status == Status.ON_HOLD and "charge" in had:
            unexpected("charge", "charged, but the order is on hold")
    elif "charge" in had and "refund" not in had:
        unexpected("charge", f"charged, but the order is {order.status}")
    elif "authorization" in had and not had & {"charge", "void"}:
        unexpected("authorization", f"reserved, but the order is {order.status}")
    if {"charge", "void"} <= had:
        unexpected("void", "it was charged, too")
    if "refund" in had and "charge" not in had:
        unexpected("refund", "it was never charged")


def _compare_effect(
    report: Report, effect: Effect, number: int | None, ours: dict[int, OrderState], known: set[int]
) -> None:
    if number not in known:
        report.unexpected.append(effect.finding("there is no such order"))
    elif (order := ours.get(number)) and not order.unfinished() and effect not in order.fitting:
        report.unexpected.append(effect.finding(f"the order is {order.status}"))


def still_busy() -> int:
    """The number of live jobs of orders, without those that wait for a person or for another day."""
    on_hold = Order.objects.filter(status=Status.ON_HOLD).values_list("pk", flat=True)
    held = [key for number in on_hold for key in keys_on_hold(number)]
    later = [step.task for step in follow_ups.FOLLOW_UPS if step.later]
    live = Job.objects.filter(state__in=LIVE, key__regex=key_pattern())
    return live.exclude(key__in=held).exclude(task__in=later).count()
