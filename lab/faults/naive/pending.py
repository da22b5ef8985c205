"""The messages that a shop without a ledger still has to work on, from its broker and its workers."""

import ast
import json
from contextlib import suppress
from typing import Any, NamedTuple

import celery
import redis
from kombu.exceptions import KombuError

from stack.processes import QUEUES

UNREADABLE = (redis.RedisError, celery.exceptions.CeleryError, KombuError, OSError)  # the broker is away, or restarts


class Message(NamedTuple):
    """A message with its arguments by name."""

    task: str
    arguments: dict[str, Any]


class Pending(NamedTuple):
    """`queued`: in the broker. `held`: with a live worker that runs it or waits for its time. `unacked`: with a worker
    that died or lost its connection. It is delivered again after the visibility timeout, half an hour or more."""

    queued: list[Message]
    held: list[Message]
    unacked: list[Message]


def messages(broker: str, workers: int | None = None) -> Pending:
    """Read the broker and ask its workers, until `workers` of them have answered. Raises one of UNREADABLE.

    A worker that does not answer within a second counts as dead. Messages move between the reads: trust an empty result
    only when it comes twice.
    """
    with (
        redis.Redis.from_url(broker, socket_timeout=2) as client,
        celery.Celery("ask", broker=broker, set_as_current=False) as app,
    ):
        client.ping()  # it fails at once where the broker is away, kombu after six seconds
        fleet = app.control.inspect(timeout=1.0, limit=workers)
        running, fetched, later = (ask() or {} for ask in (fleet.active, fleet.reserved, fleet.scheduled))
        requests = [request for found in (*running.values(), *fetched.values()) for request in found]
        requests += [entry["request"] for found in later.values() for entry in found]
        held = {request["id"]: Message(request["name"], request["kwargs"]) for request in requests}
        waiting = [json.loads(message)["headers"] for name in QUEUES for message in client.lrange(name, 0, -1)]
        delivered = [json.loads(entry)[0]["headers"] for entry in client.hvals("unacked")]  # kombu's hash
    unacked = [_message(headers) for headers in delivered if headers.get("id") not in held]
    return Pending([_message(headers) for headers in waiting], list(held.values()), unacked)


def _message(headers: dict[str, Any]) -> Message:
    """A message out of its headers; without arguments if Celery shortened their repr."""
    with suppress(ValueError, SyntaxError):
        return Message(headers["task"], dict(ast.literal_eval(headers["kwargsrepr"])))
    return Message(headers["task"], {})
