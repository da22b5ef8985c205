"""Requeue what a dead worker or a forgetful broker lost.

A rescue may be wrong: a frozen worker thaws, a message was only slow. Then the fencing token makes the late finish
change nothing, and the second message finds nothing to claim.
"""

from collections.abc import Sequence
from datetime import datetime

from backroom.ledger.sql import LOCK, WITH_RESULT, Claimed, recording, returned_ids, rows

SILENCE = 10  # seconds without a heartbeat after which a worker counts as dead
SLACK = 5  # seconds granted between a message's publishing, its delivery and its claim


def requeue_abandoned(
    worker: str | None = None, running: Sequence[str] = (), ended: Sequence[tuple[str, datetime]] = ()
) -> list[str]:
    """Requeue running jobs that no process runs: those of silent workers, and of those that `ended` after this last
    heartbeat; or, with `worker`, this live worker's that are not among the `running` ones, as the answer to a claim got
    lost. Returns the ids.

    The attempt counts, so a job that kills its worker is dead after its last one; each rescue waits a second longer.

    Race: a worker claims before its first heartbeat is written, or before it lists the job as running. SLACK leaves
    young claims alone. Or one that `ended` has sent a heartbeat since. Two rescues at once: SKIP LOCKED.
    """
    young = f"job.started_at > clock_timestamp() - {SLACK} * interval '1 second'"
    if worker is None:
        silent = f"(beat.seen_at > clock_timestamp() - {SILENCE} * interval '1 second') IS NOT TRUE"
        dead = "(beat.name, beat.seen_at) IN (SELECT * FROM unnest(%s::text[], %s::timestamptz[]))"
        why, condition = "its worker died or fell silent", f"({silent} AND NOT {young} OR {dead})"
        which: tuple = [name for name, _ in ended], [seen_at for _, seen_at in ended]
    else:
        why, condition = "its worker process died", f"worker = %s AND id <> ALL(%s::uuid[]) AND NOT {young}"
        which = worker, list(running)
    change = f"""
        WITH lost AS (SELECT id FROM backroom_job job LEFT JOIN backroom_heartbeat beat ON beat.name = job.worker
                      WHERE state = 'running' AND {condition} FOR NO KEY UPDATE OF job SKIP LOCKED)
        UPDATE backroom_job SET error = %s, unknown_since = NULL,
            state = CASE WHEN attempts < max_attempts THEN 'waiting' ELSE 'dead' END,
            run_at = clock_timestamp() + (attempts - 1) * interval '1 second',
            finished_at = CASE WHEN attempts < max_attempts THEN NULL ELSE clock_timestamp() END
        FROM lost WHERE backroom_job.id = lost.id
        """  # noqa: S608 - the conditions stand above
    return returned_ids(recording(change), *which, why)


def running_on(worker: str) -> list[Claimed]:
    """The jobs that a worker has claimed and not finished; for a worker that stops. Without arguments and context."""
    sql = "SELECT id, key, claims, attempts, max_attempts FROM backroom_job WHERE state = 'running' AND worker = %s"
    return [Claimed(str(id), {}, {}, *rest) for id, *rest in rows(sql, worker)]


def lost_messages(queue: str, oldest: float | None) -> list[str]:
    """The ids of the queue's ready jobs that have no message in the broker any more.

    A queue is first-in first-out: a job published before `oldest`, the stamp of the oldest waiting message (Unix time;
    None: the queue is empty), and not claimed yet, has no message. SLACK covers messages on their way to a claim.
    """
    sql = """SELECT id FROM backroom_job WHERE state = 'ready' AND queue = %s
             AND published_at < LEAST(to_timestamp(%s), statement_timestamp()) - %s * interval '1 second'"""
    return returned_ids(sql, queue, oldest, SLACK)


def release_followers() -> list[str]:
    """Make jobs due whose predecessor has succeeded; returns the ids.

    Race: a job was enqueued behind another one at the moment when that one finished, and `succeed` did not see it.
    """
    sql = f"""
        WITH free AS (
            SELECT child.id, parent.result
            FROM backroom_job child JOIN backroom_job parent ON parent.id = child.after_id
            WHERE child.state = 'waiting' AND child.run_at IS NULL AND parent.state = 'succeeded'
            FOR NO KEY UPDATE OF child SKIP LOCKED)
        UPDATE backroom_job child SET run_at = clock_timestamp(), args = {WITH_RESULT}
        FROM free parent WHERE child.id = parent.id RETURNING child.id
        """  # noqa: S608
    return returned_ids(sql)


def mark_orphans_dead() -> list[str]:
    """Make followers dead whose predecessor's row is gone: a person decides. Returns the ids.

    Race: the finished predecessor was purged when the follower was replayed, or enqueued. It may have been cancelled,
    so the follower must not overtake it.
    """
    change = f"""
        WITH orphan AS (SELECT id FROM backroom_job child WHERE state = 'waiting' AND run_at IS NULL
            AND (SELECT id FROM backroom_job parent WHERE parent.id = child.after_id) IS NULL {LOCK})
        UPDATE backroom_job SET state = 'dead', finished_at = clock_timestamp(), error = 'the job before it was deleted'
        FROM orphan WHERE backroom_job.id = orphan.id
        """  # noqa: S608 - LOCK stands in sql.py
    return returned_ids(recording(change))
