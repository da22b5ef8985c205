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

A paid order also has the label once the warehouse has accepted it, and a notice of each of its reports, until its
customer is erased. A notice is on record at the partner of its channel: at mail, if another one failed before, there,
too; nowhere, if it was no longer wanted when its turn came.

An invoice or a credit note of a batch that was sent is on record at the accounting partner.

Any of the four effects on the payment may happen; audit.py judges whether they fit together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from backroom.ledger.models import LIVE, Job, State
from notifications.models import Channel, Notice
from orders import follow_ups
from orders.follow_ups import FollowUp, When
from orders.models import Status

MONEY_KEPT = {Status.PAID, Status.ON_HOLD}
MONEY = ("authorization", "charge", "void", "refund")
BOOKED = {"invoiced": "booked-invoice", "noted": "booked-credit-note"}  # at the accounting partner, by OrderState


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
    notices = {one.kind: (Channel.MAIL.value, one.kind) for one in follow_ups.FOLLOW_UPS if one.notice}
    booked = {kind: ("accounting", kind) for kind in BOOKED.values()}
    return {"authorization": ("payments", "payment"), **found, **notices, **booked}


def message_kinds() -> set[str]:
    """The kinds of mails, SMS and notifications in the browser that orders cause."""
    mails = {one.effect[1] for one in follow_ups.FOLLOW_UPS if one.effect and one.effect[0] == Channel.MAIL}
    return mails | {one.kind for one in follow_ups.FOLLOW_UPS if one.notice}


@dataclass
class OrderState:
    """An order by our own tables. `jobs` are states by key, `invoiced`, `noted` and `labelled` whether its invoice,
    credit note and label exist, `sent` whether its shipment was requested, `by_mail` whether a mail says that it ended
    unpaid, `credited` whether it needs a credit note, `moved` whether its status has changed since, `reached` what
    became of its parcel, `notices` by key, `booked` the kinds of its bookings that the accounting partner confirmed.

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
    labelled: bool = False
    booked: frozenset[str] = frozenset()
    erased: bool = False
    reached: tuple[When, ...] = ()
    notices: dict[str, Notice] = field(default_factory=dict)
    moved: bool = False
    rows: dict[str, Job] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    placed_at: datetime | None = None
    paid_at: datetime | None = None
    sent_at: datetime | None = None

    def effect(self, kind: str) -> Effect:
        partner, key = effect_keys()[kind]
        return Effect(partner, kind, f"{key}:{self.number}")

    @property
    def documents(self) -> list[Effect]:
        """The effects that our own tables hold."""
        kinds = {"invoice": self.invoiced, "credit_note": self.noted, "label": self.labelled}
        return [self.effect(kind) for kind, exists in kinds.items() if exists]

    @cached_property
    def expected(self) -> list[Effect]:
        """The effects that must exist once all jobs are done."""
        steps = follow_ups.of(*self.caused)
        if self.status == Status.ON_HOLD:
            steps = [step for step in steps if not step.on_hold]
        elif self.status == Status.CANCELLED and self.paid:
            steps = [step for step in steps if not step.stops]
            # A payment that was never captured is void instead of refunded: audit.py judges that.
            ended = follow_ups.of(*follow_ups.ending(self.credited))
            steps += [step for step in ended if step is not follow_ups.REFUND]
        elif self.status != Status.PAID:
            return self._effects(follow_ups.of(When.UNPAID)) if self.by_mail else []
        return [self.effect("authorization"), *self._effects(steps), *map(self.effect, sorted(self.booked))]

    @property
    def caused(self) -> tuple[When, ...]:
        """The changes whose follow-ups an order needs that is paid, and those that it needed before its end."""
        return (When.PAID, *(() if self.erased else self.reached))

    @cached_property
    def fitting(self) -> frozenset[Effect]:
        """The effects that must or may exist."""
        fitting = {*self.expected, *(self.effect(kind) for kind in MONEY)}
        fitting |= {self.effect(kind) for document, kind in BOOKED.items() if vars(self)[document]}
        if self.status == Status.CANCELLED and self.paid:
            stopped = (step for step in follow_ups.of(When.PAID) if step.stops)
            fitting |= {effect for effect in self._effects(stopped) if self.sent or effect.kind != "shipment"}
        for step in follow_ups.of(*self.reached):
            if step.effect:
                fitting.add(Effect(*step.effect, step.key(self.number)))
            elif step.notice:
                fitting |= {Effect(channel, step.kind, step.key(self.number)) for channel in self._channels(step)}
        return frozenset(fitting)

    def _channels(self, step: FollowUp) -> list[str]:
        """Those by which its notice may have been sent, also before mail took over or it was no longer wanted."""
        notice = self.notices.get(step.key(self.number))
        if notice is None or notice.channel == Channel.MAIL or notice.state == Notice.State.UNWANTED:
            return list(Channel.values)
        return [notice.channel]

    def _effects(self, steps: Iterable[FollowUp]) -> list[Effect]:
        return [effect for step in steps if (effect := self._effect(step))]

    def _effect(self, step: FollowUp) -> Effect | None:
        key = step.key(self.number)
        if not step.notice:
            return Effect(*step.effect, key) if step.effect else None
        if (notice := self.notices.get(key)) and notice.state == Notice.State.UNWANTED:
            return None
        return Effect(notice.channel if notice else Channel.MAIL.value, step.kind, key)

    def unfinished(self) -> bool:
        """Whether its status has just changed or a job is alive. While it is on hold, jobs that wait for a person do
        not count, nor do those of later days."""
        held = keys_later(self.number) + (keys_on_hold(self.number) if self.status == Status.ON_HOLD else [])
        return self.moved or any(state in LIVE and key not in held for key, state in self.jobs.items())

    def why_missing(self, effect: Effect) -> str:
        """Why it has not happened, for people; of a cancelled job also who cancelled it."""
        if effect.kind in self.booked:
            return "the partner had confirmed its batch"
        key = f"{effect.partner}:{effect.key}" if effect.key in self.notices else effect.key
        state = self.jobs.get(key)
        if state is None:
            return "there is no job for it"
        why = str(vars(self.rows[key])["why"]) if state == State.CANCELLED and key in self.rows else ""
        return f"its job is {state}" + (why and f" ({why.partition(chr(10))[0]})")


def keys_on_hold(number: int) -> list[str]:
    """The keys of the jobs that wait for a person while an order is on hold."""
    return [step.key(number) for step in follow_ups.FOLLOW_UPS if step.on_hold]


def keys_later(number: int) -> list[str]:
    """The keys of the jobs that run days after the others."""
    return [step.key(number) for step in follow_ups.FOLLOW_UPS if step.later]


def kinds_of_jobs() -> list[str]:
    """All that the key of an order's job has before the number."""
    notices = [f"{channel}:{step.kind}" for channel in Channel.values for step in follow_ups.FOLLOW_UPS if step.notice]
    return [*notices, *(step.kind for step in follow_ups.FOLLOW_UPS)]


def key_pattern() -> str:
    """A regular expression for the keys of jobs of orders."""
    return f"^({'|'.join(kinds_of_jobs())}):[0-9]+$"
