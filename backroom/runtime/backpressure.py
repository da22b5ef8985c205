"""Backpressure: a queue that is over its limits refuses what requests enqueue for tasks with `shed=True`.

It has more messages than BACKROOM_QUEUE_DEPTHS, or its oldest is older than its objective. One script in the broker
reads both, in constant time. Nothing is refused while the broker is away, if it is neither Redis nor Valkey
(backroom.W012), or while the queue is paused, as its jobs wait in the ledger. Only code under OverloadMiddleware is
refused: jobs, beat and commands would lose the work.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from backroom.conf import conf
from backroom.runtime import broker, scripts

log = logging.getLogger(__name__)

OBJECTIVE = 120  # seconds, of a queue without one in BACKROOM_QUEUE_OBJECTIVES
RETRY_AFTER = 30  # seconds
REFUSED = "backroom:refused"
SCRIPT = Path(__file__).with_suffix(".lua").read_text()

in_request: ContextVar[bool] = ContextVar("in_request", default=False)


class Overloaded(Exception):
    """A queue is over its limits, and nothing was enqueued. A request may come again after `retry_after` seconds."""

    retry_after = RETRY_AFTER


class Backlog(NamedTuple):
    """A queue's messages: whether they are too many or too old, and the jobs refused since the broker was empty."""

    full: bool
    depth: int
    oldest_s: float
    refused: int


def look(queue: str, jobs: int = 0) -> Backlog | None:
    """The queue's backlog; if it is full, that many `jobs` are counted as refused. None without a limit or a broker."""
    if queue not in conf.QUEUE_DEPTHS or not scripts.in_broker():
        return None
    limits = conf.QUEUE_DEPTHS[queue], conf.QUEUE_OBJECTIVES.get(queue, OBJECTIVE)
    answer = scripts.run(SCRIPT, [broker.key(queue), REFUSED], [queue, *limits, jobs])
    return Backlog(bool(answer[0]), answer[1], float(answer[2]), answer[3]) if answer else None


def backlogs() -> dict[str, Backlog]:
    """Each queue that has a limit. Empty while the broker is away."""
    return {queue: found for queue in conf.QUEUE_DEPTHS if (found := look(queue))}


def check(queues: Iterable[str]) -> None:
    """Raises Overloaded if one of these jobs' queues is full and this is a request."""
    if not in_request.get():
        return
    for queue, jobs in Counter(queues).items():
        if (found := look(queue, jobs)) and found.full:
            log.warning("queue %s refused %d jobs: %d wait, the oldest for %.0f s", queue, jobs, *found[1:3])
            raise Overloaded(f"Queue {queue} is overloaded. Try again in {RETRY_AFTER} seconds.")
