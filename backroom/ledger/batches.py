"""Batches: any number of jobs, and a callback that is due once all of them have ended.

A batch has the id of its callback's job. That one waits for itself (`after_id` is its own id) until `look` releases it.
A member that ends changes its own row only, so 10,000 members don't wait for one lock: `look` counts them.
"""

import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from backroom.ledger import enqueueing, operations
from backroom.ledger.sql import LOCK, returned_ids, rows

# A step of a chain behind a dead one. Once all members have ended but such steps, none of these can begin.
BLOCKED = """state = 'waiting' AND run_at IS NULL AND EXISTS (SELECT FROM backroom_job before
    WHERE before.id = member.after_id AND before.id <> member.id AND (before.state IN ('dead', 'cancelled')
          OR before.batch_id = member.batch_id AND before.state = 'waiting' AND before.run_at IS NULL))"""


def begin(id: str, if_dead: str, on_dead: dict[str, Any] | None) -> bool:
    """Insert the batch of this callback; `on_dead` is a row for enqueueing.insert. False if it was there already."""
    sql = """INSERT INTO backroom_batch (id, if_dead, on_dead, total, succeeded, dead, cancelled)
             VALUES (%s, %s, %s, 0, 0, 0, 0) ON CONFLICT DO NOTHING RETURNING id"""
    return bool(rows(sql, id, if_dead, on_dead and json.dumps(on_dead)))


def grow(id: str, count: int) -> bool:
    """Count members that the caller's transaction adds; False if the batch has ended, or is none.

    Race: `look` counts the members now, without these. It either passes this lock, or reads the new total and leaves
    the batch open. A running member adds others before it ends, so no count has its end without them.
    """
    sql = "UPDATE backroom_batch SET total = total + %s WHERE id = %s AND ended_at IS NULL RETURNING id"
    return bool(rows(sql, count, id))


def join(id: str, jobs: Sequence[str]) -> tuple[int, list[str]]:
    """Make live jobs of no batch members. Returns how many, and those that can't be; of members, and of jobs that have
    succeeded, it says nothing. Race: one ends at this moment. The lock waits for that, then it is too late."""
    sql = """UPDATE backroom_job SET batch_id = %s WHERE id = ANY(%s::uuid[]) AND batch_id IS NULL AND id <> %s
             AND state || '' IN ('ready', 'waiting', 'running') RETURNING id"""
    refused = """SELECT id FROM backroom_job WHERE id = ANY(%s::uuid[]) AND batch_id IS DISTINCT FROM %s
                 AND state <> 'succeeded'"""
    return len(rows(sql, id, list(jobs), id)), returned_ids(refused, list(jobs), id)


def look(limit: int = 500) -> bool:
    """Count the members of open batches, each in at most a twentieth of the time, or each 5 s if only a person can go
    on. Make the callback due of one that has ended, or cancel it and the members that have not begun; enqueue `on_dead`
    where a member is first seen to give up. Returns whether a callback is due.

    Race: two look at once. SKIP LOCKED gives each batches of its own. Or a person cancels or replays the callback now:
    its lock is passed, too. Or a worker claims a member that is to be cancelled: as in `cancel`. Or a caller's
    transaction has locked one: the batch stays open, and the next look cancels it.
    """
    sql = f"""
        WITH open AS (
            SELECT batch.*, callback.state = 'waiting' AND callback.run_at IS NULL AS waits,
                   callback.state = 'cancelled' AS over
            FROM backroom_batch batch JOIN backroom_job callback ON callback.id = batch.id
            WHERE ended_at IS NULL AND count_again_at <= statement_timestamp()
            ORDER BY count_again_at LIMIT %s {LOCK}
        ), counted AS (
            SELECT id, on_dead, waits, found.*, given_up AND failed_at IS NULL AS fails,
                   if_dead = 'cancel' AND given_up AND (waits OR over AND unbegun > 0) AS stops, found.succeeded
                       + (if_dead = 'go on')::int * (found.dead + found.cancelled + blocked) >= total AS done,
                   CASE WHEN found.succeeded + found.dead + found.cancelled >= total THEN 5 ELSE 0.25 END AS pause
            FROM open, LATERAL (SELECT
                count(*) FILTER (WHERE state = 'succeeded') succeeded, count(*) FILTER (WHERE state = 'dead') dead,
                count(*) FILTER (WHERE state = 'cancelled') cancelled,
                count(*) FILTER (WHERE state IN ('ready', 'waiting')) unbegun,
                count(*) FILTER (WHERE if_dead = 'go on' AND {BLOCKED}) blocked,
                count(*) FILTER (WHERE state IN ('dead', 'cancelled')) > 0 given_up
                FROM backroom_job member WHERE batch_id = open.id) found
        ), released AS (
            UPDATE backroom_job SET run_at = clock_timestamp() FROM counted
            WHERE backroom_job.id = counted.id AND waits AND done AND NOT stops
        ), kept AS (
            UPDATE backroom_batch batch SET succeeded = found.succeeded, dead = found.dead, cancelled = found.cancelled,
                failed_at = CASE WHEN fails THEN clock_timestamp() ELSE failed_at END,
                ended_at = CASE WHEN NOT stops AND (done OR NOT waits) THEN clock_timestamp() END, count_again_at =
                clock_timestamp() + GREATEST(pause * interval '1 s', 20 * (clock_timestamp() - statement_timestamp()))
            FROM counted found WHERE batch.id = found.id)
        SELECT id, stops, CASE WHEN fails THEN on_dead END, waits AND done AND NOT stops FROM counted
        """  # noqa: S608 - BLOCKED stands above
    with transaction.atomic():
        found = rows(sql, limit)
        if stopped := [str(id) for id, stops, *_ in found if stops]:
            operations.cancel(batches=stopped, why="a member of its batch is dead or cancelled", wait=False)
        if due := [json.loads(row) for _, _, row, _ in found if row]:
            enqueueing.insert(due)
    return any(released for *_, released in found)
