"""The books against the world: what each order should have caused (see books.py), against what the partners say really
happened.

`compare` is a pure function over two plain pictures, ours and theirs. Ours is taken first, so an order that moves on in
between is found with more effects than expected of it, never with fewer; such a one counts as unfinished.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import urllib3
from django.conf import settings

from backroom.ledger.models import LIVE, Job
from orders.models import Order, Status
from orders.reconciliation import counts
from orders.reconciliation.expected import (
    KEY_OF,
    KEYS,
    MONEY,
    MONEY_KEPT,
    Effect,
    OrderState,
    our_books,
    waiting_for_a_person,
)

TIMEOUT = 30  # seconds; the partners answer with all that ever happened
SKEW = timedelta(hours=1)  # by which the partners' clocks may differ from ours


class PartnersSilent(Exception):
    """The partners' records could not be read."""


@dataclass
class Report:
    """What an audit found. `lost`, `duplicated` and `stray` (effects that no order asked for) should be empty."""

    orders: int = 0
    unfinished: int = 0
    effects_expected: int = 0
    effects_found: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    duplicated: list[dict[str, Any]] = field(default_factory=list)
    stray: list[dict[str, Any]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.stray)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(since: datetime | None = None) -> Report:
    """Audit all orders, or those placed since a time and the effects since then; points, pieces and what was counted of
    older orders has no time. Raises PartnersSilent."""
    return judge(*(look() if since is None else _look_since(since)))


def judge(ours: dict[int, OrderState], theirs: list[dict[str, Any]], known: set[int]) -> Report:
    """The report on what `look` saw."""
    report = Report()
    compare(report, ours, theirs, known)
    for which, row in counts.findings(ours):
        getattr(report, which).append(row)
    return report


def _look_since(since: datetime) -> tuple[dict[int, OrderState], list[dict[str, Any]], set[int]]:
    """The partners' clocks may be behind ours: what they say of these orders counts, whenever they say that it was."""
    numbers = list(Order.objects.filter(created_at__gte=since).values_list("number", flat=True))
    ours, theirs, known = look(numbers, since - SKEW)
    again = {(row["partner"], row["key"]) for row in their_records(since)}
    theirs = [row for row in theirs if number_of(row) in ours or (row["partner"], row["key"]) in again]
    return ours, theirs, known


def look(
    numbers: Sequence[int] | None = None, since: datetime | None = None
) -> tuple[dict[int, OrderState], list[dict[str, Any]], set[int]]:
    """Our books, the partners' records and which orders there are, in this order; of all, or of the orders with these
    numbers, and of what happened from a time on. Raises PartnersSilent."""
    ours = our_books(numbers)
    theirs = their_records(since)
    some = {}
    if numbers is not None:
        some = {"pk__in": ours.keys() | {number for row in theirs if (number := number_of(row))}}
    now = dict(Order.objects.filter(**some).values_list("number", "status"))
    for order in ours.values():
        order.moved = order.status != now.get(order.number)  # a person released or cancelled it while we looked
    return ours, theirs, set(now)


def their_records(since: datetime | None = None) -> list[dict[str, Any]]:
    """The partners' effects, all or from a time on. Raises PartnersSilent."""
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
    """Fill in the report. `known`: the orders there are by now, some maybe younger than `ours`."""
    found = {Effect(row["partner"], row["kind"], row["key"]): row for row in theirs}
    found |= {
        effect: {"count": 1, "order": str(order.number)}
        for order in ours.values()
        for effect in [order.effect("invoice")]
        if order.invoiced
    }
    for order in ours.values():
        report.orders += 1
        _compare_order(report, order, found)
    for effect, row in found.items():
        _compare_effect(report, effect, row, ours, known)


def number_of(row: dict[str, Any]) -> int | None:
    """The number of the order that a record is about; None if it is no number of ours."""
    text = str(row["order"])
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _compare_order(report: Report, order: OrderState, found: dict[Effect, dict[str, Any]]) -> None:
    expected = order.expected()
    report.effects_expected += len(expected)
    report.effects_found += sum(effect in found for effect in expected)
    if order.unfinished():
        report.unfinished += 1
        return
    if order.status == Status.PLACED:
        report.lost.append(Effect("orders", "settlement", f"settle:{order.number}").finding("nobody settles it"))
    for effect in expected:
        if effect not in found:
            report.lost.append(effect.finding(order.why_missing(effect)))
    _judge_money(report, order, {kind for kind in MONEY if order.effect(kind) in found})


def _judge_money(report: Report, order: OrderState, had: set[str]) -> None:
    """Whether what happened to an order's money fits its status, and together: each charge is kept by a paid order or
    was refunded, what was reserved is neither forgotten nor both charged and voided."""
    if order.status in MONEY_KEPT:
        wrong = {
            "void": "it was let go of, but the order is sold",
            "refund": "it was given back, but the order is sold",
        }
        report.lost += [order.effect("authorization").finding(why) for kind, why in wrong.items() if kind in had]
        if order.status == Status.ON_HOLD and "charge" in had:
            report.stray.append(order.effect("charge").finding("charged, but the order is on hold"))
    elif "charge" in had and "refund" not in had:
        report.stray.append(order.effect("charge").finding(f"charged, but the order is {order.status}"))
    elif "authorization" in had and not had & {"charge", "void"}:
        report.stray.append(order.effect("authorization").finding(f"reserved, but the order is {order.status}"))
    if {"charge", "void"} <= had:
        report.stray.append(order.effect("void").finding("it was charged, too"))
    if "refund" in had and "charge" not in had:
        report.stray.append(order.effect("refund").finding("it was never charged"))


def _compare_effect(
    report: Report, effect: Effect, row: dict[str, Any], ours: dict[int, OrderState], known: set[int]
) -> None:
    if row["count"] > 1:
        report.duplicated.append(effect.finding(f"it happened {row['count']} times", count=row["count"]))
    if effect.partner == "mail" and effect.kind not in KEY_OF:
        return  # a mail that is about no order
    number = number_of(row)
    if number not in known:
        report.stray.append(effect.finding("there is no such order"))
    elif (order := ours.get(number)) and not order.unfinished() and effect not in order.fitting:
        report.stray.append(effect.finding(f"the order is {order.status}"))


def still_busy() -> int:
    """How many jobs of orders are alive, but for those that wait for a person."""
    on_hold = Order.objects.filter(status=Status.ON_HOLD).values_list("pk", flat=True)
    held = [key for number in on_hold for key in waiting_for_a_person(number)]
    return Job.objects.filter(state__in=LIVE, key__regex=KEYS).exclude(key__in=held).count()
