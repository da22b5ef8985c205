"""Lanes: at most `places` jobs of one name are ready or running. The others are parked: waiting, with place 0, by id.

The fence is the unique index on (lane, place) of ready and running jobs. No statement frees a place: it is free once
its job is neither, as after a rescue. A job joins its lane when due: `insert`, `stage_due`, `succeed` park it there.
"""

from collections.abc import Collection

from django.db import IntegrityError

from backroom.ledger.db_errors import TRIES, retry_on_clash
from backroom.ledger.operations import expire
from backroom.ledger.sql import EXPIRED, LOCK, MESSAGE, PARKED_JOBS, PAUSED, Message, messages, prepared

# These names; or, after '', each lane with a parked job, by one look into the index.
LANES = f"""
    WITH RECURSIVE lane AS (SELECT unnest(%s::text[]) AS name UNION ALL SELECT (
        SELECT lane FROM backroom_job WHERE lane > name AND {PARKED_JOBS} ORDER BY lane LIMIT 1)
        FROM lane WHERE %s AND name IS NOT NULL)
    """  # noqa: S608 - the parts stand in sql.py
# OFFSET 0: else the planner copies `free` to each of its uses, and each one reads the places again.
OPEN = f"""
    {LANES}, opening AS (
        SELECT parked.id, free.places[nth] AS place, expired FROM lane
        CROSS JOIN LATERAL (SELECT places, dead_blocks, {EXPIRED} AS late FROM backroom_job
                            WHERE lane = name AND {PARKED_JOBS} ORDER BY place, id LIMIT 1) head
        CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT generate_series(1, head.places) EXCEPT SELECT place FROM backroom_job
            WHERE lane = name AND place > 0 AND state IN ('ready', 'running') ORDER BY 1) AS places OFFSET 0) free
        CROSS JOIN LATERAL (SELECT *, row_number() OVER (PARTITION BY expired ORDER BY place, id) AS nth FROM (
            SELECT id, places, place, {EXPIRED} AS expired, {PAUSED} AS paused
            FROM backroom_job WHERE lane = name AND {PARKED_JOBS} AND (head.dead_blocks IS NOT NULL OR NOT ({PAUSED}))
            ORDER BY place, id LIMIT CASE
                WHEN free.places = '{{}}' THEN 0 WHEN late THEN 200 ELSE cardinality(free.places) + 10 END
        ) first) parked
        WHERE expired OR free.places[nth] <= parked.places AND (head.dead_blocks IS NULL OR NOT paused AND NOT
            EXISTS (SELECT FROM backroom_job before WHERE before.lane = name AND before.place > 0
                    AND before.id < parked.id AND (before.state IN ('ready', 'waiting', 'running')
                                                   OR before.state = 'dead' AND before.dead_blocks)))
        LIMIT %s
    ), ours AS (SELECT id FROM backroom_job WHERE id = ANY(ARRAY(SELECT id FROM opening WHERE NOT expired))
        AND state || '' = 'waiting' AND place = 0 {LOCK}
    ), opened AS (UPDATE backroom_job job
        SET state = 'ready', place = opening.place, run_at = clock_timestamp(), published_at = clock_timestamp()
        FROM opening JOIN ours USING (id) WHERE job.id = opening.id RETURNING job.id, {MESSAGE})
    SELECT * FROM opened UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL FROM opening WHERE expired
    """  # noqa: S608


def open_lanes(names: Collection[str] | None = None, limit: int = 500) -> list[Message]:
    """Give free places of these lanes, or of all, to up to `limit` parked jobs; returns their messages to publish. In
    strict order the first one gets it, once none that began before it goes on. Paused ones stay; late ones end here.

    Race: two give one place to two jobs, as only one saw a commit. The unique index refuses the second: it looks again.
    Or a caller's transaction has locked the first one, as it made a duplicate of it: the lane waits, others open.
    """
    which = [[""], True] if names is None else [list(names), False]
    opened: list[Message] = []
    for _ in range(TRIES):
        try:
            found = retry_on_clash(prepared, OPEN, *which, limit)
        except IntegrityError:
            continue
        opened += messages(found)
        if not (expired := [str(id) for id, task, *_ in found if task is None]):
            break
        expire(expired)
    return opened
