"""For `celery worker --include`: a task of which one job waits at a time, and what it counts."""

from datetime import timedelta

from backroom import task
from backroom.ledger.models import Job


@task(name="tests.unique.mark", queue="bulk")
def mark() -> None:
    """It stays scheduled: its row is what `total` counts."""


@task(name="tests.unique.total", queue="bulk", unique=("tests:total", "while waiting"))
def total() -> int:
    return Job.objects.filter(task=mark.name).count()


@task(name="tests.unique.late", queue="bulk", expires=timedelta(microseconds=1))
def late() -> None:
    """It can't begin in time."""
