"""What is decided about a job from outside its life, by code or by people: sooner, not at all, again, gone. Each is one
SQL statement and a compare-and-set, as in ledger.py. Errors of the database pass through as django.db.Error.
"""

import json
from collections.abc import Sequence
from typing import Any

from backroom.ledger.sql import rows
from backroom.observe.progress import report


def reschedule(key: str, seconds: float = 0) -> bool:
    """Let a waiting job run in `seconds` at the latest; False if none waits under this key."""
    return bool(
        rows(
            "UPDATE backroom_job SET run_at = LEAST(run_at, clock_timestamp() + %s * interval '1 second')"
            " WHERE key = %s AND state = 'waiting' AND run_at IS NOT NULL RETURNING id",
            seconds,
            key,
        )
    )


def call_off(key: str, why: str) -> bool:
    """Cancel the job of this key if it has not begun; False if there is none such. For code that did its work."""
    return bool(
        rows(
            "UPDATE backroom_job SET state = 'cancelled', finished_at = clock_timestamp(), error = %s"
            " WHERE key = %s AND state IN ('ready', 'waiting') RETURNING id",
            why,
            key,
        )
    )


def cancel(ids: Sequence[str], why: str = "") -> list[str]:
    """Say that jobs need not run, nor those that wait for them; returns the ids. A running job is left alone."""
    return [
        str(id)
        for (id,) in rows(
            """
            WITH RECURSIVE heads AS MATERIALIZED (  -- locked first: a claim may be taking one at this moment
                SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[]) AND state IN ('ready', 'waiting', 'dead') FOR UPDATE
            ), chosen AS (
                SELECT id FROM heads UNION SELECT child.id FROM backroom_job child JOIN chosen ON child.after_id = chosen.id
            )
            UPDATE backroom_job SET state = 'cancelled', finished_at = clock_timestamp(),
                                error = CASE WHEN %s = '' THEN error ELSE %s END
            WHERE id IN (SELECT id FROM chosen) AND state IN ('ready', 'waiting', 'dead') RETURNING id
            """,
            list(ids),
            why,
            why,
        )
    ]


def replay(ids: Sequence[str], apart: float = 0.0, args: dict[str, Any] | None = None) -> list[str]:
    """Give dead or cancelled jobs all their attempts again, and other arguments if these are given; due at once, or one
    after the other so many seconds `apart`, the oldest first. Returns the ids of those. Twice is once.

    A follower waits for its predecessor, if that is still to come; one that needs the result of a predecessor long
    purged is left as it is.
    """
    return [
        str(id)
        for (id,) in rows(
            """
            UPDATE backroom_job SET state = 'waiting', finished_at = NULL, attempts = 0, unknown_since = NULL,
                args = COALESCE(%s::jsonb, args),
                run_at = CASE WHEN after_id IS NULL OR claims > 0 OR chosen.orphan
                              THEN clock_timestamp() + chosen.place * %s * interval '1 second' END
            FROM (SELECT id, row_number() OVER (ORDER BY finished_at, id) - 1 AS place,
                         NOT EXISTS (SELECT FROM backroom_job parent WHERE parent.id = child.after_id) AS orphan
                  FROM backroom_job child WHERE id = ANY(%s::uuid[])) chosen
            WHERE backroom_job.id = chosen.id AND state IN ('dead', 'cancelled')
                  AND (takes_result = '' OR claims > 0 OR NOT chosen.orphan) RETURNING backroom_job.id
            """,
            args and json.dumps(args),
            apart,
            list(ids),
        )
    ]


def rerun(id: str, claims: int, why: str) -> bool:
    """Have a job run once more that succeeded but whose effect is nowhere to be found. False if it has been claimed
    again since it was seen with so many `claims`, or was changed otherwise: of two who redo it at once one does."""
    return bool(
        rows(
            "UPDATE backroom_job SET state = 'waiting', run_at = clock_timestamp(), finished_at = NULL, attempts = 0,"
            " unknown_since = NULL, error = %s WHERE id = %s AND state = 'succeeded' AND claims = %s RETURNING id",
            why,
            id,
            claims,
        )
    )


def purge(days: int, batch: int = 5_000) -> int:
    """Delete jobs that succeeded or were cancelled over `days` days ago; returns how many. Dead letters stay, and so
    does what another job still waits for.

    In batches, each a short transaction: one DELETE of a long backlog would run into the statement's time limit. The
    lock makes it look again at a job that is being replayed.
    """
    deleted, more = 0, batch
    while more == batch:
        ((more,),) = rows(
            """
            WITH old AS (SELECT id FROM backroom_job job WHERE finished_at < statement_timestamp() - %s * interval '1 day'
                         AND state IN ('succeeded', 'cancelled') AND NOT EXISTS (SELECT FROM backroom_job child
                             WHERE child.after_id = job.id AND child.state NOT IN ('succeeded', 'cancelled'))
                         LIMIT %s FOR UPDATE OF job SKIP LOCKED),
            gone AS (DELETE FROM backroom_job USING old WHERE backroom_job.id = old.id RETURNING backroom_job.id),
            tries AS (DELETE FROM backroom_attempt USING gone WHERE job_id = gone.id),
            tales AS (DELETE FROM backroom_progress USING gone WHERE job_id = gone.id)
            SELECT count(*) FROM gone
            """,
            days,
            batch,
        )
        deleted += more
        report(deleted)
    return deleted
