"""The discrepancies between an order, its jobs and the partners' records, and the repair for each.

This module changes nothing; reconcile.py does. A recorded effect is done, whatever happened to its job: a job whose row
was deleted after its effect is not missing.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from backroom import Call
from backroom.ledger.models import Job, State
from notifications import transitions
from notifications.models import Notice
from orders import follow_ups
from orders.follow_ups import REFUND, SETTLE, VOID, FollowUp, When
from orders.models import Repair, Status
from orders.reconciliation.expected import MONEY_KEPT, Effect, OrderState

Act = Repair.Act
REPAIRABLE = (Act.ENQUEUED, Act.REDONE, Act.FREED)
DOUBTED = "doubted"  # probably the records are incomplete: reported, one line for each kind
UNREPORTED = timedelta(days=2)  # after which the warehouse should have reported a parcel that it accepted
BELIEVABLE = 10  # missing effects of one kind whose jobs succeeded; with more, the records are incomplete


class Discrepancy(NamedTuple):
    """Equal for two looks that find the same. `claims`: of its job; `parent`: the id of the job to wait for, or "";
    `at`: the earliest time of an effect that is not on record."""

    act: str
    key: str
    why: str
    claims: int = 0
    parent: str = ""
    at: datetime | None = None

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]


def discrepancies_of(order: OrderState, found: Collection[Effect]) -> list[Discrepancy]:
    """The discrepancies of an order. `found`: the partners' records of it."""
    done, owed = _done(order, found), _owed(order, found)
    result: list[Discrepancy] = []
    for chain in _chains(order):
        before = ""
        for step in chain:
            key = step.key(order.number)
            if job := order.rows.get(key):
                result += _of_job(key, job, before, order, done, owed)
            elif key not in done:
                since = order.paid_at or order.placed_at
                result.append(Discrepancy(Act.ENQUEUED, key, "there was no job for it", at=since))
            before = key
    for notice in order.notices.values():
        key, effect = str(transitions.call(notice).key), Effect(notice.channel, notice.kind, notice.key)
        if notice.state == Notice.State.WAITING and key not in order.rows and effect not in found:
            result.append(Discrepancy(Act.ENQUEUED, key, "there was no job for it", at=notice.created_at))
    if order.status == Status.PAID and order.reached == (When.SENT,) and _long_ago(order.sent_at):
        why = f"the warehouse has not reported its parcel for {UNREPORTED.days} days"
        result.append(Discrepancy(Act.REPORTED, f"shipped:{order.number}", why))
    return result


def _long_ago(sent_at: datetime | None) -> bool:
    return sent_at is not None and sent_at < datetime.now(UTC) - UNREPORTED


def _of_job(
    key: str, job: Job, before: str, order: OrderState, done: set[str], owed: set[str]
) -> Iterator[Discrepancy]:
    if job.state in (State.DEAD, State.CANCELLED) and key not in done:
        yield Discrepancy(Act.REPORTED, key, f"its job is {job.state} since {job.finished_at:%Y-%m-%d %H:%M:%S}")
    if job.state == State.SUCCEEDED and key in owed - done:
        yield Discrepancy(Act.REDONE, key, "its job had succeeded, but left no effect", job.claims, at=job.finished_at)
    if before and orphaned(job, order):
        parent = order.rows.get(before)
        if parent or before in done:
            why = f"it waited for a deleted job, of {before}"
            yield Discrepancy(Act.FREED, key, why, parent=str(parent.id) if parent else "")


def orphaned(job: Job, order: OrderState) -> bool:
    """Whether it waits for a job whose row is gone."""
    waits = job.state == State.WAITING and job.run_at is None
    return waits and all(job.after_id != other.id for other in order.rows.values())


def doubt(
    found: dict[int, list[Discrepancy]], blank: Collection[int], last_mail: datetime | None, redone: Collection[str]
) -> list[Discrepancy]:
    """Remove from `found`, or mark there, what the partners' lost records would explain: to repair it would do
    effects twice. Returns the doubts, to be reported.

    `blank`: paid orders without any record. `redone`: keys of jobs that ran again before; those are reported. Mail
    has no idempotency key, so a mail counts as missing only if a later one is on record (`last_mail`).
    """
    for number in blank:
        del found[number]
    missed = Counter(one.kind for each in found.values() for one in each if one.act == Act.REDONE)
    many = {kind for kind, count in missed.items() if count > BELIEVABLE}
    for number, each in found.items():
        found[number] = [_believed(one, many, last_mail, redone) for one in each]
    doubts = Counter(one.kind for each in found.values() for one in each if one.act == DOUBTED)
    why = {f"records:{kind}": f"{count} expected effects have no record" for kind, count in doubts.items()}
    if blank:
        why["records"] = f"{len(blank)} paid orders have no record at all, such as {min(blank)}"
    return [Discrepancy(Act.REPORTED, key, f"{text}: no repair for now") for key, text in why.items()]


def _believed(
    one: Discrepancy, many: Collection[str], last_mail: datetime | None, redone: Collection[str]
) -> Discrepancy:
    if one.act == Act.REDONE and one.key in redone:
        return one._replace(act=Act.REPORTED, why="its job ran again and left no effect")
    mails = {step.kind for step in follow_ups.FOLLOW_UPS if step.effect and step.effect[0] == "mail"}
    unsure = one.kind in mails and one.at and (last_mail is None or last_mail < one.at)
    if unsure or (one.act == Act.REDONE and one.kind in many):
        return one._replace(act=DOUBTED)
    return one


def missing_jobs(order: OrderState, keys: Collection[str]) -> list[Call]:
    """The calls that bring the jobs with these keys back, in chains in which existing rows keep their place. A missing
    row gets the id for which the next step waits."""
    calls = []
    for chain in _chains(order):
        steps = [step.call(order.number) for step in chain]
        left = [step for step in steps if step.key in keys or step.key in order.rows]
        for index, follower in enumerate(left[1:]):
            job = order.rows.get(str(follower.key))
            if left[index].key in keys and job and orphaned(job, order):
                left[index] = replace(left[index], id=str(job.after_id))
        if any(step.key in keys for step in left):
            calls.append(left[0].then(*left[1:]))
    notices = map(transitions.call, order.notices.values())
    return calls + [call for call in notices if call.key in keys]


def _chains(order: OrderState) -> list[list[FollowUp]]:
    """The follow-ups that an order must have, in chains, without those that its cancellation stopped."""
    if order.status == Status.PLACED:
        return follow_ups.chains(When.PLACED)
    if order.status in MONEY_KEPT:
        return follow_ups.chains(*order.caused)
    if order.paid:
        kept = [[step] for step in follow_ups.of(When.PAID) if step.effect and not step.stops]
        return kept + follow_ups.chains(*follow_ups.ending(order.credited))
    voided = follow_ups.chains(When.VOIDED) if order.status == Status.CANCELLED else []
    return voided + (follow_ups.chains(When.UNPAID) if order.by_mail else [])


def _done(order: OrderState, found: Collection[Effect]) -> set[str]:
    """The keys of the jobs whose effect exists."""
    done = {effect.key for effect in (*found, *order.documents)} | order.counted | order.notices.keys()
    refund = REFUND.key(order.number)
    return done | {refund} if order.paid and VOID.key(order.number) in done else done  # one job does either


def _owed(order: OrderState, found: Collection[Effect]) -> set[str]:
    """The keys of the jobs whose effect must be on record once they have succeeded."""
    owed = {effect.key for effect in order.expected}
    if order.status == Status.PLACED:
        owed.add(SETTLE.key(order.number))
    if order.status == Status.CANCELLED and order.effect("authorization") in found:
        owed.add((REFUND if order.paid else VOID).key(order.number))
    return owed
