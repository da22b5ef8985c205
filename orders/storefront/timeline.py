"""The timeline of an order: its jobs in the ledger, in words for the customer.

All times are the database's. A page costs one query here, for any number of jobs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models.functions import Now
from django.utils import timezone

from backroom.ledger.models import LIVE, Job, State
from backroom.ops.blocked import blocked
from backroom.ops.lanes import parked
from orders import follow_ups
from orders.follow_ups import FollowUp
from orders.models import Order, Status

SHOWN: dict[str, str] = {State.RUNNING: "running", State.SUCCEEDED: "done", State.DEAD: "failed"}  # else waiting
WATCHED = timedelta(hours=1)  # from the shipment request, in which an open page also waits for the warehouse's reports
GAVE_UP = "This step failed. Our team will take care of it."
BLOCKED = "This step waits for another one, which failed. Our team will take care of it."


@dataclass(frozen=True)
class Row:
    """One job. Times are in milliseconds, `next_in` in seconds; None: not yet, or never.

    `state` is waiting, running, retrying, done or failed: the ledger's states as a customer sees them.
    """

    kind: str
    label: str
    internal: bool
    state: str
    why: str
    next_in: int | None
    wait_ms: int | None
    run_ms: int | None
    attempts: int
    job: Job
    blocked: bool

    @property
    def live(self) -> bool:
        return self.job.state in LIVE and not self.blocked


def jobs_of(number: int) -> list[Job]:
    """An order's jobs, in the order of the registry, each with the database's time as `now`. Those of later days are
    left out."""
    return [job for _, job in _steps(number)]


def _steps(number: int) -> list[tuple[FollowUp, Job]]:
    steps = {step.key(number): step for step in follow_ups.FOLLOW_UPS if not step.later}
    found = {job.key: job for job in Job.objects.filter(key__in=steps).annotate(now=Now())}
    return [(step, found[key]) for key, step in steps.items() if key in found]


def rows_of(order: Order, whole: bool = True) -> list[Row]:
    """The timeline, without cancelled jobs: the whole back room, or what is the customer's own."""
    steps = _steps(order.number)
    jobs = [job for _, job in steps]
    rows = [_row(order, step, job, blocked(job, jobs)) for step, job in steps if job.state != State.CANCELLED]
    return [row for row in rows if whole or not row.internal]


def poll_every(order: Order, rows: list[Row]) -> int | None:
    """Seconds until the page polls again; None when nothing will change any more, or not for days."""
    live = [row for row in rows if row.live]
    if not live and order.status != Status.PLACED:
        return 10 if order.underway and order.sent_at and order.sent_at + WATCHED > timezone.now() else None
    soon = not live or any((row.next_in or 0) <= 10 for row in live)
    return 1 if soon else 5


def wait_ms(job: Job) -> int | None:
    """From its enqueueing to its last start."""
    return _ms(job.started_at - job.created_at) if job.started_at else None


def run_ms(job: Job) -> int | None:
    """The duration of its last attempt; None while it has not finished."""
    return _ms(job.finished_at - job.started_at) if job.started_at and job.finished_at else None


def _row(order: Order, step: FollowUp, job: Job, blocked: bool) -> Row:
    state = "failed" if blocked else _state(job)
    held = step.on_hold if order.status == Status.ON_HOLD else ""
    return Row(
        kind=step.kind,
        label=step.labels.get(order.payment, step.label),
        internal=step.internal,
        state="waiting" if held and job.state in LIVE else state,
        why=held or {"retrying": step.failing, "failed": BLOCKED if blocked else GAVE_UP}.get(state, ""),
        next_in=None if held else _next_in(job),
        wait_ms=wait_ms(job),
        run_ms=run_ms(job),
        attempts=job.attempts,
        job=job,
        blocked=blocked,
    )


def _state(job: Job) -> str:
    if job.state == State.WAITING and job.error and not parked(job):
        return "retrying"
    return SHOWN.get(job.state, "waiting")


def _next_in(job: Job) -> int | None:
    if job.state != State.WAITING or job.run_at is None or parked(job):
        return None
    now: datetime = vars(job)["now"]  # annotated by _steps
    return max(0, round((job.run_at - now).total_seconds()))


def _ms(duration: timedelta) -> int:
    return max(0, round(duration.total_seconds() * 1000))
