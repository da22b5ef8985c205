"""Plain Celery tasks that `backroom.task` declares, and `enqueue_all` as `.delay()` on commit."""

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from celery import chain, current_app
from celery.canvas import Signature
from celery.exceptions import Ignore
from django.db import transaction

from backroom import Call, Permanent, RetryAfter, Snooze
from backroom.runtime.declared_task import DeclaredTask


def enqueue_all(*calls: Call) -> list[str]:
    """Publish each call on commit, and its followers as a chain, as Celery's `delay_on_commit` does. Returns empty ids,
    as there are no rows."""
    for call in calls:
        steps = [signature(step) for step in (call, *call.followers)]
        transaction.on_commit(chain(*steps).delay if call.followers else steps[0].delay)
    return [""] * len(calls)


def enqueue_many(calls: Iterable[Call]) -> int:
    """A `.delay()` for each."""
    return len(enqueue_all(*calls))


def signature(call: Call) -> Signature:
    if call.task not in current_app.tasks:
        current_app.loader.import_default_modules()  # a web process has not imported the tasks
    plain = current_app.tasks[call.task].si(**call.args).set(queue=call.queue)
    if isinstance(call.run_after, timedelta):
        plain.set(countdown=call.run_after.total_seconds())
    elif call.run_after:
        plain.set(eta=call.run_after)
    return plain


class NaiveTask(DeclaredTask):
    """A task that `backroom.task` declares and Celery alone runs. Keys, lanes and unique names have no effect."""

    abstract = True
    job_queue = "default"

    # The task's own policy, in Celery's options. Celery picks each pause between 0 and the full one.
    autoretry_for = (Exception,)
    dont_autoretry_for = (Permanent, RetryAfter, Snooze)
    max_retries = property(lambda self: self.policy.attempts - 1)
    retry_backoff = property(lambda self: self.policy.first)
    retry_backoff_max = property(lambda self: self.policy.cap)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Celery's method, with the task's queue as the default."""
        return super().apply_async(args, kwargs, **{"queue": self.job_queue, **options})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body inside autoretry. A snooze uses no attempt."""
        try:
            with transaction.atomic() if self.atomic else nullcontext():
                return self.run(*args, **kwargs)
        except RetryAfter as error:
            raise self.retry(countdown=error.seconds, exc=error) from error
        except Snooze as error:
            self.signature_from_request(countdown=error.seconds, retries=self.request.retries).apply_async()
            raise Ignore from error
