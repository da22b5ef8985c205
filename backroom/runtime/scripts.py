"""Scripts in Valkey (or Redis), the broker. It runs one at a time, so each is one step for the whole fleet."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backroom.runtime import broker

log = logging.getLogger(__name__)


def run(source: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any] | None:
    """What the script returns. None with another broker, and while it does not answer: that costs one caller a fraction
    of a second, and the others nothing."""
    found = client()
    if found is None or broker.switch.is_off:
        return None
    try:
        return found.register_script(source)(keys, arguments)
    except redis.RedisError as error:
        log.warning("no breakers, rates and limits: %s", broker.describe(error))
        if broker.refuses(error) or isinstance(error, redis.ConnectionError | redis.TimeoutError):
            broker.switch.turn_off()
    return None


def client() -> redis.Redis | None:
    """None for another broker."""
    url = broker.url()
    return _connected(url) if url.startswith(("redis://", "rediss://")) else None


@lru_cache
def _connected(url: str) -> redis.Redis:
    """The client opens a connection anew that a restart of the broker closed; it tries a hanging broker once."""
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    bounds = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), broker.TIMEOUT)
    return redis.Redis.from_url(url, **bounds, retry=once_more, decode_responses=True)
