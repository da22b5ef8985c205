"""A task as it is declared, and its calls: `task.enqueue(...)` and `task.using(...)`, named as in django.tasks."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from celery import Task

from backroom.ledger.retry import Retry
from backroom.runtime import duplicates, lane, parameters, storable
from backroom.runtime.call import Call
from backroom.runtime.enqueue import enqueue_all


@dataclass(frozen=True)
class Using:
    """A task with options for its next call."""

    task: "DeclaredTask"
    run_after: timedelta | datetime | None = None
    queue_name: str | None = None
    key: str | None = None
    expires: timedelta | datetime | None = None
    unique: tuple[str, Any] | None = None
    duplicate: str | None = None
    takes_result: str = ""

    def call(self, *args: Any, **kwargs: Any) -> Call:
        """The call, not yet enqueued. Raises TypeError for arguments that don't fit the task."""
        if self.takes_result:
            self.task.check_result(self.takes_result, {"key": self.key, "unique name": self.unique})
            if self.takes_result not in list(self.task.parameters.parameters)[: len(args)]:
                kwargs = {self.takes_result: None, **kwargs}  # None: the result's place
        call = self.task.call(*args, **kwargs)
        queue, key = self.queue_name or call.queue, call.key if self.key is None else self.key
        expires = call.expires if self.expires is None else self.expires
        alone = duplicates.declared(self.unique, self.duplicate, self.key) or call.unique
        options: dict[str, Any] = {"expires": expires, "unique": alone, "takes_result": self.takes_result}
        return replace(call, run_after=self.run_after, queue=queue, key=key, **options)

    def enqueue(self, *args: Any, **kwargs: Any) -> str:
        """Enqueue it; returns the job's id. See backroom.enqueue_all."""
        return enqueue_all(self.call(*args, **kwargs))[0]


class DeclaredTask(Task):
    """A task with what `task(...)` declares of its jobs. task.py adds Celery's spellings."""

    abstract = True
    job_queue: str | None = None
    policy = Retry()
    job_key: str | None = None
    job_lane: lane.Lane | None = None
    job_unique: duplicates.Unique | None = None
    renamed: Mapping[str, str] = {}
    atomic = False
    shed = False

    @property
    def parameters(self) -> inspect.Signature:
        """The task's parameters. Raises NoJob for a function that can't be a job: so the system checks, enqueueing and
        a worker refuse it alike."""
        if twins := getattr(self.app, "twins", {}).get(self.name):
            raise parameters.NoJob(f"{self.name}: two functions are tasks of this name: {twins}", "rename one of them")
        return self._parameters

    @cached_property
    def _parameters(self) -> inspect.Signature:
        return parameters.of(self.name, self.run, self._formats())

    def _formats(self) -> dict[str, str | None]:
        return {"key": self.job_key, **{what: option.name for what, option in self._named() if option}}

    def check_result(self, argument: str, given: Mapping[str, Any]) -> None:
        """Raises TypeError if the key, the lane or the unique name, unless it is `given`, needs the argument that gets
        a result: no call knows that yet, and all would have one name."""
        for what, format in self._formats().items():
            if format and not given.get(what) and argument in parameters.fields(self.name, what, format):
                raise TypeError(f"{self.name}: its {what} {format!r} needs {argument}, which gets a result later: let"
                                " the step before enqueue it, or use .si() or another argument")  # fmt: skip

    def _named(self) -> tuple[tuple[str, Any], ...]:
        return ("lane", self.job_lane), ("unique name", self.job_unique)

    def call(self, *args: Any, **kwargs: Any) -> Call:
        """A call of this task, not yet enqueued. Raises TypeError for arguments that don't fit, and ValueError for
        those that give no key, lane or unique name."""
        arguments = parameters.bind(self.name, self.parameters, *args, **kwargs)
        key = parameters.filled(self.name, "key", self.job_key, arguments) if self.job_key else None
        its, alone = (
            option and option._replace(name=parameters.filled(self.name, what, option.name, arguments))
            for what, option in self._named()
        )
        queue = self.job_queue or self.app.conf.task_default_queue
        expires = storable.duration(f"{self.name}: expires", self.expires)
        options = {"shed": self.shed, "lane": its, "expires": expires, "unique": alone}
        return Call(self.name, arguments, queue, self.policy.attempts, key, **options)

    def arguments(self, kept: dict[str, Any]) -> dict[str, Any]:
        """A job's arguments as this version of the task names them. Raises TypeError for those of another version that
        don't fit."""
        if not isinstance(kept, dict):
            raise TypeError(f"{self.name}: the arguments are not a JSON object")
        given = {self.renamed.get(name, name): value for name, value in kept.items()}
        parameters.bind(self.name, self.parameters, **given)
        return given

    def using(self, **options: Any) -> Using:
        """Options for the next call: run_after, expires (timedelta or aware datetime), queue_name, key, unique,
        duplicate; the last three without formats. `takes_result` names the argument that gets the result of the job
        before, or those of a batch: leave it out of the call."""
        return Using(self, **options)

    def enqueue(self, *args: Any, **kwargs: Any) -> str:
        """Enqueue a job for this call in the caller's transaction; returns its id. See backroom.enqueue_all."""
        return enqueue_all(self.call(*args, **kwargs))[0]
