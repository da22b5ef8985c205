"""Jobs that ended in a finished minute, for a clock that stands still: take `now` once, and pass it on."""

from datetime import datetime, timedelta

from django.db import connection

from backroom import task
from backroom.ledger import transitions
from backroom.ops import rollups

QUEUES = ["bulk", "critical", "default", "media", "webhooks"]


@task(name="tests.noted")
def noted() -> None:
    pass


def last_minute(now: datetime) -> datetime:
    """The middle of the last minute that rollups.write(QUEUES, now) takes for finished."""
    over = (now - timedelta(seconds=rollups.SETTLING)).replace(second=0, microsecond=0)
    return over - timedelta(seconds=30)


def finished(count: int, at: datetime, error: str = "") -> list[str]:
    """Jobs that were due two seconds before their start, ran for a second, and ended at this time."""
    ids = [noted.enqueue() for _ in range(count)]
    for id in ids:
        job = transitions.claim(id, "one")
        transitions.mark_dead(job, error) if error else transitions.succeed(job, None)
    with connection.cursor() as cursor:
        for table, column, name in ("backroom_job", "finished_at", "id"), ("backroom_attempt", "ended_at", "job_id"):
            cursor.execute(
                f"UPDATE {table} SET {column} = %s, started_at = %s, published_at = %s WHERE {name} = ANY(%s::uuid[])",  # noqa: S608
                [at, at - timedelta(seconds=1), at - timedelta(seconds=3), ids],
            )
        cursor.execute("UPDATE backroom_job SET created_at = published_at WHERE id = ANY(%s::uuid[])", [ids])
    return ids
