"""Scripts in Valkey (or Redis): in BACKROOM_REDIS_URL, or else in the broker. It runs one at a time, so each is one
step for the whole fleet."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import redis
from celery import current_app
from kombu.utils.url import url_to_parts
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from backroom.conf import conf
from backroom.runtime import broker
from backroom.runtime.switch import Switch

log = logging.getLogger(__name__)

SENTINEL_PORT = 26379


def run(source: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any] | None:
    """What the script returns. None without a server for it, and while it does not answer: that costs one caller a
    fraction of a second, and the others nothing."""
    found = client()
    if found is None:
        return None
    try:
        return found.register_script(source)(keys, arguments)
    except redis.RedisError as error:
        log.warning("no breakers, rates and limits: %s", broker.describe(error))
        if broker.refuses(error) or isinstance(error, redis.ConnectionError | redis.TimeoutError):
            _switch().turn_off()
    return None


def url() -> str:
    """The server's address; "" where there is none."""
    address = conf.REDIS_URL or broker.url()
    return address if address.startswith(broker.REDIS) else ""


def in_broker() -> bool:
    """Whether the broker runs them, so that they see its queues."""
    return bool(url()) and not conf.REDIS_URL


def client() -> redis.Redis | None:
    """None without a server, and since it failed."""
    address = url()
    return None if not address or _switch().is_off else _connected(address)


def _switch() -> Switch:
    return broker.switch if in_broker() else own_switch


def _failure() -> Exception | None:
    try:
        _connected(url()).lpushx("backroom:probe", "")  # changes nothing: no key has this name
    except Exception as error:
        return error
    return None


own_switch = Switch("BACKROOM_REDIS_URL answers", _failure)


@lru_cache
def _connected(address: str) -> redis.Redis:
    """The client opens a connection anew that a restart of the server closed; it tries a hanging server once."""
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    bounds: dict[str, Any] = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), broker.TIMEOUT)
    options: dict[str, Any] = {**bounds, "retry": once_more, "decode_responses": True}
    if not address.startswith("sentinel://"):
        return redis.Redis.from_url(address, **options)
    first, *_ = parts = [url_to_parts(each) for each in address.split(";")]
    given = current_app.conf.broker_transport_options  # as for kombu
    sentinels = [(each.hostname, each.port or SENTINEL_PORT) for each in parts]
    options |= {"username": first.username, "password": first.password, "db": int(first.path or 0)}
    return Sentinel(sentinels, sentinel_kwargs=given.get("sentinel_kwargs"), **bounds).master_for(
        given.get("master_name", ""), **options
    )
