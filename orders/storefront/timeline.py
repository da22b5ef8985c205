"""What the back room did for one order, from the ledger, in words for the customer.

All times are the database's; a page costs one query here however many jobs there are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from backroom.ledger.models import LIVE, Job, State
from orders.models import Order, Status

# By the kind of job, which is the first part of its key: what it is, and what it says while it fails.
LABELS = {
    "settle": ("Payment confirmation", "The bank did not answer. We ask again."),
    "void": ("Cancelling the payment", "The bank did not answer. We ask again."),
    "invoice": ("Invoice", "The invoice could not be written. We try again."),
    "receipt": ("Receipt by mail", "The mail could not be handed over. We try again."),
    "fraud": ("Safety check", "The check is not available. We ask again."),
    "capture": ("Payment", "The bank did not answer. We ask again."),
    "shipment": ("Shipment", "The warehouse did not answer. We ask again."),
    "analytics": ("Statistics", "The statistics office did not answer. We try again."),
    "loyalty": ("Loyalty points", "The points could not be added. We try again."),
    "recommendations": ("Recommendations", "We could not learn from this order yet. We try again."),
    "refund": ("Your money back", "The bank did not answer. We ask again."),
    "cancellation": ("Cancellation by mail", "The mail could not be handed over. We try again."),
    "unpaid": ("News by mail", "The mail could not be handed over. We try again."),
}
SHOWN: dict[str, str] = {State.RUNNING: "running", State.SUCCEEDED: "done", State.DEAD: "stuck"}  # else waiting
# What waits while an order is on hold, and what for.
ON_HOLD = {
    "capture": "A person looks at this order before your card is charged.",
    "shipment": "It is sent once a person has looked at it and the card was charged.",
}
GAVE_UP = "This did not work, and a person will see to it."
BLOCKED = "This waits for another step, which did not work. A person will see to it."


@dataclass(frozen=True)
class Row:
    """One job. Times are in milliseconds, `next_in` in seconds; None: not yet, or not at all.

    `state` is waiting, running, retrying, done or stuck: the ledger's states as a customer sees them.
    """

    kind: str
    label: str
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

    @property
    def flower_url(self) -> str:
        return f"{settings.FLOWER_URL}/task/{self.job.id}"


def keys_of(number: int) -> list[str]:
    """The keys that jobs of an order can have."""
    return [f"{kind}:{number}" for kind in LABELS]


def jobs_of(number: int) -> list[Job]:
    """An order's jobs, in the order of LABELS, each with the database's time as `now`."""
    found = {job.key: job for job in Job.objects.filter(key__in=keys_of(number)).annotate(now=Now())}
    return [found[key] for key in keys_of(number) if key in found]


def rows_of(order: Order) -> list[Row]:
    """The timeline. What was called off is not shown: it is of no interest to a customer."""
    jobs = jobs_of(order.number)
    return [_row(order, job, job.blocked(jobs)) for job in jobs if job.state != State.CANCELLED]


def poll_every(order: Order, rows: list[Row]) -> int | None:
    """In how many seconds the page should look again; None when nothing will change any more."""
    live = [row for row in rows if row.live]
    if not live and order.status != Status.PLACED:
        return None
    soon = not live or any((row.next_in or 0) <= 10 for row in live)
    return 1 if soon else 5


def wait_ms(job: Job) -> int | None:
    """From when it was enqueued until its last start."""
    return _ms(job.started_at - job.created_at) if job.started_at else None


def run_ms(job: Job) -> int | None:
    """How long its last attempt took; None while it has not finished."""
    return _ms(job.finished_at - job.started_at) if job.started_at and job.finished_at else None


def _row(order: Order, job: Job, blocked: bool) -> Row:
    kind = str(job.key).partition(":")[0]
    label, trouble = LABELS[kind]
    state = "stuck" if blocked else _state(job)
    held = kind in ON_HOLD and order.status == Status.ON_HOLD
    return Row(
        kind=kind,
        label=label,
        state="waiting" if held and job.state in LIVE else state,
        why=ON_HOLD[kind] if held else {"retrying": trouble, "stuck": BLOCKED if blocked else GAVE_UP}.get(state, ""),
        next_in=None if held else _next_in(job),
        wait_ms=wait_ms(job),
        run_ms=run_ms(job),
        attempts=job.attempts,
        job=job,
        blocked=blocked,
    )


def _state(job: Job) -> str:
    if job.state == State.WAITING and job.error:
        return "retrying"
    return SHOWN.get(job.state, "waiting")


def _next_in(job: Job) -> int | None:
    if job.state != State.WAITING or job.run_at is None:
        return None
    now: datetime = vars(job)["now"]  # annotated by jobs_of
    return max(0, round((job.run_at - now).total_seconds()))


def _ms(duration: timedelta) -> int:
    return max(0, round(duration.total_seconds() * 1000))
