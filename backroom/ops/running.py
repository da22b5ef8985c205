"""What runs now, and how far it says it is: for the operations page and `manage.py jobs`."""

from dataclasses import dataclass
from typing import Any

from backroom.ledger.models import Job, State
from backroom.observe.models import Progress

SHOWN = 20


@dataclass(frozen=True)
class Running:
    """A running job; `journal` is what its attempt told, if anything."""

    job: Job
    journal: Progress | None

    def as_dict(self) -> dict[str, Any]:
        """For machines: how many are done, of how many (None: nobody knows), a second, and seconds left."""
        told = self.journal or Progress()
        return {
            "id": str(self.job.id),
            "task": self.job.task,
            "key": self.job.key,
            "attempt": self.job.attempts,
            "done": told.done,
            "of": told.total,
            "per_second": told.rate,
            "left_s": told.left_s,
        }


def running(limit: int = SHOWN) -> list[Running]:
    """The jobs that have been running for longest, with what their current attempts told."""
    jobs = list(Job.objects.filter(state=State.RUNNING).defer("args", "result", "error").order_by("started_at")[:limit])
    told = {(row.job_id, row.claim): row for row in Progress.objects.filter(job_id__in=[job.id for job in jobs])}
    return [Running(job, told.get((job.id, job.claims))) for job in jobs]


def bar(journal: Progress, width: int = 30) -> str:
    """A line for terminals: [######------]  20%  1,000 of 5,000  250 a second  16 s left"""
    share, words = journal.share, [f"{journal.done or 0:,}"]
    full = round((share or 0) * width)
    picture = "?" * width if share is None else "#" * full + "-" * (width - full)
    if share is not None:
        words = [f"{int(share * 100)}%", f"{journal.done:,} of {journal.total:,}"]
    if journal.rate:
        words.append(f"{journal.rate:,.0f} a second" if journal.rate >= 10 else f"{journal.rate:.1f} a second")
    if journal.left_s is not None:
        words.append(f"{journal.left_s:,.0f} s left")
    return f"[{picture}]  {'  '.join(words)}"
