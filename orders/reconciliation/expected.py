"""What our own books say: each order, its jobs, and what should have happened outside because of it.

The effects of an order number N, as the partners name them; a key is also that of the job that causes it, but for the
authorization, which the request makes, or `settle:N` in its stead, and a void, which is caused by `void:N` for an order
that was never paid and by `refund:N` for one that was:

    partner    kind           key             of an order that is
    payments   authorization  payment:N       paid, on hold, or cancelled after it was paid
    payments   charge         capture:N       paid; or cancelled, and then there is a refund, too
    payments   void           void:N          cancelled, and never charged
    payments   refund         refund:N        cancelled, and charged
    orders     invoice        invoice:N       paid, on hold, cancelled after it was paid (a row of ours)
    mail       receipt        receipt:N       paid, on hold; may be of one cancelled after it was paid
    fraud      review         fraud:N         paid, on hold; may be of one cancelled after it was paid
    warehouse  shipment       shipment:N      paid; may be of one cancelled after the warehouse was first asked
    analytics  order_paid     analytics:N     paid, on hold, cancelled after it was paid
    mail       cancellation   cancellation:N  cancelled after it was paid
    mail       unpaid         unpaid:N        declined or cancelled behind its customer's back (`ends_by_mail`)
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from backroom.ledger.models import LIVE, Job, State
from orders.models import Invoice, Order, Status
from orders.storefront.timeline import LABELS, ON_HOLD

KEYS = f"^({'|'.join(LABELS)}):[0-9]+$"  # of the jobs of orders
MONEY_KEPT = {Status.PAID, Status.ON_HOLD}


class Effect(NamedTuple):
    """One thing that happens outside the ledger, named as the partners name it."""

    partner: str
    kind: str
    key: str

    def finding(self, why: str, **more: Any) -> dict[str, Any]:
        """A row of an audit's report."""
        return self._asdict() | {"why": why} | more


KEY_OF = {  # kind of effect: partner, first part of its key
    "authorization": ("payments", "payment"),
    "charge": ("payments", "capture"),
    "void": ("payments", "void"),
    "refund": ("payments", "refund"),
    "invoice": ("orders", "invoice"),
    "receipt": ("mail", "receipt"),
    "review": ("fraud", "fraud"),
    "shipment": ("warehouse", "shipment"),
    "order_paid": ("analytics", "analytics"),
    "cancellation": ("mail", "cancellation"),
    "unpaid": ("mail", "unpaid"),
}
OF_A_SALE = ("authorization", "invoice", "order_paid")  # happen to every order that was paid, whatever became of it
MONEY = ("authorization", "charge", "void", "refund")


@dataclass
class OrderState:
    """An order as our own books have it. `jobs` are states by key, `invoiced` whether the invoice exists, `paid`
    whether it was ever paid, `sent` whether the warehouse was asked, `by_mail` whether a mail tells that it ended
    unpaid, `moved` whether its status has changed since.

    `rows` are the jobs themselves, `counted` the keys of what only our own tables know of; these, `placed_at` and
    `paid_at` are for the reconciler, too."""

    number: int
    status: str
    invoiced: bool
    jobs: dict[str, str]
    paid: bool = False
    sent: bool = False
    by_mail: bool = False
    moved: bool = False
    rows: dict[str, Job] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    placed_at: datetime | None = None
    paid_at: datetime | None = None

    def effect(self, kind: str) -> Effect:
        partner, key = KEY_OF[kind]
        return Effect(partner, kind, f"{key}:{self.number}")

    def expected(self) -> list[Effect]:
        """What must have happened outside once all its jobs are done: at most a mail for an order that was never paid.
        How a cancelled one's money went back is up to the gateway: see `_judge_money`."""
        kinds: tuple[str, ...] = ()
        if self.status == Status.PAID:
            kinds = (*OF_A_SALE, "receipt", "review", "charge", "shipment")
        elif self.status == Status.ON_HOLD:
            kinds = (*OF_A_SALE, "receipt", "review")
        elif self.status == Status.CANCELLED and self.paid:
            kinds = (*OF_A_SALE, "cancellation")
        elif self.by_mail:
            kinds = ("unpaid",)
        return [self.effect(kind) for kind in kinds]

    def allowed(self) -> list[Effect]:
        """What may have happened besides; whether the money's effects fit together is judged in `_judge_money`."""
        kinds = list(MONEY)
        if self.status == Status.CANCELLED and self.paid:
            kinds += ["receipt", "review", *(["shipment"] if self.sent else [])]
        return [self.effect(kind) for kind in kinds]

    @cached_property
    def fitting(self) -> frozenset[Effect]:
        """What must or may have happened."""
        return frozenset(self.expected() + self.allowed())

    def unfinished(self) -> bool:
        """Whether it moves, or a job of it is alive. What waits for a person, while it is on hold, doesn't count."""
        held = waiting_for_a_person(self.number) if self.status == Status.ON_HOLD else ()
        return self.moved or any(state in LIVE and key not in held for key, state in self.jobs.items())

    def why_missing(self, effect: Effect) -> str:
        """Why it has not happened, for people. A cancelled job says by whom."""
        state = self.jobs.get(effect.key)
        if state is None:
            return "there is no job for it"
        said = str(vars(self.rows[effect.key])["said"]) if state == State.CANCELLED and effect.key in self.rows else ""
        return f"its job is {state}" + (said and f" ({said.partition(chr(10))[0]})")


def waiting_for_a_person(number: int) -> list[str]:
    """The keys of the jobs that wait for a person while an order is on hold."""
    return [f"{kind}:{number}" for kind in ON_HOLD]


def our_books(numbers: Sequence[int] | None = None) -> dict[int, OrderState]:
    """All orders, or those with these numbers, with the states of their jobs. Orders are read first: one that is paid
    has its jobs from the same commit on, but one that came after the jobs were read would look as if it had none."""
    some = {} if numbers is None else {"pk__in": numbers}
    orders = list(
        Order.objects.filter(**some)
        .order_by("number")
        .only("number", "status", "created_at", "paid_at", "sent_at", "ends_by_mail", "total", "points", "learned")
    )
    jobs: dict[int, list[Job]] = defaultdict(list)
    told = _jobs(numbers).annotate(said=Left("error", 300))
    for job in told.only("key", "state", "run_at", "after_id", "claims", "finished_at"):
        jobs[int(str(job.key).partition(":")[2])].append(job)
    invoiced = set(Invoice.objects.filter(**some).values_list("order_id", flat=True))
    return {order.number: _state(order, jobs[order.number], order.number in invoiced) for order in orders}


def _jobs(numbers: Sequence[int] | None) -> QuerySet[Job]:
    if numbers is None:
        return Job.objects.filter(key__regex=KEYS)
    every = "SELECT kind || ':' || number FROM unnest(%s::text[]) kind, unnest(%s::bigint[]) number"
    return Job.objects.filter(key__in=RawSQL(every, [list(LABELS), list(numbers)]))  # noqa: S611


def _state(order: Order, jobs: list[Job], invoiced: bool) -> OrderState:
    counted = [f"loyalty:{order.number}"] * (order.points >= int(order.total))  # of under a euro there are none
    counted += [f"recommendations:{order.number}"] * order.learned
    return OrderState(
        order.number,
        order.status,
        invoiced,
        {str(job.key): "behind a dead letter" if job.blocked(jobs) else job.state for job in jobs},
        paid=order.paid_at is not None,
        sent=order.sent_at is not None,
        by_mail=order.ends_by_mail,
        rows={str(job.key): job for job in jobs},
        counted=frozenset(counted),
        placed_at=order.created_at,
        paid_at=order.paid_at,
    )
