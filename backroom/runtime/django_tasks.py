"""The ledger as a backend of `django.tasks` (Django 6.0), or of the package `django-tasks` before.

    TASKS = {"default": {"BACKEND": "backroom.tasks.Backend", "OPTIONS": {"retry": Retry(attempts=3)}}}

Each of Django's tasks is a task of the ledger, too, named by its path, with the arguments `args` and `kwargs`. Workers
import it as Celery's: from a module `tasks`, or as CELERY_IMPORTS names it.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django
from django.utils.module_loading import import_string

if TYPE_CHECKING or django.VERSION < (6, 0):
    from django_tasks import base, exceptions, signals
    from django_tasks.backends.base import BaseTaskBackend
else:
    from django.tasks import base, exceptions, signals
    from django.tasks.backends.base import BaseTaskBackend

from backroom.ledger.models import Attempt, Job, State
from backroom.ledger.retry import Retry
from backroom.observe import progress
from backroom.runtime.enqueue import enqueue_all
from backroom.runtime.task import LedgerTask, task

STATUS = {
    State.READY: base.TaskResultStatus.READY,
    State.WAITING: base.TaskResultStatus.READY,  # for its time, or after a failed attempt
    State.RUNNING: base.TaskResultStatus.RUNNING,
    State.SUCCEEDED: base.TaskResultStatus.SUCCESSFUL,
    State.DEAD: base.TaskResultStatus.FAILED,
    State.CANCELLED: base.TaskResultStatus.FAILED,
}

PASSED = "unique", "duplicate", "expires"  # options of a task; a unique name is a format over `args` and `kwargs`

_tasks: dict[str, LedgerTask] = {}  # by the path of Django's


class Backend(BaseTaskBackend):
    """Enqueues in the caller's transaction. Retries as the option `retry` says; the pauses are those of a task's first
    alias. Has no priorities: give each its own queue. Of Django's signals it sends `task_enqueued` only."""

    supports_defer = supports_async_task = supports_get_result = True

    def validate_task(self, task: base.Task) -> None:
        """Also make the ledger's task. Django calls this where a task is declared, so workers know each task that they
        import. Refuses what Django's own does."""
        super().validate_task(task)
        if task.module_path not in _tasks:
            _tasks[task.module_path] = self._ledger_task(task)

    def _ledger_task(self, declared: base.Task) -> LedgerTask:
        def run(args: list, kwargs: dict) -> Any:
            if declared.takes_context:
                args = [base.TaskContext(task_result=self.get_result(progress.current_id() or "")), *args]
            return declared.call(*args, **kwargs)

        options = {"name": declared.module_path, "retry": self.options.get("retry", Retry())}
        options |= {name: self.options[name] for name in PASSED if name in self.options}
        return task(queue=declared.queue_name, **options)(run)

    def enqueue(self, task: base.Task, args: Any, kwargs: Any) -> base.TaskResult:
        """Raises as `validate_task` and enqueue_all do."""
        self.validate_task(task)
        call = _tasks[task.module_path].call(list(args), dict(kwargs))
        retry = self.options.get("retry", Retry())
        changed = {"queue": task.queue_name, "run_after": task.run_after, "max_attempts": retry.attempts}
        (id,) = enqueue_all(replace(call, **changed))
        result = self.get_result(id)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> base.TaskResult:
        """Raises TaskResultDoesNotExist for a job that is purged, or none of Django's tasks."""
        try:
            job = Job.objects.get(id=UUID(result_id))
            declared = import_string(job.task)
        except (ValueError, Job.DoesNotExist, ImportError) as error:
            raise exceptions.TaskResultDoesNotExist(result_id) from error
        if not isinstance(declared, base.Task):
            raise exceptions.TaskResultDoesNotExist(result_id)
        return _result(job, declared, self.alias)


def _result(job: Job, declared: base.Task, alias: str) -> base.TaskResult:
    failed = list(Attempt.objects.filter(job_id=job.id).order_by("id"))
    now = [job.worker] if job.state in (State.RUNNING, State.SUCCEEDED) else []
    began = [*(attempt.started_at for attempt in failed if attempt.started_at), job.started_at]
    result: base.TaskResult = base.TaskResult(
        task=replace(declared, queue_name=job.queue, run_after=None),
        id=str(job.id),
        status=STATUS[State(job.state)],
        enqueued_at=job.created_at,
        started_at=began[0],
        finished_at=job.finished_at,
        last_attempted_at=job.started_at,
        args=job.args["args"],
        kwargs=job.args["kwargs"],
        backend=alias,
        errors=[_error(attempt.error) for attempt in failed],
        worker_ids=[*(attempt.worker for attempt in failed), *now],
    )
    object.__setattr__(result, "_return_value", job.result)  # frozen, and no parameter
    return result


def _error(text: str) -> base.TaskError:
    """From the ledger's text: a line, which begins with the error's name, and the traceback, which has its module."""
    summary, _, traceback = text.partition("\n")
    name = summary.partition(":")[0]
    paths = re.findall(rf"^((?:\w+\.)*{re.escape(name)})(?::|$)", traceback, re.MULTILINE)
    path = paths[-1] if paths else name
    return base.TaskError(exception_class_path=path if "." in path else f"builtins.{path}", traceback=traceback or text)
