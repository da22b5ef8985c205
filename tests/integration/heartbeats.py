"""A worker's heartbeat, as its main process writes it."""

from collections.abc import Sequence

from backroom.ledger import rescue
from backroom.runtime.heartbeat import Heartbeat


def worker_beats(
    name: str, queues: str, running: Sequence[str] = (), pool: int | None = None, memory: int | None = None
) -> list[str]:
    """Write it, and requeue what this worker has claimed and does not run; returns the ids."""
    Heartbeat("worker", name, pool).beat(queues, memory)
    return rescue.requeue_abandoned(name, running)


def process(role: str) -> Heartbeat:
    """The heartbeat of a new dispatcher, beat or watcher; it has written one row."""
    heartbeat = Heartbeat(role)
    heartbeat.beat()
    return heartbeat
