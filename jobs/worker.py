"""In a worker: claim the job that a message names, run it, finish it; and say every two seconds that it lives."""

import logging
import re
import socket
import threading
import traceback
import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.exceptions import Ignore, Retry
from celery.worker import state
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from jobs import ledger, publisher, rescue
from jobs.errors import Superseded
from jobs.retry import judge

if TYPE_CHECKING:
    from jobs.task import LedgerTask

log = logging.getLogger(__name__)

ALIVE_EVERY = 2.0  # seconds
DETAIL = re.compile(r"^DETAIL:.*?(?=^[A-Z]+:|^\S|\Z)", re.MULTILINE | re.DOTALL)
ERROR_LIMIT = 8_000  # characters of a traceback that are kept: its end

_name = ""  # set before the pool forks, so that its children know it


def perform(task: "LedgerTask", id: str) -> Any:
    """Run the job of this id, if it is there to be claimed.

    Raises Ignore when it is not, or when the attempt came too late; Retry when it will run again; and what the body
    raised when the job is dead: so Celery's events and signals tell RETRY and FAILURE as usual.
    """
    job = _claim(id)
    if job is None:
        log.info("job %s is not to be claimed: delivered twice, done or discarded", id)
        raise Ignore
    try:
        result, freed = _run(task, job)
    except Superseded as late:
        log.warning("%s: its effects in the database were rolled back" if task.atomic else "%s", late)
        raise Ignore from late
    except Exception as error:
        ending = _fail(task, job, error)
        if ending is error:
            raise
        raise ending from None
    publisher.publish(freed)
    return result


def _claim(id: str) -> ledger.Claimed | None:
    """Claim, once more on a new connection if the kept one turns out to be dead (the database was restarted).
    Should the first claim have been committed with its answer lost, `see_worker` finds the job not running here."""
    try:
        return ledger.claim(id, _name)
    except (OperationalError, InterfaceError):
        connection.close()
        return ledger.claim(id, _name)


def _run(task: "LedgerTask", job: ledger.Claimed) -> tuple[Any, list[ledger.Nudge]]:
    """The body and the finish: in one transaction for an atomic task, so that either both happened or neither."""
    with transaction.atomic() if task.atomic else nullcontext():
        result = task.run(**job.args)
        return result, ledger.succeed(job, result)


def _fail(task: "LedgerTask", job: ledger.Claimed, error: Exception) -> Exception:
    """Write down how a failed attempt goes on; returns what to raise for Celery to report."""
    if isinstance(error, DatabaseError | InterfaceError):
        connection.close_if_unusable_or_obsolete()
        error = type(error)(_clean(str(error))).with_traceback(error.__traceback__)
    verdict = judge(error, task.policy, job.attempts, job.max_attempts)
    summary = _clean(f"{type(error).__name__}: {error}")
    text = f"{summary}\n{_clean(''.join(traceback.format_exception(error)))[-ERROR_LIMIT:]}"
    try:
        if verdict.state == "dead":
            ledger.bury(job, text)
            return error
        ledger.wait(job, verdict.seconds, text, verdict.uses_attempt)
    except Superseded as late:
        log.warning("%s", late)
        return Ignore()
    return Retry(message=summary, exc=error, when=verdict.seconds)


def _clean(text: str) -> str:
    """Without PostgreSQL's DETAIL, which quotes the row and so a customer's data, and without what it can't store."""
    return DETAIL.sub("", text).replace("\x00", "")


@signals.worker_init.connect
def _begin(sender: Any, **_: Any) -> None:
    """Name this worker. A restarted worker of the same name is another worker, hence the random part."""
    global _name
    _name = f"{sender.hostname or socket.gethostname()}/{uuid.uuid4().hex[:8]}"


@signals.worker_ready.connect
def _say_alive(sender: Any, **_: Any) -> None:
    """Start the thread that says so. Not Celery's heartbeat_sent signal: that stops while the broker is away, and
    the jobs of a live worker would be given to another."""
    queues = ",".join(sorted(queue.name for queue in sender.task_consumer.queues))
    threading.Thread(target=_stay_seen, args=(queues,), daemon=True, name="alive").start()


_stopping = threading.Event()


def _stay_seen(queues: str) -> None:
    while not _stopping.is_set():
        try:
            for id in rescue.see_worker(_name, queues, _running()):
                log.warning("job %s: its process is gone, it was given back", id)
        except Exception as error:
            log.warning("no sign of life could be written: %s", error)
            connection.close()
        _stopping.wait(ALIVE_EVERY)


def _running() -> list[str]:
    """The ids that this worker has in hand. Its main thread changes the sets while this one reads: read again."""
    while True:
        try:
            return [request.id for request in (*state.reserved_requests, *state.active_requests)]
        except RuntimeError:
            continue


@signals.task_unknown.connect
def _refuse(name: str, id: str, **_: Any) -> None:
    """A message for a task that this worker does not have: removed, renamed, or newer than the worker."""
    rescue.refuse([id], f"no task is named {name}")


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    _stopping.set()
    rescue.forget_worker(_name)
