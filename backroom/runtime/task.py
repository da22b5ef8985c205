"""The task class: every Celery spelling of "call this" enqueues a job.

`.delay()`, `.apply_async()`, beat, `chain` and `group` lead to the same place as `.enqueue()` (declared_task.py).
chords.py has `chord`. Options that the ledger can't honour (links) raise TypeError.
"""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from celery import Celery, Task, shared_task
from django.core.exceptions import ImproperlyConfigured

from backroom.ledger.errors import Permanent, RetryAfter
from backroom.ledger.retry import Retry
from backroom.runtime import chords, duplicates, execution, heartbeat, lane, storable
from backroom.runtime.call import Call
from backroom.runtime.declared_task import DeclaredTask, Using
from backroom.runtime.enqueue import enqueue_all

UNDERSTOOD = {"countdown", "eta", "expires", "queue", "key", "chain"}
IRRELEVANT = {  # Celery's own bookkeeping, and options that change neither whether nor when the work is done
    "task_id", "root_id", "parent_id", "group_id", "group_index", "producer", "connection", "headers", "reply_to",
    "retry", "retry_policy", "ignore_result", "add_to_parent", "publisher", "app", "retries", "router", "shadow",
    "stamped_headers", "immutable", "subtask_type", "task_type", "cast", "task_name", "priority", "serializer",
}  # fmt: skip
AUTORETRY = {
    "autoretry_for", "dont_autoretry_for", "retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter",
}  # fmt: skip


class LedgerTask(DeclaredTask):
    """A task whose calls are jobs."""

    abstract = True
    throws = (Permanent,)  # Celery logs it in one line; the ledger has the traceback

    def apply_async(self, args=None, kwargs=None, task_id=None, **options):
        """Celery's spelling of enqueue. Raises TypeError for options that the ledger can't honour."""
        call = self.from_celery(tuple(args or ()), dict(kwargs or {}), options)
        steps = [signature.type._from_signature(signature) for signature in reversed(options.get("chain") or [])]
        (id,) = enqueue_all(replace(call, id=task_id).then(*steps))
        return self.AsyncResult(id)

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's; a chord that it becomes part of starts a batch."""
        chords.install()
        return super().signature(*args, **kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Celery's spelling for Django: the row is part of the caller's transaction, so it appears on commit."""
        self.apply_async(*args, **kwargs)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """As apply_async_on_commit."""
        self.apply_async(args, kwargs)

    def from_celery(
        self, args: tuple, kwargs: dict[str, Any], options: dict[str, Any], takes_result: str = ""
    ) -> Call:  # fmt: skip
        """The call with Celery's options. Raises TypeError for what the ledger can't honour."""
        refused = {name for name, value in options.items() if value} - UNDERSTOOD - IRRELEVANT
        if refused:
            raise TypeError(f"{self.name}: jobs have no option {', '.join(sorted(refused))}")
        countdown, eta = options.get("countdown"), options.get("eta")
        run_after = storable.duration(f"{self.name}: countdown", countdown) if countdown else eta
        queue = getattr(options.get("queue"), "name", options.get("queue"))
        expires = storable.duration(f"{self.name}: expires", options.get("expires"))
        return Using(self, run_after, queue, options.get("key"), expires, takes_result=takes_result).call(
            *args, **kwargs
        )

    def _from_signature(self, signature) -> Call:
        """A later step of a chain; one that is not immutable gets the result before it as its first argument."""
        options = dict(signature.options)
        id = options.pop("task_id", None)
        if signature.immutable:
            return replace(self.from_celery(tuple(signature.args), signature.kwargs, options), id=id)
        first = next(iter(self.parameters.parameters), "")
        args = (None, *signature.args)  # None: the result's place
        return replace(self.from_celery(args, signature.kwargs, options, first), id=id)

    def retry(self, args=None, kwargs=None, exc=None, throw=True, eta=None, countdown=None, **_):
        """Celery's `self.retry()`: the ledger retries, not before `countdown` seconds and as often as the task's Retry
        allows. Raises TypeError for other arguments than the job's."""
        if args is not None or kwargs is not None:
            raise TypeError(f"{self.name}: a job keeps its arguments; enqueue another one for others")
        seconds = (eta - datetime.now(eta.tzinfo)).total_seconds() if eta else countdown or 0
        raise RetryAfter(seconds, str(exc or "the task asked for a retry")) from exc

    def replace(self, sig: Any) -> NoReturn:
        """Raises Permanent: Celery would run another task under this job's id."""
        raise Permanent(f"{self.name}: a job can't be replaced; enqueue another one, or a chain")

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises TypeError: there is no job to run here."""
        raise TypeError(f"{self.name}: call it as a function, or enqueue it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job that the worker's message names; called as a function, run only the body."""
        if self.request.called_directly:
            return self.run(*args, **kwargs)
        if not heartbeat.worker_name:
            raise ImproperlyConfigured("this worker sends no heartbeat: start it with `celery -A PROJECT worker`")
        request = self.request
        request.called_directly = True  # the body may call its own task
        try:
            return execution.perform(self, request.id)
        finally:
            request.called_directly = False


def task(
    *,
    queue: str = "default",
    key: str | None = None,
    retry: Retry | None = None,
    atomic: bool = False,
    shed: bool = False,
    limit: tuple[str, int] | None = None,
    in_order: str | None = None,
    dead_blocks: bool = False,
    fair: str | tuple[str, int] | None = None,
    unique: tuple[str, str | timedelta] | None = None,
    duplicate: str | None = None,
    expires: timedelta | None = None,
    renamed: Mapping[str, str] | None = None,
    **options: Any,
):
    """Declare a task. `key` is the format of its jobs' key, from the arguments: "receipt:{number}". An `atomic` task's
    body and finish are one transaction: its database effects happen exactly once. `renamed` maps former names of
    arguments to today's, for jobs that another version enqueued (docs/deploying.md). A full queue refuses a request the
    jobs of a task with `shed` (backpressure.py). docs/lanes.md has `limit`, `in_order` and `fair`. A job that has not
    begun when it `expires`, counted from the enqueueing, is cancelled. docs/tasks.md has `unique` and `duplicate`.
    Other options are Celery's; raises TypeError for one that neither has."""
    _check_options(options)
    return shared_task(
        job_queue=queue,
        job_key=key,
        job_lane=lane.declared(limit, in_order, dead_blocks, fair),
        job_unique=duplicates.declared(unique, duplicate, key),
        policy=retry or Retry(),
        atomic=atomic,
        shed=shed,
        expires=expires,
        renamed=renamed or {},
        **options,
    )


def _check_options(options: Mapping[str, Any]) -> None:
    celerys = {*dir(options.get("base") or Task), *inspect.signature(Celery._task_from_fun).parameters, *AUTORETRY}
    for name in options:
        if name not in celerys:
            ours = {name for name in inspect.signature(task).parameters if name != "options"}
            near = difflib.get_close_matches(name, sorted(ours | celerys), 1)
            raise TypeError(f"a task has no option {name}" + (f": did you mean {near[0]}?" if near else ""))
