"""Measures how fast a worker drains no-op jobs; prints jobs per second: `python -m bench.drain [jobs]`.

Three workers of two prefork children each, in turn:
  celery           plain Celery on Valkey with acks_late, no ledger
  celery, no acks  plain Celery without kombu's acknowledgements (ack_emulation off). It loses the jobs of a killed
                   worker. The ledger runs without them, too, as it rescues such jobs itself
  ledger           the shop's Celery app: claim and finish in PostgreSQL for each job
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis

from bench import cluster
from bench.compare import compare
from stack import environment

ROUNDS = 3
WORKER = ["worker", "--queues=default", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=ERROR"]


def main(jobs: int) -> None:
    with cluster.running() as env:
        url = environment.broker_url(Path(env["BACKROOM_VAR"]), env["BROKER_PORT"], administrator=True)
        broker = redis.Redis.from_url(url)
        ways = {name: partial(drain, broker, app, enqueue, jobs) for name, (app, enqueue) in build().items()}
        compare(ways, ROUNDS, "jobs/s")


def build() -> dict[str, tuple[str, Callable[[int], None]]]:
    """For each way the Celery app of its worker, and a function that enqueues a number of jobs."""
    from bench import ledgered, plain  # noqa: PLC0415 - need Django to be set up

    return {
        "celery": ("bench.plain:app", partial(plain.enqueue, plain.nothing)),
        "celery, no acks": ("bench.plain:without_acks", partial(plain.enqueue, plain.nothing_without_acks)),
        "ledger": ("bench.ledgered:app", ledgered.enqueue),
    }


def drain(broker: redis.Redis, app: str, enqueue: Callable[[int], None], jobs: int) -> float:
    """Jobs per second of a fresh worker, from the tenth message it takes to the last."""
    broker.flushdb()
    enqueue(jobs)
    worker = subprocess.Popen([sys.executable, "-m", "celery", "--quiet", "-A", app, *WORKER])
    try:
        while broker.llen("default") > jobs - 10:
            time.sleep(0.001)
        begin = time.perf_counter()
        while broker.llen("default"):
            time.sleep(0.001)
        return (jobs - 10) / (time.perf_counter() - begin)
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
