"""Celery on Valkey with acks_late, as Celery's page on Django says."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery, Task
from django.db import transaction

from bench.contenders.work import BODIES

app = Celery("bench")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1)
TASKS: dict[str, Task] = {name: app.task(name=f"bench.{name}")(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        TASKS[body].delay(*call)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        transaction.on_commit(partial(TASKS[body].delay, *call))
