"""A batch: any number of calls, and one that is enqueued with them and runs when they have all ended."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from django.db import transaction

from backroom.ledger import batches
from backroom.ledger.sql import rows
from backroom.observe import context, progress
from backroom.runtime import storable
from backroom.runtime.call import Call, check_calls, new_id
from backroom.runtime.enqueue import publish_on_commit, slices, write

IfDead = Literal["wait", "go on", "cancel"]
NONE = "there is no batch {!r}: give the id that batch() has returned"


def batch(
    calls: Iterable[Call],
    *,
    then: Call,
    on_dead: Call | None = None,
    if_dead: IfDead = "wait",
    within: str | None = None,
) -> str:
    """Enqueue any number of calls in the caller's transaction, and `then`, which runs once they have all succeeded;
    returns the id of its job, which is the batch's. With `using(takes_result="sizes")` its argument `sizes` gets the
    list of their results.

    While a member is dead or cancelled, `if_dead` says: wait until a person has replayed it, or cancels the callback;
    go on as if it had succeeded; or cancel the members that have not begun, and the callback. In each case `on_dead` is
    enqueued, once. `within` is another batch, of which `then` becomes a member.

    If a job has the key of `then`, its id is returned and nothing is enqueued. One with a member's key or unique name
    joins. Raises ValueError if that one is in another batch, dead or cancelled, and if `within` has ended.
    """
    _check(then, on_dead, if_dead, within)
    complaint = None
    if on_dead:
        complaint = replace(on_dead, run_after=on_dead.run_after or timedelta()).row(None, context.capture())
    id = then.id or new_id()
    with transaction.atomic():
        callback = replace(then, id=id, opens_batch=True)
        (known,), _, new, _ = write([_member(callback, within) if within else callback])
        if known != id or not batches.begin(id, if_dead, complaint):
            transaction.set_rollback(True)  # the followers, too
            return known
        if within:
            _count(within, new)
        _add(id, calls)
    return id


def _check(then: Call, on_dead: Call | None, if_dead: str, within: str | None) -> None:
    if if_dead not in get_args(IfDead):
        raise ValueError(f"if_dead is one of {', '.join(get_args(IfDead))}, not {if_dead!r}")
    check_calls("a batch's then", [then])
    check_calls("a batch's on_dead", [on_dead] if on_dead else [])
    if then.run_after is not None:
        raise ValueError("a batch's callback has no time of its own: it runs after its members")
    if on_dead and on_dead.followers:
        raise ValueError("on_dead is one job, without followers")
    if then.unique or (on_dead and on_dead.unique):
        raise ValueError("then and on_dead can't be unique, as another job would stand for them: give then a key")
    if within and not storable.is_id(within):
        raise ValueError(NONE.format(within))


def grow(calls: Iterable[Call]) -> None:
    """Add calls to the batch of the job whose body runs here. An attempt that is repeated adds them again, unless they
    have keys or the task is atomic. Raises ValueError outside of a batch, and as `batch` does."""
    found = rows(
        "SELECT batch_id::text FROM backroom_job WHERE id = %s AND batch_id IS NOT NULL", progress.current_id()
    )
    if not found:
        raise ValueError("grow() adds to the batch of the job that calls it, and this is no member of one")
    with transaction.atomic():
        _add(found[0][0], calls)


def _member(call: Call, id: str) -> Call:
    return replace(call, batch_id=id, followers=tuple(replace(step, batch_id=id) for step in call.followers))


def _add(id: str, calls: Iterable[Call]) -> None:
    count = 0
    for some in slices(calls, at_once=1):
        _, messages, new, known = write([_member(call, id) for call in some])
        publish_on_commit(messages)
        count += new
        if known:
            joined, refused = batches.join(id, list(known))
            count += joined
            if refused:
                raise ValueError(f"job {refused[0]} has a member's key or unique name, but is in another batch, dead or"
                                 " cancelled")  # fmt: skip
    _count(id, count)


def _count(id: str, members: int) -> None:
    if not batches.grow(id, members):
        raise ValueError(f"batch {id} has ended: it takes no more members" if overview(1, id) else NONE.format(id))


def results(id: str) -> list[Any]:
    """The members' results in the order of enqueueing, of a chain the last step's; None where one gave up."""
    sql = """
        SELECT result FROM backroom_job member WHERE batch_id = %s AND NOT EXISTS (SELECT FROM backroom_job step
            WHERE step.after_id = member.id AND step.batch_id = member.batch_id AND step.id <> member.id) ORDER BY id
        """
    return [None if result is None else json.loads(result) for (result,) in rows(sql, id)]


class Progress(NamedTuple):
    """A batch as it was counted last. `waits_for` is "members", "a person", or the state of its callback."""

    id: str
    task: str
    key: str | None
    total: int
    succeeded: int
    dead: int
    cancelled: int
    created_at: datetime
    ended_at: datetime | None
    waits_for: str

    def __str__(self) -> str:
        return self.key or f"{self.task or 'batch'} {self.id}"


def overview(limit: int = 100, id: str | None = None) -> list[Progress]:
    """The open batches, the newest first; or the one of this id. It counts nothing."""
    sql = f"""
        SELECT batch.id::text, COALESCE(task, ''), key, total, succeeded, dead, cancelled, batch.created_at, ended_at,
               CASE WHEN ended_at IS NOT NULL THEN COALESCE(state, 'deleted')
                    WHEN if_dead = 'wait' AND dead + cancelled > 0 THEN 'a person' ELSE 'members' END
        FROM backroom_batch batch LEFT JOIN backroom_job callback ON callback.id = batch.id
        WHERE {"batch.id = %s" if id else "ended_at IS NULL"} ORDER BY batch.created_at DESC LIMIT %s
        """  # noqa: S608 - the conditions stand here
    return [Progress(*row) for row in rows(sql, *[id] if id else [], limit)]
