"""What people decided, and what they are called for."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now


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


class Action(models.Model):
    """What a person did to jobs. Written in the transaction that did it; nothing changes or deletes it."""

    at = models.DateTimeField(db_default=Now())
    who = models.CharField(max_length=150)
    verb = models.CharField(max_length=20)
    what = models.TextField()
    jobs = ArrayField(models.UUIDField(), default=list)
    why = models.CharField(max_length=200)

    class Meta:
        indexes = [GinIndex(fields=["jobs"], name="jobs_action_jobs")]

    def __str__(self) -> str:
        return f"{self.who}: {self.verb} {self.what}"


class Alert(models.Model):
    """Something that is wrong by a rule of jobs/rules.py, from its first sight to its end: jobs/alerts.py."""

    rule = models.CharField(max_length=50)
    subject = models.CharField(max_length=200, default="", help_text="the queue, task or partner")
    says = models.TextField(help_text="what was wrong, when it fired")
    since = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now(), help_text="when a watcher last found it wrong")
    fired_at = models.DateTimeField(null=True, help_text="null: it has not lasted long enough")
    mailed_at = models.DateTimeField(null=True)
    calm_since = models.DateTimeField(null=True, help_text="since when it has been well again")
    recovered_at = models.DateTimeField(null=True)
    recovery_mailed_at = models.DateTimeField(null=True)
    mailing_until = models.DateTimeField(null=True, help_text="a watcher is mailing it, or died over it")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=models.Q(recovered_at=None), name="jobs_alert_open"
            )
        ]

    def __str__(self) -> str:
        return self.says
