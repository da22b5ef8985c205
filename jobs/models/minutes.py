"""What happened in each minute, and since ever: figures that outlive the rows they were counted from."""

from django.db import models


class QueueMinute(models.Model):
    """A queue a few seconds after the end of a minute; null where nobody looked then."""

    minute = models.DateTimeField()
    queue = models.CharField(max_length=100)
    depth = models.PositiveIntegerField(null=True, help_text="ready, or due and not published")
    running = models.PositiveIntegerField(null=True)
    oldest_s = models.FloatField(null=True, help_text="how long the oldest of them has been due")
    succeeded = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "queue"], name="jobs_queue_minute")]

    def __str__(self) -> str:
        return f"{self.queue} at {self.minute:%H:%M}"


class TaskMinute(models.Model):
    """What ended within a minute of one task on one queue. Times are histograms: bucket (jobs/history.py) → count."""

    minute = models.DateTimeField()
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    succeeded = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)
    waits = models.JSONField(default=dict)
    runs = models.JSONField(default=dict)
    wait_s = models.FloatField(db_default=0.0, default=0.0, help_text="seconds waited by all of them")
    run_s = models.FloatField(db_default=0.0, default=0.0, help_text="seconds run by all of them")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "task", "queue"], name="jobs_task_minute")]

    def __str__(self) -> str:
        return f"{self.task} at {self.minute:%H:%M}"


class TaskTotal(models.Model):
    """All minutes of a task on a queue since ever, summed up: what Prometheus wants, which counts only upwards."""

    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    succeeded = models.BigIntegerField(default=0)
    retried = models.BigIntegerField(default=0)
    dead = models.BigIntegerField(default=0)
    waits = models.JSONField(default=dict)
    runs = models.JSONField(default=dict)
    wait_s = models.FloatField(default=0.0)
    run_s = models.FloatField(default=0.0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "queue"], name="jobs_task_total")]

    def __str__(self) -> str:
        return f"{self.task} on {self.queue}"
