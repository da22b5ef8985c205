"""The ledger's own tables. A row is the truth about a job; a broker message is only a message.

All changes of state stand in ledger.py, control.py and rescue.py, as single SQL statements; nothing else writes these
tables, but for what an attempt tells while it runs (journal.py).
"""

from collections.abc import Collection

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from backroom.ledger.transitions import READABLE


class State(models.TextChoices):
    """Every state of a job, named once (the picture is in the design: docs/jobs.md)."""

    READY = "ready", "ready"  # its id was handed to the broker at published_at; any worker may claim it
    WAITING = "waiting", "waiting"  # to be published at run_at, or (run_at null) once after_id has succeeded
    RUNNING = "running", "running"  # claimed by `worker`
    SUCCEEDED = "succeeded", "succeeded"
    DEAD = "dead", "dead"  # gave up: a dead letter, kept for a person
    CANCELLED = "cancelled", "cancelled"  # a person, or the code, said it need not run


LIVE = (State.READY, State.WAITING, State.RUNNING)


class Job(models.Model):
    """One recorded piece of work; its id is its Celery task id."""

    id = models.UUIDField(primary_key=True)
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    args = models.JSONField(default=dict, help_text="the task's arguments by name: ids and small values")
    # A key names one job, for as long as its row exists: that is what makes enqueueing idempotent.
    key = models.CharField(max_length=200, null=True, unique=True)  # noqa: DJ001 - NULLs don't collide
    state = models.CharField(max_length=10, choices=State.choices)
    claims = models.PositiveIntegerField(default=0, help_text="the fencing token: how often it was claimed")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="claims, less those that were snoozed")
    max_attempts = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(null=True, help_text="not before")
    published_at = models.DateTimeField(null=True, help_text="when its id was last handed to the broker")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True, help_text="what the task returned")
    worker = models.CharField(max_length=200, default="")
    unknown_since = models.DateTimeField(null=True, help_text="since when nobody has known its task or arguments")
    error = models.TextField(default="", help_text="of the last attempt: a line, then the traceback")
    after_id = models.UUIDField(null=True, help_text="the job that must succeed first")
    takes_result = models.CharField(max_length=100, default="", help_text="the argument that gets its result")
    context = models.JSONField(
        db_default={}, help_text="the request, order and trace that it belongs to: backroom/observe/context.py"
    )

    class Meta:
        # One small index for each question the dispatcher asks, and none over what has finished.
        indexes = [
            models.Index(fields=["run_at"], name="backroom_waiting", condition=models.Q(state="waiting")),
            models.Index(fields=["published_at"], name="backroom_ready", condition=models.Q(state="ready")),
            models.Index(fields=["worker"], name="backroom_running", condition=models.Q(state="running")),
            models.Index(fields=["finished_at"], name="backroom_dead", condition=models.Q(state="dead")),
            models.Index(fields=["after_id"], name="backroom_after", condition=models.Q(after_id__isnull=False)),
            BrinIndex(fields=["finished_at"], name="backroom_finished", autosummarize=True),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in State]), name="backroom_state_known"
            ),
            models.CheckConstraint(condition=models.Q(run_at__range=READABLE), name="backroom_run_at_readable"),
        ]

    def __str__(self) -> str:
        return self.key or f"{self.task} {self.id}"

    def blocked(self, others: Collection["Job"]) -> bool:
        """Whether it waits for one of the others that gave up, was cancelled, or itself waits for such a one: only a
        person can bring it on."""
        if self.state != State.WAITING or self.run_at is not None:
            return False
        return any(
            other.id == self.after_id and (other.state in (State.DEAD, State.CANCELLED) or other.blocked(others))
            for other in others
        )


class Attempt(models.Model):
    """An attempt that ended without success; one that succeeded is the job's row itself, and a snooze is none."""

    job_id = models.UUIDField(db_index=True)  # no foreign key: purge deletes both in one statement
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    number = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=10, help_text="the job's state after it: waiting or dead")
    worker = models.CharField(max_length=200)
    published_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True, help_text="null: it was refused before it began")
    ended_at = models.DateTimeField(db_index=True)
    error = models.TextField()

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"

    @property
    def run_ms(self) -> float | None:
        """How long it ran, in ms; None if it never began."""
        return None if self.started_at is None else (self.ended_at - self.started_at).total_seconds() * 1000


class Pause(models.Model):
    """A queue or a task that is to stand still, for all workers, until someone resumes it."""

    what = models.CharField(max_length=220, primary_key=True)  # "queue:bulk", "task:orders.mail_receipt"
    at = models.DateTimeField(db_default=Now())
    who = models.CharField(max_length=150)
    why = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.what

    @property
    def kind(self) -> str:
        """queue or task"""
        return self.what.partition(":")[0]

    @property
    def name(self) -> str:
        return self.what.partition(":")[2]


class Worker(models.Model):
    """A running worker's sign of life. A restarted worker of the same name is another worker."""

    name = models.CharField(max_length=200, primary_key=True)
    queues = models.CharField(max_length=200)
    pool = models.PositiveSmallIntegerField(null=True, help_text="how many jobs it runs at a time")
    memory = models.BigIntegerField(null=True, help_text="bytes, of its main process and its children")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Process(models.Model):
    """The sign of life of a dispatcher or a beat."""

    name = models.CharField(max_length=200, primary_key=True)
    role = models.CharField(max_length=20)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
