"""The running jobs and their progress."""

from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.utils import timezone

from backroom.ledger.models import Job, State
from backroom.observe.models import Progress
from backroom.ops.formats import seconds
from backroom.runtime.resumable import time_limit

SHOWN = 20


@dataclass(frozen=True)
class Running:
    """A running job, and what its current attempt reported (None: nothing)."""

    job: Job
    progress: Progress | None
    for_s: float

    @property
    def limit_s(self) -> float | None:
        """The seconds after which a worker ends its body."""
        return time_limit(current_app.tasks.get(self.job.task))

    @property
    def time(self) -> str:
        """ "12 s of 300 s", or "12 s" without a limit."""
        return seconds(self.for_s) + (f" of {seconds(self.limit_s)}" if self.limit_s else "")

    @property
    def late(self) -> bool:
        """Whether nine tenths of its time are over."""
        return bool(self.limit_s and self.for_s > self.limit_s * 0.9)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: seconds of run and limit; done, of how many (None: unknown), done per second, and seconds left."""
        progress = self.progress or Progress()
        return {
            "id": str(self.job.id),
            "task": self.job.task,
            "key": self.job.key,
            "attempt": self.job.attempts,
            "run_s": round(self.for_s, 1),
            "limit_s": self.limit_s,
            "done": progress.done,
            "of": progress.total,
            "per_second": progress.rate,
            "left_s": progress.left_s,
        }


def running() -> list[Running]:
    """The jobs that have run for longest."""
    jobs = list(Job.objects.filter(state=State.RUNNING).defer("args", "result", "error").order_by("started_at")[:SHOWN])
    found = {(row.job_id, row.claim): row for row in Progress.objects.filter(job_id__in=[job.id for job in jobs])}
    return [attempt(job, found.get((job.id, job.claims))) for job in jobs]


def attempt(job: Job, progress: Progress | None) -> Running:
    """The current attempt of a running job."""
    now = timezone.now()
    return Running(job, progress, (now - (job.started_at or now)).total_seconds())
