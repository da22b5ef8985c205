"""django-q2: jobs in PostgreSQL, by its ORM broker, the one that acknowledges and keeps a dead worker's jobs."""

from collections.abc import Sequence
from typing import Any

from django_q.tasks import async_task


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        async_task(f"bench.contenders.work.{body}", *call)
