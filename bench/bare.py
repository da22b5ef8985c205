"""A bare Celery app that loads Django and the shop's tasks, the measure of bench.start and bench.enqueue."""

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BROKER_URL"], set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="default",
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,  # as in the shop, for Flower
)
app.autodiscover_tasks()


@app.task(name="bare.nothing")
def nothing() -> None:
    """Do nothing."""


def enqueue(jobs: int) -> None:
    for _ in range(jobs):
        nothing.delay()
