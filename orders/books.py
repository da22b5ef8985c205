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
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from jobs.models import LIVE, Job
from orders.models import Invoice, Order, Status
from orders.timeline import LABELS, ON_HOLD

KEYS = f"^({'|'.join(LABELS)}):[0-9]+$"  # of the jobs of orders
MONEY_KEPT = {Status.PAID, Status.ON_HOLD}


class Effect(NamedTuple):
    """One thing that happens outside the ledger, named as the partners name it."""

    partner: str
    kind: str
    key: str


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
}
OF_A_SALE = ("authorization", "invoice", "order_paid")  # happen to every order that was paid, whatever became of it
MONEY = ("authorization", "charge", "void", "refund")


@dataclass
class OrderState:
    """An order as our own books have it. `jobs` are states by key, `invoiced` whether the invoice exists, `paid`
    whether it was ever paid, `sent` whether the warehouse was asked, `moved` whether its status has changed since."""

    number: int
    status: str
    invoiced: bool
    jobs: dict[str, str]
    paid: bool = False
    sent: bool = False
    moved: bool = False

    def effect(self, kind: str) -> Effect:
        partner, key = KEY_OF[kind]
        return Effect(partner, kind, f"{key}:{self.number}")

    def expected(self) -> list[Effect]:
        """What must have happened outside once all its jobs are done: nothing for an order that was never paid. How
        a cancelled one's money went back is up to the gateway: see `_judge_money`."""
        kinds: tuple[str, ...] = ()
        if self.status == Status.PAID:
            kinds = (*OF_A_SALE, "receipt", "review", "charge", "shipment")
        elif self.status == Status.ON_HOLD:
            kinds = (*OF_A_SALE, "receipt", "review")
        elif self.status == Status.CANCELLED and self.paid:
            kinds = (*OF_A_SALE, "cancellation")
        return [self.effect(kind) for kind in kinds]

    def allowed(self) -> list[Effect]:
        """What may have happened besides; whether the money's effects fit together is judged in `_judge_money`."""
        kinds = list(MONEY)
        if self.status == Status.CANCELLED and self.paid:
            kinds += ["receipt", "review", *(["shipment"] if self.sent else [])]
        return [self.effect(kind) for kind in kinds]

    def unfinished(self) -> bool:
        """Whether it moves, or a job of it is alive. What waits for a person, while it is on hold, doesn't count."""
        held = waiting_for_a_person(self.number) if self.status == Status.ON_HOLD else ()
        return self.moved or any(state in LIVE and key not in held for key, state in self.jobs.items())

    def why_missing(self, effect: Effect) -> str:
        return f"its job is {self.jobs[effect.key]}" if effect.key in self.jobs else "there is no job for it"


def waiting_for_a_person(number: int) -> list[str]:
    """The keys of the jobs that wait for a person while an order is on hold."""
    return [f"{kind}:{number}" for kind in ON_HOLD]


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
        order.number: OrderState(
            order.number,
            order.status,
            order.number in invoiced,
            jobs[str(order.number)],
            paid=order.paid_at is not None,
            sent=order.sent_at is not None,
        )
        for order in Order.objects.order_by("number").only("number", "status", "paid_at", "sent_at")
    }
