"""Measures how long one tenant's 10 jobs wait behind another's 20,000, with and without `fair`; prints a line for each:
`python -m bench.fair [jobs]`. The jobs do nothing, so the cost of a lane shows most. Rounds are interleaved.
"""

import statistics
import subprocess
import sys
import time
from collections import defaultdict

from backroom import enqueue_all, enqueue_many
from bench import cluster, results
from bench.table import execute
from stack.environment import CHECKOUT

FEW = 10
WORKER = "-A bench.tasks worker --queues=bulk --concurrency=2 --without-gossip --without-mingle --loglevel=ERROR"
COMMANDS = ("-m", "celery", "--quiet", *WORKER.split()), ("manage.py", "dispatcher")
NONE = subprocess.DEVNULL
UNPUBLISHED = "SELECT 1 FROM backroom_job WHERE state = 'waiting' AND place IS NULL LIMIT 1"
LEFT = "SELECT 1 FROM backroom_job WHERE state IN ('ready', 'waiting', 'running') LIMIT 1"
FOUND = """
SELECT extract(epoch FROM max(finished_at - created_at) FILTER (WHERE args->>'tenant' = 'few'))::float,
       extract(epoch FROM max(finished_at) - min(started_at))::float FROM backroom_job
"""


def main(jobs: int) -> None:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with cluster.running():
        started = [
            subprocess.Popen([sys.executable, *words], cwd=CHECKOUT, stdout=NONE, stderr=NONE) for words in COMMANDS
        ]
        try:
            measure("mail", 200)  # until both processes are warm
            for _ in range(1 if results.quick() else 3):
                for way in ("mail", "mail_in_turns"):
                    found[way].append(measure(way, jobs))
        finally:
            for process in started:
                process.terminate()
                process.wait()
    rates = [of_turns / plain for (_, plain), (_, of_turns) in zip(*found.values(), strict=True)]
    rows = [
        {
            "way": way,
            "few_s": statistics.median(few for few, _ in each),
            "jobs_per_s": statistics.median(rate for _, rate in each),
        }
        for way, each in (("in the order of the queue", found["mail"]), ("fair", found["mail_in_turns"]))
    ]
    rows[1]["rate_ratio"] = statistics.median(rates)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    results.save("fair", rows, jobs=jobs, few=FEW)


def measure(way: str, jobs: int) -> tuple[float, float]:
    """Seconds until the few are done, since they were enqueued; and jobs per second of all."""
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    execute("TRUNCATE backroom_job CASCADE")
    task = getattr(tasks, way)
    enqueue_many(task.call("many") for _ in range(jobs))
    while execute(UNPUBLISHED):
        time.sleep(0.02)
    enqueue_all(*[task.call("few") for _ in range(FEW)])
    while execute(LEFT):
        time.sleep(0.1)
    ((few, all_of_them),) = execute(FOUND)
    return few, (jobs + FEW) / all_of_them


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000 if results.quick() else 20_000)
