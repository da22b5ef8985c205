"""Backroom, as docs/adopt.md says, with the shop's Celery app and logs."""

from collections.abc import Sequence
from typing import Any

from backroom import enqueue_all, task
from bench.contenders.work import BODIES
from shop.celery import app

__all__ = ["app", "enqueue"]
TASKS = {name: task(name=f"bench.{name}")(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    enqueue_all(*[TASKS[body].call(*call) for call in calls])
