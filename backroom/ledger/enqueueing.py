"""What enqueueing writes: new jobs, or a newcomer in the place of a waiting job that has its unique name.

As in transitions.py, each change is one SQL statement. runtime/names.py has the names.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from backroom.ledger.sql import PARKED, STAMP, returned_ids, rows

# The rows that enqueueing gives, and the times that they name: NULL if they don't.
GIVEN = """jsonb_to_recordset(%s::jsonb) AS row (id uuid, task text, queue text, args jsonb, key text, max_attempts int,
    after_id uuid, takes_result text, context jsonb, delay float, moment timestamptz, batch_id uuid, lane text,
    places int, dead_blocks boolean, expires_in float, expires_on timestamptz)"""
AT = "COALESCE(moment, statement_timestamp() + delay * interval '1 second')"
EXPIRES = "COALESCE(expires_on, statement_timestamp() + expires_in * interval '1 second')"


def insert(jobs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Insert jobs in one statement. Returns the id of each new one, with its stamp if it is to be published.

    Race: two enqueue under one key. The unique index lets one row in; the other insert does nothing.

    A row without delay, moment, predecessor or lane starts as `ready`, stamped as published before the broker has it:
    that saves an UPDATE on the customer's path. The publisher requeues it if the broker refuses the message; if the
    process dies first, the job looks like one whose message was lost, and the rescue requeues it.
    """
    at_once = "after_id IS NULL AND delay IS NULL AND moment IS NULL"
    ready, parked = f"{at_once} AND lane IS NULL", f"{at_once} AND lane IS NOT NULL"
    sql = f"""
        INSERT INTO backroom_job (id, task, queue, args, key, max_attempts, after_id, takes_result, context,
                                  batch_id, lane, places, dead_blocks, expires_at,
                                  state, run_at, published_at, place, claims, attempts, worker, error)
        SELECT id, task, queue, args, key, max_attempts, after_id, takes_result, context,
               batch_id, lane, places, dead_blocks, {EXPIRES},
               CASE WHEN {ready} THEN 'ready' ELSE 'waiting' END, CASE WHEN {parked} THEN {PARKED} ELSE {AT} END,
               CASE WHEN {ready} THEN statement_timestamp() END, CASE WHEN {parked} THEN 0 END, 0, 0, '', ''
        FROM {GIVEN} ON CONFLICT DO NOTHING RETURNING id::text, {STAMP}
        """  # noqa: S608 - the parts stand above and in sql.py
    return dict(rows(sql, json.dumps(jobs)))


def ids_of(keys: Sequence[str]) -> dict[str, str]:
    """The ids of the jobs that have these keys, locked against a purge until the transaction ends."""
    return dict(rows("SELECT key, id::text FROM backroom_job WHERE key = ANY(%s) FOR KEY SHARE", list(keys)))


def same_jobs(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of those of these jobs that were inserted before, as they are but for a result that came since."""
    sql = f"""
        SELECT job.id FROM backroom_job job JOIN {GIVEN} ON row.id = job.id AND row.task = job.task
            AND row.key IS NOT DISTINCT FROM job.key AND row.args - row.takes_result = job.args - row.takes_result
        """  # noqa: S608 - GIVEN stands above
    return returned_ids(sql, json.dumps(jobs))


def states(ids: Sequence[str]) -> dict[str, str]:
    """The states of these jobs, or "new" for one that is locked and has never begun.

    Race: a worker claims it now. Either this waits for the claim, or the claim until this transaction ends, and the
    body sees what that wrote. A running one is not locked: its finish would wait for that, too, and could clash.
    """
    lock = """SELECT id::text, CASE WHEN claims = 0 THEN 'new' ELSE state END FROM backroom_job
              WHERE id = ANY(%s::uuid[]) AND state || '' IN ('ready', 'waiting') ORDER BY id FOR NO KEY UPDATE"""
    locked = dict(rows(lock, list(ids)))
    return dict(rows("SELECT id::text, state FROM backroom_job WHERE id = ANY(%s::uuid[])", list(ids))) | locked


def replace(newcomers: Collection[dict[str, Any]]) -> list[str]:
    """Give jobs that `states` has locked a newcomer's arguments and times; returns the ids of those that are of its
    task and lane, and no batch's callback. One that was published waits again if the newcomer has a time."""
    sql = f"""
        UPDATE backroom_job job SET args = row.args, context = row.context, expires_at = {EXPIRES},
            state = CASE WHEN {AT} IS NULL THEN state ELSE 'waiting' END,
            place = CASE WHEN {AT} IS NULL THEN place END,
            run_at = CASE WHEN {AT} IS NULL AND state = 'waiting' AND run_at < {PARKED}
                          THEN LEAST(run_at, statement_timestamp()) ELSE COALESCE({AT}, run_at) END
        FROM {GIVEN} WHERE job.id = row.id AND job.task = row.task AND job.lane IS NOT DISTINCT FROM row.lane
            AND job.after_id IS NULL RETURNING job.id"""  # noqa: S608
    return returned_ids(sql, json.dumps(list(newcomers)))


def outlast(newcomers: Collection[dict[str, Any]]) -> list[str]:
    """Let jobs that `states` has locked expire no sooner than what is dropped for them; returns the ids."""
    sql = f"""
        UPDATE backroom_job job
        SET expires_at = NULLIF(GREATEST(COALESCE({EXPIRES}, 'infinity'), job.expires_at), 'infinity')
        FROM {GIVEN} WHERE job.id = row.id AND state || '' IN ('ready', 'waiting') AND job.expires_at IS NOT NULL
        RETURNING job.id"""  # noqa: S608 - GIVEN stands above
    return returned_ids(sql, json.dumps(list(newcomers)))
