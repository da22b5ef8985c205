"""Who waits for what: the lanes in which jobs are parked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from backroom.ledger.lanes import LANES
from backroom.ledger.models import Job, Pause, State
from backroom.ledger.sql import PARKED_JOBS, PAUSED, returned_ids, rows

SHOWN, COUNTED = 20, 1_000  # lanes, and how far the parked jobs of each are counted
HOLDERS = 5  # of a lane that has more places

# In strict order a job that has begun holds the lane also while it waits for its retry; a dead one, as declared. Only
# there: beside a limit or turns thousands may wait for their retries.
WAITING = f"""
    {LANES} SELECT name, head.places, ids,
        (SELECT count(*) FROM (SELECT FROM backroom_job WHERE lane = name AND {PARKED_JOBS} LIMIT %s) parked),
        head.created_at, blocked, head.paused
    FROM lane CROSS JOIN LATERAL (SELECT places, dead_blocks, created_at, {PAUSED} AS paused FROM backroom_job
                                  WHERE lane = name AND {PARKED_JOBS} ORDER BY place, id LIMIT 1) head
    CROSS JOIN LATERAL (
        SELECT COALESCE(array_agg(id::text ORDER BY place, id), '{{}}') AS ids,
               COALESCE(bool_or(state = 'dead'), false) AS blocked
        FROM (SELECT id, place, state FROM backroom_job
              WHERE lane = name AND place > 0 AND state IN ('ready', 'running')
              UNION ALL SELECT id, place, state FROM backroom_job
              WHERE head.dead_blocks IS NOT NULL AND lane = name AND place > 0
                    AND (state = 'waiting' OR dead_blocks AND state = 'dead')) held) holders
    LIMIT %s
    """  # noqa: S608 - the parts stand in the ledger
BEFORE = f"""
    SELECT count(*) FROM (SELECT FROM backroom_job WHERE lane = %s AND {PARKED_JOBS} AND id < %s
                          ORDER BY place, id LIMIT %s) before
    """  # noqa: S608
# By the order of backroom_lane, or the planner may read the whole ledger by its ids.
HELD = """
    SELECT id FROM backroom_job WHERE lane = %s AND place > 0
        AND (state IN ('ready', 'waiting', 'running') OR dead_blocks AND state = 'dead')
        AND (state <> 'waiting' OR dead_blocks IS NOT NULL) ORDER BY place, id LIMIT %s
    """


class Lane(NamedTuple):
    """`held_by` are the ids of the jobs that hold its places, `blocked`: a dead one, in strict order. `oldest` is when
    the first parked one was enqueued, `paused`: its queue or task. `parked` goes up to COUNTED + 1: there are more
    then."""

    name: str
    places: int
    held_by: list[str]
    parked: int
    oldest: datetime
    blocked: bool
    paused: bool

    @property
    def waiting(self) -> str:
        """ "12", or "1,000+" if there are more."""
        return shown(self.parked)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {"oldest": self.oldest.isoformat()}


@dataclass(frozen=True)
class Position:
    """What a parked job waits for: how many are before it ("3", "1,000+"), some that hold the lane, and its pauses."""

    before: str
    held_by: list[Job]
    pauses: list[Pause]


def parked(job: Job) -> bool:
    """Whether it waits for a place in its lane."""
    return job.state == State.WAITING and job.place == 0


def waiting(limit: int = SHOWN, counted: int = COUNTED) -> list[Lane]:
    """The lanes with parked jobs, by name. Raises django.db.Error."""
    return [Lane(*row) for row in rows(WAITING, [""], True, counted + 1, limit)]


def position(job: Job) -> Position | None:
    """None for a job that is not parked."""
    if not parked(job):
        return None
    ((before,),) = rows(BEFORE, job.lane, job.id, COUNTED + 1)
    held = returned_ids(HELD, job.lane, HOLDERS)
    pauses = Pause.objects.filter(what__in=[f"queue:{job.queue}", f"task:{job.task}"])
    return Position(shown(before), list(Job.objects.filter(id__in=held).order_by("id")), list(pauses))


def shown(count: int) -> str:
    return f"{COUNTED:,}+" if count > COUNTED else str(count)
