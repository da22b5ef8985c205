"""In a worker: claim the job that a message names, run it, finish it."""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from celery import signals
from celery.exceptions import Ignore, Retry
from celery.worker import state
from celery.worker.consumer.consumer import UNKNOWN_TASK_ERROR
from django.db import Error, connection, transaction

from backroom.ledger import db_errors, operations, rescue, transitions
from backroom.ledger.errors import Snooze, Superseded, Unwritten
from backroom.ledger.retry import judge
from backroom.observe import context, progress
from backroom.observe.redact import clean, cleanse
from backroom.runtime import publisher, worker

if TYPE_CHECKING:
    from backroom.runtime.task import LedgerTask

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES = (0, 1, 2, 4)  # seconds between tries at a database that does not answer
LONG_PAUSES = (8, 8, 8, 8)  # and further ones, where the work is done: it would have to be done again
ERROR_LIMIT = 8_000  # characters of a traceback that are kept: its end


def perform(task: "LedgerTask", id: str) -> Any:
    """Run the job of this id, if it is there to be claimed.

    Raises Ignore when it is not, or when the attempt came too late; Retry when it will run again; and what the body
    raised when the job is dead: so Celery's events and signals tell RETRY and FAILURE as usual.
    """
    job = _claim(id)
    if job is None:
        log.info("job %s is not to be claimed: delivered twice, done or cancelled", id)
        raise Ignore
    try:
        job = job._replace(args=task.arguments(job.args))
    except TypeError as error:
        _hand_on(job, f"{task.name}: {error}")
    with context.of_attempt(task.name, job), progress.of_attempt(job.id, job.claims, job.attempts):
        return _attempt(task, job)


def _attempt(task: "LedgerTask", job: transitions.Claimed) -> Any:
    try:
        result, freed = _run(task, job)
    except Superseded as late:
        log.warning("%s: its effects in the database were rolled back" if task.atomic else "%s", late)
        raise Ignore from late
    except Unwritten as error:
        log.error("job %s: its success could not be written down, it will run again: %s", job.id, error)
        raise Ignore from error
    except Exception as error:
        ending = _fail(task, job, error)
        if ending is error:
            raise
        raise ending from None
    publisher.publish(freed)
    return result


def _hand_on(job: transitions.Claimed, why: str) -> NoReturn:
    """The job is of another version's making: a line in the log, and a worker of that version may take it."""
    log.warning("job %s is handed on: %s", job.id, why)
    with suppress(Superseded, Unwritten):
        _on_a_live_connection(rescue.refuse_claimed, job, why)
    raise Ignore


def _claim(id: str) -> transitions.Claimed | None:
    """Should a first claim have been committed with its answer lost, `see_worker` finds the job not running here."""
    try:
        return _on_a_live_connection(transitions.claim, id, worker.name)
    except Unwritten as error:
        log.warning("job %s could not be claimed, its message counts as lost: %s", id, error)
        raise Ignore from error


def _run(task: "LedgerTask", job: transitions.Claimed) -> tuple[Any, list[transitions.Message]]:
    """The body and the finish: in one transaction for an atomic task, so that either both happened or neither. Else
    the work is done when the body is, and the finish outlasts an outage of the database, as far as the job's time limit
    lets it: its fence lets it be tried again, and nothing else can be done without a database anyhow."""
    if task.atomic:
        with transaction.atomic():
            result = task.run(**job.args)
            return result, transitions.succeed(job, result, progress.entry())
    result = task.run(**job.args)
    return result, _on_a_live_connection(transitions.succeed, job, result, progress.entry(), longer=LONG_PAUSES)


def _on_a_live_connection(statement: Callable[..., T], *arguments: Any, longer: Sequence[float] = ()) -> T:
    """One of the ledger's statements; on a new connection if the kept one turns out to be dead, and for as long as a
    restart of the database takes. Raises Unwritten where it takes longer."""
    for pause in (*PAUSES, *longer, None):
        try:
            return statement(*arguments)
        except Error as error:
            if not db_errors.is_trouble(error):
                raise
            connection.close()
            if pause is None:
                raise Unwritten(db_errors.summary(error)) from error
            time.sleep(pause)
    raise AssertionError


def _fail(task: "LedgerTask", job: transitions.Claimed, error: Exception) -> Exception:
    """Write down how a failed attempt goes on; returns what to raise for Celery to report."""
    cleanse(error)
    verdict = judge(error, task.policy, job.attempts, job.max_attempts)
    summary = clean(f"{type(error).__name__}: {error}")
    text = summary
    if not isinstance(error, Snooze):  # which may come often, and where it was raised tells nobody anything
        text += f"\n{clean(''.join(traceback.format_exception(error)))[-ERROR_LIMIT:]}"
    try:
        if verdict.state == "dead":
            _on_a_live_connection(transitions.mark_dead, job, text, progress.entry())
            return error
        told = progress.entry(of_a_snooze=not verdict.uses_attempt)
        _on_a_live_connection(transitions.wait, job, verdict.seconds, text, verdict.uses_attempt, told)
    except Superseded as late:
        log.warning("%s", late)
        return Ignore()
    except Unwritten as unwritten:
        log.error("job %s: %s. That could not be written down, it will run again: %s", job.id, summary, unwritten)
        return Ignore()
    return Retry(message=summary, exc=error, when=verdict.seconds)


@signals.task_unknown.connect
def _refuse(name: str, id: str, **_: Any) -> None:
    """A message for a task that this worker does not have: removed, renamed, or newer than the worker."""
    log.warning("job %s is handed on: no task is named %s", id, name)
    rescue.refuse([id], f"no task is named {name}")


# Celery's own lines on that: a traceback for each message, hundreds in the midst of a deploy.
logging.getLogger("celery.worker.consumer.consumer").addFilter(lambda record: record.msg != UNKNOWN_TASK_ERROR)


@signals.task_revoked.connect
def _revoke(request: Any, terminated: bool, **_: Any) -> None:
    """Revoked or terminated by remote control, as from Flower: cancelled, or a dead letter if it was running."""
    state.revoked.discard(request.id)  # it stays in Celery's memory for hours, and a replay would be dropped, too
    if terminated:
        rescue.mark_terminated_dead(request.id, worker.name)
    else:
        operations.cancel([request.id], why="revoked by remote control")
