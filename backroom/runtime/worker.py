"""A worker's main process: its heartbeat, its stop, and the messages that it can't run."""

import logging
import math
import os
import re
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import billiard.pool
from celery import signals
from celery.apps.worker import Worker as CeleryWorker
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool
from celery.worker import state
from celery.worker.consumer.consumer import UNKNOWN_TASK_ERROR
from django.db import Error, connection

from backroom.conf import conf
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.observe.outages import OutageLog
from backroom.runtime import heartbeat, memory, sigterm, subprocesses
from backroom.runtime.checks import log_findings
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.project_warnings import EveryMinute, warn_of_missing_dispatcher

log = logging.getLogger(__name__)

STOP_MARGIN = 3.0  # seconds before the end of its grace at which a worker requeues what it still runs
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Worker(CeleryWorker):
    """Celery's worker with the ledger's parts, which it connects when it starts. One in a process."""

    def on_before_init(self, **options: Any) -> None:
        """Name this process before the pool forks, and connect the parts."""
        super().on_before_init(**options)
        heartbeat.worker_name = heartbeat.new_name(self.hostname or "")
        sigterm.spare_bodies()
        # At a stop billiard waits up to 30 s for a result that may never be counted: one stop in eight, measured. The
        # ledger has the result, so 1 s is enough.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # looks, 0.1 s apart; 300 by default
        # Celery logs a traceback for each message of an unknown task: hundreds during a deploy.
        consumer_log = logging.getLogger("celery.worker.consumer.consumer")
        consumer_log.addFilter(lambda record: record.msg != UNKNOWN_TASK_ERROR)
        # kombu logs a traceback each second while the broker's memory is full. Consuming goes on, and frees memory.
        broker_log = logging.getLogger("kombu.transport.redis")
        broker_log.addFilter(lambda record: not str(record.msg).startswith("maybe_refresh_binding_expiry"))
        signals.task_unknown.connect(_defer_unknown)
        signals.task_revoked.connect(_end_revoked)
        pulse = Pulse()
        signals.worker_ready.connect(pulse.start, weak=False)
        signals.worker_shutting_down.connect(pulse.begin_to_stop, weak=False)
        signals.worker_shutdown.connect(pulse.stop, weak=False)


class Pulse:
    """The thread that writes the worker's heartbeat, and requeues what can't finish before the worker is killed.

    Not Celery's heartbeat_sent signal: that stops while the broker is away, and the rescue would take the worker for
    dead.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None
        self.deadline = math.inf  # by time.monotonic, until which running jobs may go on
        self.heartbeat: Heartbeat | None = None
        self.warn_of_missing_dispatcher = EveryMinute(warn_of_missing_dispatcher)

    def start(self, sender: Any, **_: Any) -> None:
        """The worker is ready. Celery runs Django's system checks and drops what they find."""
        queues = ",".join(sorted(queue.name for queue in sender.task_consumer.queues))
        self.heartbeat = Heartbeat("worker", heartbeat.worker_name, queues, sender.pool.limit)
        self.thread = threading.Thread(target=self._run, args=(sender.pool,), daemon=True, name="heartbeat")
        self.thread.start()
        log_findings()
        if not isinstance(sender.pool, TaskPool):
            log.warning("no time limit holds in this pool: a body that hangs holds its place; use the prefork pool")

    def begin_to_stop(self, how: str, **_: Any) -> None:
        """SIGTERM: Celery takes no new job and waits for running ones without limit. The supervisor has a limit."""
        sigterm.main_stops(warm=how == "Warm")
        if how == "Warm":
            self.deadline = min(self.deadline, time.monotonic() + conf.WORKER_GRACE - STOP_MARGIN)

    def stop(self, **_: Any) -> None:
        self.stopped.set()
        if self.thread and self.heartbeat:
            self.thread.join(STOP_MARGIN)  # a beat on its way would write the row again
            self.heartbeat.stop()

    def _run(self, pool: BasePool) -> None:
        """The requeueing at the deadline is in this thread, too: a heartbeat between the end of a body and its
        requeueing would count the job as crashed."""
        outage = OutageLog(log)
        while not self.stopped.is_set():
            if time.monotonic() >= self.deadline:
                return _end_bodies(pool)
            try:
                self._beat(pool)
                outage.end()
            except Exception as error:
                outage.begin(error)
                connection.close()
            self.stopped.wait(max(0.0, min(heartbeat.EVERY, self.deadline - time.monotonic())))

    def _beat(self, pool: BasePool) -> None:
        assert self.heartbeat  # noqa: S101 - the thread starts after it is made
        self.heartbeat.beat(_memory(pool))
        for id in rescue.requeue_abandoned(heartbeat.worker_name, _running()):
            subprocesses.end(id)
            log.warning("job %s: its process is gone, it was requeued", id)
        self.warn_of_missing_dispatcher()


def _end_bodies(pool: BasePool) -> None:
    """End the bodies that still run, and only then requeue their jobs: another worker has them at once. A prefork
    worker without children ends by itself; threads end only with their process."""
    children = _processes(pool) - {os.getpid()}
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        requeue_unfinished(heartbeat.worker_name)
    except Error:  # the kept connection is dead
        connection.close()
        try:
            requeue_unfinished(heartbeat.worker_name)
        except Error as error:
            log.warning("running jobs could not be requeued, they will be rescued: %s", error)
    if not children:
        os._exit(os.EX_OK)


def requeue_unfinished(worker: str) -> list[str]:
    """Requeue the jobs of a worker whose bodies have ended; returns the ids. No attempt is used: a deploy is not the
    job's fault, and must not make its last attempt a dead letter.

    Race: the ended body had still sent its finish. That one holds the row's lock, and wins.
    """
    requeued = []
    for job in rescue.running_on(worker):
        subprocesses.end(job.id)
        with suppress(Superseded):
            transitions.defer(job, 0, "its worker stopped", uses_attempt=False)
            log.warning("job %s can't finish in time, it was requeued", job.id)
            requeued.append(job.id)
    return requeued


def _memory(pool: BasePool) -> int | None:
    """Bytes, for display."""
    return memory.taken({os.getpid(), *_processes(pool)})


def _processes(pool: BasePool) -> set[int]:
    """The pool's pids. Its main thread may be changing it: an error must stop neither the heartbeat nor the stop."""
    try:
        return set(pool.info.get("processes", ()))
    except Exception:
        return set()


def _running() -> list[str]:
    """The ids of the jobs in this worker. Its main thread changes the sets while this one reads: read again then."""
    while True:
        try:
            found = [request.id for request in (*state.reserved_requests, *state.active_requests)]
            return [id for id in found if UUID.fullmatch(id)]  # a foreign message may have any id
        except RuntimeError:
            continue


def _defer_unknown(name: str, id: str, **_: Any) -> None:
    """A message for a task that this worker does not have: removed, renamed, or newer than the worker."""
    log.warning("job %s is deferred: no task is named %s", id, name)
    transitions.defer_unknown([id], f"no task is named {name}", conf.DEPLOY_WINDOW)


def _end_revoked(request: Any, terminated: bool, **_: Any) -> None:
    """Revoked or terminated by remote control, as from Flower: cancelled, or dead if it was running."""
    state.revoked.discard(request.id)  # Celery remembers it for hours, and would drop a replay, too
    if terminated:
        mark_terminated(request.id, heartbeat.worker_name)
    else:
        operations.cancel(ids=[request.id], why="revoked by remote control", dead=True)


def mark_terminated(id: str, worker: str) -> None:
    """Make a running job of this worker a dead letter: a person killed it."""
    for job in rescue.running_on(worker):
        if job.id == id:
            subprocesses.end(id)
            with suppress(Superseded):
                transitions.mark_dead(job, "terminated by remote control")
