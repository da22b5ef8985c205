"""Giving back what was lost: jobs of workers that fell silent, messages that the broker forgot, links not made.

A rescue may be wrong (a frozen worker comes back to life, a message was only slow): the claim's fencing token makes
the late finish change nothing, and the second delivery find nothing to claim.
"""

from jobs.ledger import keeping, rows

SILENCE = 10  # seconds without a sign of life after which a worker's jobs are given back
SLACK = 5  # seconds granted between a message's publishing, its delivery and its claim


def see_worker(name: str, queues: str, running: list[str]) -> list[str]:
    """Write a worker's sign of life, and give back what the ledger takes to be running on it but is not: the worker's
    child was killed, or the answer to its claim got lost. Returns the ids given back."""
    rows(
        "INSERT INTO jobs_worker (name, queues) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp() RETURNING name",
        name,
        queues,
    )
    return _give_back(
        "worker = %s AND started_at < clock_timestamp() - %s * interval '1 second' AND id <> ALL(%s::uuid[])",
        (name, SLACK, running),
        "its worker process died",
    )


def forget_worker(name: str) -> None:
    """Delete a worker that stops; what it should still be running is given back."""
    rows("DELETE FROM jobs_worker WHERE name = %s RETURNING name", name)


def give_back_of_silent_workers() -> list[str]:
    """Give back running jobs whose worker is gone or silent, and forget workers long silent. Returns the ids."""
    rows(
        "DELETE FROM jobs_worker WHERE seen_at < clock_timestamp() - %s * interval '1 second' RETURNING name",
        6 * SILENCE,
    )
    return _give_back(
        # A worker that has just begun may have claimed before its first sign of life is written: let it speak.
        "started_at < clock_timestamp() - %s * interval '1 second' AND NOT EXISTS (SELECT FROM jobs_worker w"
        " WHERE w.name = jobs_job.worker AND w.seen_at > clock_timestamp() - %s * interval '1 second')",
        (SLACK, SILENCE),
        "its worker fell silent",
    )


def _give_back(condition: str, parameters: tuple, why: str) -> list[str]:
    """The attempt counts, so a job that kills its worker is dead after its last; each return waits a little longer."""
    change = f"""
        WITH lost AS (SELECT id FROM jobs_job WHERE state = 'running' AND {condition} FOR UPDATE SKIP LOCKED)
        UPDATE jobs_job SET error = %s,
            state = CASE WHEN attempts < max_attempts THEN 'waiting' ELSE 'dead' END,
            run_at = clock_timestamp() + (attempts - 1) * interval '1 second',
            finished_at = CASE WHEN attempts < max_attempts THEN NULL ELSE clock_timestamp() END
        FROM lost WHERE jobs_job.id = lost.id
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
        WITH lost AS (SELECT id FROM jobs_job WHERE state = 'ready' AND queue = %s AND published_at <
                      LEAST(to_timestamp(%s), clock_timestamp()) - %s * interval '1 second' FOR UPDATE SKIP LOCKED)
        UPDATE jobs_job SET state = 'waiting', run_at = clock_timestamp() FROM lost WHERE jobs_job.id = lost.id
        RETURNING jobs_job.id
        """,
        queue,
        oldest,
        SLACK,
    )
    return [str(id) for (id,) in found]


def refuse(ids: list[str], why: str) -> None:
    """Count a failed attempt of jobs whose task or queue nobody here knows. During a deploy the next process may know
    it, so they wait, twice as long each time; after their last attempt (it may be their only one) they are dead."""
    change = """
        UPDATE jobs_job SET error = %s, attempts = attempts + 1,
            state = CASE WHEN attempts + 1 < max_attempts THEN 'waiting' ELSE 'dead' END,
            run_at = clock_timestamp() + LEAST(power(2, attempts), 600) * interval '1 second',
            finished_at = CASE WHEN attempts + 1 < max_attempts THEN NULL ELSE clock_timestamp() END
        WHERE id = ANY(%s::uuid[]) AND state = 'ready'
        """
    rows(keeping(change), why, ids)


def bury_terminated(id: str, worker: str) -> None:
    """Make a running job of this worker a dead letter: a person had it killed."""
    change = (
        "UPDATE jobs_job SET state = 'dead', finished_at = clock_timestamp(), error = 'terminated by remote control'"
        " WHERE id = %s AND state = 'running' AND worker = %s"
    )
    rows(keeping(change), id, worker)


def release_followers() -> list[str]:
    """Free jobs that wait for one that has succeeded: enqueued behind it in the very moment it finished."""
    found = rows(
        """
        UPDATE jobs_job child SET state = 'waiting', run_at = clock_timestamp(),
            args = CASE child.takes_result WHEN '' THEN child.args
                   ELSE child.args || jsonb_build_object(child.takes_result, parent.result) END
        FROM jobs_job parent WHERE child.state = 'waiting' AND child.run_at IS NULL
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
            UPDATE jobs_job child SET run_at = clock_timestamp() WHERE id = %s AND state = 'waiting' AND run_at IS NULL
                AND takes_result = '' AND NOT EXISTS (SELECT FROM jobs_job parent WHERE parent.id = child.after_id)
            RETURNING id
            """,
            id,
        )
    )
