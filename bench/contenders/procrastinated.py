"""Procrastinate's Django app: jobs in PostgreSQL, in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from procrastinate.contrib.django import app

from bench.contenders.work import BODIES

TASKS = {name: app.task(name=f"bench.{name}")(body) for name, body in BODIES.items()}
NAMES = {"nothing": ("id",), "wait": ("id", "seconds"), "kill": ("id",)}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    TASKS[body].batch_defer(*[dict(zip(NAMES[body], call, strict=True)) for call in calls])
