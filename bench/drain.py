"""How fast a worker drains no-op jobs: `python -m bench.drain [jobs]`.

Three workers of two prefork children each, in turn:
  celery       plain Celery on Valkey, acks_late, no ledger
  celery, no acks  the same without kombu's bookkeeping of acknowledgements (ack_emulation off): loses what a killed
               worker held, and is here only because the ledger runs with it too, as it brings such jobs back
  ledger       the shop's own: claim and finish in PostgreSQL for each job
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import redis

from bench import cluster

ROUNDS = 3
WORKER = ["worker", "--queues=default", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=ERROR"]


def main(jobs: int) -> None:
    """Print jobs a second (median of ROUNDS) and the ratios."""
    with cluster.running() as env:
        variants = build()
        rates: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(ROUNDS):
            for name, (app, enqueue) in variants.items():
                rates[name].append(drain(env["BROKER_URL"], app, enqueue, jobs))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in medians.items():
        print(f"{name:16} {value:6.0f} jobs/s   {value / medians['celery']:.2f} x celery")


def build() -> dict[str, tuple[str, Callable[[int], None]]]:
    """For each way the Celery app of its worker, and how many of its jobs are enqueued."""
    from bench import ledgered, plain  # noqa: PLC0415 - need Django to be set up

    def publish(task) -> Callable[[int], None]:
        def enqueue(jobs: int) -> None:
            for _ in range(jobs):
                task.apply_async()

        return enqueue

    return {
        "celery": ("bench.plain:app", publish(plain.nothing)),
        "celery, no acks": ("bench.plain:without_acks", publish(plain.nothing_without_acks)),
        "ledger": ("bench.ledgered:app", ledgered.enqueue),
    }


def drain(broker: str, app: str, enqueue: Callable[[int], None], jobs: int) -> float:
    """Enqueue, start a worker, and time it from the tenth job taken to the last one left. Returns jobs a second."""
    client = redis.Redis.from_url(broker)
    client.flushdb()
    enqueue(jobs)
    worker = subprocess.Popen([sys.executable, "-m", "celery", "--quiet", "-A", app, *WORKER], env=os.environ)
    try:
        while client.llen("default") > jobs - 10:
            time.sleep(0.001)
        begin = time.perf_counter()
        while client.llen("default"):
            time.sleep(0.001)
        return (jobs - 10) / (time.perf_counter() - begin)
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
