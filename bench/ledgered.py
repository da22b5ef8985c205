"""The shop's Celery app with two more tasks: a no-op for bench.start and bench.table, and one that is held."""

import os
import time
from pathlib import Path

from backroom import enqueue_all, task
from shop.celery import app

__all__ = ["app", "enqueue", "hold", "nothing"]


@task(name="bench.nothing")
def nothing() -> None:
    """Do nothing."""


@task(name="bench.hold", queue="bulk")
def hold() -> None:
    """Run for as long as the file exists."""
    while Path(os.environ["BENCH_HOLD"]).exists():
        time.sleep(0.02)


def enqueue(jobs: int) -> None:
    """Enqueue this number of no-op jobs, up to a thousand per statement."""
    for begin in range(0, jobs, 1000):
        enqueue_all(*[nothing.call() for _ in range(min(1000, jobs - begin))])
