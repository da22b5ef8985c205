"""The running jobs and their progress."""

from dataclasses import dataclass
from typing import Any

from backroom.ledger.models import Job, State
from backroom.observe.models import Progress

SHOWN = 20


@dataclass(frozen=True)
class Running:
    """A running job, and what its current attempt reported (None: nothing)."""

    job: Job
    progress: Progress | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: jobs done, of how many (None: unknown), done per second, and seconds left."""
        progress = self.progress or Progress()
        return {
            "id": str(self.job.id),
            "task": self.job.task,
            "key": self.job.key,
            "attempt": self.job.attempts,
            "done": progress.done,
            "of": progress.total,
            "per_second": progress.rate,
            "left_s": progress.left_s,
        }


def running() -> list[Running]:
    """The jobs that have run for longest."""
    jobs = list(Job.objects.filter(state=State.RUNNING).defer("args", "result", "error").order_by("started_at")[:SHOWN])
    found = {(row.job_id, row.claim): row for row in Progress.objects.filter(job_id__in=[job.id for job in jobs])}
    return [Running(job, found.get((job.id, job.claims))) for job in jobs]
