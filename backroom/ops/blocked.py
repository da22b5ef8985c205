"""Which jobs wait for one that won't succeed unless a person acts."""

from collections.abc import Collection

from backroom.ledger.models import Job, State


def blocked(job: Job, others: Collection[Job]) -> bool:
    """Whether it waits for one of the others that is dead, cancelled or itself blocked."""
    if job.state != State.WAITING or job.run_at is not None or job.after_id == job.id:
        return False
    return any(
        other.id == job.after_id and (other.state in (State.DEAD, State.CANCELLED) or blocked(other, others))
        for other in others
    )
