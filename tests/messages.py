"""The messages that wait in the broker of this run, whichever it is."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis
from celery import current_app


def waiting(queue: str) -> int:
    """How many wait; those with a worker do not count. Raises the transport's errors."""
    with current_app.connection_for_write() as connection:
        try:
            return connection.default_channel.queue_declare(queue, passive=True).message_count
        except connection.channel_errors:
            return 0  # Redis has no key for an empty queue


def purge() -> None:
    """Empty each queue. Raises the transport's errors."""
    with current_app.connection_for_write() as connection:
        for queue in current_app.amqp.queues:
            connection.default_channel.queue_purge(queue)


def all_wait(ids: Iterable[object], queue: str) -> bool:
    """Whether a message of each of these jobs waits. Other brokers than Redis only say how many do."""
    wanted = {str(id) for id in ids}
    with current_app.connection_for_write() as connection:
        if connection.transport.driver_type != "redis":
            return len(wanted) <= waiting(queue)
        messages = connection.default_channel.client.lrange(queue, 0, -1)
    return wanted <= {json.loads(message)["headers"]["id"] for message in messages}


@contextmanager
def redis_client() -> Iterator[redis.Redis]:
    """A client of the broker, or of the Redis beside it."""
    with current_app.connection_for_write() as connection:
        if connection.transport.driver_type == "redis":
            yield connection.default_channel.client
            return
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client
