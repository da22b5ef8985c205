"""The batches that pages and the command show. Their counts are those of the dispatcher's last look."""

from typing import Any

from backroom.ledger.models import Job, State
from backroom.runtime.batch import Progress, overview

SHOWN = 20


def of(job: Job) -> Progress | None:
    """The batch whose callback this job is."""
    return next(iter(overview(1, str(job.id))), None) if job.after_id == job.id else None


def gave_up(batch: Progress | None) -> list[Job]:
    """Some members that are dead or cancelled, the dead ones first."""
    if batch is None or not batch.dead + batch.cancelled:
        return []
    its = Job.objects.only("key", "task", "state").filter(batch_id=batch.id)
    states = (State.DEAD, State.CANCELLED)
    return [job for state in states for job in its.filter(state=state).order_by("id")[:SHOWN]][:SHOWN]


def as_dict(batch: Progress) -> dict[str, Any]:
    """For JSON."""
    times = {name: (value := getattr(batch, name)) and value.isoformat() for name in ("created_at", "ended_at")}
    return batch._asdict() | times
