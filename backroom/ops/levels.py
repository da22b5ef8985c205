"""How many jobs each queue holds in each state, and the age of its oldest, read by partial indexes alone."""

from typing import NamedTuple

from backroom.ledger.sql import PAUSED, rows

# Each state by a partial index of its own, with the time since which its first job has been in it.
LIVE = """
    SELECT queue, task, 'ready' AS state, count(*) AS n, min(COALESCE(run_at, published_at)) AS since
    FROM backroom_job WHERE state = 'ready' GROUP BY queue, task
    UNION ALL SELECT queue, task, 'due', count(*), min(run_at)
    FROM backroom_job WHERE state = 'waiting' AND run_at <= now() GROUP BY queue, task
    UNION ALL SELECT queue, task, 'later', count(*), NULL
    FROM backroom_job WHERE state = 'waiting' AND (run_at > now() OR run_at IS NULL) GROUP BY queue, task
    UNION ALL SELECT queue, task, 'running', count(*), min(started_at)
    FROM backroom_job WHERE state = 'running' GROUP BY queue, task
    UNION ALL SELECT queue, task, 'dead', count(*), min(finished_at)
    FROM backroom_job WHERE state = 'dead' GROUP BY queue, task
"""
STATES = ("ready", "due", "later", "running", "dead")
COUNTS = ", ".join(f"COALESCE(sum(n) FILTER (WHERE state = '{state}'), 0)::int" for state in STATES)
AGE = "COALESCE(extract(epoch FROM clock_timestamp() - min(since) FILTER (WHERE {})), 0)::float"
COULD_RUN = f"state IN ('ready', 'due') AND NOT ({PAUSED})"

QUEUES = f"""
SELECT queue, {COUNTS}, {AGE.format(COULD_RUN)}, {AGE.format("state = 'running'")}
FROM ({LIVE}) live GROUP BY queue ORDER BY queue
"""  # noqa: S608 - the parts stand above


class Level(NamedTuple):
    """A queue's jobs. `later`: not due, or behind another job. Ages in seconds; a paused job has no `oldest_s`."""

    queue: str
    ready: int = 0
    due: int = 0
    later: int = 0
    running: int = 0
    dead: int = 0
    oldest_s: float = 0.0
    longest_run_s: float = 0.0

    @property
    def depth(self) -> int:
        """Jobs that could run at once: ready, or due and not published yet."""
        return self.ready + self.due


def levels() -> dict[str, Level]:
    """Each queue that has live jobs or dead letters, by name."""
    return {row[0]: Level(*row) for row in rows(QUEUES)}
