"""Connections to the broker that are bounded in time, for publishing and looking.

Measured with the broker down: a plain `.delay()` takes 0.6 s when the broker refuses and over 12 s when it hangs. With
these timeouts and no retries it takes 2-4 ms and 0.3 s.
"""

import json
import logging
import threading
import time
from collections.abc import Iterable
from functools import lru_cache

from celery import current_app
from kombu import Connection

log = logging.getLogger(__name__)

TIMEOUT = 0.25  # seconds to connect, and again for each read or write
PROBE_EVERY = 1.0  # seconds between probes of a broker that failed


class Switch:
    """Whether this process uses the broker: off after a failure, until a thread has seen it answer again. So one caller
    per outage waits for the timeout, shared by publisher and breakers."""

    def __init__(self) -> None:
        self._off = threading.Event()
        self._lock = threading.Lock()

    @property
    def is_off(self) -> bool:
        return self._off.is_set()

    def turn_off(self) -> None:
        """Turn off, and start to probe."""
        with self._lock:
            if not self.is_off:
                self._off.set()
                threading.Thread(target=self._probe, daemon=True, name="broker probe").start()

    def _probe(self) -> None:
        while not answers():
            time.sleep(PROBE_EVERY)
        self._off.clear()
        log.warning("the broker answers again")


switch = Switch()


def url() -> str:
    """The broker's address for writing."""
    return current_app.conf.broker_write_url or current_app.conf.broker_url or ""


@lru_cache
def template(address: str) -> Connection:
    """The connection from which the pool of producers and all others are cloned; it is never opened itself."""
    options = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "max_retries": 0,
        **dict.fromkeys(("interval_start", "interval_step", "interval_max"), 0),
    }
    return Connection(
        address, transport_options={**current_app.conf.broker_transport_options, **options}, connect_timeout=TIMEOUT
    )


def connection() -> Connection:
    """A new connection with short timeouts."""
    return template(url()).clone()


def warm_up() -> None:
    """Import the transport: it takes 0.2 s, which a web process's first customer should not wait for."""
    _ = connection().transport


def answers() -> bool:
    """Whether the broker answers within the timeouts."""
    try:
        with connection() as probe:
            return bool(probe.default_channel)  # opening it sends a command
    except Exception:
        return False


def oldest_messages(queues: Iterable[str]) -> dict[str, float | None]:
    """For each queue the stamp, as Unix time, of the oldest message waiting in the broker; None if none waits.

    Brokers other than Redis and Valkey can't be searched: ten minutes ago. Raises the transport's errors."""
    with connection() as broker:
        if broker.transport.driver_type != "redis":
            return dict.fromkeys(queues, time.time() - 600)
        client = broker.default_channel.client
        prefix = broker.transport_options.get("global_keyprefix", "")  # kombu adds it to LPUSH, but not to LINDEX
        return {queue: _published_at(client.lindex(f"{prefix}{queue}", -1)) for queue in queues}


def eviction_policy() -> str:
    """What Redis or Valkey deletes when its memory is full, such as noeviction; "" for another broker. Raises the
    transport's errors."""
    with connection() as broker:
        if broker.transport.driver_type != "redis":
            return ""
        return broker.default_channel.client.config_get("maxmemory-policy").get("maxmemory-policy", "")


def _published_at(message: bytes | None) -> float | None:
    """A message without our stamp proves nothing: 0."""
    try:
        return None if message is None else float(json.loads(message)["headers"]["published_at"])
    except (ValueError, TypeError, LookupError):
        return 0.0
