"""Counts per minute and in total, which outlive the rows that they count; the audit log; alerts."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now


class QueueMinute(models.Model):
    """A queue, sampled a few seconds after a minute's end; null if nothing sampled it in time."""

    minute = models.DateTimeField()
    queue = models.CharField(max_length=100)
    depth = models.PositiveIntegerField(null=True, help_text="ready, or due and not published")
    running = models.PositiveIntegerField(null=True)
    oldest_s = models.FloatField(null=True, help_text="how long the oldest ready job has been due")
    succeeded = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "queue"], name="backroom_ops_queue_minute")]

    def __str__(self) -> str:
        return f"{self.queue} at {self.minute:%H:%M}"


class TaskMinute(models.Model):
    """What ended within a minute, by task and queue. Histograms map bucket (backroom/ops/rollups.py) to count."""

    minute = models.DateTimeField()
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    succeeded = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)
    expired = models.PositiveIntegerField(db_default=0, default=0, help_text="cancelled, as they had not begun in time")
    waits = models.JSONField(default=dict)
    runs = models.JSONField(default=dict)
    wait_s = models.FloatField(db_default=0.0, default=0.0, help_text="total wait, in seconds")
    run_s = models.FloatField(db_default=0.0, default=0.0, help_text="total run time, in seconds")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "task", "queue"], name="backroom_ops_task_minute")]

    def __str__(self) -> str:
        return f"{self.task} at {self.minute:%H:%M}"


class Totals(models.Model):
    """A sum of minutes of a task on a queue."""

    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=100)
    succeeded = models.BigIntegerField(default=0)
    retried = models.BigIntegerField(default=0)
    dead = models.BigIntegerField(default=0)
    expired = models.BigIntegerField(db_default=0, default=0)
    waits = models.JSONField(default=dict)
    runs = models.JSONField(default=dict)
    wait_s = models.FloatField(default=0.0)
    run_s = models.FloatField(default=0.0)

    class Meta:
        abstract = True


class TaskHour(Totals):
    """The minutes of an hour, so that a week is few rows."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hour", "task", "queue"], name="backroom_ops_task_hour")]

    def __str__(self) -> str:
        return f"{self.task} at {self.hour:%d %b %H} h"


class TaskTotal(Totals):
    """All minutes. It only grows, as Prometheus' counters must."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "queue"], name="backroom_ops_task_total")]

    def __str__(self) -> str:
        return f"{self.task} on {self.queue}"


class AuditEntry(models.Model):
    """What a person did to jobs, schedules or orders. The same transaction wrote both; nothing changes or deletes an
    entry."""

    at = models.DateTimeField(db_default=Now())
    who = models.CharField(max_length=150)
    verb = models.CharField(max_length=20)
    what = models.TextField()
    jobs = ArrayField(models.UUIDField(), default=list)
    why = models.CharField(max_length=200)

    class Meta:
        indexes = [GinIndex(fields=["jobs"], name="backroom_ops_audit_jobs")]

    def __str__(self) -> str:
        return f"{self.who}: {self.verb} {self.what}"


class Alert(models.Model):
    """A broken rule of backroom/ops/rules.py, from first sight to recovery; see backroom/ops/alerts.py."""

    rule = models.CharField(max_length=50)
    subject = models.CharField(max_length=200, default="", help_text="the queue, task or partner")
    says = models.TextField(help_text="the text when it fired")
    since = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now(), help_text="when a watcher last found it broken")
    fired_at = models.DateTimeField(null=True, help_text="null: it has not lasted long enough")
    mailed_at = models.DateTimeField(null=True)
    calm_since = models.DateTimeField(null=True, help_text="since when it has been back below its limit")
    recovered_at = models.DateTimeField(null=True)
    recovery_mailed_at = models.DateTimeField(null=True)
    mailing_until = models.DateTimeField(null=True, help_text="until then a watcher may be mailing it")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=models.Q(recovered_at=None), name="backroom_ops_alert_open"
            )
        ]

    def __str__(self) -> str:
        return self.says
