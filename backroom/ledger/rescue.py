"""Giving back what was lost: jobs of workers that fell silent, messages that the broker forgot, links not made.

A rescue may be wrong (a frozen worker comes back to life, a message was only slow): the claim's fencing token makes
the late finish change nothing, and the second delivery find nothing to claim.
"""

from django.conf import settings

from backroom.ledger.errors import Superseded
from backroom.ledger.sql import Claimed, rows
from backroom.ledger.transitions import keeping

SILENCE = 10  # seconds without a sign of life after which a worker's jobs are given back
SLACK = 5  # seconds granted between a message's publishing, its delivery and its claim
UNKNOWN_FOR = "COALESCE(extract(epoch FROM clock_timestamp() - unknown_since), 0)"  # seconds


def see_worker(
    name: str, queues: str, running: list[str], pool: int | None = None, memory: int | None = None
) -> list[str]:
    """Write a worker's sign of life, and give back what the ledger takes to be running on it but is not: the worker's
    child was killed, or the answer to its claim got lost. Returns the ids given back. For people it says how many jobs
    it runs at a time, and how many bytes of memory it takes."""
    rows(
        "INSERT INTO backroom_worker (name, queues, pool, memory) VALUES (%s, %s, %s, %s) ON CONFLICT (name)"
        " DO UPDATE SET seen_at = clock_timestamp(), memory = excluded.memory RETURNING name",
        name,
        queues,
        pool,
        memory,
    )
    return _give_back(
        "worker = %s AND started_at < clock_timestamp() - %s * interval '1 second' AND id <> ALL(%s::uuid[])",
        (name, SLACK, running),
        "its worker process died",
    )


def forget_worker(name: str) -> None:
    """Delete a worker that stops; what it should still be running is given back."""
    rows("DELETE FROM backroom_worker WHERE name = %s RETURNING name", name)


def hand_over(name: str) -> list[str]:
    """Give back what a worker runs that was told to stop and has ended its bodies; due at once. No attempt is used: a
    deploy is not the job's fault, and must not make a dead letter of its last attempt. Returns the ids.

    No SKIP LOCKED: a finish that the ended body had still sent is waited for, and wins.
    """
    found = rows(
        "UPDATE backroom_job SET state = 'waiting', run_at = clock_timestamp(), attempts = attempts - 1,"
        " unknown_since = NULL, error = 'its worker was told to stop' WHERE state = 'running' AND worker = %s"
        " RETURNING id",
        name,
    )
    return [str(id) for (id,) in found]


def give_back_of_silent_workers() -> list[str]:
    """Give back running jobs whose worker is gone or silent, and forget workers long silent. Returns the ids."""
    rows(
        "DELETE FROM backroom_worker WHERE seen_at < clock_timestamp() - %s * interval '1 second' RETURNING name",
        6 * SILENCE,
    )
    return _give_back(
        # A worker that has just begun may have claimed before its first sign of life is written: let it speak.
        "started_at < clock_timestamp() - %s * interval '1 second' AND NOT EXISTS (SELECT FROM backroom_worker w"
        " WHERE w.name = backroom_job.worker AND w.seen_at > clock_timestamp() - %s * interval '1 second')",
        (SLACK, SILENCE),
        "its worker fell silent",
    )


def _give_back(condition: str, parameters: tuple, why: str) -> list[str]:
    """The attempt counts, so a job that kills its worker is dead after its last; each return waits a little longer."""
    change = f"""
        WITH lost AS (SELECT id FROM backroom_job WHERE state = 'running' AND {condition} FOR UPDATE SKIP LOCKED)
        UPDATE backroom_job SET error = %s, unknown_since = NULL,
            state = CASE WHEN attempts < max_attempts THEN 'waiting' ELSE 'dead' END,
            run_at = clock_timestamp() + (attempts - 1) * interval '1 second',
            finished_at = CASE WHEN attempts < max_attempts THEN NULL ELSE clock_timestamp() END
        FROM lost WHERE backroom_job.id = lost.id
        """  # noqa: S608 - the conditions stand above
    found = rows(keeping(change), *parameters, why)
    return [str(id) for (id,) in found]


def give_back_unclaimed(queue: str, oldest: float | None) -> list[str]:
    """Give back the queue's jobs that were published before the oldest message still waiting in the broker.

    A queue is first-in first-out: what was published before `oldest` (Unix time; None: the queue is empty) and is not
    claimed has no message any more. SLACK covers messages on their way to a claim. Returns the ids.
    """
    found = rows(
        """
        WITH lost AS (SELECT id FROM backroom_job WHERE state = 'ready' AND queue = %s AND published_at <
                      LEAST(to_timestamp(%s), statement_timestamp()) - %s * interval '1 second' FOR UPDATE SKIP LOCKED)
        UPDATE backroom_job SET state = 'waiting', run_at = clock_timestamp() FROM lost WHERE backroom_job.id = lost.id
        RETURNING backroom_job.id
        """,
        queue,
        oldest,
        SLACK,
    )
    return [str(id) for (id,) in found]


def refuse(ids: list[str], why: str) -> None:
    """Hand on ready jobs whose task or queue nobody here knows. See _refuse."""
    _refuse("id = ANY(%s::uuid[]) AND state = 'ready'", (ids,), why)


def refuse_claimed(job: Claimed, why: str) -> None:
    """Hand on a claimed job whose arguments don't fit the task as it is here. See _refuse. Raises Superseded."""
    if not _refuse("id = %s AND state = 'running' AND claims = %s", (job.id, job.claims), why):
        raise Superseded(f"claim {job.claims} of job {job.id} came too late")


def _refuse(condition: str, parameters: tuple, why: str) -> list[tuple]:
    """In the midst of a deploy the next process may know what this one does not, so the job waits, from one second on
    and a little longer each time, and no attempt is used. Who is refused for longer than DEPLOY_WINDOW is dead."""
    change = f"""
        UPDATE backroom_job SET error = %s, attempts = attempts - (state = 'running')::int,
            unknown_since = COALESCE(unknown_since, clock_timestamp()),
            state = CASE WHEN {UNKNOWN_FOR} > %s THEN 'dead' ELSE 'waiting' END,
            run_at = clock_timestamp() + LEAST(GREATEST({UNKNOWN_FOR}, 1), 15) * interval '1 second',
            finished_at = CASE WHEN {UNKNOWN_FOR} > %s THEN clock_timestamp() END
        WHERE {condition}
        """  # noqa: S608 - the conditions stand above
    sql = keeping(change, which="state = 'dead'")
    return rows(sql, why, settings.DEPLOY_WINDOW, settings.DEPLOY_WINDOW, *parameters)


def mark_terminated_dead(id: str, worker: str) -> None:
    """Make a running job of this worker a dead letter: a person had it killed."""
    change = (
        "UPDATE backroom_job SET state = 'dead', finished_at = clock_timestamp(), error = 'terminated by remote control'"
        " WHERE id = %s AND state = 'running' AND worker = %s"
    )
    rows(keeping(change), id, worker)


def release_followers() -> list[str]:
    """Free jobs that wait for one that has succeeded: enqueued behind it in the very moment it finished."""
    found = rows(
        """
        UPDATE backroom_job child SET state = 'waiting', run_at = clock_timestamp(),
            args = CASE child.takes_result WHEN '' THEN child.args
                   ELSE child.args || jsonb_build_object(child.takes_result, parent.result) END
        FROM backroom_job parent WHERE child.state = 'waiting' AND child.run_at IS NULL
             AND parent.id = child.after_id AND parent.state = 'succeeded' RETURNING child.id
        """
    )
    return [str(id) for (id,) in found]


def release_orphan(id: str) -> bool:
    """Free a job that waits for one whose row somebody deleted; False if it doesn't (any more). For code that knows
    that the deleted one was done. One that needs the result of the deleted one is left as it is."""
    return bool(
        rows(
            """
            UPDATE backroom_job child SET run_at = clock_timestamp() WHERE id = %s AND state = 'waiting' AND run_at IS NULL
                AND takes_result = '' AND NOT EXISTS (SELECT FROM backroom_job parent WHERE parent.id = child.after_id)
            RETURNING id
            """,
            id,
        )
    )
