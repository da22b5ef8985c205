"""Celery on Valkey, as Celery's page on Django says. BENCH_CELERY has the settings that a contender adds."""

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery
from django.db import transaction

from bench.contenders.work import BODIES

app = Celery("bench")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(json.loads(os.environ["BENCH_CELERY"]))
TASKS = {name: app.task(name=f"bench.{name}")(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        TASKS[body].delay(*call)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:
        transaction.on_commit(partial(TASKS[body].delay, *call))
