"""Decisions about a job from outside, by code or by a person: reschedule, cancel, replay, rerun, relink, purge.

Each is one SQL statement and a compare-and-set, as in transitions.py. Errors of the database pass through.
"""

import json
from collections.abc import Sequence
from typing import Any

from backroom.ledger.sql import EXPIRED, returned_ids, rows

CANCEL = """
WITH RECURSIVE heads AS MATERIALIZED (
    SELECT id, {asked} AS asked FROM backroom_job WHERE {heads} AND state || '' = ANY(%s) FOR NO KEY UPDATE {skip}
), chosen AS (
    SELECT id FROM heads WHERE NOT asked
    UNION SELECT child.id FROM backroom_job child JOIN chosen ON child.after_id = chosen.id
    WHERE child.state || '' = 'waiting' AND child.run_at IS NULL
), ours AS MATERIALIZED (
    SELECT id, state FROM backroom_job WHERE id = ANY(ARRAY(SELECT id FROM chosen)) FOR NO KEY UPDATE {skip}
), notified AS (
    UPDATE backroom_job SET cancel_at = COALESCE(cancel_at, clock_timestamp()), error = {error}
    WHERE id = ANY(ARRAY(SELECT id FROM heads WHERE asked)) RETURNING id
), ended AS (
    UPDATE backroom_job SET state = 'cancelled', finished_at = clock_timestamp(), error = {error}
    WHERE id = ANY(ARRAY(SELECT id FROM ours WHERE state = ANY(%s))) RETURNING id
)
SELECT id FROM ended UNION ALL SELECT id FROM notified
"""


def reschedule(*keys: str, seconds: float = 0, ids: Sequence[str] = (), apart: float = 0) -> list[str]:
    """Let jobs that wait for a time run in `seconds` at the latest, one every `apart` seconds; returns the ids.

    Race: a job runs now, on what it read before. If it snoozes or fails, it runs again by then (`defer`).
    """
    sql = """
        UPDATE backroom_job SET run_at = CASE state WHEN 'running' THEN soon ELSE LEAST(run_at, soon) END
        FROM (SELECT id, clock_timestamp() + (%s + (row_number() OVER (ORDER BY run_at, id) - 1) * %s)
                         * interval '1 second' AS soon
              FROM backroom_job WHERE id = ANY(%s::uuid[]) OR key = ANY(%s)) chosen
        WHERE backroom_job.id = chosen.id AND (state = 'running' OR state = 'waiting' AND run_at IS NOT NULL)
        RETURNING backroom_job.id"""
    return returned_ids(sql, seconds, apart, list(ids), list(keys))


def cancel(
    *, ids: Sequence[str] = (), keys: Sequence[str] = (), names: Sequence[str] = (), batches: Sequence[str] = (),
    why: str = "", dead: bool = False, running: bool = False, wait: bool = True,
) -> list[str]:  # fmt: skip
    """Cancel jobs that have not begun (with `dead`, dead letters too) and all jobs that wait for them; of `batches` the
    callbacks and the members, of unique `names` the last jobs that took them. With `running`, ask those that run to
    end. Returns the ids of both. Without `wait`, leaves out those that another transaction has locked.

    Race: a worker claims one now: the lock waits, then a running one is left alone, or asked. A body that ends wins.
    """
    states = ["ready", "waiting", "dead"] if dead else ["ready", "waiting"]
    which = """id = ANY(%s::uuid[] || ARRAY(SELECT id FROM backroom_job WHERE key = ANY(%s))
                        || ARRAY(SELECT job_id FROM backroom_unique WHERE name = ANY(%s))
                        || ARRAY(SELECT id FROM backroom_job WHERE batch_id = ANY(%s::uuid[])))"""
    # NULL: for an empty array PostgreSQL reads all dead letters.
    named = [*ids, *batches], list(keys) or None, list(names), list(batches) or None
    error, skip = "COALESCE(NULLIF(%s, ''), error)", "" if wait else "SKIP LOCKED"
    sql = CANCEL.format(heads=which, error=error, asked="state = 'running'", skip=skip)
    return returned_ids(sql, *named, [*states, "running"] if running else states, why, why, states)


def end_cancelled(id: str, claims: int) -> list[str]:
    """Cancel a running job that was asked to end, and all jobs that wait for it; returns the ids. Race: `succeed`."""
    sql = CANCEL.format(heads="id = %s AND claims = %s AND cancel_at IS NOT NULL", error="error", asked=False, skip="")
    return returned_ids(sql, id, claims, ["running"], ["running", "waiting"])


def expire(ids: Sequence[str]) -> list[str]:
    """Cancel those of these jobs that have not begun by their time, and all jobs that wait for them; returns the ids.

    Race: as in `cancel`. Or a person replays one now: `replay` takes its time away, and the lock rereads the row. Or a
    caller's transaction has locked one: that is left out until the next call; a follower stays blocked.
    """
    states = ["ready", "waiting"]
    error = f"""CASE WHEN {EXPIRED} THEN 'expired: not begun by '
        || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC') ELSE 'the job before it expired' END"""
    sql = CANCEL.format(heads=f"id = ANY(%s::uuid[]) AND {EXPIRED}", error=error, asked=False, skip="SKIP LOCKED")
    return returned_ids(sql, list(ids), states, states)


def replay(ids: Sequence[str], apart: float = 0.0, args: dict[str, Any] | None = None) -> list[str]:
    """Give dead or cancelled jobs all their attempts again, and other arguments if given; returns the ids. They are due
    at once, or one every `apart` seconds, the oldest first.

    A follower waits for its predecessor if that one has yet to succeed, and the callback of a batch for its members. A
    follower that needs the result of a purged predecessor stays as it is. A resumable job goes on at its cursor, or
    with other arguments begins anew.

    Race: two people replay one. The first UPDATE takes it from `dead`; the other finds nothing.
    """
    sql = """
        WITH replayed AS (
        UPDATE backroom_job SET state = 'waiting', finished_at = NULL, attempts = 0, unknown_since = NULL,
            args = COALESCE(%s::jsonb, args), cursor = CASE WHEN %s::jsonb IS NULL THEN cursor END,
            cancel_at = NULL, expires_at = NULL, place = NULLIF(backroom_job.place, 0),
            run_at = CASE WHEN after_id IS NULL OR claims > 0 OR chosen.orphan
                          THEN clock_timestamp() + chosen.place * %s * interval '1 second' END
        FROM (SELECT id, row_number() OVER (ORDER BY finished_at, id) - 1 AS place,
                     NOT EXISTS (SELECT FROM backroom_job parent WHERE parent.id = child.after_id) AS orphan
              FROM backroom_job child WHERE id = ANY(%s::uuid[])) chosen
        WHERE backroom_job.id = chosen.id AND state IN ('dead', 'cancelled')
              AND (takes_result = '' OR claims > 0 OR NOT chosen.orphan) RETURNING backroom_job.id, run_at
        ), reopened AS (UPDATE backroom_batch SET ended_at = NULL FROM replayed
                        WHERE backroom_batch.id = replayed.id AND replayed.run_at IS NULL)
        SELECT id FROM replayed
        """
    given = None if args is None else json.dumps(args)
    return returned_ids(sql, given, given, apart, list(ids))


def rerun(id: str, claims: int, why: str) -> bool:
    """Run a job anew that succeeded without its effect. False if its `claims` differ from the seen ones.

    Race: two reruns at once. After the first one the job is no longer `succeeded`, and later its `claims` differ.
    """
    sql = """
        UPDATE backroom_job SET state = 'waiting', run_at = clock_timestamp(), finished_at = NULL, attempts = 0,
            unknown_since = NULL, cancel_at = NULL, cursor = NULL, error = %s
        WHERE id = %s AND state = 'succeeded' AND claims = %s RETURNING id
        """
    return bool(rows(sql, why, id, claims))


def relink(id: str, parent: str | None) -> bool:
    """Let a follower wait for the job `parent`. With None it is due now: for code that knows that the predecessor was
    done, although its row is gone. False if the job waits for no other, or if there is no job `parent`; with None, if
    the predecessor's row exists or the job needs its result.

    Race: the follower is released at this moment. Its `run_at` is set, and it stays released. Or `parent` is purged:
    the lock waits for that, or prevents it until the transaction ends.
    """
    sql = """
        UPDATE backroom_job child SET after_id = COALESCE(%s::uuid, after_id),
                                      run_at = CASE WHEN %s::uuid IS NULL THEN clock_timestamp() END
        WHERE id = %s AND state = 'waiting' AND run_at IS NULL AND CASE WHEN %s::uuid IS NULL
            THEN takes_result = '' AND NOT EXISTS (SELECT FROM backroom_job parent WHERE parent.id = child.after_id)
            ELSE EXISTS (SELECT FROM backroom_job parent WHERE parent.id = %s FOR KEY SHARE) END
        RETURNING id
        """
    return bool(rows(sql, parent, parent, id, parent, parent))


def purge(days: int, batch: int = 5_000) -> int:
    """Delete one batch of jobs that succeeded or were cancelled over `days` days ago; returns how many. Call it until
    it returns less than `batch`: one DELETE of a long backlog would run into the statement's time limit.

    Dead letters stay, and jobs for which another one waits, or whose batch's callback is kept: it may be replayed.

    Race: a person replays one at this moment. The lock reads the row again, and it is no longer finished.
    """
    sql = """
        WITH old AS (SELECT id FROM backroom_job job WHERE finished_at < statement_timestamp() - %s * interval '1 day'
                     AND state IN ('succeeded', 'cancelled') AND NOT EXISTS (SELECT FROM backroom_job child
                         WHERE child.after_id = job.id AND child.state NOT IN ('succeeded', 'cancelled'))
                     AND NOT EXISTS (SELECT FROM backroom_job callback WHERE callback.id = job.batch_id)
                     LIMIT %s FOR UPDATE OF job SKIP LOCKED),
        gone AS (DELETE FROM backroom_job job USING old WHERE job.id = old.id RETURNING job.id),
        attempts AS (DELETE FROM backroom_attempt USING gone WHERE job_id = gone.id),
        progress AS (DELETE FROM backroom_progress USING gone WHERE job_id = gone.id),
        batches AS (DELETE FROM backroom_batch USING gone WHERE backroom_batch.id = gone.id)
        SELECT count(*) FROM gone
        """
    return rows(sql, days, batch)[0][0]
