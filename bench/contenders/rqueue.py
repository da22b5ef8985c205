"""RQ by django-rq. Its workers fork for each job: its documentation advises against SimpleWorker in production."""

from collections.abc import Sequence
from typing import Any

import django_rq
from rq import Queue, Retry

from bench.contenders.work import BODIES


def enqueue(body: str, calls: Sequence[Sequence[Any]]) -> None:
    jobs = [Queue.prepare_data(BODIES[body], args=call, retry=Retry(max=3)) for call in calls]
    django_rq.get_queue().enqueue_many(jobs)


def in_transaction(body: str, calls: Sequence[Sequence[Any]]) -> None:
    for call in calls:  # settings: on commit; enqueue_many does not wait for it
        django_rq.get_queue().enqueue(BODIES[body], *call, retry=Retry(max=3))
