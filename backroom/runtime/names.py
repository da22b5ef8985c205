"""The names of unique jobs: a table of their own, as a job's row knows none. duplicates.py decides who holds one."""

import json
from collections.abc import Collection
from typing import Any

from backroom.ledger.sql import rows


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
