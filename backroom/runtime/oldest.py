"""The messages that wait longest: read in Redis and Valkey, worked out from counts and the ledger elsewhere."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from celery import current_app

from backroom.ledger.sql import rows
from backroom.runtime import broker

LOOK = 1000  # messages of a queue that are read at a time, half a megabyte


class Oldest(NamedTuple):
    """The messages of a queue that wait longest."""

    stamp: float | None  # of the oldest, as Unix time, or of an older one; None: none waits
    ids: frozenset[str] | None = None  # of their jobs, and what else in them looks like one; None if they can't be read
    whole: bool = False  # whether no others wait
    sure: bool = True  # whether one look is enough


class Lag(NamedTuple):
    """What a broker's figures allow, in seconds."""

    empty: float  # for which a queue that has messages may look empty
    order: float  # by which a message may overtake others
    every: float  # between two looks: each costs a request for each queue


# A standard queue of SQS has no order, and AWS states that its figures settle within a minute.
LAGS = {"amqp": Lag(empty=0, order=0, every=0)}
OTHERS = Lag(empty=60, order=300, every=10)

# The last message of each queue that a worker has claimed: when it was published, or before. A job that was requeued
# has the stamp of its last message, and a frozen worker may claim it with the first one: its `run_at` is no later than
# that. One with an earlier attempt proves nothing.
CLAIMED = """
SELECT queue, extract(epoch FROM max(COALESCE(run_at, published_at)))::float FROM backroom_job
WHERE state = 'running' AND claims = 1 GROUP BY queue
UNION ALL SELECT '', extract(epoch FROM statement_timestamp())::float
"""


def read(queues: Iterable[str]) -> dict[str, Oldest]:
    """For each queue the LOOK oldest messages in Redis or Valkey. Raises the transport's errors."""
    with broker.connection() as connection:
        client = connection.default_channel.client
        return {queue: _oldest(client.lrange(broker.key(queue), -LOOK, -1)) for queue in queues}


def _oldest(messages: Sequence[bytes]) -> Oldest:
    stamp = _published_at(messages[-1]) if messages else None
    ids = frozenset(found.decode() for message in messages for found in broker.ID.findall(message))
    return Oldest(stamp, ids, whole=len(messages) < LOOK)


def _published_at(message: bytes) -> float:
    """A message without our stamp proves nothing: 0. It may hold anything, such as NaN or a thousand brackets."""
    try:
        stamp = float(json.loads(message)["headers"]["published_at"])
    except Exception:
        return 0.0
    return stamp if 0 < stamp < 1e11 else 0.0


def lag() -> Lag:
    return LAGS.get(broker.kind(), OTHERS)


class Claimed:
    """The oldest messages of a broker that shows none. A queue is first-in first-out: messages published before
    the one that was claimed last are delivered, too. Of a queue without a worker nothing is known."""

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}  # for each queue: no message that waits is older

    def oldest(self, queues: Iterable[str]) -> dict[str, Oldest]:
        """Raises the transport's errors and django.db.Error."""
        waiting, allowed = counts(queues), lag()
        stamps = {queue: stamp for queue, stamp in rows(CLAIMED) if stamp is not None}
        now = stamps.pop("")
        for queue, stamp in stamps.items():
            self.latest[queue] = max(stamp, self.latest.get(queue, 0.0))
        return {
            queue: Oldest(
                max(0.0, self.latest.get(queue, 0.0) - allowed.order) if count else now - allowed.empty,
                sure=not allowed.every,
            )
            for queue, count in waiting.items()
        }


def counts(queues: Iterable[str]) -> dict[str, int]:
    """How many messages of each queue wait for a worker. A queue that is missing is made anew."""
    with broker.producer() as producer:
        declared = current_app.amqp.queues
        return {queue: declared[queue](producer.channel).queue_declare().message_count for queue in queues}
