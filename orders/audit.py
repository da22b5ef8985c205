"""The books against the world: what each order should have caused, against what the partners say really happened.

`compare` is a pure function over two plain pictures, ours and theirs. Ours is taken first, so an order that moves on in
between is found with more effects than expected of it, never with fewer; such a one counts as unfinished.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import urllib3
from django.conf import settings
from django.db.models.functions import Lower

from jobs.models import LIVE, Job
from orders.models import Invoice, LoyaltyAccount, Order, Status
from orders.timeline import LABELS

TIMEOUT = 30  # seconds; the partners answer with all that ever happened
KEYS = f"^({'|'.join(LABELS)}):[0-9]+$"  # of the jobs of orders
MONEY_KEPT = {Status.PAID, Status.ON_HOLD}


class PartnersSilent(Exception):
    """The partners' records could not be read."""


class Effect(NamedTuple):
    """One thing that happens outside the ledger, named as the partners name it."""

    partner: str
    kind: str
    key: str


@dataclass
class OrderState:
    """An order as our own books have it. `jobs` are states by key, `invoiced` whether the invoice exists."""

    number: int
    status: str
    invoiced: bool
    jobs: dict[str, str]

    def expected(self) -> list[Effect]:
        """What should have happened outside: nothing for an order that kept no money."""
        if self.status not in MONEY_KEPT:
            return []
        shipped = [("warehouse", "shipment", "shipment")] if self.status == Status.PAID else []
        every = [
            ("payments", "charge", "payment"),
            ("orders", "invoice", "invoice"),
            ("mail", "receipt", "receipt"),
            ("fraud", "review", "fraud"),
            *shipped,
            ("analytics", "order_paid", "analytics"),
        ]
        return [Effect(partner, kind, f"{key}:{self.number}") for partner, kind, key in every]

    def unfinished(self) -> bool:
        """Whether a job of it is alive. The shipment of an order on hold waits for a person: it doesn't count."""
        held = f"shipment:{self.number}" if self.status == Status.ON_HOLD else None
        return any(state in LIVE and key != held for key, state in self.jobs.items())

    def why_missing(self, effect: Effect) -> str:
        return f"its job is {self.jobs[effect.key]}" if effect.key in self.jobs else "there is no job for it"


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


def run() -> Report:
    """Audit all orders. Raises PartnersSilent."""
    report = Report()
    ours = our_books()
    compare(report, ours, their_records(), set(Order.objects.values_list("number", flat=True)))
    check_points(report, ours)
    return report


def our_books() -> dict[int, OrderState]:
    """All orders by number, with the states of their jobs."""
    jobs: dict[str, dict[str, str]] = defaultdict(dict)
    found: dict[str, list[Job]] = defaultdict(list)
    for job in Job.objects.filter(key__regex=KEYS).only("key", "state", "run_at", "after_id"):
        found[str(job.key).partition(":")[2]].append(job)
    for number, siblings in found.items():
        for job in siblings:
            jobs[number][str(job.key)] = "behind a dead letter" if job.stranded(siblings) else job.state
    invoiced = set(Invoice.objects.values_list("order_id", flat=True))
    return {
        number: OrderState(number, status, number in invoiced, jobs[str(number)])
        for number, status in Order.objects.order_by("number").values_list("number", "status")
    }


def their_records() -> list[dict[str, Any]]:
    """The partners' effects. Raises PartnersSilent."""
    address = f"{settings.PARTNERS_URL}/effects"
    try:
        response = urllib3.request("GET", address, timeout=TIMEOUT, retries=False)
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
        for effect in [Effect("orders", "invoice", f"invoice:{order.number}")]
        if order.invoiced
    }
    for order in ours.values():
        report.orders += 1
        _compare_order(report, order, found)
    for effect, row in found.items():
        _compare_effect(report, effect, row, ours, known)


def _compare_order(report: Report, order: OrderState, found: dict[Effect, dict[str, Any]]) -> None:
    expected = order.expected()
    report.effects_expected += len(expected)
    report.effects_found += sum(effect in found for effect in expected)
    if order.unfinished():
        report.unfinished += 1
        return
    if order.status == Status.PLACED:
        report.lost.append(_finding(Effect("orders", "settlement", f"settle:{order.number}"), "nobody settles it"))
    for effect in expected:
        if effect not in found:
            report.lost.append(_finding(effect, order.why_missing(effect)))
    charge, void = (Effect("payments", kind, f"payment:{order.number}") for kind in ("charge", "void"))
    kept = charge in found and void not in found
    if order.status in MONEY_KEPT and void in found:
        report.lost.append(_finding(charge, "it was given back, but the order is sold"))
    if order.status not in MONEY_KEPT and kept:
        report.stray.append(_finding(charge, f"charged, but the order is {order.status}"))


def _compare_effect(
    report: Report, effect: Effect, row: dict[str, Any], ours: dict[int, OrderState], known: set[int]
) -> None:
    if row["count"] > 1:
        report.duplicated.append(_finding(effect, f"it happened {row['count']} times", count=row["count"]))
    if effect.partner == "mail" and effect.kind != "receipt":
        return  # a mail that is about no order
    number = int(row["order"]) if str(row["order"]).isdecimal() else None
    if number not in known:
        report.stray.append(_finding(effect, "there is no such order"))
    elif (order := ours.get(number)) and effect.partner != "payments" and not order.unfinished():
        shipped_before_hold = order.status == Status.ON_HOLD and effect.kind == "shipment"
        if effect not in order.expected() and not shipped_before_hold:
            report.stray.append(_finding(effect, f"the order is {order.status}"))


def check_points(report: Report, ours: dict[int, OrderState]) -> None:
    """Loyalty points against the orders they are for. Both are rows of ours, so they must agree exactly."""
    due: dict[str, int] = defaultdict(int)
    busy = set()
    kept = Order.objects.filter(status__in=MONEY_KEPT).values_list("number", Lower("email"), "total")
    for number, email, total in kept:
        due[email] += int(total)
        if number not in ours or ours[number].unfinished():
            busy.add(email)
    have = dict(LoyaltyAccount.objects.values_list("email", "points"))
    for email in (due.keys() | have.keys()) - busy:
        difference = have.get(email, 0) - due[email]
        if difference:
            row = {"partner": "orders", "kind": "points", "key": "loyalty", "why": f"an account is off by {difference}"}
            (report.duplicated if difference > 0 else report.lost).append(row)


def _finding(effect: Effect, why: str, **more: Any) -> dict[str, Any]:
    return effect._asdict() | {"why": why} | more


def still_busy() -> int:
    """How many jobs of orders are alive, but for shipments that wait for a person."""
    held = [f"shipment:{number}" for number in Order.objects.filter(status=Status.ON_HOLD).values_list("pk", flat=True)]
    alive = Job.objects.filter(state__in=LIVE, key__regex=KEYS)
    return alive.exclude(key__in=held).count()
