"""Plain Celery tasks under the shop's own words for calling them: `.enqueue()` is `.delay()` on commit."""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from celery import Task, chain, current_app
from celery.canvas import Signature
from celery.exceptions import Ignore
from django.db import transaction

from backroom import Call, Permanent, Retry, RetryAfter, Snooze


def enqueue_all(*calls: Call) -> list[str]:
    """Publish each call when the transaction commits, with what follows it as a chain. There are no rows, so there
    are no ids to return."""
    for call in calls:
        steps = [signature(step) for step in (call, *call.followers)]
        publish_on_commit(chain(*steps).delay if call.followers else steps[0].delay)
    return []


def publish_on_commit(publish: Callable[[], object]) -> None:
    """What Celery's page on Django advises, and its `delay_on_commit` does."""
    transaction.on_commit(publish)


def signature(call: Call) -> Signature:
    """A call in Celery's own form."""
    plain = current_app.tasks[call.task].si(**call.args).set(queue=call.queue)
    if isinstance(call.run_after, timedelta):
        plain.set(countdown=call.run_after.total_seconds())
    elif call.run_after:
        plain.set(eta=call.run_after)
    return plain


@dataclass(frozen=True)
class Using:
    """A task with options for its next call. A key is taken and forgotten: there is nothing to look it up in."""

    task: "NaiveTask"
    run_after: timedelta | datetime | None = None
    queue_name: str | None = None
    key: str | None = None

    def call(self, *args: Any, **kwargs: Any) -> Call:
        call = self.task.call(*args, **kwargs)
        return replace(call, run_after=self.run_after, queue=self.queue_name or call.queue)

    def enqueue(self, *args: Any, **kwargs: Any) -> None:
        enqueue_all(self.call(*args, **kwargs))


class NaiveTask(Task):
    """A task as `jobs.task` declares it, run by Celery alone."""

    abstract = True
    job_queue = "default"
    job_key: str | None = None
    policy = Retry()
    atomic = False

    # The task's own policy, in Celery's words. Celery draws each pause between 0 and the full one.
    autoretry_for = (Exception,)
    dont_autoretry_for = (Permanent, RetryAfter, Snooze)
    max_retries = property(lambda self: self.policy.attempts - 1)
    retry_backoff = property(lambda self: self.policy.first)
    retry_backoff_max = property(lambda self: self.policy.cap)

    def call(self, *args: Any, **kwargs: Any) -> Call:
        """A call of this task, not yet published."""
        arguments = inspect.signature(self.run).bind(*args, **kwargs).arguments
        return Call(self.name, dict(arguments), self.job_queue, self.policy.attempts)

    def using(self, **options: Any) -> Using:
        """Options for the next call: run_after, queue_name."""
        return Using(self, **options)

    def enqueue(self, *args: Any, **kwargs: Any) -> None:
        """Publish a call when the transaction commits."""
        enqueue_all(self.call(*args, **kwargs))

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Celery's own, to the queue that the task declares."""
        return super().apply_async(args, kwargs, **{"queue": self.job_queue, **options})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body, with autoretry around it; a snooze uses no attempt here either."""
        try:
            with transaction.atomic() if self.atomic else nullcontext():
                return self.run(*args, **kwargs)
        except RetryAfter as error:
            raise self.retry(countdown=error.seconds, exc=error) from error
        except Snooze as error:
            self.signature_from_request(countdown=error.seconds, retries=self.request.retries).apply_async()
            raise Ignore from error
