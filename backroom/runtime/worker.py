"""A worker's signs of life, every two seconds from its main process; and its goodbye."""

import logging
import math
import os
import re
import signal
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import billiard.pool
from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import state
from django.conf import settings
from django.db import Error, connection

from backroom.ledger import db_errors, rescue
from backroom.runtime import memory

log = logging.getLogger(__name__)

ALIVE_EVERY = 2.0  # seconds
GOODBYE = 3.0  # seconds before the end of its grace at which a worker gives back what it still runs
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# A child that ends waits until its main process has counted its results. One is never counted, of a task that SIGTERM
# met on the way to the child: so one stop in eight took half a minute longer. Our results are in the ledger.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # looks, 0.1 s apart; 300 by default

name = ""  # of this worker; set before the pool forks, so that its children know it


@signals.worker_init.connect
def _begin(sender: Any, **_: Any) -> None:
    """Name this worker. A restarted worker of the same name is another worker, hence the random part."""
    global name
    name = f"{sender.hostname or socket.gethostname()}/{uuid.uuid4().hex[:8]}"


@signals.worker_ready.connect
def _say_alive(sender: Any, **_: Any) -> None:
    """Start the thread that says so. Not Celery's heartbeat_sent signal: that stops while the broker is away, and
    the jobs of a live worker would be given to another."""
    queues = ",".join(sorted(queue.name for queue in sender.task_consumer.queues))
    threading.Thread(target=_stay_seen, args=(queues, sender.pool), daemon=True, name="alive").start()


_stopped = threading.Event()
_patience = math.inf  # until when, by time.monotonic, running jobs may go on


@signals.worker_shutting_down.connect
def _begin_to_stop(how: str, **_: Any) -> None:
    """SIGTERM. Celery takes no new job and waits for those that run, for however long; the supervisor does not."""
    global _patience
    if how == "Warm":
        _patience = min(_patience, time.monotonic() + settings.WORKER_GRACE - GOODBYE)


def _stay_seen(queues: str, pool: BasePool) -> None:
    """Also gives back what can't be finished in time: in this thread, so that no sign of life comes between the end of
    a body and its giving back, and takes it for crashed."""
    spell = db_errors.OutageLog(log)
    while not _stopped.is_set():
        if time.monotonic() >= _patience:
            return _leave(pool)
        try:
            for id in rescue.see_worker(name, queues, _running(), pool.limit, _memory(pool)):
                log.warning("job %s: its process is gone, it was given back", id)
            spell.end()
        except Exception as error:
            spell.begin(db_errors.summary(error))
            connection.close()
        _stopped.wait(max(0.0, min(ALIVE_EVERY, _patience - time.monotonic())))


def _leave(pool: BasePool) -> None:
    """End the bodies that still run, and only then give back their jobs: another worker has them at once. A prefork
    worker without children ends by itself; threads end with their process only."""
    children = set(pool.info.get("processes", ())) - {os.getpid()}
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        for id in _hand_over():
            log.warning("job %s can't be finished in time, it was given back", id)
    except Error as error:
        log.warning("running jobs could not be given back, they will be rescued: %s", error)
    if not children:
        os._exit(os.EX_OK)


def _memory(pool: BasePool) -> int | None:
    """A figure for people, which must not cost a sign of life."""
    try:
        return memory.taken({os.getpid(), *pool.info.get("processes", ())})
    except Exception:
        return None


def _hand_over() -> list[str]:
    try:
        return rescue.hand_over(name)
    except Error:  # the kept connection is dead
        connection.close()
        return rescue.hand_over(name)


def _running() -> list[str]:
    """The ids that this worker has in hand. Its main thread changes the sets while this one reads: read again."""
    while True:
        try:
            found = [request.id for request in (*state.reserved_requests, *state.active_requests)]
            return [id for id in found if UUID.fullmatch(id)]  # a stranger's message may have any id
        except RuntimeError:
            continue


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    _stopped.set()
    rescue.forget_worker(name)
