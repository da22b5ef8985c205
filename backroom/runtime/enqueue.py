"""Enqueueing: rows in the caller's transaction, one INSERT for all; ids to the broker on commit, one round trip."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from itertools import count, islice
from typing import Any, NamedTuple

from django.db import transaction

from backroom.ledger import enqueueing, operations
from backroom.ledger.sql import Message
from backroom.observe import context, progress
from backroom.runtime import backpressure, duplicates, publisher
from backroom.runtime.call import Call, check_calls

SLICE = 1_000  # calls that enqueue_many holds at a time
APART = 0.1  # seconds between two slices: else all others that become due wait for the last one to be published


def enqueue_all(*calls: Call) -> list[str]:
    """Enqueue calls with their followers in the caller's transaction; return the id of each call's job.

    If a job has the key, its id is returned and nothing is enqueued. No job is visible before the commit, and
    none is left after a rollback. A failing broker costs a fraction of a second at most and never raises: the
    dispatcher publishes later. Raises django.db.Error, TypeError or ValueError for bad arguments, and Overloaded if
    every task has `shed=True` and a queue refuses them; then nothing is written.
    """
    check_calls("what is enqueued", calls)
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
    if not isinstance(calls, Iterable):
        raise TypeError(f"calls are an iterable, such as [task.call(1)], not {calls!r:.100}")
    source = iter(calls)
    for place in count():
        if not (some := list(islice(source, SLICE))):
            return
        check_calls("what is enqueued", some)
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
        new = [row for row in rows if row["id"] not in held] if held else rows
        inserted = enqueueing.insert(new) if new else {}
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
    ids = enqueueing.ids_of(keys) if (keys := [row["key"] for row in taken if row["key"]]) else {}
    if purged := [row for row in taken if row["key"] not in ids and row["id"] not in held]:
        inserted |= enqueueing.insert(purged)
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
    same = enqueueing.same_jobs(taken)
    for row in taken:
        if row["id"] not in same:
            raise ValueError(f"{row['task']}: another job has the id {row['id']}, with other arguments or another task")
