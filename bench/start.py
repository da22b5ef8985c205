"""Measures a worker of two children, the shop's and a bare Celery one; prints seconds and MB: `python -m bench.start`.

Both load Django and the shop's tasks. Seconds until the worker is ready, and memory (PSS) of all three processes after
their first hundred jobs.
"""

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import redis

from bench import cluster, results
from bench.usage import memory_mb
from lab.faults.stack import descendants
from stack import environment

JOBS = 100
WORKER = ["worker", "--queues=default", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=INFO"]


def main() -> None:
    measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with cluster.running() as env:
        from bench import bare, ledgered  # noqa: PLC0415 - need Django to be set up

        url = environment.broker_url(Path(env["BACKROOM_VAR"]), env["BROKER_PORT"], administrator=True)
        for _ in range(2 if results.quick() else 7):
            for name, app, enqueue in (
                ("bare Celery", "bench.bare", bare.enqueue),
                ("ledger", "bench.ledgered", ledgered.enqueue),
            ):
                measured[name].append(measure(redis.Redis.from_url(url), app, enqueue))
    rows = []
    for name, each in measured.items():
        seconds, memory = map(statistics.median, zip(*each, strict=True))
        rows.append({"worker": name, "ready_s": seconds, "memory_mb": memory})
        print(f"{name:12} ready after {seconds:5.2f} s, {memory:6.1f} MB")
    results.save("start", rows, jobs=JOBS)


def measure(broker: redis.Redis, app: str, enqueue: Callable[[int], None]) -> tuple[float, float]:
    """Seconds until it is ready, and MB after the jobs."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "celery", "-A", app, *WORKER]
    # The shop's app logs to stdout, Celery to stderr.
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert worker.stdout  # noqa: S101 - for mypy
        next(line for line in worker.stdout if " ready." in line)
        seconds = time.perf_counter() - begin
        enqueue(JOBS)
        while broker.llen("default"):
            time.sleep(0.01)
        return seconds, memory_mb(descendants(worker.pid))
    finally:
        worker.terminate()
        worker.communicate()
        broker.flushdb()


if __name__ == "__main__":
    main()
