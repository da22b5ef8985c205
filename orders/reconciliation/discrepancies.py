"""What is missing between an order, its jobs and the effects that the partners have on record, and what would mend it.

Nothing here changes anything; reconcile.py does. An effect that is on record is done, whatever became of its job; so a
job whose row somebody deleted afterwards is not missed.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

from backroom import Call
from backroom.ledger.models import Job, State
from orders import tasks
from orders.models import Repair, Status
from orders.ordering import settlement
from orders.reconciliation.expected import KEY_OF, MONEY_KEPT, Effect, OrderState

Act = Repair.Act
MENDABLE = (Act.ENQUEUED, Act.REDONE, Act.FREED)
DOUBTED = "doubted"  # a gap that is not believed in: reported together with those like it
MAILS = {key for partner, key in KEY_OF.values() if partner == "mail"}
BELIEVABLE = 10  # so many effects of one kind may be missing of jobs that succeeded; if more are, it is the records


class Gap(NamedTuple):
    """Something missing, and what is to be done: two looks that find the same find equal ones. `claims`: its job's;
    `parent`: the id of the job that it should wait for, if any; `at`: since when it may have happened unrecorded."""

    act: str
    key: str
    why: str
    claims: int = 0
    parent: str = ""
    at: datetime | None = None

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]


def gaps_of(order: OrderState, found: Collection[Effect]) -> list[Gap]:
    """What is missing of an order. `found`: the effects that the partners have on record for it."""
    done, owed = _done(order, found), _owed(order, found)
    gaps: list[Gap] = []
    for kinds in _kinds(order.status, order.paid, order.by_mail):
        before = ""
        for kind in kinds:
            key = f"{kind}:{order.number}"
            if job := order.rows.get(key):
                gaps += _gaps_of_job(key, job, before, order, done, owed)
            elif key not in done:
                gaps.append(Gap(Act.ENQUEUED, key, "there was no job for it", at=order.paid_at or order.placed_at))
            before = key
    return gaps


def _gaps_of_job(key: str, job: Job, before: str, order: OrderState, done: set[str], owed: set[str]) -> Iterator[Gap]:
    if job.state in (State.DEAD, State.CANCELLED) and key not in done:
        yield Gap(Act.REPORTED, key, f"its job is {job.state} since {job.finished_at:%Y-%m-%d %H:%M:%S}")
    if job.state == State.SUCCEEDED and key in owed - done:
        yield Gap(Act.REDONE, key, "its job had succeeded, but nothing came of it", job.claims, at=job.finished_at)
    if before and orphaned(job, order):
        parent = order.rows.get(before)
        if parent or before in done:
            why = f"it waited for a job that is gone, of {before}"
            yield Gap(Act.FREED, key, why, parent=str(parent.id) if parent else "")


def orphaned(job: Job, order: OrderState) -> bool:
    """Whether it waits for a job whose row is gone."""
    waits = job.state == State.WAITING and job.run_at is None
    return waits and all(job.after_id != other.id for other in order.rows.values())


def believe(
    gaps: dict[int, list[Gap]], blank: Collection[int], last_mail: datetime | None, redone: Collection[str]
) -> list[Gap]:
    """Take out of `gaps`, or mark there, what speaks against the partners' records rather than against our jobs: to do
    all that again would be a storm of second mails. Returns these doubts, to be reported.

    `blank`: paid orders of which there is no record at all. A mail is the one effect that no key makes one; so a mail
    is believed to be missing only if a later one is on record, `last_mail`. What was `redone` before is reported.
    """
    for number in blank:
        del gaps[number]
    missed = Counter(gap.kind for each in gaps.values() for gap in each if gap.act == Act.REDONE)
    many = {kind for kind, count in missed.items() if count > BELIEVABLE}
    for number, each in gaps.items():
        gaps[number] = [_believed(gap, many, last_mail, redone) for gap in each]
    doubts = Counter(gap.kind for each in gaps.values() for gap in each if gap.act == DOUBTED)
    why = {f"records:{kind}": f"there is no record of {count} that should be" for kind, count in doubts.items()}
    if blank:
        why["records"] = f"there is no record at all of {len(blank)} paid orders, such as {min(blank)}"
    return [Gap(Act.REPORTED, key, f"{text}: for now nothing is done about it") for key, text in why.items()]


def _believed(gap: Gap, many: Collection[str], last_mail: datetime | None, redone: Collection[str]) -> Gap:
    if gap.act == Act.REDONE and gap.key in redone:
        return gap._replace(act=Act.REPORTED, why="its job was run again, to no avail")
    unsure = gap.kind in MAILS and gap.at and (last_mail is None or last_mail < gap.at)
    if unsure or (gap.act == Act.REDONE and gap.kind in many):
        return gap._replace(act=DOUBTED)
    return gap


def missing_jobs(order: OrderState, keys: Collection[str]) -> list[Call]:
    """What to enqueue so that the jobs with these keys are there again: chains, in which a row that is there keeps its
    place. A missing row comes back under the id for which the next step waits."""
    calls = []
    for steps in _chains(order):
        left = [step for step in steps if step.key in keys or step.key in order.rows]
        for index, follower in enumerate(left[1:]):
            job = order.rows.get(str(follower.key))
            if left[index].key in keys and job and orphaned(job, order):
                left[index] = replace(left[index], id=str(job.after_id))
        if any(step.key in keys for step in left):
            calls.append(left[0].then(*left[1:]))
    return calls


def _chains(order: OrderState) -> list[list[Call]]:
    """The jobs that an order must have, chain by chain, without those that its cancellation has called off."""
    if order.status == Status.PLACED:
        heads = [settlement.settle_payment.call(order.number)]
    elif order.status in MONEY_KEPT:
        heads = settlement.follow_ups(order.number)
    elif order.paid:
        heads = _after_cancelling(order)
    else:
        heads = [settlement.void_payment.call(order.number)] * (order.status == Status.CANCELLED)
        heads += [tasks.mail_unpaid.call(order.number)] * order.by_mail
    return [[replace(step, followers=()) for step in (head, *head.followers)] for head in heads]


@cache
def _kinds(status: str, paid: bool, by_mail: bool) -> list[list[str]]:
    """The same without the number, for a look at many orders."""
    chains = _chains(OrderState(0, status, False, {}, paid=paid, by_mail=by_mail))
    return [[str(step.key).partition(":")[0] for step in steps] for steps in chains]


def _after_cancelling(order: OrderState) -> list[Call]:
    number, owed = order.number, {effect.key for effect in order.expected()}
    follow_ups = [step for head in settlement.follow_ups(number) for step in (head, *head.followers)]
    left = [replace(step, followers=()) for step in follow_ups if step.key in owed]
    return [*left, tasks.refund_payment.call(number), tasks.mail_cancellation.call(number)]


def _done(order: OrderState, found: Collection[Effect]) -> set[str]:
    """The keys of the jobs whose effect is there."""
    done = {effect.key for effect in found} | order.counted
    if order.invoiced:
        done.add(order.effect("invoice").key)
    if order.paid and done & {order.effect("void").key, order.effect("refund").key}:
        done.add(order.effect("refund").key)  # the same job does either
    return done


def _owed(order: OrderState, found: Collection[Effect]) -> set[str]:
    """The keys of the jobs whose effect must be on record once they have succeeded."""
    number, owed = order.number, {effect.key for effect in order.expected()}
    if order.status == Status.PLACED:
        owed.add(f"settle:{number}")
    if order.status == Status.CANCELLED and order.effect("authorization") in found:
        owed.add(f"{'refund' if order.paid else 'void'}:{number}")
    return owed
