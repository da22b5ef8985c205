"""When is a house without a ledger quiet? Only the broker and the workers can be asked."""

import ast
import json
from contextlib import suppress
from typing import Any, NamedTuple

import celery
import redis

from stack.processes import QUEUES


class Held(NamedTuple):
    """A message that waits in the broker, or is with a live worker: running, or waiting there for its time."""

    task: str
    arguments: dict[str, Any]


class InHand(NamedTuple):
    """Messages by where they are. `forsaken`: a worker that died had fetched them; they come back after the visibility
    timeout, an hour."""

    queued: list[Held]
    held: list[Held]
    forsaken: int

    @property
    def quiet(self) -> bool:
        """Whether nothing will happen for an hour."""
        return not (self.queued or self.held)


def in_hand(broker: str, workers: int | None = None) -> InHand:
    """Ask the broker at this address and all workers on it, or until so many have answered; one that does not answer
    within a second counts as dead. Messages move while we look: believe it when it says twice that all is quiet.
    Raises redis.RedisError."""
    with (
        redis.Redis.from_url(broker, socket_timeout=2) as client,
        celery.Celery("ask", broker=broker, set_as_current=False) as app,
    ):
        fleet = app.control.inspect(timeout=1.0, limit=workers)
        running, fetched, later = (ask() or {} for ask in (fleet.active, fleet.reserved, fleet.scheduled))
        requests = [request for found in (*running.values(), *fetched.values()) for request in found]
        requests += [entry["request"] for found in later.values() for entry in found]
        held = {request["id"]: Held(request["name"], request["kwargs"]) for request in requests}
        unacked = [json.loads(message)[0]["headers"]["id"] for message in client.hvals("unacked")]
        waiting = [json.loads(message)["headers"] for name in QUEUES for message in client.lrange(name, 0, -1)]
        queued = [Held(headers["task"], _arguments(headers["kwargsrepr"])) for headers in waiting]
    return InHand(queued, list(held.values()), sum(id not in held for id in unacked))


def _arguments(told: str) -> dict[str, Any]:
    """A message's arguments by name, as its headers tell them; what is too long or odd is none."""
    with suppress(ValueError, SyntaxError):
        return dict(ast.literal_eval(told))
    return {}
