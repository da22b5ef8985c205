"""Celery's worker with the ledger's parts, and the jobs that it can't run or a person stops."""

import gc
import logging
import sys
from contextlib import suppress
from typing import Any

import billiard.pool
from celery import signals
from celery.apps.worker import Worker as CeleryWorker
from celery.concurrency.prefork import TaskPool
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.consumer.consumer import UNKNOWN_TASK_ERROR
from django.db.backends.signals import connection_created

from backroom.conf import conf
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.runtime import body_ends, foreign, heartbeat, remote_control, sigterm, subprocesses
from backroom.runtime.pulse import Pulse

log = logging.getLogger(__name__)


class Worker(CeleryWorker):
    """Celery's worker with the ledger's parts, which it connects when it starts. One in a process."""

    def on_before_init(self, **options: Any) -> None:
        """Name this process before the pool forks, and connect the parts."""
        super().on_before_init(**options)
        heartbeat.name_worker(self.hostname or "")
        connection_created.connect(heartbeat.let_prepare)
        sigterm.spare_bodies()
        remote_control.limit()
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
        self.pulse = Pulse()
        signals.worker_ready.connect(self.pulse.start, weak=False)
        signals.worker_shutting_down.connect(self.pulse.begin_to_stop, weak=False)
        signals.worker_shutdown.connect(self.pulse.stop, weak=False)

    def on_start(self) -> None:
        """Children share this process's memory until they write to it. Their garbage collector would write to each
        object: 42 MB of 202 for two children."""
        # With a semaphore of Celery's a message would wait where none can take it back, and without an event loop the
        # main process has threads that wait.
        if issubclass(self.pool_cls, TaskPool) and self.use_eventloop and not self.pool_putlocks:
            body_ends.open_pipe()
        gc.collect()
        gc.freeze()
        super().on_start()

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """A warm stop, within the grace. After an error that Celery calls unrecoverable, the end at once: a warm stop
        then waited for its pool and never ended, twice in 500 times."""
        if exitcode == EX_FAILURE and isinstance(sys.exc_info()[1], Exception):
            self.pulse.end(self.pool, EX_FAILURE)
        self.pulse.begin_to_stop("Warm")
        super().stop(in_sighandler, exitcode)


def _defer_unknown(name: str, id: str, message: Any, **_: Any) -> None:
    """A message for a task that this worker does not have: removed, renamed, or newer than the worker."""
    if foreign.keep_if_jobless(message):
        return
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
