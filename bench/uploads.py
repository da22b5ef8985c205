"""Measures a burst of pictures on this machine, to compare it with bench.simulation: `python -m bench.uploads`.

First one child makes pictures one after the other: the seconds of each. Then two children get twice as many as they
can make, for a while. Prints the most that wait, the oldest age, and the seconds until all are done.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import cluster, pictures, results
from bench.table import execute

ALONE = 5 if results.quick() else 30  # pictures of which the seconds are measured
CHILDREN, OVERLOAD = 2, 2.0
BURST = 5.0 if results.quick() else 30.0  # seconds for which pictures come
EVERY = 0.25  # seconds between two looks
RUNS = "SELECT extract(epoch FROM finished_at - started_at)::float FROM backroom_job WHERE state = 'succeeded'"
LOOK = """
SELECT count(*) FILTER (WHERE state = 'ready'), count(*),
       COALESCE(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE state = 'ready')), 0)::float
FROM backroom_job WHERE state IN ('ready', 'running')
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, cluster.running():
        file = str(pictures.originals(Path(folder))[0])
        seconds = alone(file)
        rate = OVERLOAD * CHILDREN / (sum(seconds) / len(seconds))
        timeline, arrivals = burst(file, rate)
    row = {
        "uploads": len(arrivals), "waiting": max(each["waiting"] for each in timeline),
        "oldest_s": max(each["oldest_s"] for each in timeline), "done_s": timeline[-1]["at"],
    }  # fmt: skip
    print("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    results.save("uploads", [row], seconds=seconds, arrivals=arrivals, children=CHILDREN)


def alone(file: str) -> list[float]:
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    with worker(1):
        for count in (1, ALONE):  # the first one imports Pillow
            execute("TRUNCATE backroom_job CASCADE")
            for _ in range(count):
                tasks.upload.enqueue(file)
            while look()[1]:
                time.sleep(EVERY)
    return [seconds for (seconds,) in execute(RUNS)]


def burst(file: str, rate: float) -> tuple[list[results.Row], list[float]]:
    """What waits, look by look, until nothing does; and when each picture came."""
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    with worker(CHILDREN):
        for _ in range(2 * CHILDREN):
            tasks.upload.enqueue(file)
        while look()[1]:
            time.sleep(EVERY)
        begin, timeline, arrivals = time.monotonic(), list[results.Row](), list[float]()
        while True:
            at = time.monotonic() - begin
            while at < BURST and len(arrivals) < at * rate:
                tasks.upload.enqueue(file)
                arrivals.append(time.monotonic() - begin)
            waiting, unfinished, oldest = look()
            timeline.append({"at": at, "waiting": waiting, "oldest_s": oldest})
            if at > BURST and not unfinished:
                return timeline, arrivals
            time.sleep(min(EVERY, 1 / rate))


def look() -> tuple[int, int, float]:
    """How many wait, how many are not done, and the age of the oldest that waits."""
    return execute(LOOK)[0]


@contextmanager
def worker(children: int) -> Iterator[None]:
    options = ["--queues=bulk", f"--concurrency={children}", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "bench.tasks", "worker", *options, "--loglevel=ERROR"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
