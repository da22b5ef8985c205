"""Connections to the broker that are bounded in time, for publishing and looking.

Measured with the broker down: a plain `.delay()` takes 0.6 s when the broker refuses and over 12 s when it hangs. With
these timeouts and no retries it takes 2-4 ms and 0.3 s.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from celery import current_app
from kombu import Connection, Producer
from kombu.pools import producers

from backroom.conf import REDIS as REDIS
from backroom.runtime import confirms
from backroom.runtime.switch import PROBE_EVERY as PROBE_EVERY
from backroom.runtime.switch import Switch

TIMEOUT = 0.25  # seconds to connect, and again for each read or write
SQS_TIMEOUT = 1.0  # the same of SQS, where each request passes TLS and a web service
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
# The same of RabbitMQ.
REPLIES = {
    403: "it refuses the user of the broker URL, the password, or what the user is to do",
    406: "it has a queue of this name with other arguments, such as a classic one: delete that once it is empty, or"
    " declare its arguments in CELERY_TASK_QUEUES",
    530: "it does not let this user into the virtual host of the broker URL",
}

# Clients of Redis before 7.1 cut the code off the text and keep only the class: of Celery 5.5 and 5.6.
CLASSES = {
    "OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY", "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN", "AuthenticationError": "WRONGPASS", "NoPermissionError": "NOPERM",
}  # fmt: skip


switch = Switch("the broker takes messages", lambda: failure())


def url() -> str:
    """The broker's address for writing."""
    return current_app.conf.broker_write_url or current_app.conf.broker_url or ""


@lru_cache
def template(address: str) -> Connection:
    """The connection from which the pool of producers and all others are cloned; it is never opened itself."""
    given = current_app.conf.broker_transport_options
    options = {
        **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), TIMEOUT),  # of Redis and Valkey
        **dict.fromkeys(("read_timeout", "write_timeout"), TIMEOUT),  # of RabbitMQ
        "client-config": {**given.get("client-config", {}), **sqs_client(SQS_TIMEOUT, SQS_TIMEOUT)},
        **dict.fromkeys(("max_retries", "interval_start", "interval_step", "interval_max"), 0),
    }
    return Connection(address, transport_options={**given, **options}, connect_timeout=TIMEOUT)


def sqs_client(connect: float, read: float) -> dict[str, Any]:
    """botocore's settings: these seconds for each step of a request, and one try."""
    return {"connect_timeout": connect, "read_timeout": read, "retries": {"total_max_attempts": 1}}


def kind() -> str:
    """Of the broker: redis, which is Valkey, too; amqp, which is RabbitMQ; sqs, and others of kombu."""
    return template(url()).transport.driver_type


def connection() -> Connection:
    """A new connection with short timeouts."""
    return template(url()).clone()


@contextmanager
def producer() -> Iterator[Producer]:
    """A producer on a kept connection. A connection of RabbitMQ or SQS that failed is closed: an answer that comes late
    must not count as the next one's."""
    with producers[template(url())].acquire(block=True, timeout=TIMEOUT) as found:
        kept = found.connection
        if kept.transport.driver_type == "amqp" and kept.connected:
            _close_if_dead(kept)
        try:
            yield found
        except Exception:
            if kind() != "redis":  # redis-py does it
                kept.collect()
            raise


def _close_if_dead(kept: Connection) -> None:
    """Race: the broker was restarted since the last message. What the connection has to tell is its end."""
    try:
        kept.drain_events(timeout=0)
    except TimeoutError:
        pass  # it is silent, as it should be
    except (*kept.connection_errors, *kept.channel_errors):
        kept.collect()


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
            else:
                _probe_queues(channel)
    except Exception as error:
        # NOPERM: the broker forbids its user the probe's key, not the queues.
        return None if _code(error) == "NOPERM" else error
    return None


def _probe_queues(channel: Any) -> None:
    """Declare the queues, as a worker does. RabbitMQ without memory or disk space lets a connection do that, and stops
    reading from it at its first message: this one is for no queue."""
    for queue in current_app.amqp.queues.values():
        queue(channel).declare()
    if kind() == "amqp":
        with confirms.awaited(channel, 1, TIMEOUT):
            channel.basic_publish(channel.prepare_message(b""), exchange="", routing_key="backroom:probe")


def problem() -> str:
    """Why the broker takes no messages, in a phrase; "" if it does."""
    error = failure()
    return describe(error) if error else ""


def refuses(error: BaseException) -> bool:
    """Whether the broker answered with one of REFUSALS: a person has to mend all but LOADING, which ends by itself."""
    return _code(error) in REFUSALS


def describe(error: BaseException) -> str:
    """An error of the broker for an operator, in a phrase. It quotes no message."""
    reply = REPLIES.get(getattr(_cause(error), "reply_code", 0))
    return REFUSALS.get(_code(error)) or (f"{reply} ({_text(error)})" if reply else _text(error))


def _code(error: BaseException) -> str:
    """The code of a Redis error, such as OOM. Some classes of redis-py cut it off their text."""
    cause = _cause(error)
    code = getattr(cause, "status_code", None) or CLASSES.get(type(cause).__name__)
    return code or _text(error).partition(" ")[0]


def _text(error: BaseException) -> str:
    """Its first line, without the command that a pipeline quotes, and the clients that Sentinel's does."""
    text, _, _ = str(_cause(error)).rpartition(" of pipeline caused error: ")[2].partition(" : <redis.")
    return text.partition("\n")[0]


def _cause(error: BaseException) -> BaseException:
    """The client's error, which kombu wraps."""
    return error.__cause__ or error


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
