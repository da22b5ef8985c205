"""Watchers that a test runs round by round, and time that passes for open alerts without waiting."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.db.models import F

from backroom.ledger import rescue
from backroom.ops.models import Alert
from backroom.ops.rules import LASTING
from backroom.ops.watcher import Watcher
from tests.integration.heartbeats import process, worker_beats

QUEUES = ("bulk", "critical", "default", "media", "webhooks")


def all_at_work() -> None:
    """A worker for each queue, a dispatcher and a beat have just sent a heartbeat."""
    for queue in QUEUES:
        worker_beats(queue, queue, [])
    for role in "dispatcher", "beat":
        process(role)
    silent("true", -600)  # none falls silent in a test that takes longer, on a busy machine


def goes_by(seconds: float = LASTING, watcher: Watcher | None = None) -> None:
    """Let open alerts age by `seconds`."""
    past = timedelta(seconds=seconds)
    if watcher and watcher.outage:
        watcher.outage.since -= past
    else:
        Alert.objects.filter(fired_at=None).update(since=F("since") - past)
        Alert.objects.filter(recovered_at=None).update(calm_since=F("calm_since") - past)


def silent(where: str, seconds: float = rescue.SILENCE + 1) -> None:
    """Let the newest heartbeat of these rows age by `seconds`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE backroom_heartbeat SET seen_at = now() - %s * interval '1 second' WHERE {where}",  # noqa: S608
            [seconds],
        )


@contextmanager
def looking() -> Iterator[Watcher]:
    """A watcher for a thread of its own."""
    try:
        yield Watcher()
    finally:
        connection.close()
