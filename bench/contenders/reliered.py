"""relier: Celery with all its state in Redis, and a process that requeues the tasks of dead workers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction
from relier import rl_task

from bench.contenders.work import BODIES

TASKS = {name: rl_task(idempotent=True, name=f"bench.{name}")(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        TASKS[body].push(*call)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        transaction.on_commit(partial(TASKS[body].push, *call))
