"""The plain Celery apps that bench.drain compares with: with and without the broker's acknowledgements."""

import os

from celery import Celery, Task


def _app(name: str, **options: object) -> Celery:
    app = Celery(name, broker=os.environ["BROKER_URL"], set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue="default",
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,  # as in the shop, for Flower
        broker_transport_options=options,
    )
    return app


def _nothing() -> None:
    """Do nothing."""


def enqueue(task: Task, jobs: int) -> None:
    for _ in range(jobs):
        task.apply_async()


app = _app("plain")
without_acks = _app("without_acks", ack_emulation=False)
nothing = app.task(name="plain.nothing")(_nothing)
nothing_without_acks = without_acks.task(name="without_acks.nothing")(_nothing)
