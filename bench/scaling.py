"""Measures jobs per second by worker processes and jobs' duration; prints a line for each: `python -m bench.scaling`.

One worker of 1, 2, 4 and 8 children, with jobs that wait 0, 10 and 100 ms. For each, the share of a core of the worker,
PostgreSQL and Valkey. The last column: jobs per second at which PostgreSQL would fill all cores, were it alone on them.
"""

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import redis

from backroom import enqueue_all
from bench import cluster, results
from bench.table import execute
from bench.usage import Meter
from stack import environment

PROCESSES = (1, 2, 4, 8)
MILLISECONDS = (0, 10, 100)
WINDOW = 1.5 if results.quick() else 2.0  # seconds of each measurement
SERVERS = ("postgresql", "valkey")
DONE = "SELECT count(*) FROM backroom_job WHERE task = 'bench.wait' AND state = 'succeeded'"


def main() -> None:
    rounds: dict[tuple[int, int], list[dict[str, float]]] = defaultdict(list)
    with cluster.running() as env:
        url = environment.broker_url(Path(env["BACKROOM_VAR"]), env["BROKER_PORT"], administrator=True)
        for _ in range(1 if results.quick() else 5):
            for processes in PROCESSES:
                for milliseconds, figures in of_worker(processes, redis.Redis.from_url(url), env).items():
                    rounds[processes, milliseconds].append(figures)
    rows = [row(*which, rounds[which]) for which in sorted(rounds, key=lambda which: (which[1], which[0]))]
    for each in rows:
        print("  ".join(f"{name} {value}" for name, value in each.items()))
    results.save("scaling", rows, seconds=WINDOW)


def of_worker(processes: int, broker: redis.Redis, env: dict[str, str]) -> dict[int, dict[str, float]]:
    """Figures of one worker for each duration of a job."""
    options = ["--queues=bulk", f"--concurrency={processes}", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "bench.tasks", "worker", *options, "--loglevel=ERROR"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pids = {"worker": worker.pid, **{name: server(name, env) for name in SERVERS}}
        return {each: window(processes, each, broker, pids) for each in MILLISECONDS}
    finally:
        worker.terminate()
        worker.wait()


def window(processes: int, milliseconds: int, broker: redis.Redis, pids: dict[str, int]) -> dict[str, float]:
    """Jobs per second, and CPU seconds a second, while the queue never gets empty."""
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    execute("TRUNCATE backroom_job CASCADE")
    enqueue_all(*[tasks.wait.call(milliseconds / 1000) for _ in range(enough(processes, milliseconds))])
    while done() < 2 * processes:
        time.sleep(0.01)
    meter, before, begin = Meter(pids), done(), time.perf_counter()
    used = meter.run(WINDOW)
    seconds = time.perf_counter() - begin
    rate = (done() - before) / seconds
    broker.delete("bulk")
    execute("DELETE FROM backroom_job WHERE state = 'ready'")
    while execute("SELECT FROM backroom_job WHERE state = 'running' LIMIT 1"):
        time.sleep(0.01)
    return {"jobs_per_s": rate, **{f"{name}_cores": used[name] / seconds for name in pids}}


def enough(processes: int, milliseconds: int) -> int:
    """More jobs than the worker can do in the window: no core does 1,500 a second."""
    fastest = 1500 * len(os.sched_getaffinity(0))
    return int(min(fastest, processes / milliseconds * 1000 if milliseconds else fastest) * (WINDOW + 1)) + 10


def done() -> int:
    return execute(DONE)[0][0]


def server(name: str, env: dict[str, str]) -> int:
    """The main id of a server's process."""
    if name == "postgresql":
        return int((Path(env["BACKROOM_VAR"]) / "postgres" / "postmaster.pid").read_text().split()[0])
    return int(redis.Redis.from_url(env["BROKER_URL"]).info("server")["process_id"])


def row(processes: int, milliseconds: int, rounds: list[dict[str, float]]) -> results.Row:
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    limit = len(os.sched_getaffinity(0)) * medians["jobs_per_s"] / medians["postgresql_cores"]
    return {"processes": processes, "job_ms": milliseconds, **medians, "postgresql_limit_jobs_per_s": limit}


if __name__ == "__main__":
    main()
