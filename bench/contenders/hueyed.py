"""Huey on Redis. Its consumer does not acknowledge: its documentation says that a killed one loses its tasks."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import django
from django.db import transaction

from bench.contenders.work import BODIES

django.setup()  # its consumer does not
from huey.contrib.djhuey import HUEY, task  # noqa: E402 - reads Django's settings

__all__ = ["HUEY", "enqueue", "in_transaction"]
TASKS = {name: task(name=f"bench.{name}", retries=3)(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        TASKS[body](*call)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        transaction.on_commit(partial(TASKS[body], *call))
