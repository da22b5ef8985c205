"""The expected effects of each order, by our own tables: its status and the registry of follow-ups.

The key of an effect is the key of its job, with two exceptions. The request, or `settle:N`, causes the authorization
`payment:N`. `void:N` is caused by the job `void:N` for an order that was never paid, and by `refund:N` for a paid one.

    order                   must have                                  may have
    paid                    the authorization, and those of PAID
    on hold                 the same, but for those that wait on hold
    cancelled once paid     the authorization, those of PAID that a    those of PAID that it stops; the shipment
                            cancellation does not stop, the mail,      only if it was requested
                            the credit note of an invoiced one
    ended unpaid, by mail   the mail

Any of the four effects on the payment may happen; audit.py judges whether they fit together.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from backroom.ledger.models import LIVE, Job, State
from backroom.ops.blocked import blocked
from orders import follow_ups
from orders.follow_ups import FollowUp, When
from orders.models import CreditNote, Invoice, Order, Status

MONEY_KEPT = {Status.PAID, Status.ON_HOLD}
MONEY = ("authorization", "charge", "void", "refund")


class Effect(NamedTuple):
    """One thing that happens outside the ledger, named as the partners name it."""

    partner: str
    kind: str
    key: str

    def finding(self, why: str, **more: Any) -> dict[str, Any]:
        """A row of an audit's report."""
        return self._asdict() | {"why": why} | more


def effect_keys() -> dict[str, tuple[str, str]]:
    """Kind of effect → partner, and the first part of its key."""
    found = {one.effect[1]: (one.effect[0], one.kind) for one in follow_ups.FOLLOW_UPS if one.effect}
    return {"authorization": ("payments", "payment"), **found}


@dataclass
class OrderState:
    """An order by our own tables. `jobs` are states by key, `invoiced` and `noted` whether its invoice and credit note
    exist, `sent` whether its shipment was requested, `by_mail` whether a mail says that it ended unpaid, `credited`
    whether it needs a credit note, `moved` whether its status has changed since.

    The reconciler also reads `rows`, the jobs by key, and `counted`, the keys whose effect our own tables show."""

    number: int
    status: str
    invoiced: bool
    jobs: dict[str, str]
    paid: bool = False
    sent: bool = False
    by_mail: bool = False
    credited: bool = False
    noted: bool = False
    moved: bool = False
    rows: dict[str, Job] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    placed_at: datetime | None = None
    paid_at: datetime | None = None

    def effect(self, kind: str) -> Effect:
        partner, key = effect_keys()[kind]
        return Effect(partner, kind, f"{key}:{self.number}")

    @property
    def documents(self) -> list[Effect]:
        """The effects that our own tables hold."""
        kinds = {"invoice": self.invoiced, "credit_note": self.noted}
        return [self.effect(kind) for kind, exists in kinds.items() if exists]

    @cached_property
    def expected(self) -> list[Effect]:
        """The effects that must exist once all jobs are done."""
        steps = follow_ups.of(When.PAID)
        if self.status == Status.ON_HOLD:
            steps = [step for step in steps if not step.on_hold]
        elif self.status == Status.CANCELLED and self.paid:
            steps = [step for step in steps if not step.stops]
            # A payment that was never captured is void instead of refunded: audit.py judges that.
            ended = follow_ups.of(*follow_ups.ending(self.credited))
            steps += [step for step in ended if step is not follow_ups.REFUND]
        elif self.status != Status.PAID:
            return self._effects(follow_ups.of(When.UNPAID)) if self.by_mail else []
        return [self.effect("authorization"), *self._effects(steps)]

    @cached_property
    def fitting(self) -> frozenset[Effect]:
        """The effects that must or may exist."""
        fitting = {*self.expected, *(self.effect(kind) for kind in MONEY)}
        if self.status == Status.CANCELLED and self.paid:
            stopped = (step for step in follow_ups.of(When.PAID) if step.stops)
            fitting |= {effect for effect in self._effects(stopped) if self.sent or effect.kind != "shipment"}
        return frozenset(fitting)

    def _effects(self, steps: Iterable[FollowUp]) -> list[Effect]:
        return [Effect(*step.effect, step.key(self.number)) for step in steps if step.effect]

    def unfinished(self) -> bool:
        """Whether its status has just changed or a job is alive. While it is on hold, jobs that wait for a person do
        not count."""
        held = keys_on_hold(self.number) if self.status == Status.ON_HOLD else ()
        return self.moved or any(state in LIVE and key not in held for key, state in self.jobs.items())

    def why_missing(self, effect: Effect) -> str:
        """Why it has not happened, for people; of a cancelled job also who cancelled it."""
        state = self.jobs.get(effect.key)
        if state is None:
            return "there is no job for it"
        why = str(vars(self.rows[effect.key])["why"]) if state == State.CANCELLED and effect.key in self.rows else ""
        return f"its job is {state}" + (why and f" ({why.partition(chr(10))[0]})")


def keys_on_hold(number: int) -> list[str]:
    """The keys of the jobs that wait for a person while an order is on hold."""
    return [step.key(number) for step in follow_ups.FOLLOW_UPS if step.on_hold]


def key_pattern() -> str:
    """A regular expression for the keys of jobs of orders."""
    return f"^({'|'.join(step.kind for step in follow_ups.FOLLOW_UPS)}):[0-9]+$"


def order_states(numbers: Sequence[int] | None = None) -> dict[int, OrderState]:
    """All orders, or these, with the states of their jobs. The orders are read first: jobs commit together with the
    status of their order, so an order that is read after the jobs could seem to have none."""
    some = {} if numbers is None else {"pk__in": numbers}
    counted = {f"counted_{step.kind}": step.counted for step in follow_ups.FOLLOW_UPS if step.counted}
    fields = ("number", "status", "created_at", "paid_at", "sent_at", "ends_by_mail", "credited")
    orders = list(Order.objects.filter(**some).order_by("number").only(*fields).annotate(**counted))
    jobs: dict[int, list[Job]] = defaultdict(list)
    for job in _jobs(numbers):
        jobs[int(str(job.key).partition(":")[2])].append(job)
    invoiced, noted = (set(each.objects.filter(**some).values_list("pk", flat=True)) for each in (Invoice, CreditNote))
    return {
        one.number: _state(one, jobs[one.number], one.number in invoiced, one.number in noted, counted)
        for one in orders
    }


def _jobs(numbers: Sequence[int] | None) -> QuerySet[Job]:
    if numbers is None:
        found = Job.objects.filter(key__regex=key_pattern())
    else:
        every = "SELECT kind || ':' || number FROM unnest(%s::text[]) kind, unnest(%s::bigint[]) number"
        kinds = [step.kind for step in follow_ups.FOLLOW_UPS]
        found = Job.objects.filter(key__in=RawSQL(every, [kinds, list(numbers)]))  # noqa: S611
    return found.annotate(why=Left("error", 300)).only("key", "state", "run_at", "after_id", "claims", "finished_at")


def _state(order: Order, jobs: list[Job], invoiced: bool, noted: bool, counted: Iterable[str]) -> OrderState:
    return OrderState(
        order.number,
        order.status,
        invoiced,
        {str(job.key): "behind a dead letter" if blocked(job, jobs) else job.state for job in jobs},
        paid=order.paid_at is not None,
        sent=order.sent_at is not None,
        by_mail=order.ends_by_mail,
        credited=order.credited,
        noted=noted,
        rows={str(job.key): job for job in jobs},
        counted=frozenset(f"{name.removeprefix('counted_')}:{order.number}" for name in counted if vars(order)[name]),
        placed_at=order.created_at,
        paid_at=order.paid_at,
    )
