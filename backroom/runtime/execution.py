"""One job in a worker: claim it, run its body, finish it."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NoReturn, Protocol, TypeVar

from billiard.common import terminate_handler_fired
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded, WorkerShutdown, WorkerTerminate
from django.db import Error, connection, transaction

from backroom.conf import conf
from backroom.ledger import db_errors, transitions
from backroom.ledger.errors import Cancelled, Snooze, Superseded
from backroom.ledger.lanes import open_lanes
from backroom.ledger.retry import Retry as Policy
from backroom.ledger.retry import judge
from backroom.ledger.sql import Claimed, Message
from backroom.observe import context, progress
from backroom.observe.redact import clean
from backroom.runtime import batch, body_ends, heartbeat, publisher, resumable, subprocesses
from backroom.runtime.session import Guard

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES = (0, 1, 2, 4)  # seconds between tries at a database that does not answer
LONG_PAUSES = (8, 8, 8, 8)  # and further ones where the work is done: the job would have to run again


class Unwritten(Exception):
    """The database was away for so long that a change of a job could not be written."""


class Executable(Protocol):
    """What a task has for its execution."""

    name: str
    policy: Policy
    atomic: bool
    run: Callable[..., Any]

    def arguments(self, kept: dict[str, Any]) -> dict[str, Any]: ...


def perform(task: Executable, id: str) -> Any:
    """Run the job of this id, if it can be claimed.

    Raises Ignore if it can't, or if the attempt was superseded; Retry if it will run again; and the body's error if the
    job is dead. So Celery's events and signals say RETRY and FAILURE as usual.
    """
    job = _claim(id, task.name)
    if job is None:
        log.info("job %s can't be claimed: delivered twice, done, cancelled, or no job of %s", id, task.name)
        raise Ignore
    try:
        job = job._replace(args=task.arguments(job.args))
    except TypeError as error:
        _defer_unknown(job, str(error))
    try:
        with context.of_attempt(task.name, job), progress.of_attempt(job):
            return _attempt(task, job)
    finally:
        if job.lane:
            _open(job.lane)


def _claim(id: str, task: str) -> Claimed | None:
    """Only with its own task: a message may name another one, whose body would run. A first claim may commit and its
    answer get lost: then `requeue_abandoned` finds the job not running here."""
    try:
        job = _outlast(transitions.claim, id, heartbeat.worker_name, task)
        if job and job.gathers:
            job.args[job.gathers] = _outlast(batch.results, id)
        return job
    except Unwritten as error:
        log.warning("job %s could not be claimed, its message counts as lost: %s", id, error)
        raise Ignore from error


def _defer_unknown(job: Claimed, why: str) -> NoReturn:
    """Another version enqueued the job, and a worker of that version may run it."""
    log.warning("job %s is deferred: %s", job.id, why)
    with suppress(Superseded, Unwritten):
        _outlast(transitions.defer_unknown, job, why, conf.DEPLOY_WINDOW)
    raise Ignore


def _open(lane: str) -> None:
    """Publish what gets the place that a job of this lane left. A dispatcher does it, too, some 0.25 s later."""
    try:
        if opened := open_lanes([lane]):
            publisher.publish(opened)
    except Error as error:
        log.warning("lane %s is left to a dispatcher: %s", lane, db_errors.summary(error))


def _attempt(task: Executable, job: Claimed) -> Any:
    try:
        result, freed = _run(task, job)
    except Superseded as late:
        log.warning("%s: its effects in the database were rolled back" if task.atomic else "%s", late)
        raise Ignore from late
    except Unwritten as error:
        log.error("job %s: its success could not be written, it will run again: %s", job.id, error)
        raise Ignore from error
    except Exception as error:
        ending = _fail(task, job, error)
        if ending is error:
            raise
        raise ending from None
    if freed:
        publisher.publish(freed)
    return result


def _run(task: Executable, job: Claimed) -> tuple[Any, list[Message]]:
    """The body and the finish. For an atomic task they are one transaction: both happen or neither. Else the work is
    done when the body returns, so the finish outlasts an outage of the database within the job's time limit. The fence
    makes it safe to repeat."""
    with Guard() as guard, transaction.atomic() if task.atomic else nullcontext():
        guard.watch()
        result = _body(task, job)
        guard.check()
        body_ends.announce(job.id)
        if task.atomic:
            return result, _succeed(job, result)
    return result, _outlast(_succeed, job, result, longer=LONG_PAUSES)


def _body(task: Executable, job: Claimed) -> Any:
    """Raises an Exception where the body raises none, such as sys.exit() or asyncio.CancelledError: that would end the
    process without a reason. SIGTERM, too, raises SystemExit: at the hard time limit, or by remote control."""
    try:
        with subprocesses.marked(job.id):
            return task.run(**job.args)
    except (Exception, WorkerShutdown, WorkerTerminate):
        raise
    except resumable.Interrupted as stop:
        raise Snooze(0, str(stop)) from None
    except BaseException as error:
        if terminate_handler_fired():
            raise
        raise RuntimeError(f"the body raised {type(error).__name__}: {error}") from error


def _succeed(job: Claimed, result: Any) -> list[Message]:
    progress.write_last()
    return transitions.succeed(job, result)


def _fail(task: Executable, job: Claimed, error: Exception) -> Exception:
    """Write the consequence of a failed attempt; returns the error for Celery to report."""
    if isinstance(error, SoftTimeLimitExceeded | Cancelled):
        subprocesses.end(job.id)
    summary, traceback, shown = clean(error)
    verdict = judge(error, task.policy, job.attempts, job.max_attempts)
    # Snoozes may be many, and their tracebacks say nothing.
    text = summary if isinstance(error, Snooze) else f"{summary}\n{traceback}"

    def end() -> None:
        resumable.write_last(job)
        progress.write_last(snoozed=not verdict.uses_attempt)
        if verdict.state == "dead":
            transitions.mark_dead(job, text)
        else:
            transitions.defer(job, verdict.seconds, text, verdict.uses_attempt)

    try:
        _outlast(end)
    except Superseded as late:
        log.warning("%s", late)
        return Ignore()
    except Unwritten as unwritten:
        log.error("job %s: %s. That could not be written, it will run again: %s", job.id, summary, unwritten)
        return Ignore()
    if verdict.state == "dead" or isinstance(error, Cancelled):
        return shown
    return Retry(message=summary, exc=shown, when=verdict.seconds)


def _outlast(statement: Callable[..., T], *arguments: Any, longer: Sequence[float] = ()) -> T:
    """Run statements of the ledger, on a new connection if the kept one is dead, and for as long as a restart of the
    database takes. Raises Unwritten if the outage is longer."""
    for pause in (*PAUSES, *longer, None):
        try:
            return statement(*arguments)
        except Error as error:
            if not db_errors.is_outage(error):
                raise
            connection.close()
            if pause is None:
                raise Unwritten(db_errors.summary(error)) from error
            time.sleep(pause)
    raise AssertionError
