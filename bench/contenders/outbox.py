"""django-celery-outbox: each call is a row in the caller's transaction, which a relay publishes."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django_celery_outbox import OutboxCelery

from bench.contenders.work import BODIES

app = OutboxCelery("bench")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1)
TASKS = {name: app.task(name=f"bench.{name}")(body) for name, body in BODIES.items()}


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    with transaction.atomic():  # else it warns at each call
        for call in calls:
            TASKS[body].delay(*call)
