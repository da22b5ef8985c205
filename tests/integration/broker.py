"""A broker at another address, for this process, and the real one made sick."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis
from celery import current_app

from backroom.runtime import broker
from tests.waiting import until


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Celery before 5.7 prefers this name to its own.
        patch.setitem(current_app.conf.changes, "CELERY_BROKER_URL", url)
        yield
        patch.undo()
        until(lambda: not broker.switch.is_off, what="the broker answers again")


@contextmanager
def set_to(**settings: object) -> Iterator[None]:
    """The real broker, with other settings."""
    with redis.Redis.from_url(broker.url()) as server:
        before = {name: server.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            server.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                server.config_set(name, value)
    until(lambda: not broker.switch.is_off, what="the broker takes messages again")


def full() -> AbstractContextManager[None]:
    """Its memory is full: PING answers, and LPUSH does not pass."""
    return set_to(maxmemory=1)


def without_replicas() -> AbstractContextManager[None]:
    return set_to(**{"min-replicas-to-write": 1})


@contextmanager
def replica() -> Iterator[None]:
    """As after a failover: it follows another server, and takes no writes."""
    with redis.Redis.from_url(broker.url()) as server:
        server.replicaof("127.0.0.1", "9")
        try:
            yield
        finally:
            server.replicaof("NO", "ONE")
    until(lambda: not broker.switch.is_off, what="the broker takes messages again")


@contextmanager
def refusing_the_password() -> Iterator[None]:
    with broker_at(broker.url().replace("redis://:", "redis://:not")):
        yield
