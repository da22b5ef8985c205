"""The shop's checkout in other ways, for gunicorn: `gunicorn "bench.ways:make('no jobs')"`.

All but the floor are the shop's own application, with another function where an order enqueues its jobs.
"""

import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery import Celery
from django.db import transaction
from django.utils.module_loading import import_string

from backroom import Call
from bench import floor

log = logging.getLogger(__name__)

Enqueue = Callable[..., Any]


def make(name: str) -> Callable[..., Any]:
    """The WSGI application of this way."""
    from shop.wsgi import application  # noqa: PLC0415 - sets up Django

    if name == "floor":
        return floor.application()
    enqueue = {"no jobs": nothing, "on_commit + delay": delays(), "inline": inline}[name]
    put_in_place(enqueue)
    return application


def put_in_place(enqueue: Enqueue) -> None:
    """Call this where the shop enqueues an order's jobs. There is no settle job to cancel then."""
    from orders.ordering import checkout, settlement  # noqa: PLC0415 - needs Django to be set up

    checkout.enqueue_all = settlement.enqueue_all = enqueue
    checkout.operations = settlement.operations = SimpleNamespace(cancel=nothing, reschedule=nothing)  # type: ignore[assignment]


def nothing(*calls: Any, **options: Any) -> None:
    """Leave the jobs out."""


def delays() -> Enqueue:
    """One `.delay()` on commit for each job that is ready at once, with Celery's defaults."""
    app = Celery("delayed", broker=os.environ["BROKER_URL"], set_as_current=False)
    task = app.task(name="delayed.nothing")(nothing)

    def enqueue(*calls: Call) -> None:
        for call in calls:
            countdown = call.run_after.total_seconds() if call.run_after else None  # type: ignore[union-attr]
            publish = (
                partial(task.apply_async, kwargs=call.args, countdown=countdown)
                if countdown
                else (partial(task.delay, **call.args))
            )
            transaction.on_commit(publish)

    return enqueue


def inline(*calls: Call) -> None:
    """Do the work in the request, after its commit. What fails is logged, and lost."""
    for call in calls:
        if not call.run_after:  # the safety net of a request that dies
            transaction.on_commit(partial(run, call))


def run(call: Call) -> None:
    """A job and its followers, as their tasks run them."""
    from orders.follow_ups import FOLLOW_UPS  # noqa: PLC0415 - needs Django to be set up

    known = {follow_up.task: follow_up for follow_up in FOLLOW_UPS}
    for step in (call, *call.followers):
        try:
            with transaction.atomic() if known[step.task].atomic else nullcontext():
                import_string(known[step.task].verb)(**step.args)
        except Exception as error:
            log.error("%s is not done: %s", step.key, error)
            return
