"""The shop's Celery app with the jobs of bench.burst, fair, scaling and uploads, for their workers."""

import time
from pathlib import Path

from backroom import enqueue_many, task
from shop.celery import app

__all__ = ["app", "enqueue", "mail", "mail_in_turns", "probe", "upload", "wait"]


@task(name="bench.wait", queue="bulk")
def wait(seconds: float) -> None:
    """Wait, as for a partner's answer."""
    time.sleep(seconds)


@task(name="bench.probe", queue="critical")
def probe() -> None:
    """Do nothing; its times tell how long a person's job waits."""


@task(name="bench.mail", queue="bulk")
def mail(tenant: str) -> None:
    """Do nothing, in the order of the queue."""


@task(name="bench.mail_in_turns", queue="bulk", fair="tenant:{tenant}")
def mail_in_turns(tenant: str) -> None:
    """The same, where tenants take turns."""


@task(name="bench.upload", queue="bulk")
def upload(file: str) -> None:
    """Make the shop's nine files of a picture."""
    from bench import pictures  # noqa: PLC0415 - other workers need no Pillow

    pictures.with_pillow(Path(file))


def enqueue(jobs: int) -> None:
    """Enqueue this number of jobs that do nothing in one call; a dispatcher publishes them."""
    enqueue_many(wait.call(0) for _ in range(jobs))
