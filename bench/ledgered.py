"""The shop's Celery app with one more task, which does nothing."""

from backroom import enqueue_all, task
from shop.celery import app

__all__ = ["app", "enqueue", "nothing"]


@task(name="bench.nothing")
def nothing() -> None:
    """A job that does nothing."""


def enqueue(jobs: int) -> None:
    """Enqueue so many of it, a thousand at a time."""
    for begin in range(0, jobs, 1000):
        enqueue_all(*[nothing.call() for _ in range(min(1000, jobs - begin))])
