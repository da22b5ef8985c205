"""Warnings about what a project lacks: a worker for a queue, a dispatcher, a broker that keeps its messages.

backroom.ops raises alerts for these. A project without it has the lines in the log.
"""

import logging
import time
from collections.abc import Callable

from celery import current_app

from backroom.ledger.sql import rows
from backroom.runtime import broker, heartbeat

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds
PATIENCE = 10.0  # seconds for a process to start, or to be replaced by a deploy

OVERDUE = """
SELECT queue, count(*) FROM backroom_job WHERE state = 'ready' AND queue = ANY(%s)
AND published_at < statement_timestamp() - %s * interval '1 second' GROUP BY queue ORDER BY queue
"""


class EveryMinute:
    """Calls `look` at most once a minute, first after `patience` seconds."""

    def __init__(self, look: Callable[[], None], patience: float = PATIENCE) -> None:
        self.look = look
        self.due = time.monotonic() + patience

    def __call__(self) -> None:
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + EVERY
            self.look()


def warn_of_unserved_queues() -> None:
    """Warn of queues with jobs that no live worker serves. Where each queue has a worker, it does not read the jobs."""
    unserved = sorted(current_app.amqp.queues.keys() - heartbeat.served_queues())
    if not unserved:
        return
    for queue, count in rows(OVERDUE, unserved, PATIENCE):
        start = f"celery -A PROJECT worker -Q {queue}"
        log.warning("the queue %s has %d due jobs and no worker: start one with `%s`", queue, count, start)


def warn_of_missing_dispatcher() -> None:
    """Warn if no dispatcher is alive."""
    if not heartbeat.alive("dispatcher"):
        log.warning("no dispatcher is running, so no job is retried or rescued: start `manage.py dispatcher`")


def warn_of_eviction() -> None:
    """Log an error if the broker drops queues when its memory is full. A broker that does not say is left alone."""
    try:
        policy = broker.eviction_policy()
    except Exception:
        return  # it is away, or refuses the command, as hosted ones do
    if policy.startswith("allkeys"):
        log.error(
            "the broker drops messages when its memory is full (maxmemory-policy %s): set it to noeviction,"
            " or the dispatcher has to publish them again",
            policy,
        )
