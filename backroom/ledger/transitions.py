"""The life of a job. Each change of state is one SQL statement, a compare-and-set whose WHERE closes a race.

Only this package changes jobs: enqueueing.py (before its life), transitions.py (a job's own life), operations.py
(decisions from outside), lanes.py, batches.py and rescue.py. All times are the database's. Index conditions compare
with `statement_timestamp`, as PostgreSQL uses no index for `clock_timestamp`. `state || ''` keeps the planner off a
state's partial index for a single id: while any transaction stays open, dead tuples bloat that index. Errors of the
database pass through as django.db.Error.
"""

import json
from collections.abc import Sequence
from typing import Any

from django.db import DataError, IntegrityError

from backroom.ledger.errors import Permanent, Superseded
from backroom.ledger.lanes import open_lanes
from backroom.ledger.limits import LIMIT, RESULT_DEPTH, clipped
from backroom.ledger.operations import end_cancelled, expire
from backroom.ledger.sql import (
    DUE,
    EXPIRED,
    LOCK,
    MESSAGE,
    PAUSED,
    WITH_RESULT,
    Claimed,
    Message,
    messages,
    prepared,
    recording,
    returned_ids,
    rows,
)


def claim(id: str, worker: str, task: str = "") -> Claimed | None:
    """Take a ready job, of this task if given; None if it is not ready, or paused: then it is requeued for the resume;
    or too late to begin: then it is cancelled.

    Race: two workers hold a message for the same job. The first UPDATE takes it from `ready`; the other finds nothing.
    """
    sql = f"""
        UPDATE backroom_job SET state = 'running', worker = %s, started_at = clock_timestamp(),
                                claims = claims + 1, attempts = attempts + 1
        WHERE id = %s AND state || '' = 'ready' AND %s IN ('', task) AND NOT ({PAUSED}) AND NOT {EXPIRED}
        RETURNING id, args, context, key, claims, attempts, max_attempts,
                  CASE WHEN mod(place, GREATEST(places / 4, 1)) = 0 THEN lane END,
                  CASE WHEN after_id = id AND takes_result <> '' THEN takes_result END, cursor
        """  # noqa: S608 - the conditions stand in sql.py
    if not (found := prepared(sql, worker, id, task)):
        if not requeue_ready([id], paused_only=True):
            expire([id])
        return None
    return Claimed(id, *map(json.loads, found[0][1:3]), *found[0][3:])


def save_cursor(job: Claimed, cursor: dict[str, Any]) -> None:
    """Keep where a claimed job goes on. In place (HOT): no index has it. Race: as in `succeed`. Raises Superseded."""
    sql = "UPDATE backroom_job SET cursor = %s::jsonb WHERE id = %s AND state || '' = 'running' AND claims = %s"
    if not rows(f"{sql} RETURNING id", json.dumps(cursor), job.id, job.claims):
        raise Superseded(job)


def succeed(job: Claimed, result: Any) -> list[Message]:
    """Finish a job and make those that wait for it ready, or park them in their lanes; returns the messages.

    Race: the job was rescued and another worker claimed it. `claims` no longer matches, and nothing changes. Raises
    Superseded then, and Permanent for a result that is too large, too deep or not JSON: the body would return the like
    again.
    """
    try:
        text = json.dumps(result, allow_nan=False)
        if len(text) > LIMIT:
            raise Permanent(f"the task returned {len(text):,} bytes, over {LIMIT:,}: store them and return their id")
        found = _succeed(job, text)
    except (TypeError, ValueError, DataError) as error:
        raise Permanent(f"the task returned what can't be stored as JSON ({type(error).__name__})") from error
    except (RecursionError, IntegrityError) as error:
        raise Permanent(f"the task's result nests over {RESULT_DEPTH} levels deep, so it can't be stored") from error
    if not found:
        raise Superseded(job)
    return messages(found)


def _succeed(job: Claimed, result: str) -> list[tuple]:
    sql = f"""
        WITH parent AS (
            UPDATE backroom_job SET state = 'succeeded', finished_at = clock_timestamp(), result = %s::jsonb, error = ''
            WHERE id = %s AND state || '' = 'running' AND claims = %s RETURNING id, result
        ), next AS (
            UPDATE backroom_job child SET {DUE}, args = {WITH_RESULT}
            FROM parent WHERE child.after_id = parent.id AND child.state || '' = 'waiting' AND child.run_at IS NULL
            RETURNING child.id, task, queue, args, context, published_at, lane
        )
        SELECT id, NULL, NULL, NULL, NULL, NULL FROM parent UNION ALL SELECT id, {MESSAGE} FROM next WHERE lane IS NULL
        """  # noqa: S608
    return prepared(sql, result, job.id, job.claims)


def defer(job: Claimed, seconds: float, error: str, uses_attempt: bool = True) -> None:
    """Let a claimed job wait, at most 1e9 seconds (31 years): a retry uses its attempt, a snooze does not.

    Race: as in `succeed`. Or `reschedule` came meanwhile: `run_at` is after the start. Raises Superseded.
    """
    changes = """state = 'waiting', attempts = attempts - %s, unknown_since = NULL, error = %s, run_at = LEAST(
        clock_timestamp() + LEAST(%s, 1e9) * interval '1 second', CASE WHEN run_at > started_at THEN run_at END)"""
    _end(job, changes, (0 if uses_attempt else 1, clipped(error), seconds), record=uses_attempt)


def mark_dead(job: Claimed, error: str) -> None:
    """Make a claimed job a dead letter. Race: as in `succeed`. Raises Superseded."""
    _end(job, "state = 'dead', finished_at = clock_timestamp(), error = %s", (clipped(error),), record=True)


def _end(job: Claimed, changes: str, parameters: tuple, record: bool) -> None:
    """A job that a person has cancelled meanwhile is cancelled instead, as it is after `Cancelled`."""
    held = "id = %s AND state || '' = 'running' AND claims = %s AND cancel_at IS NULL"
    sql = f"UPDATE backroom_job SET {changes} WHERE {held}"  # noqa: S608
    ended = rows(recording(sql) if record else f"{sql} RETURNING id", *parameters, job.id, job.claims)
    if not ended and not end_cancelled(job.id, job.claims):
        raise Superseded(job)


def stage_due(limit: int) -> list[Message]:
    """Make up to `limit` due jobs ready, but for paused ones; returns their messages for the caller to publish. Those
    of a lane are parked there, and get a place if one is free. Those that are too late to begin are cancelled.

    Race: two dispatchers look at once. SKIP LOCKED gives each rows of its own. The stamp stands before the broker has
    the message, as in `insert`: a dispatcher that dies in between leaves a lost message, which the rescue finds.
    """
    sql = f"""
        WITH due AS (SELECT id, {EXPIRED} AS expired FROM backroom_job
                     WHERE state = 'waiting' AND run_at <= statement_timestamp()
                     AND NOT ({PAUSED}) ORDER BY run_at LIMIT %s {LOCK}),
        staged AS (
            UPDATE backroom_job job SET {DUE}
            FROM due WHERE job.id = due.id AND NOT expired RETURNING job.id, {MESSAGE}, lane)
        SELECT * FROM staged UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL, NULL FROM due WHERE expired
        """  # noqa: S608
    found = rows(sql, limit)
    if expired := [str(id) for id, task, *_ in found if task is None]:
        expire(expired)
    parked = {row[-1] for row in found if row[-1]}
    return messages(row[:-1] for row in found if not row[-1]) + (open_lanes(parked) if parked else [])


def requeue_ready(which: Sequence[str], paused_only: bool = False) -> list[str]:
    """Let ready jobs wait for a dispatcher again, due since they were; returns their ids. For jobs that have no message
    (the broker refused or lost it), and for paused ones, whose message is spent.

    Race: the broker has a message after all, and a worker claims the job. It is no longer `ready`, and stays claimed.
    Or a pause ends between the claim and this: the job stays `ready` without a message, and the rescue finds it.
    Or another dispatcher has requeued and published it since: a second message goes out, whose claim finds nothing.
    Or a transaction has locked it: the rescue finds it later.
    """
    sql = f"""WITH ours AS (SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[]) AND state || '' = 'ready'
                            AND (NOT %s OR {PAUSED}) {LOCK})
              UPDATE backroom_job job SET state = 'waiting', run_at = COALESCE(run_at, published_at)
              FROM ours WHERE job.id = ours.id RETURNING job.id"""  # noqa: S608
    return returned_ids(sql, list(which), paused_only)


def defer_unknown(jobs: Claimed | Sequence[str], why: str, window: float) -> None:
    """Let a job wait whose task, queue or arguments this process does not know: ready jobs by id, or a claimed one.

    During a deploy another process may know them. So the job waits one second, and a little longer each time, and uses
    no attempt. Once it has been unknown for `window` seconds it is dead.

    Race: as in `requeue_ready`, or for a claimed one as in `succeed`: then it raises Superseded.
    """
    unknown_for = "COALESCE(extract(epoch FROM clock_timestamp() - unknown_since), 0)"
    claimed = isinstance(jobs, Claimed)
    condition = "state || '' = 'running' AND claims = %s" if claimed else "state || '' = 'ready'"
    lock = "FOR NO KEY UPDATE" if claimed else LOCK
    change = f"""
        UPDATE backroom_job SET error = %s, attempts = attempts - (state = 'running')::int,
            unknown_since = COALESCE(unknown_since, clock_timestamp()),
            state = CASE WHEN {unknown_for} > %s THEN 'dead' ELSE 'waiting' END,
            run_at = clock_timestamp() + LEAST(GREATEST({unknown_for}, 1), 15) * interval '1 second',
            finished_at = CASE WHEN {unknown_for} > %s THEN clock_timestamp() END
        WHERE id = ANY(ARRAY(SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[]) AND {condition} {lock}))
        """  # noqa: S608 - the conditions stand above
    which = ([jobs.id], jobs.claims) if isinstance(jobs, Claimed) else (list(jobs),)
    if not rows(recording(change, "state = 'dead'"), why, window, window, *which) and isinstance(jobs, Claimed):
        raise Superseded(jobs)
