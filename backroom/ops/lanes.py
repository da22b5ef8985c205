"""Who waits for what: the lanes in which jobs are parked."""

from datetime import datetime
from typing import NamedTuple

from backroom.ledger.lanes import LANES
from backroom.ledger.sql import PARKED_JOBS, rows

WAITING = f"""
    {LANES} SELECT name, head.places,
        ARRAY(SELECT id::text FROM backroom_job WHERE lane = name AND place > 0 AND state IN ('ready', 'running')
              ORDER BY place),
        (SELECT count(*) FROM backroom_job WHERE lane = name AND {PARKED_JOBS}), head.created_at
    FROM lane CROSS JOIN LATERAL (SELECT places, created_at FROM backroom_job WHERE lane = name AND {PARKED_JOBS}
                                  ORDER BY place, id LIMIT 1) head LIMIT %s
    """  # noqa: S608 - the parts stand in the ledger


class Lane(NamedTuple):
    """`held_by` are the ids of its ready and running jobs; `oldest` is when the first parked one was enqueued."""

    name: str
    places: int
    held_by: list[str]
    parked: int
    oldest: datetime


def waiting(limit: int = 100) -> list[Lane]:
    """The lanes with parked jobs, by name. Raises django.db.Error."""
    return [Lane(*row) for row in rows(WAITING, [""], True, limit)]
