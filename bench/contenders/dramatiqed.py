"""Dramatiq by django-dramatiq, on Redis."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import dramatiq
from django.db import transaction

from bench.contenders.work import BODIES

TASKS = {name: dramatiq.actor(body, actor_name=f"bench.{name}") for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        TASKS[body].send(*call)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        transaction.on_commit(partial(TASKS[body].send, *call))
