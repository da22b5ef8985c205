"""The messages that a shop without a ledger still has to work on, from its broker and its workers."""

import ast
import json
from contextlib import suppress
from typing import Any, NamedTuple

import celery
import redis

from stack.processes import QUEUES


class Message(NamedTuple):
    """A message with its arguments by name."""

    task: str
    arguments: dict[str, Any]


class Pending(NamedTuple):
    """`queued`: in the broker. `held`: with a live worker that runs it or waits for its time."""

    queued: list[Message]
    held: list[Message]


def messages(broker: str, workers: int | None = None) -> Pending:
    """Read the broker and ask its workers, until `workers` of them have answered. Raises redis.RedisError.

    A worker that does not answer within a second counts as dead; its messages return after the visibility timeout of
    an hour, and are left out. Messages move between the reads: trust an empty result only when it comes twice.
    """
    with (
        redis.Redis.from_url(broker, socket_timeout=2) as client,
        celery.Celery("ask", broker=broker, set_as_current=False) as app,
    ):
        fleet = app.control.inspect(timeout=1.0, limit=workers)
        running, fetched, later = (ask() or {} for ask in (fleet.active, fleet.reserved, fleet.scheduled))
        requests = [request for found in (*running.values(), *fetched.values()) for request in found]
        requests += [entry["request"] for found in later.values() for entry in found]
        held = {request["id"]: Message(request["name"], request["kwargs"]) for request in requests}
        waiting = [json.loads(message)["headers"] for name in QUEUES for message in client.lrange(name, 0, -1)]
        queued = [Message(headers["task"], _arguments(headers["kwargsrepr"])) for headers in waiting]
    return Pending(queued, list(held.values()))


def _arguments(text: str) -> dict[str, Any]:
    """A message's arguments, out of their repr in its headers; none if Celery shortened them."""
    with suppress(ValueError, SyntaxError):
        return dict(ast.literal_eval(text))
    return {}
