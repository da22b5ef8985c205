"""Enqueueing: rows in the caller's transaction, one INSERT for all; ids to the broker on commit, one round trip."""

import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any, NamedTuple

from celery import current_app
from django.db import transaction

from backroom.ledger import operations, transitions
from backroom.ledger.sql import Message
from backroom.observe import context, progress
from backroom.runtime import argument_types, backpressure, duplicates, lane, publisher, storable
from backroom.runtime.duplicates import Unique
from backroom.runtime.lane import Lane

KEY_LIMIT = 200  # characters, as the column has
SLICE = 1_000  # calls that enqueue_many holds at a time
APART = 0.1  # seconds between two slices: else all others that become due wait for the last one to be published


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, 6.2, method 3: 12 bits of time below a millisecond). A process's ids sort in the
    order in which it made them, and the primary key finds the newest jobs."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    parts = (milliseconds << 80) | (7 << 76) | ((rest * 4096 // 1_000_000) << 64) | (2 << 62)
    text = f"{parts | secrets.randbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True)
class Call:
    """A task with its arguments, not yet enqueued: what `task.call(...)` returns.

    `max_attempts` and `key` come from the task's declaration; `followers` are enqueued with it and run one after
    the other, each when the one before has succeeded. `takes_result` names the argument that gets its result.
    """

    task: str
    args: dict[str, Any]
    queue: str
    max_attempts: int
    key: str | None = None
    run_after: timedelta | datetime | None = None
    takes_result: str = ""
    id: str | None = None
    shed: bool = False  # whether a full queue may refuse it
    lane: Lane | None = None
    expires: timedelta | datetime | None = None  # cancelled if not begun by then
    unique: Unique | None = None
    batch_id: str | None = None
    opens_batch: bool = False  # whether it is a batch's callback, which waits for itself until the batch releases it
    followers: tuple["Call", ...] = ()

    def then(self, *calls: "Call") -> "Call":
        """This call, followed by others in turn; they survive whatever dies between two steps. Raises ValueError for a
        follower with a time of its own, and for one that is unique."""
        steps = tuple(step for call in calls for step in (replace(call, followers=()), *call.followers))
        if late := [step.task for step in steps if step.run_after is not None]:
            raise ValueError(f"{late[0]} can't have a time of its own: it runs when the one before has succeeded")
        if names := [step.task for step in steps if step.unique]:
            raise ValueError(f"{names[0]} is unique and can't follow: the job that has its name may run before the one"
                             " before. Enqueue it in the body of that one")  # fmt: skip
        return replace(self, followers=self.followers + steps)

    def row(self, after_id: str | None, captured: dict[str, Any]) -> dict[str, Any]:
        """The ledger's row for this call. Raises TypeError or ValueError for what can't be an argument."""
        self.check()
        id = self.id or new_id()
        row = {
            "id": id,
            "task": self.task,
            "queue": self.queue,
            "args": self.args,
            "key": self.key,
            "max_attempts": self.max_attempts,
            "after_id": id if self.opens_batch else after_id,
            "takes_result": self.takes_result,
            "context": captured,
            **_time("delay", "moment", self.run_after),
            **_time("expires_in", "expires_on", self.expires),
        }
        if self.lane:
            row |= {"lane": self.lane.name, "places": self.lane.places, "dead_blocks": self.lane.dead_blocks}
        if self.unique:
            row |= self.unique._asdict()
        return row | {"batch_id": self.batch_id} if self.batch_id else row

    def check(self) -> None:
        """Raises TypeError or ValueError for what can't be enqueued."""
        try:
            storable.check_arguments(self.args)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.task}: its arguments can't be enqueued: {error}") from error
        argument_types.check(self.task, self.args, besides=(self.takes_result,))  # the result is yet to come
        if self.key and self.unique:
            raise ValueError(f"{self.task}: a key is unique for ever: give it a key or a unique name")
        for what, name in (("key", self.key), ("unique name", self.unique.name if self.unique else None)):
            if name and len(name) > KEY_LIMIT:
                raise ValueError(f"{self.task}: its {what} is over {KEY_LIMIT} characters long")
        if self.lane and len(self.lane.name) > lane.LIMIT:
            raise ValueError(f"{self.task}: its lane's name is over {lane.LIMIT} characters long")
        if self.queue not in current_app.amqp.queues:
            raise ValueError(f"{self.task}: no queue {self.queue!r}; there are {', '.join(current_app.amqp.queues)}")
        for option in ("run_after", "expires"):
            if (when := getattr(self, option)) is not None:
                storable.check_time(f"{self.task}: {option}", when)


def _time(seconds: str, moment: str, when: timedelta | datetime | None) -> dict[str, Any]:
    if isinstance(when, timedelta):
        return {seconds: when.total_seconds()}
    return {moment: when.isoformat()} if when else {}


def enqueue_all(*calls: Call) -> list[str]:
    """Enqueue calls with their followers in the caller's transaction; return the id of each call's job.

    If a job has the key, its id is returned and nothing is enqueued. No job is visible before the commit, and
    none is left after a rollback. A failing broker costs a fraction of a second at most and never raises: the
    dispatcher publishes later. Raises django.db.Error, TypeError or ValueError for bad arguments, and Overloaded if
    every task has `shed=True` and a queue refuses them; then nothing is written.
    """
    ids, messages, *_ = write(calls)
    publish_on_commit(messages)
    return ids


def publish_on_commit(messages: list[Message]) -> None:
    def publish() -> None:
        # A nested function: Django 5.2 can't log a failing functools.partial (its ticket 19609).
        publisher.publish(messages)

    if messages:
        transaction.on_commit(publish, robust=True)


def enqueue_many(calls: Iterable[Call]) -> int:
    """Enqueue any number of calls, as enqueue_all does; returns how many. It reads and inserts SLICE of them at a time,
    so memory stays flat.

    Once they are committed, a dispatcher publishes them. This process would have to hold all their messages until the
    commit, and a request would wait for the broker to take them.
    """
    with transaction.atomic():
        return sum(len(write(some).ids) for some in slices(calls))


def slices(calls: Iterable[Call], at_once: int = 0) -> Iterator[list[Call]]:
    """SLICE calls at a time. After the first `at_once` slices, a dispatcher is to publish each later than the last. A
    lane is a stagger of its own, and a time would keep its jobs out of it."""
    source = iter(calls)
    for place in count():
        if not (some := list(islice(source, SLICE))):
            return
        due = None if place < at_once else timedelta(seconds=APART * place)
        yield [call if call.run_after is not None or call.lane else replace(call, run_after=due) for call in some]


class Written(NamedTuple):
    """The id of each call's job, the messages to publish, how many jobs are new, and those that had a call's key."""

    ids: list[str]
    messages: list[Message]
    new: int
    known: Collection[str]


def write(calls: Sequence[Call]) -> Written:
    """Insert the jobs of calls with one INSERT, in the caller's transaction."""
    captured = context.capture()
    chains = [_chain(call, captured) for call in calls]
    rows = [row for chain in chains for row in chain]
    if len({row["id"] for row in rows}) < len(rows):
        raise ValueError("two of these calls have one id")
    steps = [step for call in calls for step in (call, *call.followers)]
    if all(step.shed for step in steps):
        backpressure.check(step.queue for step in steps)
    # A chain may follow a job that exists already, and a call be refused: then none of the statements counts.
    # A caller may go on after Duplicate, so that one gets a savepoint.
    newcomers = [head for (head, *_), call in zip(chains, calls, strict=True) if call.unique]
    with transaction.atomic(savepoint=bool(newcomers)) if newcomers or len(rows) > 1 else nullcontext():
        held = duplicates.settle(newcomers)
        inserted = transitions.insert([row for row in rows if row["id"] not in held] if held else rows)
        known = _existing(rows, inserted, held)
    messages = [
        Message(row["id"], row["task"], row["queue"], row["args"], row["context"], stamp)
        for row in rows
        if (stamp := inserted.get(row["id"])) is not None
    ]
    ids = [known.get(head["id"], head["id"]) for head, *_ in chains]
    return Written(ids, messages, len(inserted), known.values())


def _chain(call: Call, captured: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a call and its followers, each behind the one before."""
    rows: list[dict[str, Any]] = []
    for step in (call, *call.followers):
        rows.append(step.row(rows[-1]["id"] if rows else None, captured))
    return rows


def _existing(
    rows: list[dict[str, Any]], inserted: dict[str, float | None], held: dict[str, str]
) -> dict[str, str]:  # fmt: skip
    """New id → id of the job that has the key or, in `held`, the unique name. Those behind the new id are relinked.

    Race: the old job is purged between the two statements. Then the new one is inserted after all.
    """
    taken = [row for row in rows if row["id"] not in inserted]
    if not taken:
        return {}
    ids = transitions.ids_of(keys) if (keys := [row["key"] for row in taken if row["key"]]) else {}
    if purged := [row for row in taken if row["key"] not in ids and row["id"] not in held]:
        inserted |= transitions.insert(purged)
        _check_ids([row for row in purged if row["id"] not in inserted])
    known = held | {row["id"]: ids[row["key"]] for row in taken if row["key"] in ids}
    if progress.current_id() in {known.get(row["id"], row["id"]) for row in taken}:
        raise ValueError(
            "a job can't enqueue itself: raise Snooze to run it again, or give the new one another key or name"
        )
    for row in rows:
        if row["id"] in inserted and row["after_id"] in known:
            operations.relink(row["id"], known[row["after_id"]])
    return known


def _check_ids(taken: list[dict[str, Any]]) -> None:
    """Raises ValueError unless the jobs that have these ids are the same ones, enqueued before."""
    same = transitions.same_jobs(taken)
    for row in taken:
        if row["id"] not in same:
            raise ValueError(f"{row['task']}: another job has the id {row['id']}, with other arguments or another task")
