"""Connections to the broker that are bounded in time, for publishing and looking.

Measured with the broker down: a plain `.delay()` takes 0.6 s when the broker refuses and over 12 s when it hangs. With
these timeouts and no retries it takes 2-4 ms and 0.3 s.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from celery import current_app
from kombu import Connection

log = logging.getLogger(__name__)

TIMEOUT = 0.25  # seconds to connect, and again for each read or write
PROBE_EVERY = 1.0  # seconds between probes of a broker that failed
LOOK = 1000  # messages of a queue that are read at a time, half a megabyte
ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Why Redis and Valkey answer, but refuse a message, by the code of their error.
REFUSALS = {
    "OOM": "its memory is full: raise maxmemory",
    "READONLY": "it is a read-only replica: the broker URL must lead to the primary",
    "MISCONF": "it can't write to its disk: free space there",
    "NOREPLICAS": "it has fewer replicas than min-replicas-to-write demands",
    "MASTERDOWN": "it is a replica without its primary: the broker URL must lead to the primary",
    "LOADING": "it still loads its data",
    "NOAUTH": "it needs a password in the broker URL",
    "WRONGPASS": "it refuses the password of the broker URL",
}


class Switch:
    """Whether this process uses the broker: off after a failure, until a thread has seen it take messages again. So one
    caller per outage waits for the timeout, shared by publisher and breakers."""

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
        while failure():
            time.sleep(PROBE_EVERY)
        self._off.clear()
        log.warning("the broker takes messages again")


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


def failure() -> Exception | None:
    """The error with which the broker refuses messages now, or does not answer within the timeouts; None if it takes
    them."""
    try:
        with connection() as probe:
            channel = probe.default_channel  # opening it sends a command
            if probe.transport.driver_type == "redis":
                # Refused whenever LPUSH is, also where PING answers. It changes nothing: no key has this name.
                channel.client.lpushx(f"{_prefix(probe)}backroom:probe", "")
    except Exception as error:
        return None if _code(error) == "NOPERM" else error  # its user may use the queues only
    return None


def problem() -> str:
    """Why the broker takes no messages, in a phrase; "" if it does."""
    error = failure()
    return describe(error) if error else ""


def refuses(error: BaseException) -> bool:
    """Whether the broker answered with this error, and a person has to mend it."""
    return _code(error) in REFUSALS


def describe(error: BaseException) -> str:
    """An error of the broker for an operator, in a phrase. It quotes no message."""
    return REFUSALS.get(_code(error)) or _text(error)


def _code(error: BaseException) -> str:
    """The code of a Redis error, such as OOM. Some classes of redis-py cut it off their text."""
    return getattr(_cause(error), "status_code", None) or _text(error).partition(" ")[0]


def _text(error: BaseException) -> str:
    """Its first line, without the command that a pipeline quotes."""
    return str(_cause(error)).rpartition(" of pipeline caused error: ")[2].partition("\n")[0]


def _cause(error: BaseException) -> BaseException:
    """The client's error, which kombu wraps."""
    return error.__cause__ or error


class Oldest(NamedTuple):
    """The messages of a queue that wait longest. Those of other brokers than Redis and Valkey can't be read."""

    stamp: float | None  # of the oldest, as Unix time; None: none waits. Ten minutes ago if it can't be read
    ids: frozenset[str] | None  # of their jobs, and what else in them looks like one; None if they can't be read
    whole: bool = False  # whether no others wait


def oldest_messages(queues: Iterable[str]) -> dict[str, Oldest]:
    """For each queue the LOOK oldest messages that wait in the broker. Raises the transport's errors."""
    with connection() as broker:
        if broker.transport.driver_type != "redis":
            return dict.fromkeys(queues, Oldest(time.time() - 600, None))
        client = broker.default_channel.client
        return {queue: _oldest(client.lrange(f"{_prefix(broker)}{queue}", -LOOK, -1)) for queue in queues}


def _oldest(messages: Sequence[bytes]) -> Oldest:
    stamp = _published_at(messages[-1]) if messages else None
    ids = frozenset(found.decode() for message in messages for found in ID.findall(message))
    return Oldest(stamp, ids, whole=len(messages) < LOOK)


def key(queue: str) -> str:
    """The list in Redis or Valkey that holds a queue's messages."""
    return f"{_prefix(template(url()))}{queue}"


def eviction_policy() -> str:
    """What Redis or Valkey deletes when its memory is full, such as noeviction; "" for another broker. Raises the
    transport's errors."""
    with connection() as broker:
        if broker.transport.driver_type != "redis":
            return ""
        return broker.default_channel.client.config_get("maxmemory-policy").get("maxmemory-policy", "")


def _prefix(connection: Connection) -> str:
    """The project's prefix of all keys. kombu adds it to LPUSH, but not to LINDEX and LPUSHX."""
    return (connection.transport_options or {}).get("global_keyprefix", "")


def _published_at(message: bytes) -> float:
    """A message without our stamp proves nothing: 0. It may hold anything, such as NaN or a thousand brackets."""
    try:
        stamp = float(json.loads(message)["headers"]["published_at"])
    except Exception:
        return 0.0
    return stamp if 0 < stamp < 1e11 else 0.0
