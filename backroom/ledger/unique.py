"""Names that one job holds at a time: a newcomer that finds its name held is a duplicate. Jobs' rows know no names."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from backroom.ledger.sql import AT, EXPIRES, GIVEN, PARKED, returned_ids, rows


def take(newcomers: Collection[dict[str, Any]], over: bool = False) -> dict[str, tuple[str, bool]]:
    """Take names for jobs that are about to be inserted; with `over` also from jobs that hold them no more. Returns the
    id of the job that has each, and whether its time lasts.

    Race: two newcomers have one name. The upsert locks it until the transaction ends: the second waits, and sees the
    first's job. In the order of names, so that two transactions with the same ones don't wait for each other.
    """
    sql = """
        INSERT INTO backroom_unique AS held (name, job_id, until)
        SELECT name, id, statement_timestamp() + seconds * interval '1 second'
        FROM jsonb_to_recordset(%s::jsonb) AS row (name text, id uuid, seconds float) ORDER BY name
        ON CONFLICT (name) DO UPDATE SET job_id = CASE WHEN %s THEN excluded.job_id ELSE held.job_id END,
                                         until = CASE WHEN %s THEN excluded.until ELSE held.until END
        RETURNING name, job_id::text, (until > statement_timestamp()) IS TRUE"""
    return {name: (id, lasts) for name, id, lasts in rows(sql, json.dumps(list(newcomers)), over, over)}


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
    task, and no batch's callback. One that was published waits again if the newcomer has a time."""
    sql = f"""
        UPDATE backroom_job job SET args = row.args, context = row.context, expires_at = {EXPIRES},
            state = CASE WHEN {AT} IS NULL THEN state ELSE 'waiting' END,
            place = CASE WHEN {AT} IS NULL THEN place END,
            run_at = CASE WHEN {AT} IS NULL AND state = 'waiting' AND run_at < {PARKED}
                          THEN LEAST(run_at, statement_timestamp()) ELSE COALESCE({AT}, run_at) END
        FROM {GIVEN} WHERE job.id = row.id AND job.task = row.task AND job.after_id IS NULL RETURNING job.id"""  # noqa: S608
    return returned_ids(sql, json.dumps(list(newcomers)))


def outlast(newcomers: Collection[dict[str, Any]]) -> list[str]:
    """Let jobs that `states` has locked expire no sooner than what is dropped for them; returns the ids."""
    sql = f"""
        UPDATE backroom_job job
        SET expires_at = NULLIF(GREATEST(COALESCE({EXPIRES}, 'infinity'), job.expires_at), 'infinity')
        FROM {GIVEN} WHERE job.id = row.id AND state || '' IN ('ready', 'waiting') AND job.expires_at IS NOT NULL
        RETURNING job.id"""  # noqa: S608 - GIVEN stands in sql.py
    return returned_ids(sql, json.dumps(list(newcomers)))


def purge_names(batch: int = 5_000) -> int:
    """Delete names whose job is gone and whose time is over; returns how many. Race: a newcomer takes one now. The lock
    finds another job's id, and leaves it."""
    sql = """
        WITH stale AS MATERIALIZED (SELECT name, job_id FROM backroom_unique WHERE (until > now()) IS NOT TRUE
                                    AND NOT EXISTS (SELECT FROM backroom_job WHERE id = job_id) LIMIT %s),
        ours AS (SELECT held.name FROM backroom_unique held JOIN stale USING (name, job_id)
                 FOR UPDATE OF held SKIP LOCKED)
        DELETE FROM backroom_unique USING ours WHERE backroom_unique.name = ours.name RETURNING 1"""
    return len(rows(sql, batch))
