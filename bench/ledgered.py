"""The shop's Celery app with one more task, a no-op, which bench.drain and bench.table run through the ledger."""

from backroom import enqueue_all, task
from shop.celery import app

__all__ = ["app", "enqueue", "nothing"]


@task(name="bench.nothing")
def nothing() -> None:
    """Do nothing."""


def enqueue(jobs: int) -> None:
    """Enqueue this number of no-op jobs, up to a thousand per statement."""
    for begin in range(0, jobs, 1000):
        enqueue_all(*[nothing.call() for _ in range(min(1000, jobs - begin))])
