"""The life of a job, each change of its state one SQL statement. Only this module, control.py and rescue.py write the
ledger.

Plain SQL because each is a compare-and-set that must be one round trip: a reader sees the race it closes in its
WHERE. All times are the database's own, so the clocks of other machines don't matter; what an index is asked for is
compared with `statement_timestamp`, as for `clock_timestamp` no index is used. `state || ''` keeps PostgreSQL from
looking for one id in the small index of a state, which is full of dead rows while somebody's transaction is left open.
Errors of the database pass through as django.db.Error.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DataError

from backroom.ledger.errors import Permanent, Superseded
from backroom.ledger.sql import PAUSED, STAMP, Claimed, Message, messages, rows
from backroom.observe import recorder

# PostgreSQL knows earlier and later times, and infinity; Python can't read such a row, nor any answer that it is in.
READABLE = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


def insert(jobs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Insert jobs in one statement; return the ids of those that are new, each with its stamp if it is to be
    published. A key that has a job already is left alone.

    A row without delay, moment or predecessor starts as `ready`, stamped as published although the broker learns of
    it only after the commit: that saves an UPDATE on the customer's path. A publish that fails takes it back
    (`unpublish`); a process that dies before it publishes looks like a lost message (rescue.give_back_unclaimed).
    """
    found = rows(
        f"""
        INSERT INTO backroom_job (id, task, queue, args, key, max_attempts, after_id, takes_result, context,
                              state, run_at, published_at, claims, attempts, worker, error)
        SELECT id, task, queue, args, key, max_attempts, after_id, takes_result, context,
               CASE WHEN after_id IS NULL AND delay IS NULL AND moment IS NULL THEN 'ready' ELSE 'waiting' END,
               COALESCE(moment, statement_timestamp() + delay * interval '1 second'),
               CASE WHEN after_id IS NULL AND delay IS NULL AND moment IS NULL THEN statement_timestamp() END,
               0, 0, '', ''
        FROM jsonb_to_recordset(%s::jsonb) AS row (id uuid, task text, queue text, args jsonb, key text,
             max_attempts int, after_id uuid, takes_result text, context jsonb, delay float, moment timestamptz)
        ON CONFLICT DO NOTHING RETURNING id, {STAMP}
        """,  # noqa: S608 - STAMP stands in rows.py
        json.dumps(jobs),
    )
    return {str(id): stamp for id, stamp in found}


def ids_of(keys: Sequence[str]) -> dict[str, str]:
    """The ids of the jobs that have these keys, kept from being purged until the transaction ends."""
    found = rows("SELECT key, id FROM backroom_job WHERE key = ANY(%s) FOR KEY SHARE", list(keys))
    return {key: str(id) for key, id in found}


def follow(child: str, parent: str) -> bool:
    """Make a waiting job wait for another one than it was inserted with; False if it is not waiting."""
    return bool(
        rows("UPDATE backroom_job SET after_id = %s WHERE id = %s AND state = 'waiting' RETURNING id", parent, child)
    )


def claim(id: str, worker: str) -> Claimed | None:
    """Take a ready job, or None: a second delivery, a job not due yet, done, or cancelled; or one that is paused, which
    is put aside, as its message is spent."""
    found = rows(
        f"""
        UPDATE backroom_job SET state = 'running', worker = %s, started_at = clock_timestamp(),
                            claims = claims + 1, attempts = attempts + 1
        WHERE id = %s AND state || '' = 'ready' AND NOT ({PAUSED})
        RETURNING id, args, context, key, claims, attempts, max_attempts
        """,  # noqa: S608 - PAUSED stands in rows.py
        worker,
        id,
    )
    if not found:
        _put_aside(id)
        return None
    return Claimed(id, *map(json.loads, found[0][1:3]), *found[0][3:])


def _put_aside(id: str) -> None:
    """Due since it was, for a dispatcher to publish once it is resumed. If that has happened since the claim looked, it
    stays ready without a message: lost, and given back."""
    rows(
        f"UPDATE backroom_job SET state = 'waiting', run_at = COALESCE(run_at, published_at)"  # noqa: S608
        f" WHERE id = %s AND state || '' = 'ready' AND ({PAUSED}) RETURNING id",
        id,
    )


def succeed(job: Claimed, result: Any, told: recorder.Entry | None = None) -> list[Message]:
    """Finish a job and release those that waited for it, which are returned to be published. `told`: what the attempt
    told of itself, to be kept with it.

    Raises Superseded when the job is no longer this claim's, and Permanent for a result that is not JSON: the body
    would return the like again.
    """
    try:
        found = _succeed(job, json.dumps(result, allow_nan=False), told)
    except (TypeError, ValueError, DataError) as error:
        raise Permanent(f"the task returned what can't be stored as JSON ({type(error).__name__})") from error
    if not found:
        raise Superseded(f"claim {job.claims} of job {job.id} came too late")
    return messages(row for row in found if row[1] is not None)


def _succeed(job: Claimed, result: str, told: recorder.Entry | None = None) -> list[tuple]:
    return rows(
        f"""
        WITH ended AS (
            UPDATE backroom_job SET state = 'succeeded', finished_at = clock_timestamp(), result = %s::jsonb, error = ''
            WHERE id = %s AND state || '' = 'running' AND claims = %s RETURNING id, claims, result
        ), next AS (
            UPDATE backroom_job child SET state = 'ready', published_at = clock_timestamp(), run_at = clock_timestamp(),
                args = CASE child.takes_result WHEN '' THEN child.args
                       ELSE child.args || jsonb_build_object(child.takes_result, ended.result) END
            FROM ended WHERE child.after_id = ended.id AND child.state || '' = 'waiting' AND child.run_at IS NULL
            RETURNING child.id, child.task, child.queue, child.args, child.context, child.published_at
        ){_telling(told)}
        SELECT id, NULL, NULL, NULL, NULL, NULL FROM ended
        UNION ALL SELECT id, task, queue, args, context, {STAMP} FROM next
        """,  # noqa: S608
        result,
        job.id,
        job.claims,
        *(told or ()),
    )


def _telling(told: recorder.Entry | None) -> str:
    """The part of a statement that keeps what the ended attempt told; its parameters are the last. Nothing for one that
    told nothing: the common case costs nothing."""
    return f", told AS ({recorder.AT_THE_END})" if told else ""


def keeping(change: str, which: str = "true", told: recorder.Entry | None = None) -> str:
    """The statement that makes this change, which ends attempts without success, and keeps them for people; it gives
    the ids. A success is not kept apart, as the job's row tells it all: so the common case costs nothing."""
    return f"""
        WITH ended AS ({change} RETURNING backroom_job.*), kept AS (
            INSERT INTO backroom_attempt (job_id, task, queue, number, outcome, worker, published_at, started_at, ended_at,
                                      error)
            SELECT id, task, queue, attempts, state, worker, published_at,
                   CASE WHEN started_at >= published_at THEN started_at END, clock_timestamp(), error
            FROM ended WHERE {which}){_telling(told)}
        SELECT id FROM ended
        """  # noqa: S608 - the changes stand here and in rescue.py


def wait(job: Claimed, seconds: float, error: str, uses_attempt: bool, told: recorder.Entry | None = None) -> None:
    """Put a failed or snoozed job aside for a while. Raises Superseded."""
    _finish(
        job,
        # No longer than 31 years, whatever a task asks for: what is said in seconds may lie beyond all calendars.
        "state = 'waiting', run_at = clock_timestamp() + LEAST(%s, 1e9) * interval '1 second',"
        " attempts = attempts - %s, unknown_since = NULL, error = %s",
        (seconds, 0 if uses_attempt else 1, error),
        told,
        keep=uses_attempt,
    )


def mark_dead(job: Claimed, error: str, told: recorder.Entry | None = None) -> None:
    """Make a job a dead letter. Raises Superseded."""
    _finish(job, "state = 'dead', finished_at = clock_timestamp(), error = %s", (error,), told)


def _finish(
    job: Claimed, changes: str, parameters: tuple, told: recorder.Entry | None = None, keep: bool = True
) -> None:
    sql = f"UPDATE backroom_job SET {changes} WHERE id = %s AND state || '' = 'running' AND claims = %s"  # noqa: S608
    sql = keeping(sql, "true" if keep else "false", told) if keep or told else f"{sql} RETURNING id"
    if not rows(sql, *parameters, job.id, job.claims, *(told or ())):
        raise Superseded(f"claim {job.claims} of job {job.id} came too late")


def stage_due(limit: int) -> list[Message]:
    """Make the jobs ready whose time has come and that are not paused, for the caller to publish. Dispatchers don't get
    in each other's way.

    Stamped before the broker has them, like `insert`: a dispatcher that dies in between leaves a lost message.
    """
    return messages(
        rows(
            f"""
            WITH due AS (SELECT id FROM backroom_job WHERE state = 'waiting' AND run_at <= statement_timestamp()
                         AND NOT ({PAUSED}) ORDER BY run_at LIMIT %s FOR UPDATE SKIP LOCKED)
            UPDATE backroom_job SET state = 'ready', published_at = clock_timestamp() FROM due WHERE backroom_job.id = due.id
            RETURNING backroom_job.id, task, queue, args, context, {STAMP}
            """,  # noqa: S608
            limit,
        )
    )


def unpublish(ids: Sequence[str]) -> None:
    """Take back what could not be published: due since it was, for a dispatcher. If the broker got a message after
    all, whoever claims first wins and the other delivery does nothing."""
    rows(
        "UPDATE backroom_job SET state = 'waiting', run_at = COALESCE(run_at, published_at)"
        " WHERE id = ANY(%s::uuid[]) AND state = 'ready' RETURNING id",
        list(ids),
    )
