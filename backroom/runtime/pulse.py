"""A worker's heartbeat, its stop, and its end where it consumes no more."""

import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any, NoReturn

import psycopg
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.platforms import EX_FAILURE
from celery.worker import state
from django.db import Error, connection
from psycopg.pq import ConnStatus

from backroom.conf import conf
from backroom.ledger import rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.observe import cancellation
from backroom.observe.outages import OutageLog
from backroom.runtime import cancelled_jobs, heartbeat, memory, sigterm, subprocesses, worker_state
from backroom.runtime.checks import log_findings
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.lost_children import LostChildren
from backroom.runtime.project_warnings import EveryMinute, warn_of_missing_dispatcher

log = logging.getLogger(__name__)

STOP_MARGIN = 3.0  # seconds before the end of its grace at which a worker requeues what it still runs
MEMORY_EVERY = 30.0  # seconds; the kernel needs 10 ms to add up a worker of two children
STUCK = 30.0  # seconds without a turn of the consumer after which the worker ends; a hanging broker takes up to 15


class Pulse:
    """The thread that writes the worker's heartbeat, and requeues what can't finish before the worker is killed.

    Not Celery's heartbeat_sent signal: that stops while the broker is away, and the rescue would take the worker for
    dead. The thread alone does not prove that the worker consumes: a consumer without a turn for STUCK seconds ends it.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.woken, self.waker = Pipe(duplex=False)
        self.thread: threading.Thread | None = None
        self.deadline = math.inf  # by time.monotonic, until which running jobs may go on
        self.heartbeat: Heartbeat | None = None
        self.consumer: Any = None
        self.memory: int | None = None
        self.memory_at = 0.0
        self.lost_children = LostChildren()
        self.warn_of_missing_dispatcher = EveryMinute(warn_of_missing_dispatcher)

    def start(self, sender: Any, **_: Any) -> None:
        """The worker is ready. Celery runs Django's system checks and drops what they find."""
        self.consumer = sender
        self.consumer.turn()
        self.heartbeat = Heartbeat("worker", heartbeat.worker_name, pool=sender.pool.limit)
        self.lost_children.watch(sender.pool, self._wake)
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
        self.waker.send_bytes(b"stop")
        if self.thread and self.heartbeat:
            if self.thread is not threading.current_thread():
                self.thread.join(STOP_MARGIN)  # a beat on its way would write the row again
            self.heartbeat.stop()

    def end(self, pool: BasePool | None, status: int) -> NoReturn:
        """End the process now, and the bodies that still run. Only then requeue their jobs: another worker has them at
        once."""
        for pid in worker_state.processes(pool) - {os.getpid()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            try:
                requeue_unfinished(heartbeat.worker_name)
            except Error:  # the kept connection is dead
                connection.close()
                requeue_unfinished(heartbeat.worker_name)
            self.stop()
        except Error as error:
            log.warning("running jobs could not be requeued, they will be rescued: %s", error)
        finally:
            os._exit(status)

    def _run(self, pool: BasePool) -> None:
        """The requeueing at the deadline is in this thread, too: a heartbeat between the end of a body and its
        requeueing would count the job as crashed."""
        outage, stuck = OutageLog(log), 0
        while not self.stopped.is_set():
            if time.monotonic() >= self.deadline:
                self.end(pool, os.EX_OK)
            stuck = stuck + 1 if self._stuck(pool) else 0
            if stuck == 2:  # Race: a process that was frozen and continues finds an old turn at the first look
                self._end_stuck(pool)
            try:
                self._beat(pool)
                outage.end()
            except Exception as error:
                outage.begin(error)
                _reconnect()
            self._pause(min(time.monotonic() + heartbeat.EVERY, self.deadline))

    def _pause(self, end: float) -> None:
        """Return at this time, by time.monotonic, or once woken. A lost session is replaced at once: the rescue takes a
        worker without sessions for dead."""
        while (left := end - time.monotonic()) > 0:
            driver = connection.connection
            ready = wait([self.woken, *([driver] if driver and not driver.closed else [])], left)
            if self.woken in ready:
                while self.woken.poll():
                    self.woken.recv_bytes()
                return
            if ready and not _lives(driver):
                _reconnect()

    def _wake(self) -> None:
        """Beat now. The main thread calls this, so it turns."""
        self.consumer.turn()
        self.waker.send_bytes(b"beat")

    @property
    def stops(self) -> bool:
        return self.deadline < math.inf

    def _stuck(self, pool: BasePool) -> bool:
        """Whether the consumer has no turn any more. In a solo pool it waits for the body that its own thread runs."""
        waits = self.stops or (isinstance(pool, SoloPool) and state.active_requests)
        return not waits and time.monotonic() - self.consumer.turned_at > STUCK

    def _end_stuck(self, pool: BasePool) -> NoReturn:
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        where = "".join(traceback.format_stack(frame)) if frame else ""
        log.critical("this worker consumes nothing for %d s and ends; its main thread is at:\n%s", STUCK, where)
        self.end(pool, EX_FAILURE)

    def _beat(self, pool: BasePool) -> None:
        assert self.heartbeat  # noqa: S101 - the thread starts after it is made
        self.lost_children.requeue(heartbeat.worker_name, worker_state.running)
        if time.monotonic() >= self.memory_at:
            self.memory, self.memory_at = _memory(pool), time.monotonic() + MEMORY_EVERY
        cancelled = self.heartbeat.beat("" if self.stops else self.consumer.queues, self.memory)
        cancellation.tell(cancelled)
        if overdue := [id for id, over in cancelled.items() if over]:
            cancelled_jobs.end(pool, heartbeat.worker_name, overdue, worker_state.children())
        for id in rescue.requeue_abandoned(heartbeat.worker_name, worker_state.running()):
            subprocesses.end(id)
            log.warning("job %s: its process is gone, it was requeued", id)
        self.warn_of_missing_dispatcher()


def _lives(driver: Any) -> bool:
    """Reads what came, which may be a notice."""
    with suppress(psycopg.OperationalError):
        driver.pgconn.consume_input()
    return driver.pgconn.status == ConnStatus.OK


def _reconnect() -> None:
    connection.close()
    with suppress(Exception):  # a project's receiver of connection_created may raise anything
        connection.ensure_connection()


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
    return memory.taken({os.getpid(), *worker_state.processes(pool)})
