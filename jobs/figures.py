"""The back room in figures, for people and machines: what `manage.py jobs` shows."""

from typing import Any

from jobs.ledger import rows
from jobs.rescue import SILENCE

WINDOW = 300  # seconds that throughput and rates look back

QUEUES = """
SELECT queue, count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'waiting'),
       count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'dead'),
       COALESCE(extract(epoch FROM now() - min(COALESCE(run_at, published_at))
                        FILTER (WHERE state = 'ready' OR state = 'waiting' AND run_at <= now())), 0)::float
FROM jobs_job WHERE state IN ('ready', 'waiting', 'running', 'dead') GROUP BY queue ORDER BY queue
"""

TASKS = """
SELECT task, count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'dead'),
       COALESCE(sum(attempts - 1) FILTER (WHERE attempts > 1), 0),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at) * 1000)::float,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at) * 1000)::float
FROM jobs_job WHERE finished_at > now() - %s * interval '1 second' GROUP BY task ORDER BY task
"""


def figures() -> dict[str, Any]:
    """Depth and oldest age for each queue; throughput, retries and failures for each task over WINDOW; live workers.

    Ages in seconds, times in ms, rates a minute; shares between 0 and 1.
    """
    queues = [
        dict(zip(("queue", "ready", "waiting", "running", "dead", "oldest_s"), row, strict=True))
        for row in rows(QUEUES)
    ]
    tasks = []
    for task, succeeded, dead, retries, wait_ms, run_ms in rows(TASKS, WINDOW):
        finished = succeeded + dead
        tasks.append(
            {
                "task": task,
                "per_minute": round(finished * 60 / WINDOW, 2),
                "retry_rate": round(retries / (finished + retries), 4) if finished else 0.0,
                "failure_rate": round(dead / finished, 4) if finished else 0.0,
                "wait_ms_p50": wait_ms,
                "run_ms_p50": run_ms,
            }
        )
    workers = [
        {"name": name, "queues": queues_, "seen_s": seen}
        for name, queues_, seen in rows(
            "SELECT name, queues, extract(epoch FROM now() - seen_at)::float FROM jobs_worker"
            " WHERE seen_at > now() - %s * interval '1 second' ORDER BY name",
            SILENCE,
        )
    ]
    return {"window_s": WINDOW, "queues": queues, "tasks": tasks, "workers": workers}
