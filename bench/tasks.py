"""The shop's Celery app with the jobs of bench.burst and bench.scaling, for their workers."""

import time

from backroom import enqueue_many, task
from shop.celery import app

__all__ = ["app", "enqueue", "probe", "wait"]


@task(name="bench.wait", queue="bulk")
def wait(seconds: float) -> None:
    """Wait, as for a partner's answer."""
    time.sleep(seconds)


@task(name="bench.probe", queue="critical")
def probe() -> None:
    """Do nothing; its times tell how long a person's job waits."""


def enqueue(jobs: int) -> None:
    """Enqueue this number of jobs that do nothing in one call; a dispatcher publishes them."""
    enqueue_many(wait.call(0) for _ in range(jobs))
