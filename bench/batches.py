"""Measures what being a batch's member costs a job; prints a line for each way: `python -m bench.batches [jobs]`.

The jobs do nothing, so a member's cost shows most. Each way's seconds are from the call that enqueues all jobs until
the last one has succeeded, of a batch its callback. Rounds are interleaved.
"""

import statistics
import subprocess
import sys
import time

from backroom import batch, enqueue_many
from bench import cluster, results
from bench.fair import COMMANDS, LEFT, NONE
from bench.table import execute
from stack.environment import CHECKOUT

ENDED = "SELECT extract(epoch FROM max(finished_at))::float FROM backroom_job"


def main(jobs: int) -> None:
    found: dict[str, list[float]] = {"plain jobs": [], "members of a batch": []}
    with cluster.running():
        started = [
            subprocess.Popen([sys.executable, *words], cwd=CHECKOUT, stdout=NONE, stderr=NONE) for words in COMMANDS
        ]
        try:
            measure("plain jobs", 200)  # until both processes are warm
            for _ in range(1 if results.quick() else 5):
                for way, seconds in found.items():
                    seconds.append(measure(way, jobs))
        finally:
            for process in started:
                process.terminate()
                process.wait()
    ratios = [members / plain for plain, members in zip(*found.values(), strict=True)]
    rows = [{"way": way, "us_a_job": statistics.median(each) / jobs * 1e6} for way, each in found.items()]
    rows[1]["ratio"] = statistics.median(ratios)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    results.save("batches", rows, jobs=jobs)


def measure(way: str, jobs: int) -> float:
    """Seconds for all jobs."""
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    execute("TRUNCATE backroom_job, backroom_batch CASCADE")
    calls, begin = (tasks.mail.call("one") for _ in range(jobs)), time.time()
    if way == "plain jobs":
        enqueue_many(calls)
    else:
        batch(calls, then=tasks.mail.call("all"))
    while execute(LEFT):
        time.sleep(0.1)
    ((ended,),) = execute(ENDED)
    return ended - begin


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000 if results.quick() else 10_000)
