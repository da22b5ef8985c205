"""The ledger's tables. A row is the truth about a job; workers read only its id from the broker's message.

Only this package changes jobs, by single SQL statements: transitions.py names its parts.
"""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from backroom.ledger.limits import DEPTH, RESULT_DEPTH
from backroom.ledger.sql import READABLE


class State(models.TextChoices):
    """Every state of a job, named once. docs/core.md has the picture."""

    READY = "ready", "ready"  # published at published_at; any worker may claim it
    WAITING = "waiting", "waiting"  # for run_at, or (run_at null) for the job after_id
    RUNNING = "running", "running"  # claimed by `worker`
    SUCCEEDED = "succeeded", "succeeded"
    DEAD = "dead", "dead"  # a dead letter: it gave up, and waits for a person
    CANCELLED = "cancelled", "cancelled"  # a person, or code, decided that it need not run


LIVE = (State.READY, State.WAITING, State.RUNNING)


def at_most(depth: int, field: str) -> models.Func:
    """Whether nothing in a JSON field is nested deeper."""
    path = models.Value(f"!exists($.**{{{depth + 1}}})")
    return models.Func(models.F(field), path, function="jsonb_path_match", output_field=models.BooleanField())


class Job(models.Model):
    """One recorded piece of work; its id is its Celery task id."""

    id = models.UUIDField(primary_key=True)
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    args = models.JSONField(default=dict, help_text="the task's arguments by name: ids and small values")
    # A key names one job, for as long as its row exists: that makes enqueueing idempotent. NULLs don't collide.
    key = models.CharField(max_length=200, null=True, unique=True)  # noqa: DJ001
    state = models.CharField(max_length=10, choices=State.choices)
    claims = models.PositiveIntegerField(default=0, help_text="the fencing token: how many workers have claimed it")
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="claims that count: a snooze, a stop or a database fault does not"
    )
    max_attempts = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(null=True, help_text="not before")
    published_at = models.DateTimeField(null=True, help_text="last handed to the broker at")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True, help_text="the task's return value")
    worker = models.CharField(max_length=200, default="")
    unknown_since = models.DateTimeField(null=True, help_text="no process has known its task or arguments since")
    error = models.TextField(default="", help_text="of the last attempt: a line, then the traceback")
    after_id = models.UUIDField(null=True, help_text="the job that must succeed first")
    takes_result = models.CharField(max_length=100, default="", help_text="the argument that gets its result")
    context = models.JSONField(db_default={}, help_text="the request, order and trace that it belongs to")
    expires_at = models.DateTimeField(null=True, help_text="cancelled if not begun by then")
    cancel_at = models.DateTimeField(null=True, help_text="since then a running job is to be cancelled")
    cursor = models.JSONField(null=True, help_text="where a resumable job goes on")
    batch_id = models.UUIDField(null=True, help_text="the batch that it is a member of; a batch has its callback's id")
    lane = models.CharField(max_length=220, null=True)  # noqa: DJ001 - NULL: it needs no place
    places = models.SmallIntegerField(null=True, help_text="of its lane")
    dead_blocks = models.BooleanField(null=True, help_text="of a lane in strict order: whether a dead letter does, too")
    place = models.SmallIntegerField(
        null=True, help_text="that it holds in its lane while ready or running; 0: it waits for one"
    )

    class Meta:
        # One small index for each question of the dispatcher and of the pages, and a small BRIN for finished jobs.
        indexes = [
            models.Index(
                fields=["run_at"], name="backroom_scheduled", include=["queue"], condition=models.Q(state="waiting")
            ),
            models.Index(
                fields=["run_at"], name="backroom_retrying", condition=models.Q(state="waiting", claims__gt=0)
            ),
            models.Index(fields=["queue", "published_at"], name="backroom_queued", condition=models.Q(state="ready")),
            models.Index(fields=["worker"], name="backroom_running", condition=models.Q(state="running")),
            models.Index(
                fields=["finished_at"],
                name="backroom_dead_letters",
                include=["queue"],
                condition=models.Q(state="dead"),
            ),
            models.Index(fields=["after_id"], name="backroom_after", condition=models.Q(after_id__isnull=False)),
            models.Index(
                fields=["batch_id", "state"], name="backroom_members", condition=models.Q(batch_id__isnull=False)
            ),
            models.Index(
                fields=["lane", "place", "id"],
                name="backroom_lane",
                condition=models.Q(lane__isnull=False)
                & (models.Q(state__in=LIVE) | models.Q(state="dead", dead_blocks=True)),
            ),
            BrinIndex(fields=["finished_at"], name="backroom_finished", autosummarize=True),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in State]), name="backroom_state_known"
            ),
            models.UniqueConstraint(
                fields=["lane", "place"],
                name="backroom_place",
                condition=models.Q(lane__isnull=False, state__in=(State.READY, State.RUNNING)),
            ),
            models.CheckConstraint(condition=models.Q(run_at__range=READABLE), name="backroom_run_at_readable"),
            models.CheckConstraint(condition=at_most(DEPTH, "args"), name="backroom_args_readable"),
            models.CheckConstraint(condition=at_most(RESULT_DEPTH, "result"), name="backroom_result_readable"),
        ]

    def __str__(self) -> str:
        return self.key or f"{self.task} {self.id}"


class Attempt(models.Model):
    """An attempt that failed. One that succeeded is the job's own row, and a snooze is none."""

    job_id = models.UUIDField(db_index=True)  # no foreign key: a purge deletes both in one statement
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    number = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=10, help_text="the job's state after it: waiting or dead")
    worker = models.CharField(max_length=200)
    published_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True, help_text="null: it ended before it began")
    ended_at = models.DateTimeField(db_index=True)
    error = models.TextField()

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"

    @property
    def run_ms(self) -> float | None:
        """How long it ran, in ms; None if it never began."""
        return None if self.started_at is None else (self.ended_at - self.started_at).total_seconds() * 1000


class Batch(models.Model):
    """Members whose callback, the job of the same id, runs when all have ended."""

    id = models.UUIDField(primary_key=True)
    if_dead = models.CharField(max_length=10, help_text="a member is dead or cancelled: wait, go on, cancel")
    on_dead = models.JSONField(null=True, help_text="the row of a job to insert then")
    total = models.PositiveIntegerField(default=0, help_text="members; only those who add some change it")
    succeeded = models.PositiveIntegerField(default=0, help_text="when counted last, as the next two")
    dead = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    count_again_at = models.DateTimeField(db_default=Now(), help_text="not before")
    failed_at = models.DateTimeField(null=True, help_text="a member was first seen dead or cancelled at")
    ended_at = models.DateTimeField(null=True, help_text="its callback was released, or cancelled, at")

    class Meta:
        indexes = [
            models.Index(fields=["count_again_at"], name="backroom_batch_open", condition=models.Q(ended_at=None))
        ]

    def __str__(self) -> str:
        return f"batch {self.id}"


class Unique(models.Model):
    """The job that holds a name, by which others are duplicates."""

    name = models.CharField(max_length=220, primary_key=True)
    job_id = models.UUIDField()
    until = models.DateTimeField(null=True, help_text="null: as long as the job's state says")

    def __str__(self) -> str:
        return self.name


class Pause(models.Model):
    """A queue or a task that no worker claims from until a person resumes it."""

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


class Heartbeat(models.Model):
    """A running process: worker, dispatcher, beat or watcher. One that is restarted is another process."""

    name = models.CharField(max_length=200, primary_key=True)
    role = models.CharField(max_length=20)
    queues = models.CharField(max_length=200, default="", help_text="of a worker, with commas")
    pool = models.PositiveSmallIntegerField(null=True, help_text="how many jobs a worker runs at a time")
    memory = models.BigIntegerField(null=True, help_text="bytes, of a worker's main process and its children")
    session = models.CharField(
        max_length=200,
        default="",
        db_default="",
        help_text="role/application_name of a worker's sessions, if it can tell",
    )
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
