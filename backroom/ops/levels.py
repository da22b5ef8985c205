"""How many jobs each queue holds in each state, and the age of its oldest, read by partial indexes alone.

No count goes on for ever: a page reads as long with a million waiting jobs as with some.
"""

from typing import NamedTuple

from backroom.ledger.sql import PARKED, PAUSED, rows

SHOWN, MEASURED = 10_000, 100_000  # how far a page counts, and a scrape or a minute's row

# The queues that have ready jobs: one probe of their index for each.
READY_QUEUES = """
WITH RECURSIVE queues AS (
    (SELECT queue FROM backroom_job WHERE state = 'ready' ORDER BY queue LIMIT 1)
    UNION ALL SELECT (SELECT job.queue FROM backroom_job job WHERE state = 'ready' AND job.queue > queues.queue
                      ORDER BY job.queue LIMIT 1) FROM queues WHERE queue IS NOT NULL
)
"""

# Each state by a partial index of its own, with the time since which its first job has been in it. Ready jobs are
# counted queue by queue, so that a full queue hides no other one's age.
LIVE = f"""{READY_QUEUES}, live AS (
    SELECT queues.queue, task, 'ready' AS state, count(*) AS n, min(COALESCE(run_at, published_at)) AS since
    FROM queues, LATERAL (SELECT task, run_at, published_at FROM backroom_job job WHERE state = 'ready'
                          AND job.queue = queues.queue ORDER BY published_at LIMIT %s) ready GROUP BY 1, 2
    UNION ALL SELECT queue, task, 'due', count(*), min(run_at)
    FROM (SELECT queue, task, run_at FROM backroom_job WHERE state = 'waiting' AND run_at <= now()
          ORDER BY run_at LIMIT %s) due GROUP BY 1, 2
    UNION ALL SELECT queue, '', 'later', count(*), NULL
    FROM (SELECT queue FROM backroom_job WHERE state = 'waiting' AND run_at > now() AND run_at < {PARKED}
          ORDER BY run_at LIMIT %s) scheduled GROUP BY 1
    UNION ALL SELECT queue, '', 'parked', count(*), NULL
    FROM (SELECT queue FROM backroom_job WHERE state = 'waiting' AND run_at >= {PARKED}
          ORDER BY run_at LIMIT %s) parked GROUP BY 1
    UNION ALL SELECT queue, '', 'later', count(*), NULL
    FROM (SELECT queue FROM backroom_job WHERE state = 'waiting' AND run_at IS NULL
          ORDER BY run_at LIMIT %s) behind GROUP BY 1
    UNION ALL SELECT queue, task, 'running', count(*), min(started_at)
    FROM backroom_job WHERE state = 'running' GROUP BY 1, 2
    UNION ALL SELECT queue, '', 'dead', count(*), NULL
    FROM (SELECT queue FROM backroom_job WHERE state = 'dead' ORDER BY finished_at DESC LIMIT %s) dead GROUP BY 1
)
"""  # noqa: S608 - READY_QUEUES stands above
LIMITS = LIVE.count("%s")
STATES = ("ready", "due", "later", "parked", "running", "dead")
COUNTS = ", ".join(f"COALESCE(sum(n) FILTER (WHERE state = '{state}'), 0)::int" for state in STATES)
AGE = "COALESCE(extract(epoch FROM clock_timestamp() - min(since) FILTER (WHERE {})), 0)::float"
COULD_RUN = f"state IN ('ready', 'due') AND NOT ({PAUSED})"

QUEUES = f"""{LIVE}
SELECT queue, {COUNTS}, {AGE.format(COULD_RUN)}, {AGE.format("state = 'running'")}
FROM live GROUP BY queue ORDER BY queue
"""  # noqa: S608


class Level(NamedTuple):
    """A queue's jobs. `later`: not due, or behind other jobs; `parked`: for a place in a lane. Ages in seconds; a
    paused job has no `oldest_s`."""

    queue: str
    ready: int = 0
    due: int = 0
    later: int = 0
    parked: int = 0
    running: int = 0
    dead: int = 0
    oldest_s: float = 0.0
    longest_run_s: float = 0.0
    more: frozenset[str] = frozenset()  # the states with more jobs than were counted

    @property
    def depth(self) -> int:
        """Jobs that could run at once: ready, or due and not published yet."""
        return self.ready + self.due

    @property
    def deeper(self) -> bool:
        """Whether there are more of those."""
        return not self.more.isdisjoint(("ready", "due"))

    def shown(self, name: str) -> str:
        """The count of a state, or the depth: "12", or "10,000+" if there are more."""
        count, more = getattr(self, name), self.deeper if name == "depth" else name in self.more
        return f"{count:,}+" if more else str(count)


def levels(limit: int | None) -> dict[str, Level]:
    """Each queue that has live jobs or dead letters, by name. In a state, `limit` jobs are counted: the ready ones of
    each queue, the others of all queues together."""
    found = [Level(*row) for row in rows(QUEUES, *[limit] * LIMITS)]
    if limit is None:
        return {level.queue: level for level in found}
    more = {
        name for name in ("due", "later", "parked", "dead") if sum(getattr(level, name) for level in found) >= limit
    }
    return {
        level.queue: level._replace(more=frozenset(more | ({"ready"} if level.ready >= limit else set())))
        for level in found
    }
